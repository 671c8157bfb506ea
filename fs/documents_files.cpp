// Documents: open files.
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fs/documents.hpp"

namespace sessionfs::fs {

// What of a caller's flags the storage's descriptor gets. Not O_APPEND: pages of a shared mapping are written through
// the same descriptor at their own places. Not O_DIRECT: our buffers are not aligned.
int Documents::open_flags(int flags) { return flags & (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME); }

// Opens the regular file that an O_PATH descriptor holds.
int Documents::reopen_file(int path, int flags, Descriptor& file) {
  file = Descriptor{::open(proc_path(path).c_str(), open_flags(flags) | O_CLOEXEC)};
  return file ? 0 : errno;
}

// What open(2) with O_TRUNC does to a file that others run as its owner. The kernel leaves it to the storage here,
// where the daemon's root may keep these bits.
int Documents::drop_set_id_bits(fuse_req_t req, int flags, const Descriptor& file) {
  if ((flags & O_TRUNC) == 0 || fuse_req_ctx(req)->uid == 0) return 0;
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return errno;
  mode_t dropped = found.st_mode & S_ISUID;
  if ((found.st_mode & S_IXGRP) != 0) dropped |= found.st_mode & S_ISGID;
  return dropped == 0 || ::fchmod(file.get(), found.st_mode & 07777 & ~dropped) == 0 ? 0 : errno;
}

std::uint64_t Documents::add_handle(const Place& place, Inode inode, Descriptor file, Dir dir) {
  const std::uint64_t id = next_handle_++;
  Handle& added = handles_[id];
  added.endpoint = place.storage->endpoint;
  added.file = std::move(file);
  added.dir = std::move(dir);
  added.at_top = place.node == nullptr;
  added.inode = inode;
  added.storage_index = place.storage->index;
  return id;
}

int Documents::file_of(const fuse_file_info* fi, int& fd) const {
  const auto found = handles_.find(fi->fh);
  if (found == handles_.end()) return EBADF;
  fd = found->second.file.get();
  return fd >= 0 ? 0 : ESTALE;
}

void Documents::open(fuse_req_t req, Inode inode, fuse_file_info* fi) {
  Place place;
  Descriptor file;
  int error = resolve(inode, place);
  // The kernel opens pipes and sockets itself.
  if (error == 0 && (place.node == nullptr || !S_ISREG(place.node->type))) error = EINVAL;
  if (error == 0 && handles_.size() >= limits_.max_handles) error = ENFILE;
  if (error == 0) error = reopen_file(place.fd(), fi->flags, file);
  if (error == 0) error = drop_set_id_bits(req, fi->flags, file);
  if (error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  fi->fh = add_handle(place, inode, std::move(file), nullptr);
  if (fuse_reply_open(req, fi) != 0) handles_.erase(fi->fh);
}

void Documents::read(fuse_req_t req, Inode, std::size_t size, off_t offset, fuse_file_info* fi) {
  int fd = -1;
  if (const int error = file_of(fi, fd); error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  fuse_bufvec data = FUSE_BUFVEC_INIT(size);
  data.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  data.buf[0].fd = fd;
  data.buf[0].pos = offset;
  fuse_reply_data(req, &data, static_cast<fuse_buf_copy_flags>(0));
}

void Documents::write(fuse_req_t req, Inode, const char* data, std::size_t size, off_t offset, fuse_file_info* fi) {
  int fd = -1;
  int error = file_of(fi, fd);
  const bool append = (fi->flags & O_APPEND) != 0 && fi->writepage == 0;
  std::size_t done = 0;
  while (error == 0 && done < size) {
    const iovec part{.iov_base = const_cast<char*>(data) + done, .iov_len = size - done};
    const ssize_t count = ::pwritev2(fd, &part, 1, offset + static_cast<off_t>(done), append ? RWF_APPEND : 0);
    if (count > 0) {
      done += static_cast<std::size_t>(count);
    } else if (count == 0) {
      break;
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  if (done == 0 && error != 0) {
    fuse_reply_err(req, error);
  } else {
    fuse_reply_write(req, done);
  }
}

void Documents::flush(fuse_req_t req, Inode, fuse_file_info* fi) {
  int fd = -1;
  int error = file_of(fi, fd);
  if (error == 0) {
    // Some storages report late errors at close, and this is the close that the caller sees.
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0 || ::close(copy) != 0) error = errno;
  }
  fuse_reply_err(req, error);
}

void Documents::release(fuse_req_t req, Inode, fuse_file_info* fi) {
  handles_.erase(fi->fh);
  fuse_reply_err(req, 0);
}

void Documents::fsync(fuse_req_t req, Inode, int datasync, fuse_file_info* fi) {
  int fd = -1;
  int error = file_of(fi, fd);
  if (error == 0 && (datasync != 0 ? ::fdatasync(fd) : ::fsync(fd)) != 0) error = errno;
  fuse_reply_err(req, error);
}

void Documents::fallocate(fuse_req_t req, Inode, int mode, off_t offset, off_t length, fuse_file_info* fi) {
  int fd = -1;
  int error = file_of(fi, fd);
  if (error == 0 && ::fallocate(fd, mode, offset, length) != 0) error = errno;
  fuse_reply_err(req, error);
}

void Documents::lseek(fuse_req_t req, Inode, off_t offset, int whence, fuse_file_info* fi) {
  int fd = -1;
  int error = file_of(fi, fd);
  off_t found = -1;
  if (error == 0 && (found = ::lseek(fd, offset, whence)) < 0) error = errno;
  if (error != 0) {
    fuse_reply_err(req, error);
  } else {
    fuse_reply_lseek(req, found);
  }
}

void Documents::copy_file_range(fuse_req_t req, Inode inode_in, off_t offset_in, fuse_file_info* fi_in, Inode inode_out,
                                off_t offset_out, fuse_file_info* fi_out, std::size_t length, int flags) {
  int in = -1;
  int out = -1;
  int error = kind_of(inode_in) == Kind::document && kind_of(inode_out) == Kind::document ? 0 : EXDEV;
  if (error == 0) error = file_of(fi_in, in);
  if (error == 0) error = file_of(fi_out, out);
  ssize_t copied = 0;
  if (error == 0) {
    copied = ::copy_file_range(in, &offset_in, out, &offset_out, std::min(length, max_copy_bytes),
                               static_cast<unsigned>(flags));
    if (copied < 0) error = errno;
  }
  if (error != 0) {
    fuse_reply_err(req, error);
  } else {
    fuse_reply_write(req, static_cast<std::size_t>(copied));
  }
}

}  // namespace sessionfs::fs
