"""/session/trace and sessionctl trace: the transitions of sessions as they happen."""

import datetime
import errno
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import Daemon  # noqa: E402
from support.keeper import remove_folder, temporary_folder  # noqa: E402
from support.local import LISTEN, LocalTestCase  # noqa: E402
from support.processes import SOON_S, kill_group, start, wait_blocked, wait_until  # noqa: E402

LINE = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<endpoint>\S+@\S+) (?P<session>\S+) "
                  r"T(?P<number>\d+):(?P<event>[a-z_]+) (?P<before>[A-Z_]+) -> (?P<after>[A-Z_]+) "
                  r"sent=(?P<sent>\d+) acked=(?P<acked>\d+) received=(?P<received>\d+) read=(?P<read>\d+)")
# As many lines of a session as fill what is kept, and more.
MORE_THAN_IS_KEPT = 16000


class Lines:
    """What comes on a descriptor, line by line."""

    def __init__(self, descriptor):
        self.descriptor, self.rest = descriptor, b""

    def next(self):
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.descriptor], [], [], SOON_S)
            assert ready, f"no line came: {self.rest}"
            part = os.read(self.descriptor, 65536)
            assert part, f"it has ended: {self.rest}"
            self.rest += part
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def until(self, endpoint, number):
        """All of an endpoint up to this transition."""
        found = []
        while not found or found[-1]["number"] != number:
            line = LINE.fullmatch(self.next())
            if line["endpoint"] == endpoint.name:
                found.append(line)
        return found


def follow(process):
    """Waits until a program has a trace open, and gives what it prints."""
    folder = f"/proc/{process.pid}/fd"

    def is_open():
        try:
            return any(os.readlink(f"{folder}/{name}").endswith("/trace") for name in os.listdir(folder))
        except FileNotFoundError:
            return False  # a descriptor that was closed meanwhile
    wait_until(is_open, f"{process.args} has a trace open", SOON_S)
    return Lines(process.stdout.fileno())


def control(test, mount, *words):
    """sessionctl trace; it goes with the test."""
    process = start([os.environ["SESSIONCTL_BIN"], "--mount", str(mount.path), "trace", *words],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    test.addCleanup(process.communicate)
    test.addCleanup(kill_group, process)
    return process


def numbers(lines):
    return [line["number"] for line in lines]


class Trace(LocalTestCase):
    def follow(self, flags=os.O_NONBLOCK):
        return Lines(self.open(self.mount.path / "trace", os.O_RDONLY | flags))

    def test_each_transition_is_a_line(self):
        trace = self.follow()
        before = datetime.datetime.now(datetime.timezone.utc)
        client, ours, server, theirs = self.pair()
        connected = trace.until(client, "21")
        self.assertEqual(numbers(connected), ["19", "21"])
        self.assertEqual(connected[-1]["session"], ours.name)
        self.assertEqual((connected[-1]["before"], connected[-1]["after"]), ("CONNECTING", "ACTIVE"))
        when = datetime.datetime.fromisoformat(connected[-1]["time"].replace("Z", "+00:00"))
        self.assertTrue(before <= when <= datetime.datetime.now(datetime.timezone.utc), when)
        descriptor = self.open(ours)
        os.write(descriptor, b"12345")
        os.fsync(descriptor)
        self.assertEqual(os.read(self.open(theirs), 3), b"123")
        client.command("suspend")
        suspended = trace.until(client, "2")[-1]
        self.assertEqual((suspended["sent"], suspended["acked"], suspended["event"]), ("5", "5", "user_suspend"))
        other = trace.until(server, "4")[-1]
        self.assertEqual((other["session"], other["received"], other["read"]), (theirs.name, "5", "3"))
        client.command("resume")
        self.assertEqual(numbers(trace.until(client, "14")), ["9", "12", "14"])

    def test_from_the_open_on(self):
        client = self.pair()[0]
        trace = self.follow()
        self.assert_errno(errno.EAGAIN, os.read, trace.descriptor, 1)
        client.command("suspend")
        self.assertEqual(numbers(trace.until(client, "2")), ["2"])

    def test_a_read_waits(self):
        client = self.pair()[0]
        reader = start(["cat", self.mount.path / "trace"], stdout=subprocess.PIPE)
        self.addCleanup(reader.communicate)
        self.addCleanup(kill_group, reader)
        lines = follow(reader)
        wait_blocked(reader.pid, "cat")
        client.command("suspend")
        lines.until(client, "2")

    def test_two_reads_of_one_descriptor(self):
        client = self.pair()[0]
        trace = self.follow(0)
        readers = [start(["dd", "bs=64K", "count=1", "status=none"], stdin=trace.descriptor, stdout=subprocess.PIPE)
                   for _ in range(2)]
        for reader in readers:
            self.addCleanup(kill_group, reader)
            wait_blocked(reader.pid, "dd")
        # The peer's side has a transition, too: a line for each of them, or for the first one both.
        client.command("suspend")
        client.command("resume")
        for reader in readers:
            self.assertRegex(reader.communicate(timeout=SOON_S)[0].decode().splitlines()[0], LINE)

    def test_poll_tells(self):
        client = self.pair()[0]
        trace = self.follow()
        self.assertEqual(select.select([trace.descriptor], [], [], 0)[0], [])
        client.command("suspend")
        self.assertEqual(select.select([trace.descriptor], [], [], SOON_S)[0], [trace.descriptor])
        trace.until(client, "2")

    def test_who_reads_too_slowly_is_told(self):
        client = self.pair()[0]
        slow = self.follow()
        commands = self.open(client.path / "ctl", os.O_WRONLY)
        for _ in range(MORE_THAN_IS_KEPT // 4):
            os.write(commands, b"suspend\nresume\n" * 2)
        self.assertRegex(slow.next(), r"^# \d+ lines are lost: they were not read in time$")
        self.assertRegex(slow.next(), LINE)

    def test_a_file_that_its_owner_reads(self):
        path = self.mount.path / "trace"
        self.assertIn("trace", os.listdir(self.mount.path))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o400)
        self.assert_errno(errno.EACCES, os.open, path, os.O_WRONLY)
        self.assert_errno(errno.EEXIST, os.mkdir, path)
        self.assert_errno(errno.ENOTDIR, os.rmdir, path)
        self.assert_errno(errno.ESPIPE, os.lseek, self.follow().descriptor, 0, os.SEEK_SET)
        # Tools that walk trees must not wait.
        self.assertEqual(os.read(self.open(path, os.O_RDONLY | os.O_NOFOLLOW), 1), b"")

    def test_sessionctl_follows_one_session_or_all(self):
        client, ours, server, theirs = self.pair()
        everything, of_session, of_server = (follow(control(self, self.mount, *words))
                                             for words in ((), (ours.name,), ("--at", server.name)))
        client.dial(server, "s", "other")
        client.command(f"suspend {ours.name}")
        self.assertEqual(LINE.fullmatch(of_session.next())["number"], "2")
        self.assertEqual(of_server.until(server, "4")[-1]["session"], theirs.name)
        everything.until(client, "2")

    def test_sessionctl_ends_when_it_is_asked_to(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = control(self, self.mount)
            follow(process)
            process.send_signal(number)
            self.assertEqual(process.communicate(timeout=SOON_S), (b"", b""))
            self.assertEqual(process.returncode, 0)

    def test_sessionctl_ends_with_its_reader(self):
        process = control(self, self.mount)
        follow(process)
        process.stdout.close()
        self.assertEqual(process.wait(SOON_S), 0)


class Restart(suite.TestCase):
    def setUp(self):
        folder = temporary_folder()
        self.addCleanup(remove_folder, folder)
        self.daemon = Daemon(folder, listen=LISTEN)
        self.addCleanup(self.daemon.stop)
        self.daemon.start()

    def test_one_without_a_transition_says_so(self):
        client, server = (self.daemon.mount.endpoint(name) for name in ("client@local", "server@local"))
        server.serve("s")
        client.dial(server, "s")
        server.accept("s")
        for endpoint, last in ((client, "T2:user_suspend"), (server, "T5:user_suspend")):
            endpoint.command("suspend")
            self.assertRegex(endpoint.status(), rf"(?m)^session: .* last={last}$")
        self.daemon.restart()
        self.assertRegex(client.status(), r"(?m)^session: .* SUSPENDED .* last=-$")

    def test_sessionctl_goes_on_after_a_restart(self):
        daemon = self.daemon
        client, server = daemon.mount.endpoint("client@local"), daemon.mount.endpoint("server@local")
        server.serve("s")
        process = control(self, daemon.mount)
        lines = follow(process)
        for end in (daemon.stop, daemon.kill):
            end()
            told = process.stderr.readline()
            self.assertIn(b"the daemon has ended; waiting until it is there again", told)
            daemon.start()
            follow(process)
            client.dial(server, "s", end.__name__)
            lines.until(client, "21")


if __name__ == "__main__":
    suite.main()
