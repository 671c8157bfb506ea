#include "fs/transport/buffers.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace sessionfs::fs {

namespace {

std::vector<std::unique_ptr<std::byte[]>>& spare_buffers() {
  thread_local std::vector<std::unique_ptr<std::byte[]>> spare;
  return spare;
}

}  // namespace

PoolBuffer PoolBuffer::borrow() {
  PoolBuffer buffer;
  auto& spare = spare_buffers();
  if (spare.empty()) {
    buffer.bytes_ = std::make_unique_for_overwrite<std::byte[]>(pool_buffer_bytes);
  } else {
    buffer.bytes_ = std::move(spare.back());
    spare.pop_back();
  }
  return buffer;
}

PoolBuffer& PoolBuffer::operator=(PoolBuffer&& other) noexcept {
  if (this != &other) {
    give_back();
    bytes_ = std::move(other.bytes_);
  }
  return *this;
}

void PoolBuffer::give_back() {
  if (!bytes_) return;
  auto& spare = spare_buffers();
  if (spare.size() < max_spare_buffers) {
    spare.push_back(std::move(bytes_));
  } else {
    bytes_.reset();
  }
}

std::span<const std::byte> Gather::take(std::size_t limit) {
  while (at_ < parts_.size() && parts_[at_].empty()) ++at_;
  if (at_ == parts_.size()) return {};
  const auto taken = parts_[at_].first(std::min(limit, parts_[at_].size()));
  parts_[at_] = parts_[at_].subspan(taken.size());
  size_ -= taken.size();
  return taken;
}

std::byte* OutputQueue::room(std::size_t count) {
  if (chunks_.empty() || pool_buffer_bytes - chunks_.back().end < count) {
    chunks_.push_back(Chunk{PoolBuffer::borrow(), 0, 0});
  }
  return chunks_.back().buffer.data() + chunks_.back().end;
}

void OutputQueue::append(std::size_t count) {
  chunks_.back().end += count;
  size_ += count;
}

void OutputQueue::append_copy(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), pool_buffer_bytes));
    std::memcpy(room(part.size()), part.data(), part.size());
    append(part.size());
    bytes = bytes.subspan(part.size());
  }
}

std::ptrdiff_t OutputQueue::send_some(int socket) {
  std::array<iovec, max_buffers_per_send> pieces{};
  std::size_t count = 0;
  for (const Chunk& chunk : chunks_) {
    if (count == pieces.size()) break;
    pieces[count++] = iovec{chunk.buffer.data() + chunk.begin, chunk.end - chunk.begin};
  }
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return -errno;

  auto left = static_cast<std::size_t>(sent);
  size_ -= left;
  while (!chunks_.empty()) {
    Chunk& chunk = chunks_.front();
    const std::size_t taken = std::min(left, chunk.end - chunk.begin);
    chunk.begin += taken;
    left -= taken;
    if (chunk.begin < chunk.end) break;
    chunks_.pop_front();
  }
  return sent;
}

void OutputQueue::clear() {
  chunks_.clear();
  size_ = 0;
}

}  // namespace sessionfs::fs
