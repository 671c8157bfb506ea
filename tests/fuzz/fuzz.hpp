// What the fuzz targets share.
//
// A target is one source with the function LLVMFuzzerTestOneInput() of libFuzzer. It is linked twice: by clang with
// libFuzzer as a program of its own, and by any compiler into fuzz_replay, which runs the committed inputs again.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sessionfs::fuzz {

using Bytes = std::span<const std::byte>;

/// A property that every input must have; without it the run ends as a finding. (std::source_location needs clang 15.)
inline void require(bool holds, const char* property, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%d: broken property: %s\n", file, line, property);
  std::abort();
}

inline Bytes input_of(const std::uint8_t* data, std::size_t size) { return std::as_bytes(std::span(data, size)); }

inline std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::vector<std::byte> copy_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

/// Upper case made lower, in ASCII.
inline std::string folded(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return out;
}

/// Takes decisions from the front of an input; zeros when it is used up.
class Choices {
 public:
  explicit Choices(Bytes input) : input_(input) {}

  [[nodiscard]] bool empty() const { return input_.empty(); }
  std::uint8_t byte() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t word() { return static_cast<std::uint16_t>(number(2)); }
  std::uint64_t number(std::size_t size = 8) {
    std::uint64_t value = 0;
    for (const std::byte one : bytes(size)) value = value << 8 | std::to_integer<std::uint64_t>(one);
    return value;
  }
  /// In [0, count).
  std::size_t index(std::size_t count) { return count == 0 ? 0 : byte() % count; }
  /// Up to `size` bytes.
  Bytes bytes(std::size_t size) {
    const Bytes taken = input_.first(std::min(size, input_.size()));
    input_ = input_.subspan(taken.size());
    return taken;
  }
  /// A length in one byte, then so many bytes.
  Bytes field() { return bytes(byte()); }
  Bytes rest() { return bytes(input_.size()); }

 private:
  Bytes input_;
};

/// Counts the bytes that are allocated while it lives. Of AddressSanitizer's allocator; 0 without it.
class AllocationMeter {
 public:
  AllocationMeter();
  [[nodiscard]] std::size_t bytes() const;

 private:
  std::size_t before_;
};

/// A file without a name in memory, for functions that want to open one.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  /// It can be opened for reading as often as wanted.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  int fd_;
  std::string path_;
};

/// A folder below TMPDIR that goes with the process.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace sessionfs::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
