#include "fs/mount_table.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

namespace sessionfs::fs {
namespace {

namespace asio = boost::asio;

constexpr const char* mount_table_file = "/proc/self/mountinfo";

int open_mount_table() {
  const int fd = ::open(mount_table_file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), mount_table_file);
  return fd;
}

// The text before `mark`, which goes with it from `rest`; all of it when there is none.
std::string_view cut(std::string_view& rest, char mark) {
  const auto end = std::min(rest.find(mark), rest.size());
  const auto part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// The kernel writes blanks, line ends, backslashes and number signs as \ooo.
std::string unescaped(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size() && text[at + 1] <= '3' &&
        std::ranges::all_of(text.substr(at + 1, 3), is_octal)) {
      plain += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0'));
      at += 3;
    } else {
      plain += text[at];
    }
  }
  return plain;
}

// 36 35 98:0 /root /where rw,noatime master:1 - ext4 /dev/sdb1 rw,errors=continue
std::optional<MountEntry> parse_mount(std::string_view line) {
  MountEntry entry;
  std::uint64_t parent = 0;
  if (!read_number(cut(line, ' '), entry.id) || !read_number(cut(line, ' '), parent)) return std::nullopt;
  auto device = cut(line, ' ');
  if (!read_number(cut(device, ':'), entry.major) || !read_number(device, entry.minor)) return std::nullopt;
  entry.root = unescaped(cut(line, ' '));
  entry.where = unescaped(cut(line, ' '));
  entry.options = cut(line, ' ');
  if (!entry.where.starts_with('/')) return std::nullopt;
  while (true) {  // optional fields, in any number
    if (line.empty()) return std::nullopt;
    if (cut(line, ' ') == "-") break;
  }
  entry.type = unescaped(cut(line, ' '));
  entry.source = unescaped(cut(line, ' '));
  entry.super_options = line;
  if (entry.type.empty()) return std::nullopt;
  return entry;
}

}  // namespace

MountTable parse_mount_table(std::string_view text) {
  MountTable table;
  while (!text.empty())
    if (auto entry = parse_mount(cut(text, '\n'))) table.push_back(std::move(*entry));
  return table;
}

MountTable read_mount_table() {
  const int fd = open_mount_table();
  std::string text;
  std::array<char, 65536> part{};
  ssize_t size = 0;
  while (text.size() < max_mount_table_bytes) {
    size = ::read(fd, part.data(), part.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  const int error = errno;
  ::close(fd);
  if (size < 0) throw std::system_error(error, std::generic_category(), mount_table_file);
  return parse_mount_table(text);
}

bool has_mount_option(std::string_view options, std::string_view option) {
  while (!options.empty())
    if (cut(options, ',') == option) return true;
  return false;
}

MountWatch::MountWatch(asio::io_context& io, std::function<void()> on_change)
    : on_change_(std::move(on_change)), table_(io, open_mount_table()), settle_(io) {
  wait();
}

MountWatch::~MountWatch() { *ended_ = true; }

// The kernel tells a change as POLLERR and POLLPRI, once.
void MountWatch::wait() {
  table_.async_wait(asio::posix::stream_descriptor::wait_error,
                    [this, ended = ended_](const boost::system::error_code& error) {
                      if (error || *ended) return;
                      wait();  // first: what changes from here on is told again
                      if (std::exchange(settling_, true)) return;
                      settle_.expires_after(mount_settle_ms);
                      settle_.async_wait([this, ended](const boost::system::error_code& stopped) {
                        if (stopped || *ended) return;
                        settling_ = false;
                        on_change_();
                      });
                    });
}

}  // namespace sessionfs::fs
