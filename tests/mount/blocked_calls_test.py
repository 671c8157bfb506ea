"""Calls that wait can always be interrupted, and the mount can always go."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import Daemon, attribute, opened  # noqa: E402
from support.keeper import remove_folder, temporary_folder  # noqa: E402
from support.local import LISTEN, LocalTestCase  # noqa: E402
from support.processes import (AT_ONCE_S, raw_read, run, shell_ok, start, start_shell, wait_blocked,  # noqa: E402
                               wait_until)

WRITE_FOR_EVER = 'exec cat /dev/zero > "$F"'


class Interrupted(LocalTestCase):
    def blocked(self, command, what):
        process = start(command, stdout=subprocess.DEVNULL)
        wait_blocked(process.pid, what)
        return process

    def ended_by(self, process, number):
        process.send_signal(number)
        self.assertEqual(process.wait(AT_ONCE_S), -number)
        self.assertIn("sessions", self.mount.status(), "the daemon goes on")

    def test_ctrl_c_and_kill_of_cat_of_a_service(self):
        server = self.endpoint("server")
        file = server.serve("s")
        for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
            self.ended_by(self.blocked(["cat", str(file)], "cat of a service"), number)

    def test_ctrl_c_and_kill_of_cat_of_a_session(self):
        _, ours, _, theirs = self.pair()
        for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
            self.ended_by(self.blocked(["cat", str(theirs)], "cat of a session"), number)
        shell_ok('echo whole > "$F"', F=ours)
        self.assertEqual(shell_ok('head -n 1 "$F"', F=theirs), "whole\n", "no byte went to a reader that was gone")

    def test_ctrl_c_and_kill_of_a_blocked_writer(self):
        for number in (signal.SIGINT, signal.SIGKILL):
            _, ours, _, theirs = self.pair()
            writer = start_shell(WRITE_FOR_EVER, F=ours)
            wait_blocked(writer.pid, "a writer whose peer does not read")
            self.ended_by(writer, number)
            shell_ok('rm "$F"', F=ours)
            self.assertEqual(shell_ok('cat "$F" | tr -d "\\0" | wc -c', F=theirs).strip(), "0", "only zeros arrive")

    def test_two_writers_can_be_killed(self):
        # The kernel lets one of them write; the other one waits for it, and cannot be killed before it.
        _, ours, _, _ = self.pair()
        writers = [start_shell(WRITE_FOR_EVER, F=ours) for _ in range(2)]
        wait_until(lambda: attribute(ours, "sent") != "0", "something is written")
        for writer in writers:
            writer.kill()
        for writer in writers:
            writer.wait(AT_ONCE_S)

    def test_a_reader_and_a_writer_on_one_descriptor(self):
        # A reader that waits must not hold up a writer that shares its open file.
        _, ours, _, theirs = self.pair()
        descriptor = self.open(ours, os.O_RDWR)
        reader = start(["head", "-c", "5"], stdin=descriptor, stdout=subprocess.PIPE)
        wait_blocked(reader.pid, "the reader")
        os.write(descriptor, b"question\n")
        self.assertEqual(shell_ok('head -n 1 "$F"', F=theirs), "question\n")
        shell_ok('printf reply > "$F"', F=theirs)
        self.assertEqual(reader.communicate(timeout=AT_ONCE_S)[0], b"reply")

    def test_a_blocked_fsync_can_be_interrupted(self):
        client, ours, _, _ = self.pair()
        client.command("suspend")
        shell_ok('echo held > "$F"', F=ours)
        for number in (signal.SIGINT, signal.SIGKILL):
            self.ended_by(self.blocked(["sync", str(ours)], "fsync of a suspended session"), number)
        client.command("resume")
        run(["sync", str(ours)])

    def test_a_signal_gives_eintr_and_takes_nothing(self):
        _, ours, _, theirs = self.pair()
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        with opened(theirs, os.O_RDONLY) as descriptor:
            sender = start_shell("for i in $(seq 100); do sleep 0.1; kill -USR1 $P || exit 0; done", P=os.getpid())
            data, number = raw_read(descriptor, 100)
            os.killpg(sender.pid, signal.SIGKILL)
            sender.communicate()
            self.assertEqual((data, number), (None, errno.EINTR))
            shell_ok('echo whole > "$F"', F=ours)
            self.assertEqual(os.read(descriptor, 100), b"whole\n")

    def test_readers_that_come_and_go_leave_the_stream_whole(self):
        _, ours, _, theirs = self.pair()
        whole = "".join(f"{number}\n" for number in range(2000)).encode()
        got = b""
        for part in range(0, len(whole), 1000):
            # A reader waits before the bytes are there and is killed; the next one gets them.
            waiter = self.blocked(["cat", str(theirs)], "cat of a session")
            waiter.kill()
            waiter.wait(AT_ONCE_S)  # until then it may still take what comes, as from a pipe
            shell_ok('printf "%s" "$T" > "$F"', F=ours, T=whole[part:part + 1000].decode())
            for size in (1, 37, min(1000, len(whole) - part) - 38):
                got += shell_ok('head -c "$N" "$F"', N=size, F=theirs).encode()
        self.assertEqual(got, whole)

    def test_others_go_on_while_calls_wait(self):
        _, ours, server, theirs = self.pair()
        waiting = [self.blocked(["cat", str(file)], "cat") for file in (ours, theirs, server.services / "s")]
        self.assertEqual(shell_ok('ls "$E/sessions"', limit_s=AT_ONCE_S, E=server), theirs.name + "\n")
        self.endpoint("other").serve("s")
        for process in waiting:
            self.ended_by(process, signal.SIGKILL)


class Unmounted(suite.TestCase):
    """Each test has a daemon of its own, that ends."""

    def setUp(self):
        folder = temporary_folder()
        self.addCleanup(remove_folder, folder)
        self.daemon = Daemon(folder, listen=LISTEN)
        self.addCleanup(self.daemon.stop)
        self.daemon.start()
        self.mountpoint = str(self.daemon.mountpoint)
        self.server = self.daemon.mount.endpoint("server@local")
        self.client = self.daemon.mount.endpoint("client@local")
        self.service = self.server.serve("s")
        self.ours = self.client.dial(self.server, "s")
        self.theirs = self.server.accept("s")

    def describe(self):
        return self.daemon.describe()

    def blocked_calls(self):
        """One waiting process of each kind."""
        waiting = [start(["cat", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                   for file in (self.service, self.ours)]
        waiting.append(start_shell(WRITE_FOR_EVER, F=self.ours))
        for process in waiting:
            wait_blocked(process.pid, str(process.args))
        return waiting

    def all_end(self, processes):
        for process in processes:
            process.communicate(timeout=AT_ONCE_S)

    def test_fusermount_of_an_idle_mount(self):
        self.assertEqual(run(["fusermount3", "-u", self.mountpoint]).status, 0)
        self.assertEqual(self.daemon.process.wait(AT_ONCE_S), 0, self.daemon.tail())
        self.assertFalse(self.daemon.mounted())

    def test_fusermount_is_busy_while_files_are_open(self):
        with opened(self.ours, os.O_RDWR):
            refused = run(["fusermount3", "-u", self.mountpoint])
            self.assertNotEqual(refused.status, 0)
            self.assertIn("busy", refused.err)
            self.assertTrue(self.daemon.mounted())
            self.assertIn("sessions", self.daemon.mount.status(), "it goes on")
        self.assertEqual(run(["fusermount3", "-u", self.mountpoint]).status, 0)
        self.assertEqual(self.daemon.process.wait(AT_ONCE_S), 0)

    def test_lazy_unmount_with_open_files_and_blocked_calls(self):
        waiting = self.blocked_calls()
        self.assertEqual(run(["fusermount3", "-uz", self.mountpoint]).status, 0)
        self.assertFalse(self.daemon.mounted())
        self.daemon.signal(signal.SIGTERM)
        self.assertEqual(self.daemon.process.wait(AT_ONCE_S), 0)
        self.all_end(waiting)

    def test_sigterm_with_blocked_calls(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                if not self.daemon.running():
                    self.daemon.start()
                waiting = self.blocked_calls()
                self.daemon.signal(number)
                self.assertEqual(self.daemon.process.wait(AT_ONCE_S), 0, self.daemon.tail())
                self.assertFalse(self.daemon.mounted(), "the mount is gone")
                self.all_end(waiting)

    def test_sigterm_with_open_files(self):
        descriptor = os.open(self.ours, os.O_RDWR)
        self.daemon.signal(signal.SIGTERM)
        self.assertEqual(self.daemon.process.wait(AT_ONCE_S), 0, self.daemon.tail())
        self.assertFalse(self.daemon.mounted())
        with self.assertRaises(OSError):
            os.read(descriptor, 1)
        with contextlib.suppress(OSError):
            os.close(descriptor)

    def test_a_killed_daemon_leaves_no_caller_hanging(self):
        waiting = self.blocked_calls()
        self.daemon.process.kill()
        self.daemon.process.wait(AT_ONCE_S)
        self.all_end(waiting)
        self.daemon.kill()  # takes the dead mount away
        self.daemon.start()
        self.assertTrue(self.theirs.exists())


if __name__ == "__main__":
    suite.main()
