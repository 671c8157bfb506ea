#include "fs/sessionctl/inspect.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "engine/record.hpp"
#include "fs/sealed.hpp"
#include "fs/sessionctl/tree.hpp"
#include "fs/sessionctl/words.hpp"

namespace sessionfs::ctl {
namespace {

constexpr const char* record_file = ".endpoint";

std::string read_record_file(const std::filesystem::path& file) {
  const auto fail = [&](int error) -> std::string { throw Error(file.string() + ": " + std::strerror(error), error); };
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (descriptor < 0) return fail(errno);
  const struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } closer{descriptor};
  struct stat st {};
  if (::fstat(descriptor, &st) != 0) return fail(errno);
  if (!S_ISREG(st.st_mode)) throw Error(file.string() + ": is no record: not a plain file");
  std::string bytes;
  std::string part(std::size_t{1} << 20, '\0');
  for (;;) {
    const ssize_t count = ::read(descriptor, part.data(), part.size());
    if (count < 0) return fail(errno);
    if (count == 0) return bytes;
    bytes.append(part, 0, static_cast<std::size_t>(count));
    if (bytes.size() > 2 * max_record_bytes) throw Error(file.string() + ": is no record: it is too large");
  }
}

std::string words_of_state(const SessionImage& image) {
  if (image.closed) return "closed";
  if (image.detached) return "closed here, and still delivers";
  if (image.suspended) return "suspended";
  return image.accepted ? "goes on" : "waits to be accepted";
}

void add_rules(std::string& text, const char* key, const std::string& rules) {
  std::size_t at = 0;
  while (at < rules.size()) {
    const auto end = std::min(rules.find('\n', at), rules.size());
    text += std::string(key) + ": " + printable(rules.substr(at, end - at)) + "\n";
    at = end + 1;
  }
}

std::string in_words(const EndpointRecord& record) {
  std::string text = "endpoint: " + record.name.str() + "\n";
  text += "generation: " + std::to_string(record.generation) + "\n";
  add_rules(text, "policy", record.policy);
  add_rules(text, "access", record.access);
  for (const auto& service : record.services) text += "service: " + printable(service) + "\n";
  for (const auto& session : record.sessions) {
    const auto& image = session.image;
    text += "session: " + printable(image.file_name) + " " + words_of_state(image) +
            " service=" + printable(image.service) + " peer=" + image.peer.str() + " id=" + image.id.hex() +
            " sent=" + std::to_string(image.sent.written) + " acked=" + std::to_string(image.sent.acked) +
            " received=" + std::to_string(image.received.held) + " read=" + std::to_string(image.received.read) +
            " held=" + std::to_string(session.sent.size()) + " waiting=" + std::to_string(session.received.size()) +
            "\n";
  }
  text += "ended sessions remembered: " + std::to_string(record.tombstones.size()) + "\n";
  return text;
}

}  // namespace

std::string inspect(const std::filesystem::path& file, const std::function<std::string()>& ask) {
  std::error_code failed;
  const auto place = std::filesystem::is_directory(file, failed) ? file / record_file : file;
  std::string bytes = read_record_file(place);
  std::string text;
  if (fs::is_sealed(bytes)) {
    text = "sealed: with a passphrase\n";
    if (!ask) return text;
    auto opened = fs::open_sealed(bytes, ask());
    if (!opened) throw Error(place.string() + ": does not open with this passphrase, or is damaged", EKEYREJECTED);
    bytes = std::move(opened->content);
  }
  const auto record = decode_endpoint_record(std::as_bytes(std::span(bytes)));
  if (!record) throw Error(place.string() + ": is no record, is damaged, or of a newer version");
  return text + in_words(*record);
}

}  // namespace sessionfs::ctl
