// Where snsd's commands write to and read from: standard output and input, or files.
// All functions throw std::runtime_error that names the file and what to do.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace sessionfs::sns {

/// Standard output, or a file with mode 0600 that takes its place when it is complete and on disk.
class OutputFile {
 public:
  /// Empty: standard output.
  explicit OutputFile(const std::filesystem::path& path);
  /// Without finish() a file stays as it was.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view text);
  void finish();

 private:
  [[noreturn]] void fail(int number) const;
  std::filesystem::path path_;
  std::string unfinished_;  // the name until finish(); empty: standard output, or finished
  int file_;
};

/// Standard input, or a file.
class InputFile {
 public:
  /// Empty or "-": standard input.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Fills the start of `room`; 0 at the end. What is long shows on a terminal how far it has come, as long as it
  /// lasts.
  std::size_t read(std::span<char> room);

 private:
  void show();

  std::filesystem::path path_;
  int file_;
  std::uintmax_t bytes_ = 0;  // that have been read, ...
  std::uintmax_t shown_ = 0;  // and that the terminal shows
};

}  // namespace sessionfs::sns
