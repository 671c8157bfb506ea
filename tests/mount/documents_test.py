"""An endpoint's own documents are ordinary files and folders."""

import errno
import mmap
import os
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import shell, shell_ok  # noqa: E402


class Documents(LocalTestCase):
    def setUp(self):
        self.path = self.endpoint().path

    def test_create_read_write(self):
        (self.path / "a").write_bytes(b"hello")
        self.assertEqual((self.path / "a").read_bytes(), b"hello")
        with open(self.path / "a", "r+b") as file:
            file.seek(2)
            file.write(b"XY")
        self.assertEqual((self.path / "a").read_bytes(), b"heXYo")
        self.assertEqual(os.stat(self.path / "a").st_size, 5)

    def test_with_the_tools(self):
        shell_ok('cd "$E" && mkdir -p a/b/c && echo x > a/b/c/f && cp -r a d && mv d/b e && cat e/c/f && rm -r a d e '
                 '&& test -z "$(ls)" || ls', E=self.path)
        self.assertEqual(sorted(os.listdir(self.path)),
                         [".endpoint", "access", "ctl", "policy", "services", "sessions", "status"])

    def test_rename(self):
        (self.path / "a").write_text("a")
        (self.path / "b").write_text("b")
        os.mkdir(self.path / "folder")
        os.rename(self.path / "a", self.path / "folder/c")
        os.replace(self.path / "b", self.path / "folder/c")
        self.assertEqual((self.path / "folder/c").read_text(), "b")
        self.assert_errno(errno.ENOENT, os.rename, self.path / "a", self.path / "z")
        os.rename(self.path / "folder", self.path / "renamed")
        self.assertEqual(os.listdir(self.path / "renamed"), ["c"])

    def test_reserved_names_cannot_be_renamed_onto(self):
        (self.path / "a").write_text("a")
        for name in ("ctl", "status", "services", "sessions", ".endpoint"):
            with self.assertRaises(OSError, msg=name):
                os.rename(self.path / "a", self.path / name)
        self.assertEqual((self.path / "a").read_text(), "a")

    def test_reserved_names_are_free_below_the_top(self):
        shell_ok('mkdir -p "$E/a/services" && cd "$E/a" && echo x > ctl && cat ctl && echo y > services/f', E=self.path)

    def test_truncate(self):
        file = self.path / "a"
        file.write_bytes(b"0123456789")
        os.truncate(file, 4)
        self.assertEqual(file.read_bytes(), b"0123")
        os.truncate(file, 6)
        self.assertEqual(file.read_bytes(), b"0123\0\0")
        with open(file, "wb"):
            pass
        self.assertEqual(file.stat().st_size, 0)

    def test_chmod_and_times(self):
        file = self.path / "a"
        file.write_text("a")
        os.chmod(file, 0o640)
        self.assertEqual(file.stat().st_mode & 0o777, 0o640)
        os.utime(file, (1000, 2000))
        self.assertEqual((file.stat().st_atime, file.stat().st_mtime), (1000, 2000))

    def test_symlink_and_link(self):
        (self.path / "a").write_text("a")
        os.symlink("a", self.path / "l")
        self.assertEqual(os.readlink(self.path / "l"), "a")
        self.assertEqual((self.path / "l").read_text(), "a")
        result = shell('ln "$E/a" "$E/hard" && cat "$E/hard"', E=self.path)
        self.assertIn((result.status, result.out), [(0, "a"), (1, "")], "hard links work, or are refused")

    def test_mmap(self):
        with open(self.path / "a", "w+b") as file:
            file.truncate(10000)
            with mmap.mmap(file.fileno(), 10000) as memory:
                memory[5000:5005] = b"hello"
                memory.flush()
        with open(self.path / "a", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
            self.assertEqual(memory[5000:5005], b"hello")

    def test_append_and_seek(self):
        shell_ok('cd "$E" && echo 1 > a && echo 2 >> a && dd if=a bs=1 skip=2 2> /dev/null', E=self.path)
        with open(self.path / "a", "ab") as file:
            file.write(b"3\n")
        self.assertEqual((self.path / "a").read_text(), "1\n2\n3\n")

    def test_large_and_many(self):
        data = os.urandom(3_000_001)
        (self.path / "big").write_bytes(data)
        self.assertEqual((self.path / "big").read_bytes(), data)
        os.mkdir(self.path / "many")
        for number in range(500):
            (self.path / f"many/{number}").write_text(str(number))
        self.assertEqual(sorted(map(int, os.listdir(self.path / "many"))), list(range(500)))

    def test_a_folder_that_is_read_again_shows_what_has_come(self):
        os.mkdir(self.path / "folder")
        for folder in (self.path, self.path / "folder", self.path / "services"):
            with self.subTest(folder=folder.name):
                descriptor = self.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                before = os.listdir(descriptor)  # from the start, by the same descriptor
                (folder / "new").touch()
                self.assertEqual(sorted([*before, "new"]), sorted(os.listdir(descriptor)))
                os.unlink(folder / "new")
                self.assertEqual(sorted(before), sorted(os.listdir(descriptor)))

    def test_an_open_file_outlives_its_name(self):
        with open(self.path / "a", "w+b") as file:
            file.write(b"kept")
            file.flush()
            os.unlink(self.path / "a")
            file.seek(0)
            self.assertEqual(file.read(), b"kept")
        self.assertNotIn("a", os.listdir(self.path))

    def test_errors(self):
        (self.path / "file").write_text("x")
        os.mkdir(self.path / "folder")
        (self.path / "folder/x").write_text("x")
        self.assert_errno(errno.ENOENT, os.open, self.path / "none", os.O_RDONLY)
        self.assert_errno(errno.EEXIST, os.mkdir, self.path / "folder")
        self.assert_errno(errno.ENOTEMPTY, os.rmdir, self.path / "folder")
        self.assert_errno(errno.ENOTDIR, os.rmdir, self.path / "file")
        self.assert_errno(errno.EISDIR, os.unlink, self.path / "folder")
        self.assert_errno(errno.ENOTDIR, os.open, self.path / "file/x", os.O_RDONLY)
        self.assert_errno(errno.EEXIST, os.open, self.path / "file", os.O_CREAT | os.O_EXCL)

    def test_the_endpoints_folder_is_its_storage(self):
        storage = self.daemon.state / "endpoints" / self.path.name / "documents"
        (self.path / "a").write_text("a")
        ours, theirs = os.stat(self.path), os.stat(storage)
        self.assertEqual((ours.st_mtime_ns, ours.st_ctime_ns), (theirs.st_mtime_ns, theirs.st_ctime_ns))
        ours, theirs = os.statvfs(self.path), os.statvfs(storage)
        for field in ("f_blocks", "f_frsize", "f_files"):
            self.assertEqual(getattr(ours, field), getattr(theirs, field), field)

    def test_errors_of_the_storages_folder(self):
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, folder)
        os.fsync(folder)
        limits = resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (3, limits[1]))  # no new descriptor
        try:
            self.assert_errno(errno.EMFILE, os.listdir, self.path)
            self.assert_errno(errno.EMFILE, os.fsync, folder)
        finally:
            resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, limits)
        os.fsync(folder)
        self.assertIn("ctl", os.listdir(self.path))

    def test_links_do_not_lead_the_daemon_out(self):
        # A link is read by the kernel for the caller; the daemon itself must not follow it.
        os.symlink("/etc/passwd", self.path / "l")
        os.chmod(self.path, 0o755)
        self.assert_errno(errno.ELOOP, os.open, self.path / "l", os.O_RDONLY | os.O_NOFOLLOW)
        os.unlink(self.path / "l")
        self.assertTrue(os.path.exists("/etc/passwd"))

    def test_copies_are_equal(self):
        source = self.scratch("source")
        shell_ok('mkdir -p "$S/a/b" && seq 10000 > "$S/n" && ln -s n "$S/l" && seq 100 > "$S/a/b/c"', S=source)
        shell_ok('cp -a "$S" "$E/copy" && diff -r --no-dereference "$S" "$E/copy" && rsync -a "$E/copy/" "$S.back" && '
                 'diff -r --no-dereference "$S" "$S.back"', S=source, E=self.path)


if __name__ == "__main__":
    suite.main()
