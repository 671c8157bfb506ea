// A real mount of two storages for the tests of Documents: TOP/one and TOP/two are endpoints 1 and 2. The file system
// runs in a child process, so that a fault in it cannot hang the tests' own process in an unkillable call.
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "fs/documents.hpp"

namespace sessionfs::fs::testing {

inline constexpr Inode root_inode = inode_of(Kind::root, 0);
inline constexpr Inode one_inode = inode_of(Kind::endpoint, 1);
inline constexpr Inode two_inode = inode_of(Kind::endpoint, 2);

// The child: a root folder with the endpoints, everything else is Documents.
class Server {
 public:
  // Serves as `user`.
  Server(Documents::Limits limits, const std::filesystem::path& top, int commands, uid_t user = 0)
      : documents_(limits), top_(top), commands_(commands), user_(user) {
    self() = this;
  }

  int run() {
    if (documents_.add_storage(1, top_ / "storage/one") || documents_.add_storage(2, top_ / "storage/two")) return 1;
    std::string program = "documents_test";
    std::string option = "-oallow_other,default_permissions,nosuid,nodev,fsname=documents_test";
    char* argv[] = {program.data(), option.data(), nullptr};
    fuse_args args = FUSE_ARGS_INIT(2, argv);
    const fuse_lowlevel_ops ops = operations();
    fuse_session* session = fuse_session_new(&args, &ops, sizeof ops, nullptr);
    if (session == nullptr || fuse_session_mount(session, (top_ / "mount").c_str()) != 0) return 1;
    if (user_ != 0 && (::setgroups(0, nullptr) != 0 || ::setresgid(user_, user_, user_) != 0 ||
                       ::setresuid(user_, user_, user_) != 0)) {
      return 1;
    }
    const int result = loop(session);
    if (user_ == 0) fuse_session_unmount(session);  // else the parent does
    fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    return result;
  }

 private:
  static Server*& self() {
    static Server* server = nullptr;
    return server;
  }
  static Documents& documents() { return self()->documents_; }

  int loop(fuse_session* session) {
    const int device = fuse_session_fd(session);
    ::fcntl(device, F_SETFL, ::fcntl(device, F_GETFL) | O_NONBLOCK);
    answer("ready");
    fuse_buf buffer{};
    while (fuse_session_exited(session) == 0) {
      pollfd ready[2] = {{device, POLLIN, 0}, {commands_, POLLIN, 0}};
      if (::poll(ready, 2, -1) < 0 && errno != EINTR) break;
      if (ready[1].revents != 0 && !command()) break;
      if (ready[0].revents == 0) continue;
      const int size = fuse_session_receive_buf(session, &buffer);
      if (size == -EAGAIN || size == -EINTR) continue;
      if (size <= 0) break;
      fuse_session_process_buf(session, &buffer);
    }
    std::free(buffer.mem);
    return 0;
  }

  void answer(const std::string& text) { (void)!::send(commands_, text.data(), text.size(), MSG_NOSIGNAL); }

  bool command() {
    char text[256];
    const ssize_t length = ::recv(commands_, text, sizeof text, 0);
    if (length <= 0) return false;
    std::istringstream words{std::string(text, static_cast<std::size_t>(length))};
    std::string word;
    std::uint64_t endpoint = 0;
    words >> word >> endpoint;
    std::ostringstream reply;
    if (word == "remove_storage") {
      documents_.remove_storage(endpoint);
    } else if (word == "add_storage") {
      reply << documents_.add_storage(endpoint, top_ / "storage/one").value();
    } else if (word == "empty") {
      reply << documents_.empty(endpoint);
    } else if (word == "remove_all") {
      reply << documents_.remove_all(endpoint).value();
    } else if (word == "sync") {
      reply << documents_.sync(endpoint).value();
    } else if (word == "list") {
      std::vector<Documents::Entry> entries;
      reply << documents_.list(inode_of(Kind::endpoint, endpoint), entries).value();
      for (const auto& entry : entries) reply << ' ' << entry.name << '=' << entry.inode << ':' << int{entry.type};
    } else if (word == "nodes") {
      reply << documents_.nodes() << ' ' << documents_.path_descriptors() << ' ' << documents_.handles();
    }
    answer(reply.str() + "\n");
    return true;
  }

  static void root_lookup(fuse_req_t req, const char* name) {
    fuse_entry_param entry{};
    entry.ino = std::strcmp(name, "one") == 0 ? one_inode : std::strcmp(name, "two") == 0 ? two_inode : 0;
    if (entry.ino == 0 || documents().attributes(entry.ino, entry.attr)) {
      fuse_reply_err(req, ENOENT);
    } else {
      fuse_reply_entry(req, &entry);
    }
  }

  static void root_getattr(fuse_req_t req) {
    struct stat attributes {};
    attributes.st_ino = root_inode;
    attributes.st_mode = S_IFDIR | 0755;
    attributes.st_nlink = 2;
    fuse_reply_attr(req, &attributes, 0);
  }

  // Every operation but those on the root goes to Documents as it is.
  static fuse_lowlevel_ops operations() {
    fuse_lowlevel_ops ops{};
    ops.init = [](void*, fuse_conn_info* connection) { Documents::configure(*connection); };
    ops.lookup = [](auto req, auto parent, auto name) {
      parent == root_inode ? root_lookup(req, name) : documents().lookup(req, parent, name);
    };
    ops.getattr = [](auto req, auto inode, auto fi) {
      inode == root_inode ? root_getattr(req) : documents().getattr(req, inode, fi);
    };
    ops.forget = [](auto... a) { documents().forget(a...); };
    ops.setattr = [](auto... a) { documents().setattr(a...); };
    ops.readlink = [](auto... a) { documents().readlink(a...); };
    ops.mknod = [](auto... a) { documents().mknod(a...); };
    ops.mkdir = [](auto... a) { documents().mkdir(a...); };
    ops.unlink = [](auto... a) { documents().unlink(a...); };
    ops.rmdir = [](auto... a) { documents().rmdir(a...); };
    ops.symlink = [](auto... a) { documents().symlink(a...); };
    ops.rename = [](auto... a) { documents().rename(a...); };
    ops.link = [](auto... a) { documents().link(a...); };
    ops.open = [](auto... a) { documents().open(a...); };
    ops.create = [](auto... a) { documents().create(a...); };
    ops.read = [](auto... a) { documents().read(a...); };
    ops.write = [](auto... a) { documents().write(a...); };
    ops.flush = [](auto... a) { documents().flush(a...); };
    ops.release = [](auto... a) { documents().release(a...); };
    ops.fsync = [](auto... a) { documents().fsync(a...); };
    ops.fallocate = [](auto... a) { documents().fallocate(a...); };
    ops.lseek = [](auto... a) { documents().lseek(a...); };
    ops.copy_file_range = [](auto... a) { documents().copy_file_range(a...); };
    ops.opendir = [](auto... a) { documents().opendir(a...); };
    ops.readdir = [](auto... a) { documents().readdir(a...); };
    ops.releasedir = [](auto... a) { documents().releasedir(a...); };
    ops.fsyncdir = [](auto... a) { documents().fsyncdir(a...); };
    ops.statfs = [](auto... a) { documents().statfs(a...); };
    ops.setxattr = [](auto... a) { documents().setxattr(a...); };
    // The kernel asks for the root's access control list.
    ops.getxattr = [](auto req, auto inode, auto name, auto size) {
      inode == root_inode ? void(fuse_reply_err(req, ENODATA)) : documents().getxattr(req, inode, name, size);
    };
    ops.listxattr = [](auto... a) { documents().listxattr(a...); };
    ops.removexattr = [](auto... a) { documents().removexattr(a...); };
    return ops;
  }

  Documents documents_;
  std::filesystem::path top_;
  int commands_;
  uid_t user_;
};

// The parameter is max_path_descriptors: all must hold with hardly any, too.
class DocumentsMount : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    const int device = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device < 0) GTEST_SKIP() << "no usable /dev/fuse: " << std::strerror(errno);
    ::close(device);
    std::string pattern = (std::filesystem::temp_directory_path() / "documents-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    std::filesystem::permissions(top_, std::filesystem::perms{0755});
    for (const char* folder : {"mount", "storage/one", "storage/two"}) {
      std::filesystem::create_directories(top_ / folder);
      if (*folder == 's') {
        ASSERT_EQ(::chown((top_ / folder).c_str(), server_user(), server_user()), 0);
      }
    }
    former_umask_ = ::umask(022);
    start();
  }

  void TearDown() override {
    if (top_.empty()) return;
    stop();
    ::umask(former_umask_);
    std::error_code ignored;
    std::filesystem::remove_all(top_, ignored);
  }

  virtual uid_t server_user() const { return 0; }

  std::filesystem::path one() const { return top_ / "mount/one"; }
  std::filesystem::path two() const { return top_ / "mount/two"; }
  std::filesystem::path storage() const { return top_ / "storage/one"; }  // behind one()

  // Asks the file system's process.
  std::string ask(const std::string& command) const {
    if (::send(commands_, command.data(), command.size(), MSG_NOSIGNAL) < 0) return "gone";
    std::string answer;
    char part[4096];
    while (answer.empty() || answer.back() != '\n') {
      const ssize_t length = ::recv(commands_, part, sizeof part, 0);
      if (length <= 0) return "gone";
      answer.append(part, static_cast<std::size_t>(length));
    }
    answer.pop_back();
    return answer;
  }

  // How many descriptors the file system's process has open.
  std::size_t server_descriptors() const {
    const std::filesystem::directory_iterator found{"/proc/" + std::to_string(server_) + "/fd"};
    return static_cast<std::size_t>(std::distance(begin(found), end(found)));
  }

  // Runs `body` in a process of that user; returns what it returns.
  static int as_user(uid_t user, const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setgroups(0, nullptr) != 0 || ::setresgid(user, user, user) != 0 || ::setresuid(user, user, user) != 0) {
        ::_exit(255);
      }
      ::_exit(body());
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  void start() {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    server_ = ::fork();
    ASSERT_GE(server_, 0);
    if (server_ == 0) {
      ::close(pair[0]);
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      const Documents::Limits limits{.max_path_descriptors = GetParam(), .max_handles = 64};
      ::_exit(Server(limits, top_, pair[1], server_user()).run());
    }
    ::close(pair[1]);
    commands_ = pair[0];
    char ready[5];
    ASSERT_EQ(::recv(commands_, ready, sizeof ready, MSG_WAITALL), 5) << "the file system did not start";
  }

  void stop() {
    if (commands_ >= 0) ::close(commands_);  // at which the child unmounts and ends
    if (server_ > 0) {
      int status = 0;
      ::waitpid(server_, &status, 0);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the file system's process failed: " << status;
    }
    ::umount2((top_ / "mount").c_str(), MNT_DETACH);  // when it could not
  }

  std::filesystem::path top_;
  mode_t former_umask_ = 0;
  pid_t server_ = -1;
  int commands_ = -1;
};

// A descriptor of a test, closed at its end.
class File {
 public:
  File(const std::filesystem::path& path, int flags, mode_t mode = 0644)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)), error_(fd_ < 0 ? errno : 0) {}
  ~File() { close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  int error() const { return error_; }
  int close() {
    const int result = fd_ < 0 ? 0 : ::close(fd_);
    fd_ = -1;
    return result;
  }
  bool write(const std::string& text) const {
    return ::write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  }

 private:
  int fd_;
  int error_;
};

inline std::string content(const std::filesystem::path& path) {
  std::ifstream file{path, std::ios::binary};
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void put(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file{path, std::ios::binary | std::ios::trunc};
  file << text;
  file.close();
  ASSERT_TRUE(file.good()) << path;
}

inline struct stat status_of(const std::filesystem::path& path) {
  struct stat found {};
  EXPECT_EQ(::lstat(path.c_str(), &found), 0) << path << ": " << std::strerror(errno);
  return found;
}

}  // namespace sessionfs::fs::testing
