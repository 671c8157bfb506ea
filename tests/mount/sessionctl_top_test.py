"""`sessionctl top` on a terminal: what is seen, what its keys do, and how it leaves the terminal."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import sys
import termios
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.append("/usr/lib/python3/dist-packages")  # where Debian has pyte, for whichever python3 this is
from support import suite  # noqa: E402
from support.daemon import opened, read_exactly, state_word, write_all  # noqa: E402
from support.keeper import keeper, unmount  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import AT_ONCE_S, SOON_S, kill_group, run, start, wait_until  # noqa: E402

try:
    import pyte
except ImportError:
    pyte = None

# Makes standard input its terminal, then becomes the program.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
SMALL, LARGE = (80, 24), (200, 60)
DOWN, UP = "\x1b[B", "\x1b[A"  # as TERM=linux has them
KEYS = "s suspend  r resume  f finish  a abort  p pause  h help  q quit"


class Top:
    """The program on a terminal of its own."""

    def __init__(self, mount, size=SMALL, options=(), **environment):
        self.terminal, self.slave = os.openpty()
        self.screen = pyte.Screen(*size)
        self.stream = pyte.ByteStream(self.screen)
        self.set_size(size)
        self.was = termios.tcgetattr(self.slave)
        self.said = b""
        self.process = start([sys.executable, "-c", TAKE_TERMINAL, os.environ["SESSIONCTL_BIN"], "--mount", str(mount),
                              "top", *options], stdin=self.slave, stdout=self.slave, stderr=self.slave,
                             env={**os.environ, "TERM": "linux", "LC_ALL": "C.UTF-8", **environment})

    def set_size(self, size):
        self.screen.resize(size[1], size[0])
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def read(self):
        while select.select([self.terminal], [], [], 0)[0]:
            data = os.read(self.terminal, 65536)
            self.said += data
            self.stream.feed(data)

    def lines(self):
        self.read()
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        return "\n".join(self.lines())

    def wait_for(self, words, limit_s=SOON_S):
        """Until `words` are seen; gives the lines."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: words in self.text(), words, limit_s)
        if words not in self.text():
            raise AssertionError(f"{words!r} is not on the screen:\n{self.text()}")
        return self.lines()

    def row(self, session):
        """Its cells; empty while it is not seen, or only a part of it."""
        found = [line.split() for line in self.lines() if line.startswith(session + " ")]
        return found[0] if found else []

    def wait_without(self, words):
        wait_until(lambda: words not in self.text(), f"without {words!r}:\n{self.text()}", SOON_S)

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def select(self, session):
        """Goes there by the arrow."""
        self.type("g")
        for _ in range(100):
            with contextlib.suppress(AssertionError):
                return self.wait_for(f"── {session} of ", 1)
            self.type(DOWN)
        raise AssertionError(f"{session} cannot be selected:\n{self.text()}")

    def end(self):
        """The exit status, once it has ended."""
        status = self.process.wait(SOON_S)
        self.read()
        return status

    def close(self):
        kill_group(self.process)
        self.process.wait(AT_ONCE_S)
        os.close(self.terminal)
        os.close(self.slave)


class TopTest(LocalTestCase):
    def setUp(self):
        for name in self.mount.names():
            with contextlib.suppress(OSError):
                os.rmdir(self.mount.path / name)  # those of the tests before, which are not to be seen

    def top(self, *arguments, **environment):
        top = Top(self.mount.path, *arguments, **environment)
        self.addCleanup(top.close)
        return top

    def assert_ended(self, top, status=0):
        self.assertEqual(top.end(), status, top.text())
        self.assertEqual(termios.tcgetattr(top.slave), top.was)
        self.assertIn(b"\x1b[?25h", top.said.rpartition(b"\x1b[?25l")[2], "the cursor is seen again")

    def test_sessions_at_80_by_24(self):
        client, ours, server, theirs = self.pair("file")
        with opened(ours, os.O_WRONLY) as out:
            write_all(out, bytes(3000))
            os.fsync(out)
        top = self.top()
        lines = top.wait_for("2.9K")
        self.assertTrue(lines[0].startswith(f"sessionfs {self.mount.path}"), lines[0])
        self.assertRegex(lines[1], r"^3 endpoints, 2 sessions: 2 active +every 1 s$")
        self.assertEqual(lines[4].split(), "SESSION STATE IN/s OUT/s HELD WAITING IFACE LAST EVENT".split())
        seen = [theirs.name, "active", "0", "0", "0", "2.9K", "lo"]
        wait_until(lambda: top.row(theirs.name)[:7] == seen, f"{seen}, not:\n{top.text()}", SOON_S)
        lines = top.lines()
        self.assertTrue(lines[-1].endswith(KEYS), lines[-1])
        self.assertTrue(all(len(line) <= 80 for line in lines))
        lines = top.select(theirs.name)
        self.assertIn(f"── {theirs.name} of {server.name} ──", "\n".join(lines))
        self.assertIn("received 2.9 KiB, read here 0 B", "\n".join(lines))
        top.type("q")
        self.assert_ended(top)

    def test_bytes_that_flow_and_stop(self):
        client, ours, server, theirs = self.pair()
        top = self.top(SMALL, ["--interval", "0.2"])
        top.wait_for("in 0 B/s   out 0 B/s")
        with opened(ours, os.O_WRONLY) as out, opened(theirs, os.O_RDONLY) as source:
            def flows():
                write_all(out, bytes(100000))
                self.assertEqual(len(read_exactly(source, 100000)), 100000)
                return top.row(ours.name)[3:4] > ["0"] and top.row(theirs.name)[2:3] > ["0"]
            wait_until(flows, "bytes are seen to flow out here and in there", SOON_S)
        top.wait_for("in 0 B/s   out 0 B/s")

    def test_keys_act_on_the_selected_session(self):
        client, ours, server, theirs = self.pair()
        second = client.dial(server, "s", "second")
        server.accept("s")
        top = self.top()
        top.wait_for(second.name)
        top.select(ours.name)
        top.type("s")
        top.wait_for(f"{ours.name}: suspended")
        self.assertEqual((state_word(ours), state_word(second)), ("suspended", "active"))
        top.wait_for("1 suspended")
        top.type("r")
        top.wait_for(f"{ours.name}: resumed")
        wait_until(lambda: state_word(ours) == "active", "it goes on", SOON_S)
        top.type("f")
        top.wait_for(f"{ours.name}: finished")
        with opened(theirs, os.O_RDONLY) as source:
            self.assertEqual(os.read(source, 10), b"", "the end of what was written")
        top.select(second.name)
        top.type("a")
        top.wait_for(f"abort {second.name}, without delivery? y/n")
        top.type("n")
        top.wait_for(KEYS)
        self.assertEqual(state_word(second), "active")
        top.type("ay")
        top.wait_for(f"{second.name}: aborted")
        self.assertNotIn(second.name, os.listdir(client.sessions))

    def test_arrows_help_and_pause(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        names = [client.dial(server, "s", f"n{i}").name for i in range(3)]
        top = self.top(SMALL, ["--interval", "0.2"])
        top.wait_for(f"── {names[0]} of ")
        top.type(DOWN + DOWN)
        top.wait_for(f"── {names[2]} of ")
        top.type(UP)
        top.wait_for(f"── {names[1]} of ")
        top.type("h")
        top.wait_for("bytes of the peer that nobody has read here yet")
        top.type("?")
        top.wait_for(f"── {names[1]} of ")
        top.type("p")
        top.wait_for("PAUSED")
        os.unlink(client.sessions / names[0])
        top.type("g")
        top.wait_for(f"── {names[0]} of ")
        top.type("p")
        top.wait_without("PAUSED")
        wait_until(lambda: names[0] not in top.text(), "it is looked again", SOON_S)

    def test_resize(self):
        client, ours, server, theirs = self.pair()
        top = self.top()
        top.wait_for(ours.name)
        for size in (LARGE, (120, 30), (50, 12), (20, 4), (1, 1), LARGE, SMALL):
            top.set_size(size)
            if size[0] >= 20:
                top.wait_for("SESSION")
            if size[0] >= 80:
                wait_until(lambda size=size: top.lines()[-1].endswith(KEYS), f"the last line at {size}:\n{top.text()}")
                wait_until(lambda: sum(KEYS in line for line in top.lines()) == 1, f"nothing of before:\n{top.text()}")
            if size == LARGE:
                for heading in ("ENDPOINT", "SINCE", "RECEIVED", "SENT", "LOCAL", "REMOTE"):
                    top.wait_for(heading)
                wait_until(lambda: top.row(ours.name)[1:2] == [client.name], f"the row:\n{top.text()}", SOON_S)
        top.type("q")
        self.assert_ended(top)

    def test_a_daemon_that_ends_and_comes_back(self):
        client, ours, server, theirs = self.pair()
        top = self.top(SMALL, ["--interval", "0.2"])
        top.wait_for(ours.name)
        self.daemon.signal(signal.SIGSTOP)
        try:
            top.wait_for("waiting for the daemon: it does not answer")
            top.type("h")
            top.wait_for("bytes of the peer that nobody has read here yet")
            top.type("h")
        finally:
            self.daemon.signal(signal.SIGCONT)
        top.wait_without("waiting for the daemon")
        self.daemon.process.kill()
        top.wait_for("waiting for the daemon: ")
        self.assertIn(ours.name, top.text(), "what was seen last")
        self.daemon.process.wait(AT_ONCE_S)
        unmount(str(self.mount.path))
        self.daemon.start()
        top.wait_without("waiting for the daemon")
        top.wait_for("2 sessions: 2 active")
        top.type("q")
        self.assert_ended(top)

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(signal=number):
                top = self.top()
                top.wait_for(KEYS)
                self.assertNotEqual(termios.tcgetattr(top.slave), top.was)
                top.process.send_signal(number)
                self.assert_ended(top)
        top = self.top()
        top.wait_for(KEYS)
        top.type("\x03")
        self.assert_ended(top)

    def test_a_terminal_without_colours(self):
        _, ours, *_ = self.pair()

        def colours(top):
            top.wait_for(ours.name)
            return {cell.fg for row in top.screen.buffer.values() for cell in row.values()}
        self.assertIn("green", colours(self.top()))
        self.assertEqual(colours(self.top(SMALL, (), TERM="vt100", LC_ALL="C")), {"default"})
        self.assertEqual(colours(self.top(SMALL, (), NO_COLOR="1")), {"default"})

    def test_what_is_no_terminal(self):
        result = run([os.environ["SESSIONCTL_BIN"], "--mount", str(self.mount.path), "top"])
        self.assertEqual((result.status, result.out), (1, ""))
        why = "top needs a terminal; for programs there is: sessionctl status --json"
        self.assertEqual(result.err, f"sessionctl: {why}\n")
        for kind in ("dumb", "no-such-terminal", ""):
            top = self.top(SMALL, (), TERM=kind)
            self.assertEqual(top.end(), 1)
            self.assertIn(f"top cannot be shown on a terminal of the type '{kind}'", "".join(top.lines()))
            self.assertEqual(termios.tcgetattr(top.slave), top.was)

    def test_intervals(self):
        for seconds in ("0", "-1", "0.01", "x", "1e9"):
            result = run([os.environ["SESSIONCTL_BIN"], "--mount", str(self.mount.path), "top", "--interval", seconds])
            self.assertEqual((result.status, result.out), (2, ""), result)
        top = self.top(SMALL, ["--interval", "2.5"])
        top.wait_for("every 2.5 s")


def why_not():
    return None if pyte else "python3-pyte is not installed"


if __name__ == "__main__":
    suite.main(also=why_not)
