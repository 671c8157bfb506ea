"""sessionctl connect and serve: other programs' bytes in sessions."""

import hashlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mount.streamscase import MIB, SIZE, StreamsTestCase  # noqa: E402
from support import suite  # noqa: E402
from support.processes import SOON_S, shell, wait_until  # noqa: E402


class Streams(StreamsTestCase):
    def test_echo(self):
        serving = self.serve("cat")
        self.assertEqual(self.ended(self.connect(), given=b"hello\n")[0], b"hello\n")
        self.gone(self.client)
        self.gone(self.server)
        self.assertEqual(self.stopped(serving), (b"", ""))
        self.assertFalse((self.server.services / "s").exists())

    def test_much_in_both_directions(self):
        self.serve("cat")
        data = os.urandom(SIZE)
        out, errors = self.ended(self.connect(), given=data)
        self.assertEqual((hashlib.sha256(out).digest(), errors), (hashlib.sha256(data).digest(), ""))

    def test_what_the_command_is_told(self):
        self.serve("sh", "-c", 'echo "$SESSION_PEER $SESSION_SERVICE $SESSION_NAME $SESSIONFS_MOUNT"')
        out, _ = self.ended(self.connect(), given=b"")
        self.assertEqual(out.decode(), f"{self.client.name} s s~{self.client.name}~1 {self.mount.path}\n")

    def test_the_server_ends_first(self):
        self.serve("sh", "-c", "echo done")
        connected = self.connect()  # its input stays open
        self.assertEqual(connected.stdout.read(), b"done\n")
        self.assertEqual(connected.wait(SOON_S), 0)
        connected.communicate()
        self.gone(self.client)

    def test_a_command_that_does_not_read_to_the_end(self):
        self.serve("sh", "-c", "head -c 5; sleep 0.2; echo; echo said")
        out, _ = self.ended(self.connect(), given=b"x" * (8 * MIB))
        self.assertEqual(out, b"xxxxx\nsaid\n")

    def test_the_client_ends_its_input_first(self):
        self.serve("sh", "-c", "cat > /dev/null; echo got all")
        self.assertEqual(self.ended(self.connect(), given=b"x" * MIB)[0], b"got all\n")

    def test_a_command_that_fails(self):
        serving = self.serve("sh", "-c", "echo out; exit 7")
        self.assertEqual(self.ended(self.connect(), given=b"")[0], b"out\n")
        self.gone(self.server)
        self.assertRegex(self.stopped(serving)[1], f"^sessionctl: {self.server.name}: s~.*: sh has ended with status 7\n$")

    def test_a_command_that_is_none(self):
        serving = self.serve("/no/such/program")
        _, errors = self.ended(self.connect(), 1, given=b"")
        self.assertRegex(errors, "^sessionctl: .*: the session was lost for good\n$")
        self.assertRegex(self.stopped(serving)[1],
                         f"^sessionctl: {self.server.name}: s~.*: /no/such/program: cannot be started: No such file or "
                         "directory\n$")

    def test_what_cannot_be_dialled(self):
        for service, words in ((f"nothing.{self.server.name}", "there is no such endpoint or service"),
                               ("noat", "there is no such endpoint or service")):
            with self.subTest(service=service):
                _, errors = self.ended(self.connect(service), 1, given=b"")
                self.assertRegex(errors, f"^sessionctl: .*: {words}\n$")

    def test_many_at_once_and_a_limit(self):
        serving = self.serve("cat", options=("--limit", "3"))
        first = [self.connect() for _ in range(3)]
        for number, client in enumerate(first):
            client.stdin.write(f"{number}\n".encode())
            client.stdin.flush()
            self.assertEqual(client.stdout.readline(), f"{number}\n".encode())
        later = [self.connect() for _ in range(5)]
        wait_until(lambda: len(os.listdir(self.client.sessions)) == 8, "all are connected", SOON_S)
        self.assertEqual(len(os.listdir(self.server.sessions)), 3, "the others wait")
        for client in first:
            self.ended(client, given=b"")
        # In which order they are served is not known.
        for client in later:
            client.stdin.write(b"later\n")
            client.stdin.close()
            client.stdin = None
        for client in later:
            self.assertEqual(self.ended(client)[0], b"later\n")
        self.stopped(serving)

    def test_interrupted_is_no_end(self):
        self.serve("sh", "-c", 'cat > "$0"; echo "status $?" >> "$0.done"', str(Path(self.folder) / "got"))
        connected = self.connect()
        connected.stdin.write(b"half")
        connected.stdin.flush()
        wait_until(lambda: (Path(self.folder) / "got").exists() and (Path(self.folder) / "got").stat().st_size == 4, "it has come")
        self.stopped(connected, -signal.SIGTERM)
        self.gone(self.client)
        self.gone(self.server)

    def test_serve_ends_when_its_sessions_have(self):
        serving = self.serve("cat")
        connected = self.connect()
        connected.stdin.write(b"one\n")
        connected.stdin.flush()
        self.assertEqual(connected.stdout.readline(), b"one\n")
        serving.send_signal(signal.SIGTERM)
        wait_until(lambda: not (self.server.services / "s").exists(), "it takes no more")
        connected.stdin.write(b"two\n")
        connected.stdin.flush()
        self.assertEqual(connected.stdout.readline(), b"two\n")
        self.assertIsNone(serving.poll())
        serving.send_signal(signal.SIGTERM)
        self.ended(serving)
        self.ended(connected, 1)

    def test_a_dead_mount_can_be_taken_away(self):
        self.serve("cat")
        connected = self.connect()
        connected.stdin.write(b"x")
        connected.stdin.flush()
        self.assertEqual(connected.stdout.read(1), b"x")
        self.daemon.process.kill()
        wait_until(lambda: shell('fusermount3 -u "$M"', M=self.mount.path).status == 0, "nobody uses it")
        self.daemon.kill()
        self.daemon.start()
        out, errors = self.ended(connected, given=b"y")
        self.assertEqual(out, b"y")
        self.assertRegex(errors, "^sessionctl: .*: the daemon has ended; waiting until it is there again\n$")

    def test_interrupted_without_a_daemon(self):
        self.serve("cat")
        connected = self.connect()
        connected.stdin.write(b"x")
        connected.stdin.flush()
        self.assertEqual(connected.stdout.read(1), b"x")
        self.daemon.kill()
        self.assertIn(b"waiting", connected.stderr.readline())
        connected.send_signal(signal.SIGTERM)
        self.assertEqual(connected.wait(SOON_S), -signal.SIGTERM)
        self.daemon.start()

    def test_the_endpoint_moves_away(self):
        serving = self.serve("cat")
        connected = self.connect()
        connected.stdin.write(b"x")
        connected.stdin.flush()
        self.assertEqual(connected.stdout.read(1), b"x")
        self.client.command(f"save {self.folder}")
        _, errors = self.ended(connected, 1)
        self.assertRegex(errors, "^sessionctl: .*: its endpoint has moved away from this host; the session goes on there\n$")
        self.ended(self.control("load", Path(self.folder) / self.client.name))
        serving.send_signal(signal.SIGTERM)
        wait_until(lambda: not os.listdir(self.server.services), "it takes no more")
        self.stopped(serving)

    def test_suspended_and_resumed(self):
        self.serve("cat")
        data = os.urandom(SIZE)
        connected = self.connect()
        feeding = threading.Thread(target=lambda: (connected.stdin.write(data), connected.stdin.close()))
        feeding.start()
        got = connected.stdout.read(MIB)
        for _ in range(3):
            self.client.command("suspend")
            self.client.command("resume")
            got += connected.stdout.read(MIB)
        got += connected.stdout.read()
        feeding.join()
        self.assertEqual((connected.wait(SOON_S), got == data), (0, True))

    def test_the_daemon_is_started_again(self):
        self.serve("cat")
        data = os.urandom(SIZE)
        connected = self.connect()
        feeding = threading.Thread(target=lambda: (connected.stdin.write(data), connected.stdin.close()))
        feeding.start()
        got = connected.stdout.read(MIB)
        for end in (self.daemon.kill, self.daemon.stop):
            end()
            self.daemon.start()
            got += connected.stdout.read(MIB)
        got += connected.stdout.read()
        feeding.join()
        self.assertEqual((connected.wait(SOON_S), got == data), (0, True))

    def test_bad_usage(self):
        for words in (("connect",), ("serve", "s"), ("serve", "s", "--limit", "0", "--", "cat"), ("forward", "65536", "s.a@local"),
                      ("forward", "http", "s.a@local"), ("expose", "s", "host:0"), ("expose", "s", "host"), ("connect", "a b")):
            with self.subTest(words=words):
                _, errors = self.ended(self.control(*words), 2)
                self.assertEqual(errors.count("\n"), 1, errors)


if __name__ == "__main__":
    suite.main()
