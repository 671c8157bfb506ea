#include "fs/sessionctl/session_file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "fs/sessionctl/signals.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr std::size_t max_attribute_bytes = 512;
constexpr std::size_t max_name_bytes = 512;

// The daemon has ended, or was killed.
bool is_of_dead_mount(int number) { return number == ENOTCONN || number == ECONNABORTED || number == ENODEV; }

bool has_daemon(const std::filesystem::path& mount) { return ::access((mount / "status").c_str(), F_OK) == 0; }

// A mount that is dead can be taken away only when nobody has a file of it open: close it before.
void wait_for_daemon(const std::filesystem::path& mount) {
  if (has_daemon(mount)) return;
  std::fprintf(stderr, "sessionctl: %s: the daemon has ended; waiting until it is there again\n",
               printable(mount.string()).c_str());
  while (!has_daemon(mount)) {
    Signals::check();
    Signals::wait({}, mount_poll_ms);
  }
}

std::string random_label() {
  std::array<unsigned char, 8> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw Error(std::string("no random numbers: ") + std::strerror(errno), errno);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string label = "~c";
  for (const unsigned char byte : bytes) label.append({digits[byte >> 4U], digits[byte & 15U]});
  return label;
}

std::string reason_for(int number) {
  switch (number) {
    case ENOENT:
      return "there is no such endpoint or service";
    case ECONNREFUSED:
      return "refused: by the access rules of the peer, or it has too many waiting";
    case EHOSTUNREACH:
    case ETIMEDOUT:
      return "the peer cannot be reached";
    case EKEYREJECTED:
      return "the peer cannot prove its name";
    case ESTALE:
      return "its endpoint has moved away from this host; the session goes on there";
    case ECONNRESET:
      return "the session was lost for good";
    default:
      return std::strerror(number);
  }
}

}  // namespace

SessionFile::SessionFile(const Tree& tree, std::string endpoint, std::string name)
    : tree_(&tree), endpoint_(std::move(endpoint)), name_(std::move(name)) {}

SessionFile SessionFile::dial(const Tree& tree, const std::string& endpoint, const std::string& service) {
  SessionFile session(tree, endpoint, service.find('~') == std::string::npos ? service + random_label() : service);
  session.reopen();
  return session;
}

SessionFile SessionFile::open(const Tree& tree, const std::string& endpoint, const std::string& name) {
  SessionFile session(tree, endpoint, name);
  if (session.attribute("id").empty()) session.fail(ENOENT);  // else it would be dialled
  session.reopen();
  return session;
}

void SessionFile::reopen() {
  {
    const Signals::Open interruptible;
    file_.reset(::open(path().c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  }
  const int number = errno;
  if (file_.get() < 0) Signals::check();
  if (file_.get() < 0) fail(number);
  id_ = attribute("id");
  written_ = this->number("sent");
  read_ = bytes_given();
}

// The daemon has gone while a call was under way: nobody has said how much of it was done.
void SessionFile::come_back() {
  file_.reset();
  const std::string id = id_;
  while (true) {
    wait_for_daemon(tree_->mount());
    const std::string found = attribute("id");
    if (!has_daemon(tree_->mount())) continue;
    if (found != id) throw Error(endpoint_ + ": " + name_ + ": is gone since the daemon was started again", ENOENT);
    try {
      return reopen();
    } catch (const Error& error) {
      if (!is_of_dead_mount(error.number())) throw;
    }
  }
}

std::optional<std::size_t> SessionFile::read(std::span<char> into) {
  const ssize_t count = ::read(file_.get(), into.data(), into.size());
  if (count >= 0) {
    read_ += static_cast<std::size_t>(count);
    return static_cast<std::size_t>(count);
  }
  if (errno == EAGAIN || errno == EINTR) return std::nullopt;
  if (!is_of_dead_mount(errno)) fail(errno);
  const std::uint64_t before = read_;
  come_back();
  if (read_ != before)
    throw Error(endpoint_ + ": " + name_ + ": bytes " + std::to_string(before) + " to " + std::to_string(read_) +
                " were being read when the daemon was killed, and are lost here");
  return std::nullopt;
}

std::optional<std::size_t> SessionFile::write(std::string_view bytes) {
  const ssize_t count = ::write(file_.get(), bytes.data(), bytes.size());
  if (count >= 0) {
    written_ += static_cast<std::size_t>(count);
    return static_cast<std::size_t>(count);
  }
  if (errno == EAGAIN || errno == EINTR) return std::nullopt;
  if (!is_of_dead_mount(errno)) fail(errno);
  const std::uint64_t before = written_;
  come_back();
  return static_cast<std::size_t>(written_ - before);
}

void SessionFile::command(const std::string& verb) {
  while (true) {
    try {
      return tree_->command(verb + " " + name_, endpoint_);
    } catch (const Error& error) {
      if (!is_of_dead_mount(error.number())) throw;
    }
    come_back();
  }
}

void SessionFile::finish() {
  try {
    command("finish");
  } catch (const Error& error) {
    if (error.number() != EPIPE) throw;  // the peer has closed it
  }
}

void SessionFile::close() {
  file_.reset();
  while (::unlink(path().c_str()) != 0) {
    if (errno == ENOENT && has_daemon(tree_->mount())) return;
    if (errno != ENOENT && !is_of_dead_mount(errno)) fail(errno);
    wait_for_daemon(tree_->mount());
  }
}

void SessionFile::abort() { command("abort"); }

std::uint64_t SessionFile::number(const std::string& name) const {
  const std::string text = attribute(name);
  if (text.empty()) fail(errno == ENODATA || errno == ENOENT ? ESTALE : errno);
  return std::stoull(text);
}

std::string SessionFile::attribute(const std::string& name) const {
  std::array<char, max_attribute_bytes> value{};
  const ssize_t size = ::getxattr(path().c_str(), ("user.session." + name).c_str(), value.data(), value.size());
  return size < 0 ? "" : std::string(value.data(), static_cast<std::size_t>(size));
}

// How far the daemon has given its bytes to readers.
std::uint64_t SessionFile::bytes_given() const {
  const auto status = tree_->status(endpoint_);
  for (const auto& line : values_of(status.value_or(""), "session")) {
    if (!line.starts_with(name_ + " ")) continue;
    const std::string key = " read=";
    const auto at = line.find(key);
    return at == std::string::npos ? 0 : std::stoull(line.substr(at + key.size()));
  }
  return 0;
}

void SessionFile::fail(int number) const { throw Error(endpoint_ + ": " + name_ + ": " + reason_for(number), number); }

ServiceFile::ServiceFile(const Tree& tree, const std::string& endpoint, const std::string& service)
    : mount_(tree.mount()), path_(tree.mount() / endpoint / "services" / service), service_(service) {
  const Descriptor made(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (made.get() < 0 && errno != EEXIST)
    throw Error(endpoint + ": the service " + service + " cannot be made: " + std::strerror(errno), errno);
  is_made_ = made.get() >= 0;
  open();
}

ServiceFile::~ServiceFile() {
  file_.reset();
  if (is_made_) ::unlink(path_.c_str());
}

void ServiceFile::open() {
  file_.reset(::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (file_.get() < 0) throw Error(path_.string() + ": " + std::strerror(errno), errno);
}

std::optional<std::string> ServiceFile::accept() {
  std::array<char, max_name_bytes> name{};
  const ssize_t size = ::read(file_.get(), name.data(), name.size());
  if (size > 0) return std::string(name.data(), static_cast<std::size_t>(size) - 1);  // without its newline
  if (size == 0) throw Error("the service " + service_ + " was removed", ENOENT);
  if (errno == EAGAIN || errno == EINTR) return std::nullopt;
  if (errno == ESTALE) throw Error("the service " + service_ + " has moved away with its endpoint", ESTALE);
  if (!is_of_dead_mount(errno)) throw Error("the service " + service_ + ": " + std::strerror(errno), errno);
  file_.reset();
  wait_for_daemon(mount_);
  open();
  return std::nullopt;
}

}  // namespace sessionfs::ctl
