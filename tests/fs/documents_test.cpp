#include "fs/documents.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include <chrono>
#include <set>
#include <thread>

#include "tests/fs/documents_mount.hpp"

namespace sessionfs::fs::testing {
namespace {

using std::filesystem::path;

TEST(Documents, KnowsTheReservedNames) {
  EXPECT_TRUE(Documents::is_reserved("ctl"));
  EXPECT_TRUE(Documents::is_reserved(".endpoint"));
  EXPECT_FALSE(Documents::is_reserved(".state.editor.1"));
  EXPECT_FALSE(Documents::is_reserved(""));
}

TEST(Documents, RaisesTheDescriptorLimit) {
  const std::uint64_t limit = Documents::raise_descriptor_limit();
  rlimit now{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &now), 0);
  EXPECT_EQ(limit, now.rlim_cur);
  EXPECT_EQ(now.rlim_cur, now.rlim_max);
  const Documents::Limits limits = Documents::limits_for(1000);
  EXPECT_LE(limits.max_path_descriptors + limits.max_handles, 750U);
}

TEST(Documents, TakesFoldersOnly) {
  Documents documents;
  EXPECT_EQ(documents.add_storage(1, "/nonexistent/folder"), std::errc::no_such_file_or_directory);
  EXPECT_EQ(documents.add_storage(1, "/proc/version"), std::errc::not_a_directory);
  EXPECT_FALSE(documents.has_storage(1));
  EXPECT_FALSE(documents.add_storage(1, "/proc/self/task"));
  EXPECT_EQ(documents.add_storage(1, "/tmp"), std::errc::file_exists);
  documents.remove_storage(1);
  documents.remove_storage(1);
  EXPECT_TRUE(documents.empty(1));
  std::vector<Documents::Entry> entries;
  EXPECT_EQ(documents.list(one_inode, entries).value(), ESTALE);
}

TEST_P(DocumentsMount, CreatesWritesAndReads) {
  {
    const File file{one() / "a", O_RDWR | O_CREAT | O_EXCL};
    ASSERT_EQ(file.error(), 0);
    ASSERT_TRUE(file.write("hello"));
  }
  EXPECT_EQ(content(one() / "a"), "hello");
  EXPECT_EQ(content(storage() / "a"), "hello");
  EXPECT_EQ(File(one() / "a", O_RDWR | O_CREAT | O_EXCL).error(), EEXIST);
  EXPECT_EQ(File(one() / "missing", O_RDONLY).error(), ENOENT);
  EXPECT_EQ(File(one() / "a" / "b", O_RDONLY).error(), ENOTDIR);
  EXPECT_EQ(File(one() / std::string(256, 'n'), O_WRONLY | O_CREAT).error(), ENAMETOOLONG);
  {
    const File file{one() / "a", O_WRONLY | O_TRUNC};
    EXPECT_EQ(status_of(one() / "a").st_size, 0);
    ASSERT_TRUE(file.write("b"));
  }
  EXPECT_EQ(content(one() / "a"), "b");
}

TEST_P(DocumentsMount, KeepsLargeContents) {
  std::string data(3 * 1024 * 1024 + 17, '\0');
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 + (i >> 9));
  put(one() / "large", data);
  EXPECT_EQ(content(one() / "large"), data);
  EXPECT_EQ(content(storage() / "large"), data);
  EXPECT_EQ(status_of(one() / "large").st_blksize, document_block_bytes);
}

TEST_P(DocumentsMount, Appends) {
  put(one() / "log", "0");
  const File first{one() / "log", O_WRONLY | O_APPEND};
  const File second{one() / "log", O_WRONLY | O_APPEND};
  ASSERT_TRUE(first.write("1"));
  ASSERT_TRUE(second.write("2"));
  {
    std::ofstream behind{storage() / "log", std::ios::app};  // the kernel's idea of the size is old then
    behind << "3";
  }
  ASSERT_TRUE(first.write("4"));
  EXPECT_EQ(content(storage() / "log"), "01234");
}

TEST_P(DocumentsMount, Renames) {
  put(one() / "a", "a");
  put(one() / "b", "b");
  ASSERT_EQ(::mkdir((one() / "folder").c_str(), 0755), 0);
  const ino_t inode = status_of(one() / "a").st_ino;
  const File replaced{one() / "b", O_RDWR};
  ASSERT_EQ(::rename((one() / "a").c_str(), (one() / "b").c_str()), 0);
  EXPECT_EQ(content(one() / "b"), "a");
  EXPECT_EQ(status_of(one() / "b").st_ino, inode);
  char old = 0;
  EXPECT_EQ(::pread(replaced.fd(), &old, 1, 0), 1);
  EXPECT_EQ(old, 'b');
  struct stat unnamed {};
  EXPECT_EQ(::fstat(replaced.fd(), &unnamed), 0);
  EXPECT_EQ(unnamed.st_nlink, 0U);
  ASSERT_EQ(::rename((one() / "b").c_str(), (one() / "folder/c").c_str()), 0);
  EXPECT_EQ(content(one() / "folder/c"), "a");
  ASSERT_EQ(::rename((one() / "folder").c_str(), (one() / "moved").c_str()), 0);
  EXPECT_EQ(content(one() / "moved/c"), "a");
  EXPECT_EQ(::access((one() / "folder").c_str(), F_OK), -1);
  put(one() / "d", "d");
  EXPECT_EQ(::renameat2(AT_FDCWD, (one() / "d").c_str(), AT_FDCWD, (one() / "moved/c").c_str(), RENAME_NOREPLACE), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(::renameat2(AT_FDCWD, (one() / "d").c_str(), AT_FDCWD, (one() / "moved/c").c_str(), RENAME_EXCHANGE), 0);
  EXPECT_EQ(content(one() / "moved/c"), "d");
  EXPECT_EQ(content(one() / "d"), "a");
  EXPECT_EQ(::rename((one() / "moved").c_str(), (one() / "moved/inside").c_str()), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST_P(DocumentsMount, KeepsEndpointsApart) {
  put(one() / "a", "a");
  EXPECT_EQ(::rename((one() / "a").c_str(), (two() / "a").c_str()), -1);
  EXPECT_EQ(errno, EXDEV);
  EXPECT_EQ(::link((one() / "a").c_str(), (two() / "a").c_str()), -1);
  EXPECT_EQ(errno, EXDEV);
  EXPECT_EQ(ask("empty 1"), "0");
  EXPECT_EQ(ask("empty 2"), "1");
}

TEST_P(DocumentsMount, HardLinksAreOneFile) {
  put(one() / "a", "a");
  ASSERT_EQ(::mkdir((one() / "folder").c_str(), 0755), 0);
  ASSERT_EQ(::link((one() / "a").c_str(), (one() / "folder/b").c_str()), 0);
  EXPECT_EQ(status_of(one() / "a").st_ino, status_of(one() / "folder/b").st_ino);
  EXPECT_EQ(status_of(one() / "a").st_nlink, 2U);
  put(one() / "folder/b", "b");
  EXPECT_EQ(content(one() / "a"), "b");
  const File open_by_first{one() / "a", O_RDWR};
  ASSERT_EQ(::unlink((one() / "a").c_str()), 0);
  ASSERT_TRUE(open_by_first.write("c"));
  EXPECT_EQ(content(one() / "folder/b"), "c");
  ASSERT_EQ(::rename((one() / "folder/b").c_str(), (one() / "a").c_str()), 0);
  EXPECT_EQ(content(one() / "a"), "c");
  ASSERT_EQ(::link((one() / "a").c_str(), (one() / "b").c_str()), 0);
  EXPECT_EQ(::rename((one() / "a").c_str(), (one() / "b").c_str()), 0);  // of one file: nothing happens
  EXPECT_EQ(content(one() / "a") + content(one() / "b"), "cc");
}

// One descriptor for each of a copied tree's files would leave none for the rest of the daemon.
TEST_P(DocumentsMount, LinkedFilesThatLoseANameKeepNoDescriptors) {
  put(one() / "first", "first");
  ASSERT_EQ(::link((one() / "first").c_str(), (one() / "second").c_str()), 0);
  EXPECT_EQ(content(one() / "first"), "first");  // the name that is known last
  const File open{one() / "first", O_RDWR};
  const std::size_t before = server_descriptors();
  for (int i = 0; i < 20; ++i) {
    const path name = one() / std::to_string(i);
    put(name, std::to_string(i));
    ASSERT_EQ(::link(name.c_str(), (one() / ("kept-" + std::to_string(i))).c_str()), 0);
    EXPECT_EQ(content(name), std::to_string(i));
    ASSERT_EQ(i % 2 == 0 ? ::unlink(name.c_str()) : ::rename((one() / "0").c_str(), name.c_str()), 0);
    if (i % 2 == 0) put(one() / "0", "replaces");
  }
  ASSERT_EQ(::unlink((one() / "first").c_str()), 0);
  put(one() / "last", "last");
  EXPECT_LE(server_descriptors(), before + GetParam());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(content(one() / ("kept-" + std::to_string(i))), std::to_string(i));
  struct stat found {};
  EXPECT_EQ(::fstat(open.fd(), &found), 0);
  EXPECT_EQ(::fchmod(open.fd(), 0600), 0);
  EXPECT_EQ(status_of(one() / "second").st_mode & 0777, 0600U);
}

TEST_P(DocumentsMount, SymbolicLinksAreTheCallersPaths) {
  put(one() / "a", "a");
  ASSERT_EQ(::mkdir((one() / "folder").c_str(), 0755), 0);
  ASSERT_EQ(::symlink("/etc/passwd", (one() / "outside").c_str()), 0);
  ASSERT_EQ(::symlink("../a", (one() / "folder/up").c_str()), 0);
  ASSERT_EQ(::symlink("../../two/x", (one() / "folder/other").c_str()), 0);
  EXPECT_EQ(std::filesystem::read_symlink(one() / "outside"), path("/etc/passwd"));
  EXPECT_EQ(content(one() / "outside"), content("/etc/passwd"));
  EXPECT_EQ(content(one() / "folder/up"), "a");
  put(two() / "x", "x");
  EXPECT_EQ(content(one() / "folder/other"), "x");
  EXPECT_EQ(File(one() / "outside", O_RDONLY | O_NOFOLLOW).error(), ELOOP);
  EXPECT_EQ(::lchown((one() / "outside").c_str(), 7, 8), 0);
  EXPECT_EQ(status_of(one() / "outside").st_uid, 7U);
  const timespec times[2] = {{11, 0}, {12, 0}};
  EXPECT_EQ(::utimensat(AT_FDCWD, (one() / "outside").c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_EQ(status_of(one() / "outside").st_mtime, 12);
  ASSERT_EQ(::link((one() / "outside").c_str(), (one() / "again").c_str()), 0);
  EXPECT_TRUE(S_ISLNK(status_of(one() / "again").st_mode));
  EXPECT_EQ(::unlink((one() / "outside").c_str()), 0);
  EXPECT_EQ(::access("/etc/passwd", F_OK), 0);
}

TEST_P(DocumentsMount, DoesNotEnterMountsBelowTheStorage) {
  ASSERT_EQ(::mkdir((storage() / "below").c_str(), 0755), 0);
  ASSERT_EQ(::mount("none", (storage() / "below").c_str(), "tmpfs", 0, "size=64k"), 0);
  EXPECT_EQ(File(one() / "below", O_RDONLY | O_DIRECTORY).error(), EXDEV);
  EXPECT_EQ(::umount((storage() / "below").c_str()), 0);
  EXPECT_EQ(File(one() / "below", O_RDONLY | O_DIRECTORY).error(), 0);
}

TEST_P(DocumentsMount, Truncates) {
  put(one() / "a", "0123456789");
  ASSERT_EQ(::truncate((one() / "a").c_str(), 4), 0);
  EXPECT_EQ(content(one() / "a"), "0123");
  const File file{one() / "a", O_RDWR};
  ASSERT_EQ(::ftruncate(file.fd(), 6), 0);
  EXPECT_EQ(content(storage() / "a"), std::string("0123\0\0", 6));
  ASSERT_EQ(::unlink((one() / "a").c_str()), 0);
  EXPECT_EQ(::ftruncate(file.fd(), 1), 0);
  EXPECT_EQ(::lseek(file.fd(), 0, SEEK_END), 1);
}

TEST_P(DocumentsMount, MapsFiles) {
  const std::size_t length = 3 * 4096;
  put(one() / "a", std::string(length, '.'));
  // Opened to append: the mapping's pages must still go to their own places.
  const File file{one() / "a", O_RDWR | O_APPEND};
  void* mapped = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  char* bytes = static_cast<char*>(mapped);
  EXPECT_EQ(bytes[5000], '.');
  bytes[0] = 'a';
  bytes[5000] = 'b';
  bytes[length - 1] = 'c';
  EXPECT_EQ(::msync(mapped, length, MS_SYNC), 0);
  EXPECT_EQ(::munmap(mapped, length), 0);
  std::string wanted(length, '.');
  wanted[0] = 'a';
  wanted[5000] = 'b';
  wanted[length - 1] = 'c';
  EXPECT_EQ(content(storage() / "a"), wanted);
  EXPECT_EQ(content(one() / "a"), wanted);
}

TEST_P(DocumentsMount, FindsHolesAndAllocates) {
  const off_t data_at = 8 << 20;
  const File file{one() / "sparse", O_RDWR | O_CREAT};
  ASSERT_EQ(::pwrite(file.fd(), "x", 1, data_at), 1);
  EXPECT_EQ(::lseek(file.fd(), 0, SEEK_DATA), data_at);
  EXPECT_EQ(::lseek(file.fd(), 0, SEEK_HOLE), 0);
  EXPECT_LT(status_of(one() / "sparse").st_blocks * 512, data_at);
  EXPECT_EQ(::fallocate(file.fd(), 0, 0, 1 << 20), 0);
  EXPECT_GE(status_of(storage() / "sparse").st_blocks * 512, 1 << 20);
  EXPECT_EQ(::fsync(file.fd()), 0);
  EXPECT_EQ(::fdatasync(file.fd()), 0);
  EXPECT_EQ(ask("sync 1"), "0");
}

TEST_P(DocumentsMount, CopiesRanges) {
  put(one() / "a", std::string(100000, 'q'));
  const File from{one() / "a", O_RDONLY};
  const File to{one() / "b", O_WRONLY | O_CREAT};
  EXPECT_EQ(::copy_file_range(from.fd(), nullptr, to.fd(), nullptr, 1 << 20, 0), 100000);
  EXPECT_EQ(content(one() / "b"), content(one() / "a"));
}

TEST_P(DocumentsMount, ListsThousandsOfFiles) {
  const path folder = one() / "many";
  ASSERT_EQ(::mkdir(folder.c_str(), 0755), 0);
  std::set<std::string> names;
  for (int i = 0; i < 1000; ++i) {
    names.insert("file-" + std::to_string(i));
    ASSERT_EQ(File(folder / ("file-" + std::to_string(i)), O_WRONLY | O_CREAT).error(), 0);
  }
  std::set<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir{::opendir(folder.c_str()), ::closedir};
  ASSERT_TRUE(dir);
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] == '.') continue;
    EXPECT_TRUE(found.insert(entry->d_name).second) << entry->d_name;
    EXPECT_EQ(entry->d_type, DT_REG);
    if (found.size() % 100 == 0) {
      EXPECT_EQ(entry->d_ino, status_of(folder / entry->d_name).st_ino);
    }
  }
  EXPECT_EQ(found, names);
  EXPECT_EQ(::fsync(::dirfd(dir.get())), 0);
  EXPECT_EQ(::rmdir(folder.c_str()), -1);
  EXPECT_EQ(errno, ENOTEMPTY);
  // A new file shows up after a rewind, and removing while reading misses none.
  ASSERT_EQ(File(folder / "late", O_WRONLY | O_CREAT).error(), 0);
  ::rewinddir(dir.get());
  std::size_t removed = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.' && ::unlink((folder / entry->d_name).c_str()) == 0) ++removed;
  }
  EXPECT_EQ(removed, 1001U);
  EXPECT_EQ(::rmdir(folder.c_str()), 0);
}

TEST_P(DocumentsMount, OpenFilesOutliveTheirNames) {
  const File file{one() / "a", O_RDWR | O_CREAT};
  ASSERT_TRUE(file.write("still here"));
  ASSERT_EQ(::unlink((one() / "a").c_str()), 0);
  for (int i = 0; i < 20; ++i) put(one() / ("other-" + std::to_string(i)), "other");
  put(one() / "a", "new");
  char text[16] = {};
  EXPECT_EQ(::pread(file.fd(), text, sizeof text, 0), 10);
  EXPECT_STREQ(text, "still here");
  struct stat found {};
  ASSERT_EQ(::fstat(file.fd(), &found), 0);
  EXPECT_EQ(found.st_size, 10);
  EXPECT_NE(found.st_ino, status_of(one() / "a").st_ino);
  EXPECT_EQ(::fchmod(file.fd(), 0600), 0);
  EXPECT_EQ(status_of(one() / "a").st_mode & 0777, 0644U);
  const std::string by_descriptor = "/proc/self/fd/" + std::to_string(file.fd());
  EXPECT_EQ(content(by_descriptor), "still here");
}

TEST_P(DocumentsMount, ChangesAttributes) {
  put(one() / "a", "a");
  ASSERT_EQ(::chmod((one() / "a").c_str(), 0640), 0);
  EXPECT_EQ(status_of(one() / "a").st_mode & 07777, 0640U);
  ASSERT_EQ(::chown((one() / "a").c_str(), 12, 34), 0);
  EXPECT_EQ(status_of(storage() / "a").st_uid, 12U);
  EXPECT_EQ(status_of(one() / "a").st_gid, 34U);
  const timespec changed = status_of(one() / "a").st_ctim;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the storage's clock ticks
  ASSERT_EQ(::chown((one() / "a").c_str(), -1, -1), 0);
  const timespec now = status_of(one() / "a").st_ctim;
  EXPECT_TRUE(now.tv_sec != changed.tv_sec || now.tv_nsec != changed.tv_nsec);
  const timespec times[2] = {{1'000'000'000, 5}, {1'100'000'000, 123'456'789}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (one() / "a").c_str(), times, 0), 0);
  const struct stat found = status_of(one() / "a");
  EXPECT_EQ(found.st_atim.tv_sec, 1'000'000'000);
  EXPECT_EQ(found.st_mtim.tv_nsec, 123'456'789);
  const timespec touch[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (one() / "a").c_str(), touch, 0), 0);
  EXPECT_EQ(status_of(one() / "a").st_atim.tv_sec, 1'000'000'000);
  EXPECT_GT(status_of(one() / "a").st_mtim.tv_sec, 1'600'000'000);
  ASSERT_EQ(::chmod(one().c_str(), 01777), 0);
  EXPECT_EQ(status_of(storage()).st_mode & 07777, 01777U);
  struct statvfs room {};
  EXPECT_EQ(::statvfs(one().c_str(), &room), 0);
  EXPECT_GT(room.f_blocks, 0U);
}

TEST_P(DocumentsMount, KeepsExtendedAttributes) {
  put(one() / "a", "a");
  const std::string name = (one() / "a").string();
  if (::setxattr(name.c_str(), "user.colour", "blue", 4, 0) != 0 && errno == EOPNOTSUPP) {
    GTEST_SKIP() << "the temporary folder's file system has no user attributes";
  }
  char value[64] = {};
  EXPECT_EQ(::getxattr(name.c_str(), "user.colour", nullptr, 0), 4);
  EXPECT_EQ(::getxattr(name.c_str(), "user.colour", value, sizeof value), 4);
  EXPECT_STREQ(value, "blue");
  EXPECT_EQ(::getxattr(name.c_str(), "user.colour", value, 2), -1);
  EXPECT_EQ(errno, ERANGE);
  char list[256] = {};
  const ssize_t length = ::listxattr(name.c_str(), list, sizeof list);
  ASSERT_GT(length, 0);
  EXPECT_NE(std::string(list, static_cast<std::size_t>(length)).find("user.colour"), std::string::npos);
  EXPECT_EQ(::setxattr(name.c_str(), "user.colour", "red", 3, XATTR_CREATE), -1);
  EXPECT_EQ(errno, EEXIST);
  EXPECT_EQ(::removexattr(name.c_str(), "user.colour"), 0);
  EXPECT_EQ(::getxattr(name.c_str(), "user.colour", value, sizeof value), -1);
  EXPECT_EQ(errno, ENODATA);
}

TEST_P(DocumentsMount, ShowsChangesMadeBehindIt) {
  put(one() / "a", "a");
  ASSERT_EQ(::rename((storage() / "a").c_str(), (storage() / "b").c_str()), 0);
  put(storage() / "a", "replaced");
  EXPECT_EQ(content(one() / "b"), "a");
  // The name's cache ends after document_entry_timeout_s.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (content(one() / "a") != "replaced" && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_EQ(content(one() / "a"), "replaced");
  EXPECT_EQ(content(one() / "b"), "a");
}

TEST_P(DocumentsMount, ForgetsWhatIsGone) {
  for (int i = 0; i < 50; ++i) put(one() / std::to_string(i), "x");
  for (int i = 0; i < 50; ++i) ASSERT_EQ(::unlink((one() / std::to_string(i)).c_str()), 0);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (ask("nodes") != "0 0 0" && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(ask("nodes"), "0 0 0");
}

TEST_P(DocumentsMount, DeepTreesAreReopened) {
  path folder = one();
  for (int i = 0; i < 100; ++i) {
    folder /= "d";
    ASSERT_EQ(::mkdir(folder.c_str(), 0755), 0);
  }
  put(folder / "leaf", "leaf");
  const File held{folder, O_RDONLY | O_DIRECTORY};
  for (int i = 0; i < 30; ++i) put(one() / ("evict-" + std::to_string(i)), "x");
  ASSERT_EQ(::rename((one() / "d").c_str(), (one() / "e").c_str()), 0);
  const int leaf = ::openat(held.fd(), "leaf", O_RDONLY);
  ASSERT_GE(leaf, 0) << std::strerror(errno);
  char text[8] = {};
  EXPECT_EQ(::read(leaf, text, sizeof text), 4);
  ::close(leaf);
  std::istringstream counts{ask("nodes")};
  std::size_t nodes = 0;
  std::size_t descriptors = 0;
  counts >> nodes >> descriptors;
  EXPECT_LE(descriptors, GetParam());
  EXPECT_GE(nodes, 100U);
}

INSTANTIATE_TEST_SUITE_P(Descriptors, DocumentsMount, ::testing::Values(2, 4096));

}  // namespace
}  // namespace sessionfs::fs::testing
