#include "sns/snsd_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace sessionfs::sns {
namespace {

constexpr std::uintmax_t shown_step_bytes = 1 << 20;
constexpr std::string_view clear_row = "\r\x1b[K";

void put_on_terminal(std::string_view text) { (void)!::write(STDERR_FILENO, text.data(), text.size()); }

}  // namespace

OutputFile::OutputFile(const std::filesystem::path& path) : path_(path), file_(STDOUT_FILENO) {
  if (path_.empty()) return;
  std::error_code ignored;
  const auto kind = std::filesystem::symlink_status(path_, ignored).type();
  if (kind != std::filesystem::file_type::not_found && kind != std::filesystem::file_type::regular)
    throw std::runtime_error(path_.string() + " is there and is no ordinary file; name another one with -o");
  unfinished_ = path_.string() + ".XXXXXX";
  file_ = ::mkostemp(unfinished_.data(), O_CLOEXEC);  // with mode 0600
  if (file_ >= 0) return;
  unfinished_.clear();
  fail(errno);
}

OutputFile::~OutputFile() {
  if (path_.empty()) return;
  ::close(file_);
  if (!unfinished_.empty()) ::unlink(unfinished_.c_str());
}

void OutputFile::fail(int number) const {
  throw std::runtime_error("cannot write " + (path_.empty() ? "to standard output" : path_.string()) + ": " +
                           std::strerror(number) + "; make room, or send it elsewhere");
}

void OutputFile::write(std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(file_, text.data(), text.size());
    if (written < 0 && errno != EINTR) fail(errno);
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void OutputFile::finish() {
  if (path_.empty()) return;
  if (::fsync(file_) != 0 || std::rename(unfinished_.c_str(), path_.c_str()) != 0) fail(errno);
  unfinished_.clear();
  // A power cut may still bring back what was there before, but nothing in between.
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  ::fsync(directory);
  ::close(directory);
}

InputFile::InputFile(const std::filesystem::path& path) : path_(path), file_(STDIN_FILENO) {
  if (path_ == "-") path_.clear();
  if (path_.empty()) return;
  file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0)
    throw std::runtime_error("cannot open " + path_.string() + ": " + std::strerror(errno) +
                             "; name a file of snsd export");
}

InputFile::~InputFile() {
  if (shown_ > 0) put_on_terminal(clear_row);
  if (!path_.empty()) ::close(file_);
}

std::size_t InputFile::read(std::span<char> room) {
  for (;;) {
    const auto count = ::read(file_, room.data(), room.size());
    if (count >= 0) {
      bytes_ += static_cast<std::size_t>(count);
      if (bytes_ - shown_ >= shown_step_bytes && ::isatty(STDERR_FILENO) != 0) show();
      return static_cast<std::size_t>(count);
    }
    if (errno != EINTR)
      throw std::runtime_error("cannot read " + (path_.empty() ? "standard input" : path_.string()) + ": " +
                               std::strerror(errno) + "; name a file of snsd export");
  }
}

void InputFile::show() {
  shown_ = bytes_;
  const auto in_mib = [](std::uintmax_t bytes) { return std::to_string(bytes >> 20U); };
  struct stat whole {};
  const bool is_known = ::fstat(file_, &whole) == 0 && S_ISREG(whole.st_mode);
  put_on_terminal(std::string(clear_row) + "importing: " + in_mib(bytes_) +
                  (is_known ? " of " + in_mib(static_cast<std::uintmax_t>(whole.st_size)) : "") + " MiB ...");
}

}  // namespace sessionfs::sns
