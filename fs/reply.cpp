#include "fs/reply.hpp"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <utility>

namespace sessionfs::fs {
namespace {

constexpr std::size_t least_page_bytes = 4096;

struct Given {
  StateFile* file = nullptr;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};
Given next_given;  // by the reply that is written next

// While the kernel copies a page that it must fetch first, a SIGKILL ends the system call: the reader gets EIO, and the
// bytes would count as read. What is present it copies to the end.
void fetch(std::span<const iovec> parts) {
  for (const auto& part : parts)
    for (std::size_t at = 0; at < part.iov_len + least_page_bytes; at += least_page_bytes)
      if (part.iov_len > 0) (void)static_cast<const volatile char*>(part.iov_base)[std::min(at, part.iov_len - 1)];
}

ssize_t write_reply(int fd, iovec* parts, int count, void*) {
  const Given given = std::exchange(next_given, {});
  if (given.file == nullptr) return ::writev(fd, parts, count);
  fetch({parts, static_cast<std::size_t>(count)});
  given.file->note_given(given.to);
  const ssize_t written = ::writev(fd, parts, count);
  if (written < 0) given.file->note_given(given.from);
  return written;
}

ssize_t read_request(int fd, void* buffer, std::size_t size, void*) { return ::read(fd, buffer, size); }

}  // namespace

const fuse_custom_io reply_io{
    .writev = write_reply, .read = read_request, .splice_receive = nullptr, .splice_send = nullptr};

bool reply_stream_bytes(fuse_req_t req, const Parts& bytes, std::uint64_t offset, StateFile& file) {
  const iovec parts[2] = {{const_cast<std::byte*>(bytes[0].data()), bytes[0].size()},
                          {const_cast<std::byte*>(bytes[1].data()), bytes[1].size()}};
  next_given = {&file, offset, offset + bytes[0].size() + bytes[1].size()};
  const bool taken = fuse_reply_iov(req, parts, bytes[1].empty() ? 1 : 2) == 0;
  next_given = {};
  return taken;
}

}  // namespace sessionfs::fs
