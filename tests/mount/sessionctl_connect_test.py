"""sessionctl connect at its edges: how it ends, what its standard input and output are, what others do to its session."""

import fcntl
import hashlib
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mount.streamscase import MIB, StreamsTestCase  # noqa: E402
from support import suite  # noqa: E402
from support.keeper import state_of  # noqa: E402
from support.processes import SOON_S, shell, wait_until  # noqa: E402

BIG = 256 * MIB
# More than both sides hold of a stream that nobody reads.
FILLS_ALL = 4 * MIB


class Ends(StreamsTestCase):
    """How it ends."""

    def test_by_a_signal(self):
        self.serve("cat")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                connected = self.connect()
                self.echoes(connected, b"x")
                self.assertEqual(self.stopped(connected, -number, number)[1], "")
                self.gone(self.client)
                self.gone(self.server)

    def test_nobody_reads_its_output(self):
        serving = self.serve("yes")
        connected = self.connect()
        self.assertEqual(connected.stdout.read(2), b"y\n")
        connected.stdout.close()
        self.assertEqual(connected.wait(SOON_S), -signal.SIGPIPE)
        self.assertEqual(connected.stderr.read(), b"")
        self.gone(self.client)
        self.gone(self.server)
        self.assertIn("the session was lost for good", self.stopped(serving)[1])

    def test_nobody_reads_its_output_and_all_was_said(self):
        got = Path(self.scratch("got"))
        self.serve("sh", "-c", f'cat > "{got}"; echo all there >> "{got}"; yes')
        connected = self.connect(stdin=subprocess.DEVNULL)
        self.assertEqual(connected.stdout.read(2), b"y\n")
        connected.stdout.close()
        self.assertEqual(connected.wait(SOON_S), -signal.SIGPIPE)
        self.gone(self.client)
        self.gone(self.server)
        self.assertEqual(got.read_bytes(), b"all there\n")

    def test_a_peer_that_ends_at_once(self):
        self.serve("true")
        for _ in range(5):
            connected = self.connect()
            self.assertEqual(connected.wait(SOON_S), 0)
            self.assertEqual(self.ended(connected), (b"", ""))
        self.gone(self.client)
        self.gone(self.server)


class InputAndOutput(StreamsTestCase):
    def shell_connects(self, redirection, status, given=b""):
        script = f'"$0" --mount "$1" connect "$2" --from "$3" {redirection}'
        words = ["bash", "-c", script, os.environ["SESSIONCTL_BIN"], str(self.mount.path), self.target, self.client.name]
        return self.ended(self.program(words, stdin=subprocess.PIPE), status, given)

    def test_from_a_file(self):
        self.serve("cat")
        content, copy = Path(self.scratch("content")), Path(self.scratch("copy"))
        content.write_bytes(os.urandom(3 * MIB))
        self.shell_connects(f'< "{content}" > "{copy}"', 0)
        self.assertTrue(copy.read_bytes() == content.read_bytes())
        self.assertEqual(self.shell_connects("< /dev/null", 0), (b"", ""))

    def test_a_file_goes_on_where_it_is(self):
        self.serve("cat")
        content, copy = Path(self.scratch("content")), Path(self.scratch("copy"))
        content.write_bytes(b"first\nsecond\n")
        copy.write_bytes(b"before\n")
        words = " ".join(f'"{word}"' for word in self.control_words("connect", self.target, "--from", self.client.name))
        result = shell(f'{{ read -r line; echo "$line"; {words}; }} < "{content}" >> "{copy}"')
        self.assertEqual((result.status, result.err), (0, ""))
        self.assertEqual(copy.read_bytes(), b"before\nfirst\nsecond\n")

    def test_closed_ones(self):
        self.serve("cat")
        self.assertRegex(self.shell_connects("<&-", 1)[1], "^sessionctl: .*: input: Bad file descriptor\n$")
        self.assertRegex(self.shell_connects(">&-", 1, b"x")[1], "^sessionctl: .*: output: Bad file descriptor\n$")
        self.assertEqual(self.shell_connects("2>&-", 0, b"only this"), (b"only this", ""))
        self.gone(self.client)
        self.gone(self.server)

    def test_a_full_output_holds_up_no_input(self):
        got = Path(self.scratch("got"))
        self.serve("sh", "-c", f'head -c {FILLS_ALL} /dev/zero & wc -c > "{got}"; wait')
        connected = self.connect()
        self.say(connected, b"x" * FILLS_ALL)
        connected.stdin.close()
        wait_until(lambda: got.exists() and got.read_bytes() == b"%d\n" % FILLS_ALL, "all has come", SOON_S)
        self.assertEqual(connected.stdout.read(), bytes(FILLS_ALL))
        self.assertEqual(connected.wait(SOON_S), 0)
        connected.stdin = None
        self.ended(connected)

    def test_a_full_session_holds_up_no_output(self):
        go = Path(self.scratch("go"))
        self.serve("sh", "-c", f'head -c {FILLS_ALL} /dev/zero; until [ -e "{go}" ]; do sleep 0.02; done; wc -c')
        connected = self.connect()
        feeding = threading.Thread(target=lambda: (self.say(connected, b"x" * FILLS_ALL), connected.stdin.close()))
        feeding.start()
        self.assertEqual(connected.stdout.read(FILLS_ALL), bytes(FILLS_ALL))
        go.touch()
        self.assertEqual(connected.stdout.read(), b"%d\n" % FILLS_ALL)
        feeding.join()
        self.assertEqual(connected.wait(SOON_S), 0)
        connected.stdin = None
        self.ended(connected)

    def test_much_in_both_directions(self):
        self.serve("cat")
        content, copy = Path(self.scratch("content")), Path(self.scratch("copy"))
        with open(content, "wb") as big:
            for _ in range(BIG // MIB):
                big.write(os.urandom(MIB))
        began = time.monotonic()
        self.shell_connects(f'< "{content}" > "{copy}"', 0)
        connect_s = time.monotonic() - began
        self.assertEqual(digest_of(copy), digest_of(content))
        print(f"\n{BIG // MIB} MiB there and back in {connect_s:.2f} s, by cat alone in {self.by_cat(content, copy):.2f} s")

    def by_cat(self, content, copy):
        """How long it takes, in s, without connect and serve."""
        self.server.serve("plain")
        ours = self.client.dial(self.server, "plain")
        theirs = self.server.accept("plain")
        began = time.monotonic()
        result = shell('finish() { echo "finish ${1##*/}" > "${1%/*}/../ctl"; }\n'
                       '{ cat "$THEIRS" | cat > "$THEIRS"; finish "$THEIRS"; } &\n'
                       '{ cat "$CONTENT" > "$OURS"; finish "$OURS"; } &\n'
                       'cat "$OURS" > "$COPY"; wait', OURS=ours, THEIRS=theirs, CONTENT=content, COPY=copy)
        took_s = time.monotonic() - began
        self.assertEqual((result.status, result.err), (0, ""))
        self.assertEqual(digest_of(copy), digest_of(content))
        return took_s


    def test_a_socket_that_is_closed_after_the_last_word(self):
        """As ssh does; what it has said is not cut."""
        got = Path(self.scratch("got"))
        self.serve("sh", "-c", f'cat > "{got}"')
        ours, its = socket.socketpair()
        with ours, its:
            connected = self.connect(stdin=its, stdout=its)
            its.close()
            ours.sendall(b"x" * FILLS_ALL)
            ours.close()
            self.assertEqual(connected.wait(SOON_S), 0)
        wait_until(lambda: got.exists() and got.stat().st_size == FILLS_ALL, "all has come", SOON_S)
        self.gone(self.client)


class Terminal(StreamsTestCase):
    def setUp(self):
        super().setUp()
        self.master, slave = pty.openpty()
        self.slave = open(slave, "r+b", buffering=0)
        self.addCleanup(lambda: os.close(self.master))
        self.addCleanup(self.slave.close)

    def said(self, until):
        text = b""
        while until not in text:
            text += os.read(self.master, 4096)
        return text

    def test_it_stays_as_it_is(self):
        self.serve("tr", "a-z", "A-Z")
        connected = self.program(self.control_words("connect", self.target, "--from", self.client.name),
                                 stdin=self.slave, stdout=self.slave, stderr=self.slave)
        os.write(self.master, b"typed\n")
        self.the_session(self.client)
        wait_until(lambda: b"read=6" in self.server.status().encode(), "the line is there", SOON_S)
        self.assertEqual(fcntl.fcntl(self.slave, fcntl.F_GETFL) & os.O_NONBLOCK, 0, "others find it as it was")
        os.write(self.master, b"\x04")  # the end of the input
        self.said(b"TYPED")
        self.assertEqual(connected.wait(SOON_S), 0)

    def test_in_the_background_it_is_stopped(self):
        self.serve("cat")
        words = " ".join(f'"{word}"' for word in self.control_words("connect", self.target, "--from", self.client.name))
        job = f"set -m; {words} & echo $!; exec sleep 1000"
        shell_of_user = self.program([sys.executable, "-c", "import fcntl, os, sys, termios\n"
                                      "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\nos.execvp('bash', ['bash', '-c', sys.argv[1]])",
                                      job], stdin=self.slave)
        job_pid = int(shell_of_user.stdout.readline())
        self.addCleanup(os.kill, job_pid, signal.SIGKILL)
        wait_until(lambda: state_of(job_pid) == "T", "it is stopped as it wants to read the terminal")


    def test_it_goes_away(self):
        self.serve("cat")
        connected = self.program(self.control_words("connect", self.target, "--from", self.client.name),
                                 stdin=self.slave, stdout=self.slave, stderr=self.slave)
        self.the_session(self.client)
        self.slave.close()
        os.close(self.master)
        self.master = os.open("/dev/null", os.O_RDONLY)
        self.assertEqual(connected.wait(SOON_S), 0)
        self.gone(self.client)
        self.gone(self.server)


class Others(StreamsTestCase):
    """What others do to the session, its endpoint and the daemon."""

    def connected(self):
        self.serve("cat")
        connected = self.connect()
        self.echoes(connected, b"x")
        return connected

    def test_close_it(self):
        for close in (lambda file: os.unlink(file), lambda file: self.client.command(f"abort {file.name}")):
            connected = self.connected()
            close(self.the_session(self.client))
            self.assertEqual(connected.wait(SOON_S), 1)
            self.assertRegex(self.ended(connected, 1)[1], "^sessionctl: .*: was closed here by somebody else\n$")
            self.gone(self.server)

    def test_not_all_has_arrived(self):
        self.server.serve("s")
        connected = self.connect()
        feeding = threading.Thread(target=lambda: self.say_what_goes(connected))
        feeding.start()
        theirs = self.server.accept("s")
        wait_until(lambda: int(os.getxattr(theirs, "user.session.received")) >= MIB, "the peer's side is full", SOON_S)
        ours = self.the_session(self.client)
        sent = wait_until(lambda: still(lambda: int(os.getxattr(ours, "user.session.sent"))), "our side is full", SOON_S)
        self.server.command(f"abort {theirs.name}")
        self.assertEqual(connected.wait(SOON_S), 1)
        feeding.join()
        self.assertRegex(connected.stderr.read().decode(),
                         f"^sessionctl: .*: the session was lost for good; of the {sent} bytes that were written "
                         r"\d+ may not have arrived\n$")
        self.gone(self.client)

    def say_what_goes(self, process):
        try:
            self.say(process, bytes(FILLS_ALL))
        except BrokenPipeError:
            pass

    def test_its_name_is_gone_with_a_killed_daemon(self):
        connected = self.connected()
        name = self.the_session(self.client).name
        connected.send_signal(signal.SIGSTOP)
        self.daemon.kill()
        self.daemon.start()
        os.unlink(self.client.sessions / name)
        connected.send_signal(signal.SIGCONT)
        self.assertEqual(connected.wait(SOON_S), 1)
        _, errors = self.ended(connected, 1)
        self.assertRegex(errors, "^sessionctl: .*: is gone since the daemon was started again\n$")


def still(value, for_s=0.5):
    """A value that has not changed for a while."""
    before = value()
    time.sleep(for_s)
    return before if value() == before else None


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    suite.main()
