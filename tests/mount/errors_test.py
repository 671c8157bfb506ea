"""Every error of the ordinary operations, as exactly the errno that a system call sees."""

import errno
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import opened, write_all  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import shell, shell_ok, wait_until  # noqa: E402


def create(path, flags=os.O_WRONLY | os.O_CREAT):
    os.close(os.open(path, flags, 0o600))


def write_line(path, text, flags=os.O_WRONLY | os.O_TRUNC):
    with opened(path, flags) as descriptor:
        os.write(descriptor, text.encode())


class Endpoints(LocalTestCase):
    def test_mkdir_of_a_name_that_is_taken(self):
        taken = self.endpoint()
        self.assert_errno(errno.EEXIST, os.mkdir, taken.path)
        self.assert_errno(errno.EEXIST, os.mkdir, self.mount.path / "status")

    def test_mkdir_of_a_bad_name(self):
        for name in ("noat", "@local", "a@", "a@b@local", "-a@local", "a-@local", ".a@local", "a b@local", "ä@local",
                     "a~b@local", "a" * 64 + "@local", "a@-local", "a@lo cal", "a@" + "x." * 99 + "local", "..a@local",
                     "a" * 300 + "@local"):
            with self.subTest(name=name):
                self.assert_errno(errno.EINVAL, os.mkdir, self.mount.path / name)

    def test_names_at_the_limits(self):
        for name in ("a" * 63 + "@local", "0@local", "a-b_c.d@local"):
            os.mkdir(self.mount.path / name)
            os.rmdir(self.mount.path / name)

    def test_upper_case_is_folded(self):
        name = self.name("folded")
        os.mkdir(self.mount.path / name.upper())
        self.assertIn(name, self.mount.names())
        self.assert_errno(errno.EEXIST, os.mkdir, self.mount.path / name)
        os.rmdir(self.mount.path / name)

    def test_mkdir_in_a_domain_that_this_host_has_not_joined(self):
        self.assert_errno(errno.EACCES, os.mkdir, self.mount.path / "a@elsewhere.example")

    def test_rmdir(self):
        endpoint = self.endpoint()
        document = endpoint.path / "report"
        document.write_text("x")
        self.assert_errno(errno.ENOTEMPTY, os.rmdir, endpoint.path)
        document.unlink()
        os.rmdir(endpoint.path)
        self.assert_errno(errno.ENOENT, os.rmdir, endpoint.path)

    def test_rmdir_of_the_default_endpoint(self):
        default = self.default_endpoint()
        self.assert_errno(errno.EBUSY, os.rmdir, self.mount.path / default)
        self.assertIn("Device or resource busy", shell('rmdir "$E"', E=self.mount.path / default).err)
        self.assertIn(default, self.mount.names())

    def test_mv_of_the_default_endpoint(self):
        # It stays with all that it has; what was copied is a copy.
        default = self.mount.endpoint(self.default_endpoint(), create=False)
        server, copy = self.endpoint("server"), self.scratch("copy")
        server.serve("s")
        session = default.dial(server, "s")
        shell_ok('mkdir "$E/photos" && echo needle > "$E/photos/a"', E=default)
        result = shell('mv "$E" "$C"', E=default, C=copy)
        self.assertNotEqual(result.status, 0, result)
        self.assertIn("Device or resource busy", result.err)
        self.assertEqual((default.path / "photos/a").read_text(), "needle\n")
        self.assertTrue(Path(session).exists())
        self.assertEqual(Path(copy, "photos/a").read_text(), "needle\n")
        self.assertIn("mv: it is the default endpoint of this host, which stays here", default.status())
        shell_ok('rm -r "$E/photos"', E=default)

    def default_endpoint(self):
        made = {name for name in self.mount.names() if not name[-7:-6].isdigit()}
        lines = [line for line in self.mount.status().splitlines() if line.startswith("default endpoint:")]
        self.assertEqual(len(lines), 1, "status names the default endpoint")
        name = lines[0].split()[2]
        self.assertIn(name, made)
        return name

    def test_nothing_else_can_be_made_at_the_root(self):
        for make in (lambda path: create(path), lambda path: os.symlink("x", path)):
            with self.assertRaises(OSError) as raised:
                make(self.mount.path / "file")
            self.assertIn(raised.exception.errno, (errno.EPERM, errno.EACCES, errno.EINVAL))
        self.assertNotIn("file", os.listdir(self.mount.path))

    def test_messages_of_the_tools(self):
        taken = self.endpoint()
        for script, words in (('mkdir "$E"', "File exists"), ('mkdir "$M/noat"', "Invalid argument"),
                              ('mkdir "$M/a@elsewhere.example"', "Permission denied"),
                              ('touch "$E/x"; rmdir "$E"', "Directory not empty"),
                              ('rmdir "$M/nobody@local"', "No such file or directory")):
            with self.subTest(script=script):
                result = shell(script, E=taken, M=self.mount.path)
                self.assertEqual(result.status, 1)
                self.assertIn(words, result.err)


class ServicesAndSessions(LocalTestCase):
    def test_services(self):
        services = self.endpoint().services
        create(services / "s")
        self.assert_errno(errno.EEXIST, create, services / "s", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        for name in ("a.b", "-ä", "a b", "a~1", "a@b", "x" * 64):
            with self.subTest(name=name):
                self.assert_errno(errno.EINVAL, create, services / name)
        create(services / ("x" * 63))
        self.assert_errno(errno.ENOENT, os.unlink, services / "other")
        self.assert_errno(errno.ENOENT, os.open, services / "other", os.O_RDONLY)
        with opened(services / "s", os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            self.assert_errno(errno.EAGAIN, os.read, descriptor, 100)
            self.assert_errno(errno.ESPIPE, os.lseek, descriptor, 0, os.SEEK_SET)
            self.assert_errno(errno.ESPIPE, os.pread, descriptor, 1, 0)

    def test_dial_of_what_is_not_there(self):
        client, server = self.endpoint(), self.endpoint()
        server.serve("s")
        for name in ("s.nobody@local", "other." + server.name, "s.nobody@local~label"):
            with self.subTest(name=name):
                for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
                    self.assert_errno(errno.ENOENT, os.open, client.sessions / name, flags, 0o600)
                self.assert_errno(errno.ENOENT, os.unlink, client.sessions / name)
        self.assert_errno(errno.ENOENT, os.unlink, client.sessions / server.target("s"))
        self.assertEqual(os.listdir(client.sessions), [])

    def test_a_name_that_cannot_be_dialled(self):
        client = self.endpoint()
        for name in ("noat", "s.nobody@local~", "s.nobody@local~a.b", "s.nobody@local~" + "x" * 33, "s~a@local~1"):
            with self.subTest(name=name):
                self.assertFalse(os.path.lexists(client.sessions / name))
                self.assert_errno(errno.ENOENT, os.open, client.sessions / name, os.O_RDWR)

    def test_dial_refused_by_access(self):
        client, friend, server = self.endpoint("client"), self.endpoint("friend"), self.endpoint("server")
        server.serve("s")
        server.rules("access", f"allow s {friend.name}\ndeny s *\n")
        self.assert_errno(errno.ECONNREFUSED, os.open, client.sessions / server.target("s"), os.O_RDWR)
        refused = shell('echo x > "$F"', F=client.sessions / server.target("s"))
        self.assertIn("Connection refused", refused.err)
        touched = shell('touch "$F"', F=client.sessions / server.target("s"))
        self.assertEqual(touched.status, 1)
        self.assertIn("Connection refused", touched.err)
        friend.dial(server, "s")
        server.rules("access", "")
        client.dial(server, "s")

    def test_access_that_does_not_parse(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        good = "# nobody\ndeny * *\n"
        server.rules("access", good)
        for bad in ("permit s *\n", "deny\n", "allow s\n", "deny * *\nallow s a b c\n"):
            with self.subTest(rules=bad):
                self.assert_errno(errno.EINVAL, server.rules, "access", bad)
                self.assertEqual((server.path / "access").read_text(), good, "the old rules stay")
                self.assert_errno(errno.ECONNREFUSED, os.open, client.sessions / server.target("s"), os.O_RDWR)
        self.assertIn("Invalid argument", shell('echo "permit s *" > "$E/access"', E=server).err)

    def test_policy_that_does_not_parse(self):
        endpoint = self.endpoint()
        good = "prefer eth* wlan*\nrequire speed>=1000\ndeny wwan*\nstay\n"
        endpoint.rules("policy", good)
        for bad in ("please eth0\n", "require speed\n", "require speed>=fast\n", "stay here\n", "prefer\n"):
            with self.subTest(rules=bad):
                self.assert_errno(errno.EINVAL, endpoint.rules, "policy", bad)
                self.assertEqual((endpoint.path / "policy").read_text(), good)

    def test_session_files(self):
        _, ours, _, theirs = self.pair()
        for file in (ours, theirs):
            with opened(file, os.O_RDWR | os.O_NONBLOCK) as descriptor:
                self.assert_errno(errno.EAGAIN, os.read, descriptor, 1)
                self.assert_errno(errno.ESPIPE, os.lseek, descriptor, 0, os.SEEK_SET)
                self.assert_errno(errno.ESPIPE, os.lseek, descriptor, 0, os.SEEK_CUR)
                self.assert_errno(errno.ESPIPE, os.pread, descriptor, 1, 0)
                self.assert_errno(errno.ESPIPE, os.pwrite, descriptor, b"x", 0)
            self.assert_errno(errno.ENODATA, os.getxattr, file, "user.session.nothing")
            self.assert_errno(errno.ENODATA, os.getxattr, file, "user.other")
        with opened(ours, os.O_WRONLY | os.O_NONBLOCK) as descriptor:
            with self.assertRaises(BlockingIOError):  # EAGAIN when the buffers on the way are full
                for _ in range(1000):
                    os.write(descriptor, bytes(1 << 20))

    def test_write_after_finish(self):
        client, ours, _, theirs = self.pair()
        descriptor = self.open(ours)
        os.write(descriptor, b"last")
        client.command(f"finish {ours.name}")
        self.assert_errno(errno.EPIPE, os.write, descriptor, b"x")
        refused = shell('echo x > "$F"', F=ours)
        self.assertIn("Broken pipe", refused.err)
        with opened(theirs, os.O_RDONLY) as reader:
            self.assertEqual(os.read(reader, 100), b"last")
            self.assertEqual(os.read(reader, 100), b"")
            self.assertEqual(os.read(reader, 100), b"", "the end stays the end")

    def test_write_after_close(self):
        _, ours, _, theirs = self.pair()
        here, there = self.open(ours), self.open(theirs)
        os.unlink(ours)
        self.assert_errno(errno.EPIPE, os.write, here, b"x")

        def refused():
            try:
                os.write(there, b"x")
            except BrokenPipeError:
                return True
            return False
        wait_until(refused, "the peer of a closed session cannot write to it")
        self.assertEqual(os.read(there, 1), b"")

    def test_after_abort(self):
        client, ours, _, theirs = self.pair()
        here, there = self.open(ours), self.open(theirs)
        write_all(here, b"x" * 10)
        client.command(f"abort {ours.name}")

        def reset():
            try:
                return os.read(there, 100) == b"" and self.fail("a silent end of an aborted session")
            except ConnectionResetError:
                return True
        wait_until(reset, "the peer of an aborted session gets ECONNRESET")
        self.assert_errno(errno.ECONNRESET, os.write, there, b"x")
        with self.assertRaises(OSError):
            os.read(here, 1)
        with self.assertRaises(OSError):
            os.write(here, b"x")


    def test_the_name_is_free_after_abort_and_rm(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        ours = client.dial(server, "s")
        for end in (lambda: client.command(f"abort {ours.name}"), lambda: os.unlink(ours)):
            old = server.accept("s")
            before = self.open(ours)
            end()
            self.assertEqual(client.dial(server, "s"), ours)
            theirs = server.accept("s")
            self.assertNotEqual(theirs, old)
            with opened(ours, os.O_WRONLY) as writer, opened(theirs, os.O_RDONLY) as reader:
                os.write(writer, b"anew")
                self.assertEqual(os.read(reader, 100), b"anew")
            with self.assertRaises(OSError, msg="the old descriptor is of the old session"):
                os.write(before, b"x")
            os.unlink(theirs)
            os.unlink(ours)
            ours = client.dial(server, "s")


class Commands(LocalTestCase):
    def test_commands_that_fail(self):
        client, ours, _, _ = self.pair()
        for line, number in (("jump", errno.EINVAL), ("suspend no.such@local", errno.ENOENT),
                             ("resume nothing", errno.ENOENT), ("finish", errno.EINVAL), ("abort", errno.EINVAL),
                             ("finish no.such@local", errno.ENOENT), (f"suspend {ours.name} more", errno.EINVAL),
                             ("x" * 3000, errno.EINVAL)):
            with self.subTest(line=line[:40]):
                self.assert_errno(number, client.command, line)
                word = line.split()[0][:20]
                self.assertIn(word, client.status(), "status says what failed")
        self.assertIn("Invalid argument", shell('echo jump > "$E/ctl"', E=client).err)
        self.assertIn("No such file", shell('echo suspend nothing > "$E/ctl"', E=client).err)

    def test_commands_of_the_host_that_fail(self):
        for line in ("jump\n", "join\n", "join nonsense\n", "join " + "x" * 2000 + "\n"):
            with self.subTest(line=line[:40]):
                self.assert_errno(errno.EINVAL, write_line, self.mount.path / "ctl", line, os.O_WRONLY)
        self.assertIn("join", self.mount.status())

    def test_several_commands_in_one_write(self):
        client, ours, _, _ = self.pair()
        write_line(client.path / "ctl", f"suspend {ours.name}\nresume {ours.name}\nfinish {ours.name}\n", os.O_WRONLY)
        self.assertIn("Broken pipe", shell('echo x > "$F"', F=ours).err)

    def test_what_the_policy_makes_of_the_interfaces_is_told(self):
        endpoint = self.endpoint()
        endpoint.rules("policy", "# on this host alone\nprefer loopback\n")
        self.assertIn("interface: lo: ", endpoint.status())
        endpoint.rules("policy", "deny *\n")
        self.assertIn("interface: none: ", endpoint.status())
        self.assertIn("denied by: deny *", endpoint.status())
        client, ours, _, _ = self.pair()  # what stays on this host goes by no interface
        client.rules("policy", "deny *\n")
        self.assertEqual(shell('echo x > "$F"', F=ours).status, 0)

    def test_fixed_files_stay(self):
        endpoint = self.endpoint()
        for name in ("ctl", "status", "access", "policy", ".endpoint"):
            shell('rm -f "$F"; mv "$F" "$F.old"; echo > "$F.new" && mv "$F.new" "$F"', F=endpoint.path / name)
            self.assertTrue((endpoint.path / name).exists(), name)
        for name in ("services", "sessions"):
            self.assert_errno(errno.EEXIST, os.mkdir, endpoint.path / name)
        shell_ok('cat "$E/status"', E=endpoint)


if __name__ == "__main__":
    suite.main()
