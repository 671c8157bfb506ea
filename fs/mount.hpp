// The FUSE mount on the event loop: /dev/fuse is a descriptor like any other, requests are handled as they come and
// may be answered later.
#pragma once

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse3/fuse_lowlevel.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sessionfs::fs {

/// One read or write request carries at most this much; also what st_blksize tells cat and cp.
inline constexpr std::size_t max_request_bytes = 1 << 20;
/// Requests handled before other descriptors get their turn.
inline constexpr int max_requests_per_turn = 32;

class Mount {
 public:
  /// `options` are those of mount.fuse (-o). What the documents' safety rests on (nosuid, nodev, default_permissions)
  /// holds whatever they say: for a line of fstab, mount.fuse appends `dev,suid` of its own. `on_end` is called once
  /// when the mount is gone (unmounted by anybody). `after_each` is called after every request. Throws
  /// std::runtime_error when it cannot be mounted.
  Mount(boost::asio::io_context& io, const std::string& mountpoint, const std::vector<std::string>& options, bool debug,
        const fuse_lowlevel_ops& operations, void* user_data, std::function<void()> after_each,
        std::function<void()> on_end);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  [[nodiscard]] const std::string& mountpoint() const { return mountpoint_; }

  /// Takes the mount away, lazily when it is in use. All requests must have been answered.
  void unmount();

 private:
  void wait();
  void receive();
  void fetch_buffer();

  std::string mountpoint_;
  fuse_session* session_ = nullptr;
  boost::asio::posix::stream_descriptor device_;
  fuse_buf buffer_{};
  bool mounted_ = false;
  std::function<void()> after_each_;
  std::function<void()> on_end_;
};

}  // namespace sessionfs::fs
