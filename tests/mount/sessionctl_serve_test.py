"""sessionctl serve at its edges: what its command does, how it ends, what others do to its service and the daemon."""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mount.streamscase import MIB, StreamsTestCase  # noqa: E402
from support import suite  # noqa: E402
from support.processes import SOON_S, wait_until  # noqa: E402


def zombies_of(process):
    """How many children of a process have ended and are not taken note of."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    return sum(Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
               for child in children if Path(f"/proc/{child}").exists())


class Command(StreamsTestCase):
    def test_its_output_ends_and_it_reads_on(self):
        got = Path(self.scratch("got"))
        self.serve("sh", "-c", f'echo done; exec >&-; cat > "{got}"')
        connected = self.connect()
        self.assertEqual(connected.stdout.read(), b"done\n")
        self.say(connected, b"x" * MIB)
        self.assertEqual(self.ended(connected, given=b"y")[1], "")
        self.gone(self.server)
        self.assertEqual(got.read_bytes(), b"x" * MIB + b"y")

    def test_it_leaves_somebody_who_still_writes(self):
        go = Path(self.scratch("go"))
        self.serve("sh", "-c", f'(until [ -e "{go}" ]; do sleep 0.02; done; echo later) & echo first')
        connected = self.connect()
        self.assertEqual(connected.stdout.readline(), b"first\n")
        go.touch()
        self.assertEqual(self.ended(connected, given=b"")[0], b"later\n")
        self.gone(self.server)

    def test_it_is_ended_with_the_session_and_all_that_it_has_started(self):
        ended = Path(self.scratch("ended"))
        self.serve("sh", "-c", f'(trap "touch {ended}; exit" TERM; echo ready; while :; do sleep 0.02; done) & wait')
        connected = self.connect()
        self.assertEqual(connected.stdout.readline(), b"ready\n")
        self.stopped(connected, -signal.SIGTERM)
        wait_until(ended.exists, "what it has started is ended", SOON_S)

    def test_none_stays_behind_as_a_zombie(self):
        serving = self.serve("cat")
        for _ in range(20):
            self.ended(self.connect(), given=b"x")
        wait_until(lambda: zombies_of(serving) == 0, "there are none", SOON_S)
        self.stopped(serving)


class End(StreamsTestCase):
    def served(self, *options):
        serving = self.serve("cat", options=options)
        connected = self.connect()
        self.echoes(connected, b"x")
        return serving, connected

    def takes_no_more(self):
        wait_until(lambda: not (self.server.services / "s").exists(), "it takes no more", SOON_S)

    def test_whichever_signal_asks(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                serving, connected = self.served()
                serving.send_signal(number)
                self.takes_no_more()
                self.echoes(connected, b"y")
                self.assertIsNone(serving.poll())
                self.assertEqual(self.stopped(serving, 0, number)[1], "")
                self.ended(connected, 1)

    def test_a_terminal_asks_all_of_them(self):
        serving, connected = self.served()
        os.killpg(serving.pid, signal.SIGINT)
        self.takes_no_more()
        self.echoes(connected, b"y")
        connected.stdin.close()
        self.assertEqual(connected.wait(SOON_S), 0)
        self.assertEqual(self.ended(serving)[1], "")

    def test_the_service_was_there(self):
        self.server.serve("s")
        first, second = self.served()[0], self.served()[0]
        first.send_signal(signal.SIGTERM)
        self.echoes(self.connect(), b"x")
        second.send_signal(signal.SIGTERM)
        self.assertTrue((self.server.services / "s").exists())

    def test_the_service_is_removed(self):
        serving, connected = self.served()
        os.unlink(self.server.services / "s")
        self.echoes(connected, b"y")
        self.assertIsNone(serving.poll())
        self.ended(connected, given=b"")
        self.assertEqual(self.ended(serving, 1)[1], f"sessionctl: {self.server.name}: the service s was removed\n")

    def test_the_service_is_removed_and_made_anew(self):
        serving, connected = self.served()
        os.unlink(self.server.services / "s")
        self.server.serve("s")
        self.ended(connected, given=b"")
        self.ended(serving, 1)
        self.assertTrue((self.server.services / "s").exists(), "it is somebody else's")

    def test_the_service_cannot_be_made(self):
        self.assertEqual(self.ended(self.control("serve", "a.b", "--at", self.server.name, "--", "cat"), 1)[1],
                         f"sessionctl: {self.server.name}: the service a.b cannot be made: Invalid argument\n")


class Daemon(StreamsTestCase):
    def test_is_killed_and_started_again(self):
        serving = self.serve("cat")
        for end in (self.daemon.kill, self.daemon.stop):
            end()
            self.daemon.start()
            self.echoes(self.connect(), b"x")
        serving.send_signal(signal.SIGTERM)
        wait_until(lambda: not (self.server.services / "s").exists(), "it takes no more", SOON_S)

    def test_is_away_when_serve_is_asked_to_end(self):
        serving = self.serve("cat")
        connected = self.connect()
        self.echoes(connected, b"x")
        self.daemon.kill()
        self.assertIn(b"waiting", serving.stderr.readline())
        serving.send_signal(signal.SIGTERM)
        self.daemon.start()
        self.echoes(connected, b"y")
        self.assertIsNone(serving.poll())
        self.ended(connected, given=b"")
        self.ended(serving)


if __name__ == "__main__":
    suite.main()
