#include "tests/fuzz/fuzz.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>

// Of the sanitizers' runtime, where there is one.
extern "C" __attribute__((weak)) int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*,
                                                                                                   std::size_t),
                                                                               void (*free_hook)(const volatile void*));

namespace sessionfs::fuzz {
namespace {

std::size_t allocated_bytes = 0;

void count_allocation(const volatile void*, std::size_t size) { allocated_bytes += size; }
void ignore_free(const volatile void*) {}

}  // namespace

AllocationMeter::AllocationMeter() {
  static const bool installed = __sanitizer_install_malloc_and_free_hooks != nullptr &&
                                __sanitizer_install_malloc_and_free_hooks(count_allocation, ignore_free) != 0;
  (void)installed;
  before_ = allocated_bytes;
}

std::size_t AllocationMeter::bytes() const { return allocated_bytes - before_; }

MemoryFile::MemoryFile(std::string_view content) : fd_(::memfd_create("input", MFD_CLOEXEC)) {
  require(fd_ >= 0, "there is memory for a file");
  while (!content.empty()) {
    const ssize_t written = ::write(fd_, content.data(), content.size());
    require(written > 0, "a file in memory can be written");
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  path_ = "/proc/self/fd/" + std::to_string(fd_);
}

MemoryFile::~MemoryFile() { ::close(fd_); }

TemporaryFolder::TemporaryFolder() : path_((std::filesystem::temp_directory_path() / "fuzz-XXXXXX").string()) {
  require(::mkdtemp(path_.data()) != nullptr, "a temporary folder can be made");
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace sessionfs::fuzz
