#include "fs/mount.hpp"

#include <fcntl.h>
#include <fuse3/fuse_log.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include "fs/reply.hpp"

namespace sessionfs::fs {
namespace {

std::string joined(const std::vector<std::string>& options) {
  std::string all = "fsname=sessionfs,subtype=sessionfs,max_read=" + std::to_string(max_request_bytes);
  for (const auto& option : options) all += "," + option;
  return all + ",nosuid,nodev,default_permissions";  // the last one holds
}

// The last line that libfuse has said; it comes in pieces. While it mounts, this belongs into the one line that says
// why it failed.
std::string said;
constexpr std::size_t max_said_bytes = 512;

std::string what_was_said() { return said.substr(0, said.find('\n')); }

void keep_what_is_said(fuse_log_level level, const char* format, va_list arguments) {
  if (level == FUSE_LOG_DEBUG) {
    std::vfprintf(stderr, format, arguments);  // -d
    return;
  }
  char text[max_said_bytes];
  std::vsnprintf(text, sizeof(text), format, arguments);
  if (said.ends_with('\n') || said.size() > max_said_bytes) said.clear();
  said += text;
}

void say(fuse_log_level level, const char* format, va_list arguments) {
  keep_what_is_said(level, format, arguments);
  if (level != FUSE_LOG_DEBUG && said.ends_with('\n')) spdlog::warn("{}", what_was_said());
}

[[noreturn]] void refuse(const std::string& mountpoint, const std::string& guess) {
  throw std::runtime_error("sessionfs: " + mountpoint +
                           " cannot be mounted: " + (said.empty() ? guess : what_was_said()));
}

void require_directory(const std::string& mountpoint) {
  std::error_code error;
  const auto status = std::filesystem::status(mountpoint, error);
  if (std::filesystem::is_directory(status)) return;
  if (error == std::errc::not_connected)
    throw std::runtime_error(
        "sessionfs: " + mountpoint +
        " is still mounted by a daemon that was killed; take that mount away with: fusermount3 -u " + mountpoint);
  if (error && status.type() != std::filesystem::file_type::not_found)
    throw std::runtime_error("sessionfs: " + mountpoint + " cannot be looked at: " + error.message() +
                             "; mount on a directory of yours");
  throw std::runtime_error("sessionfs: " + mountpoint + " is no directory to mount on; make it with: mkdir " +
                           mountpoint);
}

}  // namespace

Mount::Mount(boost::asio::io_context& io, const std::string& mountpoint, const std::vector<std::string>& options,
             bool debug, const fuse_lowlevel_ops& operations, void* user_data, std::function<void()> after_each,
             std::function<void()> on_end)
    : mountpoint_(std::filesystem::absolute(mountpoint).lexically_normal()),
      device_(io),
      after_each_(std::move(after_each)),
      on_end_(std::move(on_end)) {
  require_directory(mountpoint_);
  said.clear();
  fuse_set_log_func(keep_what_is_said);
  fuse_args args = FUSE_ARGS_INIT(0, nullptr);
  fuse_opt_add_arg(&args, "sessionfs");
  fuse_opt_add_arg(&args, "-o");
  fuse_opt_add_arg(&args, joined(options).c_str());
  if (debug) fuse_opt_add_arg(&args, "-d");
  session_ = fuse_session_new(&args, &operations, sizeof(operations), user_data);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) refuse(mountpoint_, "a mount option is unknown; see mount.fuse3(8)");
  if (fuse_session_mount(session_, mountpoint_.c_str()) != 0) {
    fuse_session_destroy(session_);
    refuse(mountpoint_, "is it an empty directory of yours?");
  }
  fuse_set_log_func(say);
  mounted_ = true;
  if (fuse_session_custom_io(session_, &reply_io, fuse_session_fd(session_)) != 0) {
    unmount();
    fuse_session_destroy(session_);
    throw std::bad_alloc();
  }
  const int fd = fuse_session_fd(session_);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  // A duplicate, since libfuse closes its own.
  device_.assign(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  wait();
}

Mount::~Mount() {
  unmount();
  boost::system::error_code ignored;
  device_.close(ignored);
  fuse_session_destroy(session_);
  std::free(buffer_.mem);
}

void Mount::wait() {
  device_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (!error) receive();
  });
}

void Mount::receive() {
  for (int i = 0; i < max_requests_per_turn; ++i) {
    const bool fresh = buffer_.mem == nullptr;
    const int size = fuse_session_receive_buf(session_, &buffer_);
    if (fresh && buffer_.mem != nullptr) fetch_buffer();
    if (size == -EINTR) continue;
    if (size == -EAGAIN) break;
    if (size <= 0) {
      if (size < 0 && size != -ENODEV) spdlog::error("reading /dev/fuse: {}", std::strerror(-size));
      mounted_ = size < 0 && size != -ENODEV && mounted_;
      return on_end_();
    }
    fuse_session_process_buf(session_, &buffer_);
    after_each_();
    if (fuse_session_exited(session_) != 0) return on_end_();
  }
  wait();
}

// A page of the buffer that is not there yet lets the kernel give up a request, with EIO for its caller, when the
// daemon is killed while it is copied.
void Mount::fetch_buffer() {
  auto* bytes = static_cast<volatile char*>(buffer_.mem);
  for (std::size_t at = 0; at < max_request_bytes; at += 4096) bytes[at] = bytes[at];
}

void Mount::unmount() {
  if (!mounted_) return;
  mounted_ = false;
  // libfuse's own unmount is lazy as root, and fusermount3 -u -z otherwise: open files do not keep the daemon.
  fuse_session_unmount(session_);
}

}  // namespace sessionfs::fs
