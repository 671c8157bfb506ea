#include "fs/sessionctl/inspect.hpp"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <sstream>
#include <vector>

#include "fs/sealed.hpp"
#include "fs/sessionctl/table.hpp"
#include "fs/sessionctl/tree.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr const char* record_file = ".endpoint";
// What a tool may have padded it with, or what sealing adds.
constexpr std::size_t padding_limit = std::size_t{1} << 20;
constexpr std::size_t max_bytes_to_read = max_record_bytes + padding_limit;

[[noreturn]] void refuse_errno(const std::filesystem::path& path, int number) {
  if (number == ENOENT && path.filename() == record_file && path.has_parent_path())
    throw Error(path.parent_path().string() + ": holds no record; name the folder of an endpoint", number);
  const char* more = number == EACCES ? "; it belongs to another user" : "";
  throw Error(path.string() + ": " + std::strerror(number) + more, number);
}

[[noreturn]] void refuse_file(const std::filesystem::path& path, const std::string& why, int number = 0) {
  throw Error(path.string() + ": " + why, number);
}

class PlainFile {
 public:
  // A FIFO would block, a device do worse. What a folder holds is no link: that may be a stranger's.
  PlainFile(const std::filesystem::path& path, bool may_be_link) {
    struct stat before {};
    const int flags = may_be_link ? 0 : AT_SYMLINK_NOFOLLOW;
    if (::fstatat(AT_FDCWD, path.c_str(), &before, flags) != 0) refuse_errno(path, errno);
    if (S_ISLNK(before.st_mode)) refuse_file(path, "is a symbolic link, which is not followed; name the file itself");
    if (!S_ISREG(before.st_mode)) refuse_file(path, "is no plain file; name a record or the folder of an endpoint");
    // Without O_NOFOLLOW: in the mount that would begin a copy.
    fd_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd_ < 0) refuse_errno(path, errno);
    struct stat opened {};
    if (::fstat(fd_, &opened) != 0 || opened.st_ino != before.st_ino || opened.st_dev != before.st_dev) {
      ::close(fd_);
      refuse_file(path, "has just been replaced; try again");
    }
    if (opened.st_size > static_cast<off_t>(max_bytes_to_read)) {
      ::close(fd_);
      refuse_file(path, "is too large for a record", EFBIG);
    }
  }
  ~PlainFile() { ::close(fd_); }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;

  [[nodiscard]] std::string read(const std::filesystem::path& path) const {
    std::string content;
    std::vector<char> part(std::size_t{1} << 20);
    while (true) {
      const ssize_t count = ::read(fd_, part.data(), part.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) refuse_errno(path, errno);
      if (count == 0) return content;
      content.append(part.data(), static_cast<std::size_t>(count));
      if (content.size() > max_bytes_to_read) refuse_file(path, "is too large for a record", EFBIG);
    }
  }

 private:
  int fd_ = -1;
};

struct KeyDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

// A key that asks for a password of its own is none of ours.
int no_key_password(char*, int, int, void*) { return -1; }

std::string cell(std::string_view text) { return text.empty() ? "-" : printable(text); }

const char* failure_words(Failure failure) {
  switch (failure) {
    case Failure::none:
      return "";
    case Failure::no_endpoint:
      return "there was no such endpoint";
    case Failure::no_service:
      return "there was no such service";
    case Failure::access:
      return "refused by the peer";
    case Failure::backlog_full:
      return "refused by the peer, which has too many waiting";
    case Failure::unreachable:
      return "the peer could not be reached";
    case Failure::timed_out:
      return "the peer did not answer in time";
    case Failure::untrusted:
      return "the peer could not prove its name";
    case Failure::version:
      return "the peer is of another version";
    case Failure::aborted_here:
      return "aborted here";
    case Failure::lost:
      return "lost";
    case Failure::superseded:
      return "goes on elsewhere";
  }
  return "failed";
}

std::string state_of(const SessionImage& image) {
  std::string state = image.closed       ? "closed"
                      : image.suspended  ? "suspended"
                      : image.connecting ? "connecting"
                                         : "open";
  const auto add = [&](bool is_so, const char* words) {
    if (is_so) state += std::string(", ") + words;
  };
  add(image.failure != Failure::none, failure_words(image.failure));
  add(!image.accepted, "not accepted yet");
  add(image.end && !image.detached, "finished here");
  add(image.detached, "closed here");
  add(image.peer_end && !image.peer_closed, "finished by the peer");
  add(image.peer_closed, "closed by the peer");
  return state;
}

Cells row_of_record(const SessionRecord& session) {
  const SessionImage& image = session.image;
  const auto number = [](std::uint64_t value) { return std::to_string(value); };
  return {cell(image.file_name),
          cell(image.peer.str()),
          cell(image.service),
          state_of(image),
          number(image.sent.written),
          number(image.sent.acked),
          number(image.received.held),
          number(image.received.read),
          size_words(session.sent.size()),
          size_words(session.received.size())};
}

std::string table_of(const std::vector<SessionRecord>& sessions) {
  std::vector<Cells> rows{
      {"SESSION", "PEER", "SERVICE", "STATE", "SENT", "ACKED", "RECEIVED", "READ", "HELD", "WAITING"}};
  for (const auto& session : sessions) rows.push_back(row_of_record(session));
  std::string text;
  for (const auto& line : table_lines(rows)) text += line + "\n";
  return text;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + printable(name);
  return text.empty() ? "none" : text;
}

// A line for each of the rules, or what it means that there are none.
std::string rule_lines(const char* what, const std::string& rules, const char* without) {
  std::string text;
  std::istringstream lines(rules);
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) text += std::string("  ") + what + ": " + printable(line) + "\n";
  return text.empty() ? std::string("  ") + what + ": " + without + "\n" : text;
}

}  // namespace

std::string key_fingerprint(const std::string& private_key) {
  constexpr const char* none = "none that can be read";
  const std::unique_ptr<BIO, KeyDeleter> text(
      BIO_new_mem_buf(private_key.data(), static_cast<int>(private_key.size())));
  const std::unique_ptr<EVP_PKEY, KeyDeleter> key(
      text ? PEM_read_bio_PrivateKey(text.get(), nullptr, no_key_password, nullptr) : nullptr);
  ERR_clear_error();
  std::array<unsigned char, 32> bytes{};  // of Ed25519
  std::size_t size = bytes.size();
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key.get(), bytes.data(), &size) != 1)
    return none;
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned int sum_bytes = 0;
  if (EVP_Digest(bytes.data(), size, sum.data(), &sum_bytes, EVP_sha256(), nullptr) != 1) return none;
  constexpr std::string_view digits = "0123456789abcdef";
  std::string words = "SHA256:";
  for (const unsigned char byte : std::span(sum).first(sum_bytes)) {
    words += digits[byte >> 4U];
    words += digits[byte & 15U];
  }
  return words;
}

std::string record_text(const EndpointRecord& record) {
  return "endpoint: " + printable(record.name.str()) + "\n" + "  generation: " + std::to_string(record.generation) +
         "\n" +                                                    //
         "  key: " + key_fingerprint(record.private_key) + "\n" +  //
         "  services: " + list_of(record.services) + "\n" +
         rule_lines("policy", record.policy, "none, any interface may be used") +
         rule_lines("access", record.access, "none, every peer that proves its name may connect") +
         "  ended sessions that are remembered: " + std::to_string(record.tombstones.size()) + "\n" +
         (record.sessions.empty() ? "  no sessions\n" : table_of(record.sessions));
}

std::string inspect(const std::filesystem::path& path, const std::function<std::string()>& passphrase) {
  std::error_code is_none;
  const bool is_folder = std::filesystem::is_directory(path, is_none);
  const auto file = is_folder ? path / record_file : path;
  std::string bytes = PlainFile(file, !is_folder).read(file);
  std::string head = printable(file.string()) + ": ";
  if (fs::is_sealed(bytes)) {
    head += "a sealed record of " + size_words(bytes.size());
    if (!passphrase) return head + "; add --passphrase to see what is in it\n";
    auto opened = fs::open_sealed(bytes, passphrase());
    if (!opened) refuse_file(file, "does not open with this passphrase, or is damaged", EKEYREJECTED);
    bytes = std::move(opened->content);
  } else {
    head += "a record of " + size_words(bytes.size()) + ", not sealed";
  }
  const auto record = decode_endpoint_record(std::as_bytes(std::span(bytes)));
  if (!record) refuse_file(file, "is no record of an endpoint, or is damaged, or of a newer version", EINVAL);
  return head + "\n" + record_text(*record);
}

}  // namespace sessionfs::ctl
