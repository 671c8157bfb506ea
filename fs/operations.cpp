#include "fs/operations.hpp"

#include <cerrno>
#include <ctime>

#include "fs/mount.hpp"

namespace sessionfs::fs {

// A request that waits for an answer from outside. Interrupted, it is answered at once, and the answer that comes
// later goes nowhere.
struct Operations::Pending {
  fuse_req_t req = nullptr;
  int interrupt_error = EINTR;
  bool answered = false;

  static void interrupted(fuse_req_t, void* data) {
    auto& pending = *static_cast<Pending*>(data);
    if (std::exchange(pending.answered, true)) return;
    fuse_reply_err(pending.req, pending.interrupt_error);
  }
};

Operations::Operations(boost::asio::io_context& io, Runtime& runtime, Residents& residents, Names& names, Peers& peers,
                       Paths& paths, Documents& documents, Travel& travel, Media& media,
                       std::filesystem::path own_mount)
    : runtime_(runtime),
      residents_(residents),
      names_(names),
      peers_(peers),
      paths_(paths),
      documents_(documents),
      travel_(travel),
      media_(media),
      own_mount_(std::move(own_mount)),
      walkers_(io, walker_hooks()) {
  clock_gettime(CLOCK_REALTIME, &started_);
  for (const auto& transition : transitions()) transition_counts_[transition.number] = 0;
}

Operations::Answer Operations::later(fuse_req_t req, int interrupt_error) {
  const auto pending = std::make_shared<Pending>();
  pending->req = req;
  pending->interrupt_error = interrupt_error;
  pending_.insert(pending);
  fuse_req_interrupt_func(req, Pending::interrupted, pending.get());
  return [this, pending](const std::function<void(fuse_req_t)>& answer) {
    pending_.erase(pending);
    if (!std::exchange(pending->answered, true)) answer(pending->req);
  };
}

void Operations::endpoint_removed(const Resident& resident) {
  // Its nodes answer ESTALE or end of file from now on; those that nobody holds go.
  walkers_.forget(resident.serial);
  std::vector<ServiceNode*> services;
  std::vector<SessionNode*> sessions;
  for (auto& [serial, node] : services_.all())
    if (node->endpoint == resident.serial) services.push_back(node.get());
  for (auto& [serial, node] : sessions_.all())
    if (node->endpoint == resident.serial) sessions.push_back(node.get());
  for (ServiceNode* node : services) {
    node->moved_away = resident.stay != Stay::here;
    end_accepts(*node);
    drop_if_unused(*node);
  }
  for (SessionNode* node : sessions) {
    node->unlinked = true;
    sessions_.unname(*node, node->file_name);
    drop_if_unused(*node);
  }
}

void Operations::release_all(int error) {
  const auto drain = [error](ParkedQueue& queue) {
    for (const auto& waiting : queue) {
      if (waiting->kind == Parked::Kind::write && waiting->done > 0) {
        fuse_reply_write(waiting->req, waiting->done);
      } else {
        fuse_reply_err(waiting->req, error);
      }
    }
    queue.clear();
  };
  for (auto& [serial, node] : sessions_.all())
    for (auto* queue : {&node->opens, &node->reads, &node->writes, &node->syncs}) drain(*queue);
  for (auto& [serial, node] : services_.all()) drain(node->accepts);
  drain(trace_reads_);
  for (const auto& pending : std::exchange(pending_, {}))
    if (!std::exchange(pending->answered, true)) fuse_reply_err(pending->req, error);
}

// --- libfuse's table ----------------------------------------------------------------------------------------------

// One small function an operation: documents go to Documents, all else to the Operations that is the user data.
struct Trampolines {
  static Operations& self(fuse_req_t req) { return *static_cast<Operations*>(fuse_req_userdata(req)); }
  static Documents& documents(fuse_req_t req) { return self(req).documents_; }
  static bool is_document(Inode inode) { return kind_of(inode) == Kind::document; }

  // Whether `name` in `parent` is the documents' business.
  static bool is_document(Inode parent, const char* name) {
    return is_document(parent) || (kind_of(parent) == Kind::endpoint && !Documents::is_reserved(name));
  }

  static void init(void* data, fuse_conn_info* conn);

  static void lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
    is_document(parent, name) ? documents(req).lookup(req, parent, name) : self(req).lookup(req, parent, name);
  }
  static void forget(fuse_req_t req, fuse_ino_t inode, std::uint64_t count) {
    if (is_document(inode)) return documents(req).forget(req, inode, count);
    self(req).forget(inode, count);
    fuse_reply_none(req);
  }
  static void forget_multi(fuse_req_t req, std::size_t count, fuse_forget_data* forgets) {
    for (std::size_t i = 0; i < count; ++i) {
      if (is_document(forgets[i].ino)) {
        documents(req).forget_one(forgets[i].ino, forgets[i].nlookup);
      } else {
        self(req).forget(forgets[i].ino, forgets[i].nlookup);
      }
    }
    fuse_reply_none(req);
  }
  static void getattr(fuse_req_t req, fuse_ino_t inode, fuse_file_info* fi) {
    is_document(inode) ? documents(req).getattr(req, inode, fi) : self(req).getattr(req, inode, fi);
  }
  static void setattr(fuse_req_t req, fuse_ino_t inode, struct stat* attr, int to_set, fuse_file_info* fi) {
    is_document(inode) ? documents(req).setattr(req, inode, attr, to_set, fi)
                       : self(req).setattr(req, inode, attr, to_set, fi);
  }
  static void readlink(fuse_req_t req, fuse_ino_t inode) {
    if (is_document(inode)) return documents(req).readlink(req, inode);
    fuse_reply_err(req, EINVAL);
  }
  static void mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
    if (is_document(parent, name)) return documents(req).mknod(req, parent, name, mode, device);
    fuse_reply_err(req, EPERM);
  }
  static void mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
    is_document(parent, name) ? documents(req).mkdir(req, parent, name, mode)
                              : self(req).mkdir(req, parent, name, mode);
  }
  static void unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
    if (self(req).refuses_removal(req, parent)) return;
    is_document(parent, name) ? documents(req).unlink(req, parent, name) : self(req).unlink(req, parent, name);
  }
  static void rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
    if (self(req).refuses_removal(req, parent)) return;
    is_document(parent, name) ? documents(req).rmdir(req, parent, name) : self(req).rmdir(req, parent, name);
  }
  static void symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
    if (is_document(parent, name)) return documents(req).symlink(req, target, parent, name);
    fuse_reply_err(req, EPERM);
  }
  static void rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent, const char* new_name,
                     unsigned flags) {
    if (is_document(parent, name) && is_document(new_parent, new_name))
      return documents(req).rename(req, parent, name, new_parent, new_name, flags);
    fuse_reply_err(req, EPERM);
  }
  static void link(fuse_req_t req, fuse_ino_t inode, fuse_ino_t new_parent, const char* new_name) {
    if (is_document(inode) && is_document(new_parent, new_name))
      return documents(req).link(req, inode, new_parent, new_name);
    fuse_reply_err(req, EPERM);
  }
  static void open(fuse_req_t req, fuse_ino_t inode, fuse_file_info* fi) {
    is_document(inode) ? documents(req).open(req, inode, fi) : self(req).open(req, inode, fi);
  }
  static void create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* fi) {
    is_document(parent, name) ? documents(req).create(req, parent, name, mode, fi)
                              : self(req).create(req, parent, name, mode, fi);
  }
  static void read(fuse_req_t req, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* fi) {
    is_document(inode) ? documents(req).read(req, inode, size, offset, fi)
                       : self(req).read(req, inode, size, offset, fi);
  }
  static void write(fuse_req_t req, fuse_ino_t inode, const char* data, std::size_t size, off_t offset,
                    fuse_file_info* fi) {
    is_document(inode) ? documents(req).write(req, inode, data, size, offset, fi)
                       : self(req).write(req, inode, data, size, offset, fi);
  }
  static void flush(fuse_req_t req, fuse_ino_t inode, fuse_file_info* fi) {
    is_document(inode) ? documents(req).flush(req, inode, fi) : self(req).flush(req, inode, fi);
  }
  static void release(fuse_req_t req, fuse_ino_t inode, fuse_file_info* fi) {
    is_document(inode) ? documents(req).release(req, inode, fi) : self(req).release(req, inode, fi);
  }
  static void fsync(fuse_req_t req, fuse_ino_t inode, int datasync, fuse_file_info* fi) {
    is_document(inode) ? documents(req).fsync(req, inode, datasync, fi) : self(req).fsync(req, inode, datasync, fi);
  }
  static void fallocate(fuse_req_t req, fuse_ino_t inode, int mode, off_t offset, off_t length, fuse_file_info* fi) {
    if (is_document(inode)) return documents(req).fallocate(req, inode, mode, offset, length, fi);
    fuse_reply_err(req, ENODEV);
  }
  static void lseek(fuse_req_t req, fuse_ino_t inode, off_t offset, int whence, fuse_file_info* fi) {
    is_document(inode) ? documents(req).lseek(req, inode, offset, whence, fi)
                       : self(req).lseek(req, offset, whence, fi);
  }
  static void copy_file_range(fuse_req_t req, fuse_ino_t in, off_t offset_in, fuse_file_info* fi_in, fuse_ino_t out,
                              off_t offset_out, fuse_file_info* fi_out, std::size_t length, int flags) {
    if (is_document(in) && is_document(out))
      return documents(req).copy_file_range(req, in, offset_in, fi_in, out, offset_out, fi_out, length, flags);
    fuse_reply_err(req, EXDEV);
  }
  static void opendir(fuse_req_t req, fuse_ino_t inode, fuse_file_info* fi) {
    is_document(inode) ? documents(req).opendir(req, inode, fi) : self(req).opendir(req, inode, fi);
  }
  static void readdir(fuse_req_t req, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* fi) {
    is_document(inode) ? documents(req).readdir(req, inode, size, offset, fi)
                       : self(req).readdir(req, inode, size, offset, fi);
  }
  static void releasedir(fuse_req_t req, fuse_ino_t inode, fuse_file_info* fi) {
    is_document(inode) ? documents(req).releasedir(req, inode, fi) : self(req).releasedir(req, inode, fi);
  }
  static void fsyncdir(fuse_req_t req, fuse_ino_t inode, int datasync, fuse_file_info* fi) {
    is_document(inode) ? documents(req).fsyncdir(req, inode, datasync, fi) : self(req).fsyncdir(req, inode);
  }
  static void statfs(fuse_req_t req, fuse_ino_t inode) {
    // An endpoint's folder has as much room as its storage.
    if (is_document(inode) || kind_of(inode) == Kind::endpoint) return documents(req).statfs(req, inode);
    struct statvfs none {};
    none.f_bsize = none.f_frsize = 4096;
    none.f_namemax = max_file_name_bytes;
    fuse_reply_statfs(req, &none);
  }
  static void setxattr(fuse_req_t req, fuse_ino_t inode, const char* name, const char* value, std::size_t size,
                       int flags) {
    if (is_document(inode)) return documents(req).setxattr(req, inode, name, value, size, flags);
    fuse_reply_err(req, EOPNOTSUPP);
  }
  static void getxattr(fuse_req_t req, fuse_ino_t inode, const char* name, std::size_t size) {
    is_document(inode) ? documents(req).getxattr(req, inode, name, size) : self(req).getxattr(req, inode, name, size);
  }
  static void listxattr(fuse_req_t req, fuse_ino_t inode, std::size_t size) {
    is_document(inode) ? documents(req).listxattr(req, inode, size) : self(req).listxattr(req, inode, size);
  }
  static void removexattr(fuse_req_t req, fuse_ino_t inode, const char* name) {
    if (is_document(inode)) return documents(req).removexattr(req, inode, name);
    fuse_reply_err(req, ENODATA);
  }
  static void poll(fuse_req_t req, fuse_ino_t inode, fuse_file_info* fi, fuse_pollhandle* handle) {
    if (!is_document(inode)) return self(req).poll(req, inode, fi, handle);
    if (handle != nullptr) fuse_pollhandle_destroy(handle);
    fuse_reply_poll(req, 0x0001 | 0x0004);  // POLLIN | POLLOUT: a file is always ready
  }
  static void ioctl(fuse_req_t req, fuse_ino_t, unsigned, void*, fuse_file_info*, unsigned, const void*, std::size_t,
                    std::size_t) {
    fuse_reply_err(req, ENOTTY);
  }
};

void Trampolines::init(void*, fuse_conn_info* conn) {
  conn->max_write = static_cast<unsigned>(max_request_bytes);
  conn->max_read = static_cast<unsigned>(max_request_bytes);
  conn->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  Documents::configure(*conn);
}

const fuse_lowlevel_ops& Operations::table() {
  using T = Trampolines;
  static const fuse_lowlevel_ops operations = [] {
    fuse_lowlevel_ops ops{};
    ops.init = T::init;
    ops.lookup = T::lookup;
    ops.forget = T::forget;
    ops.forget_multi = T::forget_multi;
    ops.getattr = T::getattr;
    ops.setattr = T::setattr;
    ops.readlink = T::readlink;
    ops.mknod = T::mknod;
    ops.mkdir = T::mkdir;
    ops.unlink = T::unlink;
    ops.rmdir = T::rmdir;
    ops.symlink = T::symlink;
    ops.rename = T::rename;
    ops.link = T::link;
    ops.open = T::open;
    ops.create = T::create;
    ops.read = T::read;
    ops.write = T::write;
    ops.flush = T::flush;
    ops.release = T::release;
    ops.fsync = T::fsync;
    ops.fallocate = T::fallocate;
    ops.lseek = T::lseek;
    ops.copy_file_range = T::copy_file_range;
    ops.opendir = T::opendir;
    ops.readdir = T::readdir;
    ops.releasedir = T::releasedir;
    ops.fsyncdir = T::fsyncdir;
    ops.statfs = T::statfs;
    ops.setxattr = T::setxattr;
    ops.getxattr = T::getxattr;
    ops.listxattr = T::listxattr;
    ops.removexattr = T::removexattr;
    ops.poll = T::poll;
    ops.ioctl = T::ioctl;
    return ops;
  }();
  return operations;
}

}  // namespace sessionfs::fs
