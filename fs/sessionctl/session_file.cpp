#include "fs/sessionctl/session_file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fs/sessionctl/daemon_wait.hpp"
#include "fs/sessionctl/signals.hpp"

namespace sessionfs::ctl {
namespace {

constexpr std::size_t max_attribute_bytes = 512;
constexpr std::size_t max_name_bytes = 512;

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
  with_daemon(tree.mount(), [&] { session.reopen(); });
  return session;
}

SessionFile SessionFile::open(const Tree& tree, const std::string& endpoint, const std::string& name) {
  SessionFile session(tree, endpoint, name);
  with_daemon(tree.mount(), [&] {
    if (session.attribute("id").empty()) session.fail(ENOENT);  // else it would be dialled
    session.reopen();
  });
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
  with_daemon(tree_->mount(), [&, id = id_] {
    if (attribute("id") != id) throw fault("is gone since the daemon was started again", ENOENT);
    reopen();
  });
}

std::optional<std::size_t> SessionFile::read(std::span<char> into) {
  const ssize_t count = ::read(file_.get(), into.data(), into.size());
  if (count >= 0) {
    read_ += static_cast<std::size_t>(count);
    return static_cast<std::size_t>(count);
  }
  if (errno == EAGAIN || errno == EINTR) return std::nullopt;
  if (!is_of_dead_mount(errno, tree_->mount())) fail(errno);
  const std::uint64_t before = read_;
  come_back();
  if (read_ != before)
    throw fault("bytes " + std::to_string(before) + " to " + std::to_string(read_) +
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
  if (!is_of_dead_mount(errno, tree_->mount())) fail(errno);
  const std::uint64_t before = written_;
  come_back();
  return static_cast<std::size_t>(written_ - before);
}

void SessionFile::command(const std::string& verb) {
  while (true) {
    try {
      return tree_->command(verb + " " + name_, endpoint_);
    } catch (const Error& error) {
      const bool is_dead = is_of_dead_mount(error.number(), tree_->mount());
      if (!is_dead && error.number() == ENOENT) fail(ESTALE);
      if (!is_dead) throw;
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
  finished_ = true;
}

void SessionFile::close() {
  file_.reset();
  while (::unlink(path().c_str()) != 0) {
    const int number = errno;
    if (!is_of_dead_mount(number, tree_->mount())) {
      if (number == ENOENT && finished_) return;
      fail(number == ENOENT ? ESTALE : number);
    }
    wait_for_daemon(tree_->mount());
  }
}

void SessionFile::abort() {
  try {
    command("abort");
  } catch (const Error& error) {
    if (error.number() != ENOENT) throw;  // somebody else has
  }
}

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

Error SessionFile::fault(const std::string& what, int number) const {
  return Error(endpoint_ + ": " + name_ + ": " + what, number);
}

// By rm or abort: the endpoint is here, the session has no name any more.
bool SessionFile::was_closed_here() const {
  const auto status = tree_->status(endpoint_);
  return status && value_of(*status, "away").empty() && attribute("id") != id_;
}

// How much of what was written the peer does not hold, as far as is known.
std::string SessionFile::unheld_words() const {
  const std::string sent = attribute("sent");
  const std::string acked = attribute("acked");
  if (sent.empty() || acked.empty() || sent == acked) return "";
  return "; of the " + sent + " bytes that were written " + std::to_string(std::stoull(sent) - std::stoull(acked)) +
         " may not have arrived";
}

void SessionFile::fail(int number) const {
  const bool is_over = !id_.empty() && (number == ECONNRESET || number == ESTALE);
  if (is_over && was_closed_here()) throw fault("was closed here by somebody else", ENOENT);
  throw fault(reason_for(number) + (is_over ? unheld_words() : ""), number);
}

ServiceFile::ServiceFile(const Tree& tree, const std::string& endpoint, const std::string& service)
    : mount_(tree.mount()),
      path_(tree.mount() / endpoint / "services" / service),
      endpoint_(endpoint),
      service_(service) {
  with_daemon(mount_, [this] {
    make();
    open();
  });
}

ServiceFile::~ServiceFile() {
  file_.reset();
  if (is_made_) ::unlink(path_.c_str());
}

void ServiceFile::make() {
  const Descriptor made(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (made.get() >= 0) is_made_ = true;
  if (made.get() < 0 && errno != EEXIST)
    throw Error(endpoint_ + ": the service " + service_ + " cannot be made: " + std::strerror(errno), errno);
}

void ServiceFile::open() {
  file_.reset(::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (file_.get() < 0) fail(errno);
}

std::optional<std::string> ServiceFile::accept() {
  std::array<char, max_name_bytes> name{};
  const ssize_t size = ::read(file_.get(), name.data(), name.size());
  if (size > 0) return std::string(name.data(), static_cast<std::size_t>(size) - 1);  // without its newline
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  const int number = size == 0 ? ENOENT : errno;
  if (size == 0 || !is_of_dead_mount(number, mount_)) {
    is_made_ = false;  // one that has its name now is somebody else's
    fail(number);
  }
  file_.reset();
  with_daemon(mount_, [this] { open(); });
  return std::nullopt;
}

void ServiceFile::fail(int number) const {
  const std::string why = number == ENOENT   ? " was removed"
                          : number == ESTALE ? " has moved away with its endpoint"
                                             : std::string(": ") + std::strerror(number);
  throw Error(endpoint_ + ": the service " + service_ + why, number);
}

}  // namespace sessionfs::ctl
