// Documents: who may do what, reserved names, and storages that come and go.
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "fs/documents.hpp"
#include "tests/fs/documents_mount.hpp"

namespace sessionfs::fs::testing {
namespace {

constexpr uid_t some_user = 54321;
constexpr uid_t other_user = 54322;

using DocumentsOwners = DocumentsMount;
using std::filesystem::path;

TEST_P(DocumentsOwners, NewFilesAreTheCallers) {
  ASSERT_EQ(::chmod(one().c_str(), 01777), 0);
  EXPECT_EQ(as_user(some_user,
                    [&] {
                      ::umask(027);
                      const bool made = File(one() / "file", O_WRONLY | O_CREAT, 0666).error() == 0 &&
                                        ::mkdir((one() / "folder").c_str(), 0777) == 0 &&
                                        ::symlink("x", (one() / "link").c_str()) == 0 &&
                                        ::mkfifo((one() / "pipe").c_str(), 0666) == 0 &&
                                        ::mknod((one() / "node").c_str(), S_IFREG | 0600, 0) == 0 &&
                                        File(one() / "closed", O_RDWR | O_CREAT, 0).error() == 0;
                      return made ? 0 : 1;
                    }),
            0);
  for (const char* name : {"file", "folder", "link", "pipe", "node", "closed"}) {
    EXPECT_EQ(status_of(one() / name).st_uid, some_user) << name;
    EXPECT_EQ(status_of(storage() / name).st_gid, some_user) << name;
  }
  EXPECT_EQ(status_of(one() / "file").st_mode & 07777, 0640U);
  EXPECT_EQ(status_of(one() / "folder").st_mode & 07777, 0750U);
  EXPECT_EQ(status_of(one() / "pipe").st_mode & 07777, 0640U);
  EXPECT_EQ(status_of(one() / "closed").st_mode & 07777, 0U);
  EXPECT_EQ(as_user(other_user,
                    [&] {
                      return File(one() / "file", O_RDONLY).error() == EACCES &&
                                     ::unlink((one() / "file").c_str()) == -1 && errno == EPERM
                                 ? 0
                                 : 1;
                    }),
            0);
}

TEST_P(DocumentsOwners, SetIdBitsFollowTheRules) {
  ASSERT_EQ(::chmod(one().c_str(), 0777), 0);
  EXPECT_EQ(as_user(some_user, [&] { return File(one() / "tool", O_WRONLY | O_CREAT, 04755).error(); }), 0);
  EXPECT_EQ(status_of(one() / "tool").st_uid, some_user);
  EXPECT_EQ(status_of(one() / "tool").st_mode & 07777, 04755U);
  EXPECT_EQ(as_user(some_user, [&] { return File(one() / "tool", O_WRONLY).write("x") ? 0 : 1; }), 0);
  EXPECT_EQ(status_of(storage() / "tool").st_mode & 07777, 0755U);
  // A folder's group is passed on.
  ASSERT_EQ(::mkdir((one() / "shared").c_str(), 0777), 0);
  ASSERT_EQ(::chown((one() / "shared").c_str(), 0, 77), 0);
  ASSERT_EQ(::chmod((one() / "shared").c_str(), 02777), 0);
  EXPECT_EQ(as_user(some_user,
                    [&] {
                      return File(one() / "shared/file", O_WRONLY | O_CREAT).error() == 0 &&
                                     ::mkdir((one() / "shared/folder").c_str(), 0755) == 0
                                 ? 0
                                 : 1;
                    }),
            0);
  EXPECT_EQ(status_of(one() / "shared/file").st_uid, some_user);
  EXPECT_EQ(status_of(one() / "shared/file").st_gid, 77U);
  EXPECT_EQ(status_of(one() / "shared/folder").st_gid, 77U);
  EXPECT_EQ(status_of(one() / "shared/folder").st_mode & 07777, 02755U);
}

TEST_P(DocumentsOwners, PipesKeepTheirModes) {
  ::umask(0);
  for (const mode_t mode : {06775U, 01777U, 02755U}) {
    const path name = one() / std::to_string(mode);
    ASSERT_EQ(::mknod(name.c_str(), S_IFIFO | mode, 0), 0);
    EXPECT_EQ(status_of(name).st_mode & 07777, mode);
  }
}

TEST_P(DocumentsOwners, TruncationByOthersDropsSetIdBits) {
  for (const char* name : {"by-other", "by-root"}) {
    put(one() / name, "x");
    ASSERT_EQ(::chmod((one() / name).c_str(), 06777), 0);
  }
  EXPECT_EQ(as_user(some_user, [&] { return File(one() / "by-other", O_RDONLY | O_TRUNC).error(); }), 0);
  EXPECT_EQ(File(one() / "by-root", O_RDONLY | O_TRUNC).error(), 0);
  EXPECT_EQ(status_of(one() / "by-other").st_mode & 07777, 0777U);
  EXPECT_EQ(status_of(one() / "by-root").st_mode & 07777, 06777U);
}

TEST_P(DocumentsOwners, RootsAttributesAreNotListedToOthers) {
  put(one() / "a", "a");
  const std::string name = (one() / "a").string();
  if (::setxattr(name.c_str(), "trusted.secret", "x", 1, 0) != 0 ||
      ::setxattr(name.c_str(), "user.b", "x", 1, 0) != 0) {
    GTEST_SKIP() << "the temporary folder's file system has no such attributes: " << std::strerror(errno);
  }
  const auto list = [&] {
    char text[256] = {};
    const ssize_t length = ::listxattr(name.c_str(), text, sizeof text);
    const std::string_view names{text, static_cast<std::size_t>(std::max<ssize_t>(length, 0))};
    if (length != ::listxattr(name.c_str(), nullptr, 0)) return 3;
    return (names.find("user.b") != names.npos ? 1 : 0) + (names.find("trusted.secret") != names.npos ? 10 : 0);
  };
  EXPECT_EQ(list(), 11);
  EXPECT_EQ(as_user(some_user, list), 1);
}

TEST_P(DocumentsOwners, AFoldersDefaultListTakesTheUmasksPlace) {
  struct Acl {
    std::uint32_t version = 2;
    struct {
      std::uint16_t tag;
      std::uint16_t permissions;
      std::uint32_t id;
    } entries[3] = {{0x01, 7, ~0U}, {0x04, 6, ~0U}, {0x20, 4, ~0U}};
  } acl;
  if (::setxattr(one().c_str(), "system.posix_acl_default", &acl, sizeof acl, 0) != 0 && errno == EOPNOTSUPP) {
    GTEST_SKIP() << "no access control lists in the temporary folder, or in this kernel's FUSE";
  }
  ::umask(077);
  EXPECT_EQ(File(one() / "file", O_WRONLY | O_CREAT, 0666).error(), 0);
  EXPECT_EQ(::mkdir((one() / "folder").c_str(), 0777), 0);
  EXPECT_EQ(::mkfifo((one() / "pipe").c_str(), 0666), 0);
  EXPECT_EQ(status_of(one() / "file").st_mode & 07777, 0664U);
  EXPECT_EQ(status_of(one() / "folder").st_mode & 07777, 0764U);
  EXPECT_EQ(status_of(one() / "pipe").st_mode & 07777, 0664U);
  ASSERT_EQ(::removexattr(one().c_str(), "system.posix_acl_default"), 0);
  EXPECT_EQ(File(one() / "closed", O_WRONLY | O_CREAT, 0666).error(), 0);
  EXPECT_EQ(status_of(one() / "closed").st_mode & 07777, 0600U);
}

TEST_P(DocumentsOwners, AccessControlListsCount) {
  put(one() / "a", "a");
  // As in linux/posix_acl_xattr.h: version 2, then tag, permissions, id. One named user may read; the group may not,
  // although the mask lets the file's group bits look so.
  struct Acl {
    std::uint32_t version = 2;
    struct {
      std::uint16_t tag;
      std::uint16_t permissions;
      std::uint32_t id;
    } entries[5] = {{0x01, 6, ~0U}, {0x02, 4, some_user}, {0x04, 0, ~0U}, {0x10, 4, ~0U}, {0x20, 0, ~0U}};
  } acl;
  if (::setxattr((one() / "a").c_str(), "system.posix_acl_access", &acl, sizeof acl, 0) != 0 && errno == EOPNOTSUPP) {
    GTEST_SKIP() << "no access control lists in the temporary folder, or in this kernel's FUSE";
  }
  ASSERT_EQ(::chown((one() / "a").c_str(), 0, other_user), 0);
  EXPECT_EQ(status_of(one() / "a").st_mode & 0777, 0640U);
  EXPECT_EQ(as_user(some_user, [&] { return File(one() / "a", O_RDONLY).error(); }), 0);
  EXPECT_EQ(as_user(other_user, [&] { return File(one() / "a", O_RDONLY).error(); }), EACCES);
}

TEST_P(DocumentsOwners, AnAccessListDropsTheSetGroupBitOfStrangers) {
  struct Acl {
    std::uint32_t version = 2;
    struct {
      std::uint16_t tag;
      std::uint16_t permissions;
      std::uint32_t id;
    } entries[3] = {{0x01, 7, ~0U}, {0x04, 7, ~0U}, {0x20, 5, ~0U}};
  } acl;
  for (const uid_t group : {some_user, other_user}) {
    const path folder = one() / std::to_string(group);
    ASSERT_EQ(::mkdir(folder.c_str(), 0775), 0);
    ASSERT_EQ(::chown(folder.c_str(), some_user, group), 0);
    ASSERT_EQ(::chmod(folder.c_str(), 02775), 0);
    const int error = as_user(some_user, [&] {
      return ::setxattr(folder.c_str(), "system.posix_acl_access", &acl, sizeof acl, 0) == 0 ? 0 : errno;
    });
    if (error == EOPNOTSUPP) GTEST_SKIP() << "no access control lists here";
    EXPECT_EQ(error, 0);
    EXPECT_EQ(status_of(folder).st_mode & 07777, group == some_user ? 02775U : 0775U);
  }
}

TEST_P(DocumentsOwners, DevicesAreRefused) {
  EXPECT_EQ(::mknod((one() / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST_P(DocumentsOwners, ReservedNamesInTheStorageAreNotShown) {
  put(storage() / ".endpoint", "key");
  put(storage() / "ctl", "copied");
  ASSERT_EQ(::mkdir((storage() / "sessions").c_str(), 0755), 0);
  EXPECT_EQ(ask("empty 1"), "1");
  EXPECT_EQ(ask("list 1"), "0");
  EXPECT_EQ(File(one() / ".endpoint", O_RDONLY).error(), ENOENT);
  EXPECT_TRUE(std::filesystem::is_empty(one()));
  EXPECT_EQ(File(one() / "policy", O_WRONLY | O_CREAT).error(), EEXIST);
  EXPECT_EQ(::mkdir((one() / "services").c_str(), 0755), -1);
  EXPECT_EQ(errno, EEXIST);
  put(one() / "a", "a");
  EXPECT_EQ(::rename((one() / "a").c_str(), (one() / ".endpoint").c_str()), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(content(storage() / ".endpoint"), "key");
  // Below the top they are names as any other.
  ASSERT_EQ(::mkdir((one() / "folder").c_str(), 0755), 0);
  put(one() / "folder/ctl", "mine");
  EXPECT_EQ(content(one() / "folder/ctl"), "mine");
}

TEST_P(DocumentsOwners, ListsAsLookupsDo) {
  put(one() / "a", "a");
  ASSERT_EQ(::mkdir((one() / "folder").c_str(), 0755), 0);
  std::istringstream words{ask("list 1")};
  std::vector<std::string> found{std::istream_iterator<std::string>{words}, {}};
  std::sort(found.begin(), found.end());
  const auto entry = [&](const char* name, int type) {
    return name + ("=" + std::to_string(status_of(one() / name).st_ino)) + ":" + std::to_string(type);
  };
  EXPECT_EQ(found, (std::vector<std::string>{"0", entry("a", DT_REG), entry("folder", DT_DIR)}));
}

TEST_P(DocumentsOwners, RemovesAllDocuments) {
  put(storage() / ".endpoint", "key");
  std::filesystem::create_directories(one() / "a/b/c");
  put(one() / "a/b/file", "x");
  put(one() / "a/ctl", "x");
  ASSERT_EQ(::symlink((two() / "kept").c_str(), (one() / "a/link").c_str()), 0);
  ASSERT_EQ(::mkdir((two() / "kept").c_str(), 0755), 0);
  put(two() / "kept/file", "x");
  EXPECT_EQ(ask("empty 1"), "0");
  EXPECT_EQ(ask("remove_all 1"), "0");
  EXPECT_EQ(ask("empty 1"), "1");
  EXPECT_EQ(content(two() / "kept/file"), "x");
  EXPECT_EQ(content(storage() / ".endpoint"), "key");
}

TEST_P(DocumentsOwners, ARemovedStorageIsStale) {
  put(one() / "a", "a");
  const File file{one() / "a", O_RDWR};
  const File folder{one(), O_RDONLY | O_DIRECTORY};
  EXPECT_EQ(ask("remove_storage 1"), "");
  char byte = 0;
  EXPECT_EQ(::pread(file.fd(), &byte, 1, 100), -1);
  EXPECT_EQ(errno, ESTALE);
  EXPECT_EQ(::pwrite(file.fd(), "x", 1, 0), -1);
  EXPECT_EQ(errno, ESTALE);
  EXPECT_EQ(::openat(folder.fd(), "b", O_WRONLY | O_CREAT, 0644), -1);
  EXPECT_EQ(errno, ESTALE);
  char entries[4096];
  EXPECT_EQ(::syscall(SYS_getdents64, folder.fd(), entries, sizeof entries), -1);
  EXPECT_EQ(errno, ESTALE);
  put(two() / "a", "two");  // the other one goes on
  EXPECT_EQ(content(two() / "a"), "two");
  EXPECT_EQ(ask("add_storage 1"), "0");
  EXPECT_EQ(content(one() / "a"), "a");
  EXPECT_EQ(::pwrite(file.fd(), "x", 1, 0), -1);  // opened in the former one
  EXPECT_EQ(errno, ESTALE);
}

TEST_P(DocumentsOwners, OpenFilesAreLimited) {
  std::vector<std::unique_ptr<File>> files;
  while (files.size() < 100) {
    files.push_back(std::make_unique<File>(one() / std::to_string(files.size()), O_WRONLY | O_CREAT));
    if (files.back()->error() != 0) break;
  }
  EXPECT_EQ(files.back()->error(), ENFILE);
  EXPECT_EQ(files.size(), 65U);
  files.clear();
  EXPECT_EQ(File(one() / "again", O_WRONLY | O_CREAT).error(), 0);
}

// A daemon of an ordinary user.
class DocumentsOfAUser : public DocumentsMount {
 protected:
  uid_t server_user() const override { return some_user; }
};

TEST_P(DocumentsOfAUser, DoesWhatTheUserMay) {
  put(storage() / "roots", "secret");
  ASSERT_EQ(::chmod((storage() / "roots").c_str(), 0600), 0);
  EXPECT_EQ(as_user(some_user,
                    [&] {
                      const File closed{one() / "closed", O_RDWR | O_CREAT, 0400};
                      if (!closed.write("x") || File(one() / "closed", O_WRONLY).error() != EACCES) return 1;
                      if (::chmod((one() / "closed").c_str(), 0640) != 0) return 2;
                      if (::truncate((one() / "closed").c_str(), 0) != 0) return 3;
                      if (::mkdir((one() / "d").c_str(), 0700) != 0) return 4;
                      if (::rename((one() / "closed").c_str(), (one() / "d/open").c_str()) != 0) return 5;
                      if (::link((one() / "d/open").c_str(), (one() / "again").c_str()) != 0) return 6;
                      if (::symlink("again", (one() / "link").c_str()) != 0) return 7;
                      if (::mkfifo((one() / "pipe").c_str(), 0600) != 0) return 8;
                      if (File(one() / "tool", O_WRONLY | O_CREAT, 04700).error() != 0) return 9;
                      if (::chown((one() / "again").c_str(), 0, 0) == 0 || errno != EPERM) return 10;
                      if (File(one() / "roots", O_RDONLY).error() != EACCES) return 11;
                      if (::utimensat(AT_FDCWD, (one() / "link").c_str(), nullptr, AT_SYMLINK_NOFOLLOW) != 0) return 12;
                      return 0;
                    }),
            0);
  // The mount lets root in, but the storage is opened as the user.
  EXPECT_EQ(File(one() / "roots", O_RDONLY).error(), EACCES);
  EXPECT_EQ(status_of(storage() / "d/open").st_uid, some_user);
  EXPECT_EQ(status_of(one() / "tool").st_mode & 07777, 04700U);
}

INSTANTIATE_TEST_SUITE_P(Descriptors, DocumentsOfAUser, ::testing::Values(2, 4096));
INSTANTIATE_TEST_SUITE_P(Descriptors, DocumentsOwners, ::testing::Values(2, 4096));

}  // namespace
}  // namespace sessionfs::fs::testing
