#include "fs/mount_table.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>
#include <system_error>

namespace sessionfs::fs {
namespace {

constexpr const char* mountinfo_file = "/proc/self/mountinfo";

// A blank, a tab, a newline and a backslash are written as \ and three octal digits.
std::string unescaped(const std::string& word) {
  std::string text;
  for (std::size_t i = 0; i < word.size(); ++i) {
    unsigned code = 0;
    const char* begin = word.data() + i + 1;
    const bool is_code = word[i] == '\\' && word.size() - i > 3 &&
                         std::from_chars(begin, begin + 3, code, 8).ptr == begin + 3 && code < 256;
    text += is_code ? static_cast<char>(code) : word[i];
    if (is_code) i += 3;
  }
  return text;
}

bool read_number(const std::string& word, DeviceNumber& number) {
  const char* end = word.data() + word.size();
  const auto major = std::from_chars(word.data(), end, number.major);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != ':') return false;
  const auto minor = std::from_chars(major.ptr + 1, end, number.minor);
  return minor.ec == std::errc() && minor.ptr == end;
}

}  // namespace

std::vector<MountEntry> read_mount_table(std::istream& mountinfo) {
  std::vector<MountEntry> entries;
  std::string line;
  while (std::getline(mountinfo, line)) {
    std::istringstream fields(line);
    MountEntry entry;
    std::string id;
    std::string parent;
    std::string number;
    std::string root;
    std::string word;
    if (!(fields >> id >> parent >> number >> entry.part >> root >> word) || !read_number(number, entry.device))
      continue;
    // Optional fields, up to a dash.
    while (fields >> word && word != "-") {
    }
    if (!(fields >> entry.type >> entry.source)) continue;
    entry.part = unescaped(entry.part);
    entry.root = unescaped(root);
    entry.source = unescaped(entry.source);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<MountEntry> MountWatch::read() {
  std::ifstream mountinfo(mountinfo_file);
  return read_mount_table(mountinfo);
}

MountWatch::MountWatch(boost::asio::io_context& io, std::function<void(const std::vector<MountEntry>&)> on_change)
    : mountinfo_(io), on_change_(std::move(on_change)) {
  const int descriptor = ::open(mountinfo_file, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), mountinfo_file);
  mountinfo_.assign(descriptor);
  wait();
}

// A change is an exceptional condition of the file (proc(5)).
void MountWatch::wait() {
  mountinfo_.async_wait(boost::asio::posix::stream_descriptor::wait_error,
                        [this](const boost::system::error_code& error) {
                          if (error) return;
                          wait();
                          on_change_(read());
                        });
}

}  // namespace sessionfs::fs
