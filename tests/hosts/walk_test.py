"""The first walk: a file from host A to host B. And what mkdir and dialling say in a domain of several hosts."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import MIB, HostsTestCase, Transfer  # noqa: E402
from hosts.world import DOMAIN, World  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import attribute, opened  # noqa: E402
from support.keeper import temporary_folder  # noqa: E402
from support.processes import (AT_ONCE_S, SOON_S, finish, run, shell, shell_ok, start, start_shell,  # noqa: E402
                               wait_blocked, wait_until)

ANSWER_LIMIT_S = 20  # the name server has 3 s to answer; the rest is for a busy machine
DIAL_LIMIT_S = 60


class Walk(HostsTestCase):
    def test_a_file_from_a_to_b(self):
        folder = self.world.folder
        receiver = start_shell('read -r s < "$E/services/file" && cat "$E/sessions/$s" > "$D/got"', E=self.at_b,
                               D=folder)
        shell_ok('tar -c -C / usr/include 2> /dev/null | head -c 16M > "$D/big"; cat "$D/big" > "$F" && rm "$F"',
                 D=folder, F=self.at_a.sessions / f"file.b@{DOMAIN}")
        self.assertEqual(finish(receiver).status, 0)
        sent, got = shell_ok('cd "$D" && sha256sum < big && sha256sum < got', D=folder).splitlines()
        self.assertEqual(sent, got)

    def test_the_other_way_and_both(self):
        ours, theirs = self.session()
        back = Transfer(self.world, theirs, ours, 8 * MIB)
        forth = Transfer(self.world, ours, theirs, 8 * MIB)
        back.result()
        forth.result()

    def test_attributes(self):
        ours, theirs = self.session()
        self.carries(ours, theirs)
        self.assertEqual(attribute(ours, "peer"), self.at_b.name)
        self.assertEqual(attribute(theirs, "peer"), self.at_a.name)
        self.assertEqual(attribute(ours, "id"), attribute(theirs, "id"))
        self.assertEqual(attribute(ours, "interface"), "eth0")

    def test_fsync_across_hosts(self):
        ours, theirs = self.session()
        with opened(ours, os.O_WRONLY) as out:
            os.write(out, bytes(100_000))
            os.fsync(out)
        self.assertEqual(attribute(theirs, "received"), "100000")

    def test_a_service_made_later_is_found(self):
        self.assert_errno(errno.ENOENT, os.open, self.at_a.sessions / f"late.b@{DOMAIN}", os.O_RDWR)
        self.at_b.serve("late")
        self.at_a.dial(self.at_b, "late")
        os.unlink(self.at_b.services / "late")
        self.assert_errno(errno.ENOENT, os.open, self.at_a.sessions / f"late.b@{DOMAIN}~again", os.O_RDWR)

    def test_access_across_hosts(self):
        self.at_b.serve("private")
        self.at_b.rules("access", "deny private a@*\n")
        try:
            self.assert_errno(errno.ECONNREFUSED, os.open, self.at_a.sessions / f"private.b@{DOMAIN}", os.O_RDWR)
        finally:
            self.at_b.rules("access", "")
        self.at_a.dial(self.at_b, "private")

    def test_a_name_taken_at_the_other_host(self):
        name = f"shared@{DOMAIN}"
        at_b = self.b.daemon.mount.endpoint(name)
        self.assert_errno(errno.EEXIST, os.mkdir, self.a.daemon.mount.path / name)
        self.assertIn("File exists", shell('mkdir "$E"', E=self.a.daemon.mount.path / name).err)
        os.rmdir(at_b.path)
        os.rmdir(self.a.daemon.mount.endpoint(name).path)

    def test_rmdir_of_an_endpoint_that_resides_elsewhere(self):
        # The kernel looks the name up before it asks to remove it, and what does not reside here is not there.
        self.assert_errno(errno.ENOENT, os.rmdir, self.a.daemon.mount.path / self.at_b.name)
        self.assertTrue(self.at_b.path.exists())

    def test_an_endpoint_gone_from_the_other_host(self):
        gone = self.b.daemon.mount.endpoint(f"gone@{DOMAIN}")
        gone.serve("s")
        ours = self.at_a.dial(gone, "s")
        os.rmdir(gone.path)
        self.assert_errno(errno.ENOENT, os.open, self.at_a.sessions / gone.target("s", "again"), os.O_RDWR)
        with opened(ours, os.O_RDONLY) as data:
            try:
                self.assertEqual(os.read(data, 1), b"", "nobody had accepted it: it ends")
            except ConnectionResetError:
                pass


class WithoutAnAnswer(HostsTestCase):
    def test_mkdir_when_the_name_server_is_stopped(self):
        self.world.sns.signal(signal.SIGSTOP)
        try:
            self.refused_soon()
        finally:
            self.world.sns.signal(signal.SIGCONT)
        self.works_again()

    def test_mkdir_when_the_name_server_is_cut_off(self):
        self.world.c.silence()
        try:
            self.refused_soon()
        finally:
            self.world.c.speak()
        self.works_again()

    def test_mkdir_when_the_name_server_has_ended(self):
        self.assertEqual(self.world.sns.stop(), 0)
        try:
            self.refused_soon()
        finally:
            self.world.sns.start()
            self.world.wait_for_sns()
        self.works_again()

    def refused_soon(self):
        path = self.a.daemon.mount.path / f"unanswered@{DOMAIN}"
        began = time.monotonic()
        self.assert_errno(errno.EHOSTUNREACH, os.mkdir, path)
        self.assertLess(time.monotonic() - began, ANSWER_LIMIT_S)
        self.assertIn("No route to host", shell('mkdir "$E"', E=path).err)
        self.assertFalse(path.exists())
        # Sessions need no name server.
        self.carries(*self.standing)

    def setUp(self):
        self.standing = self.session()

    def works_again(self):
        def made():
            try:
                os.mkdir(self.a.daemon.mount.path / f"answered@{DOMAIN}")
            except OSError as error:
                self.assertEqual(error.errno, errno.EHOSTUNREACH)
                return False
            return True
        wait_until(made, "mkdir works again", SOON_S)
        os.rmdir(self.a.daemon.mount.path / f"answered@{DOMAIN}")
        self.carries(*self.session())

    def test_dial_of_a_host_that_is_cut_off(self):
        self.b.silence()
        try:
            began = time.monotonic()
            with self.assertRaises(OSError) as raised:
                os.open(self.at_a.sessions / f"file.b@{DOMAIN}~cut", os.O_RDWR)
            self.assertIn(raised.exception.errno, (errno.EHOSTUNREACH, errno.ETIMEDOUT))
            self.assertLess(time.monotonic() - began, DIAL_LIMIT_S)
        finally:
            self.b.speak()
        self.assertNotIn(f"file.b@{DOMAIN}~cut", os.listdir(self.at_a.sessions))

    def test_a_blocked_dial_and_mkdir_can_be_interrupted(self):
        for number in (signal.SIGINT, signal.SIGKILL):
            self.b.daemon.signal(signal.SIGSTOP)
            try:
                dial = start(["cat", str(self.at_a.sessions / f"file.b@{DOMAIN}~stopped{number}")],
                             stderr=subprocess.DEVNULL)
                wait_blocked(dial.pid, "cat that dials")
                self.assertIn(self.at_a.name, shell_ok('ls "$M" "$M"/*/sessions', M=self.a.daemon.mountpoint,
                                                       limit_s=AT_ONCE_S), "nobody else is held up")
                dial.send_signal(number)
                dial.wait(AT_ONCE_S)
            finally:
                self.b.daemon.signal(signal.SIGCONT)
            self.world.sns.signal(signal.SIGSTOP)
            try:
                mkdir = start(["mkdir", str(self.a.daemon.mount.path / f"never{number}@{DOMAIN}")],
                              stderr=subprocess.DEVNULL)
                wait_blocked(mkdir.pid, "mkdir")
                mkdir.send_signal(number)
                mkdir.wait(AT_ONCE_S)
            finally:
                self.world.sns.signal(signal.SIGCONT)

    def test_the_name_server_comes_back_on_its_state(self):
        self.assertEqual(self.world.sns.stop(), 0)
        self.world.sns.start()
        self.world.wait_for_sns()
        self.works_again()
        self.assert_errno(errno.EEXIST, os.mkdir, self.a.daemon.mount.path / self.at_b.name)


class NotJoined(suite.TestCase):
    def test_before_and_after_joining(self):
        with World() as world:
            self.describe = world.describe
            world.start_sns()
            daemon = world.start_daemon(world.a)
            name = f"a@{DOMAIN}"
            self.assertEqual(daemon.mount.names(), [], "no endpoint before it has joined")
            self.assertIn("join", daemon.mount.status(), "status says what to do")
            self.assert_errno(errno.EACCES, os.mkdir, daemon.mount.path / f"x@{DOMAIN}")
            self.assertIn("Permission denied", shell('mkdir "$E"', E=daemon.mount.path / f"x@{DOMAIN}").err)
            with self.assertRaises(OSError):
                (daemon.mount.path / "ctl").write_text("join nonsense\n", encoding="ascii")
            token = world.token()
            with self.assertRaises(OSError):  # a secret that the name server has not given out
                changed = token[:-1] + ("a" if token[-1] != "a" else "b")
                (daemon.mount.path / "ctl").write_text(f"join {changed}\n", encoding="ascii")
            world.join(world.a)
            self.assertEqual(daemon.mount.names(), [name])
            daemon.mount.endpoint(f"x@{DOMAIN}")
            # It stays a member.
            daemon.restart()
            self.assertEqual(daemon.mount.names(), [name, f"x@{DOMAIN}"])


class SnsdProgram(suite.TestCase):
    def test_options(self):
        snsd = os.environ["SNSD_BIN"]
        for option in ("--help", "--version"):
            result = run([snsd, option])
            self.assertEqual((result.status, result.err), (0, ""))
        self.assertEqual(run([snsd]).status, 2)
        self.assertEqual(run([snsd, "--no-such-option"]).status, 2)
        bad = run([snsd, "--domain", "not a domain", "--state", temporary_folder(), "--listen", "127.0.0.1:0"])
        self.assertIn(bad.status, (1, 2))
        self.assertTrue(bad.err.strip())


if __name__ == "__main__":
    suite.main(hosts=True)
