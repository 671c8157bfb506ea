"""Either daemon is killed by SIGKILL at random moments of a two-way transfer in small and large blocks, and started
again: applications that open their session file again get the same bytes, none lost, doubled or reordered. And the
same for many short sessions.

  --full     1 GiB in each direction and 200 kills, and 600 aimed ones; otherwise 32 MiB, 12 and 40
  --mib N    MiB in each direction
  --kills N
  --durability power   the other way to keep state
  --seed N   of the stream's bytes, the sizes of reads and writes, and the moments of the kills
"""

import argparse
import collections
import errno
import hashlib
import io
import math
import os
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import MIB, HostsTestCase  # noqa: E402
from support import carry, suite  # noqa: E402
from support.daemon import attribute  # noqa: E402
from support.exchange import POLL_S, Carrier, Exchange  # noqa: E402
from support.processes import SOON_S, wait_until  # noqa: E402

MOST_LATE_S = 0.02  # a kill comes up to this time after its mark
LAST_MARK = 0.95    # of the transfer: what is left then is more than what may arrive before the kill

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--full", action="store_true")
parser.add_argument("--mib", type=int)
parser.add_argument("--kills", type=int)
parser.add_argument("--durability", default="process")
parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
OPTIONS, sys.argv[1:] = parser.parse_known_args()
SIZE = (OPTIONS.mib or (1024 if OPTIONS.full else 32)) * MIB
KILLS = OPTIONS.kills or (200 if OPTIONS.full else 12)
AIMED_KILLS = 600 if OPTIONS.full else 40
LIMIT_S = 5400 if OPTIONS.full else 600


class Reader(suite.TestCase):
    """The reader of carry.py finds what is not exact, and says where."""

    def read(self, pieces, size=300_000):
        """The reader is given these ranges of the stream, and others' bytes where a range is bytes."""
        stream, coming = carry.Stream("x"), io.BytesIO()
        for piece in pieces:
            coming.write(piece if isinstance(piece, bytes) else stream.at(piece[0], piece[1] - piece[0]))
        coming.seek(0)
        arguments = argparse.Namespace(what="receive", path="/e/sessions/s", seed="x", progress=None, stop=None,
                                       largest=4096, pause=0)
        reader = carry.Application(arguments)
        reader.open, reader.call = (lambda: None), (lambda _, count: coming.read(count))
        reader.receive()
        if reader.digest.digest() == hashlib.sha256(stream.at(0, size)).digest():
            self.assertEqual((reader.position, reader.differences), (size, []))
        return reader.differences

    def test_exact(self):
        self.assertEqual(self.read([(0, 1), (1, 300_000)]), [])

    def test_lost(self):
        found = self.read([(0, 100_001), (100_002, 200_000), (265_536, 300_000)])
        self.assertEqual(len(found), 2, found)
        self.assertRegex(found[0], "at byte 10000[12] .* 1 bytes, 10000[12] to 10000[23], are lost")
        self.assertRegex(found[1], "at byte 20000[0-2] .* 65536 bytes, .* are lost")

    def test_twice_and_out_of_order(self):
        found = self.read([(0, 100_000), (99_999, 200_000), (250_000, 260_000), (200_000, 250_000), (260_000, 300_000)])
        self.assertEqual(len(found), 4, found)
        self.assertRegex(found[0], "at byte 10000[0-2] .* 1 bytes, .* came twice")
        self.assertRegex(found[1], "at byte 20000[0-2] .* 50000 bytes, .* are lost")
        self.assertRegex(found[2], "at byte 26000[0-2] .* 60000 bytes, .* came twice")

    def test_wrong(self):
        with self.assertRaisesRegex(carry.Wrong, "at byte 5000 .* nowhere near"):
            self.read([(0, 5000), bytes(100_000), (105_000, 300_000)])


class Kill(HostsTestCase):
    config = f'durability = "{OPTIONS.durability}"\n'
    limit_s = LIMIT_S

    def test_killed_at_random_moments_of_a_two_way_transfer(self):
        print(f"{SIZE // MIB} MiB in each direction, {KILLS} kills, --seed {OPTIONS.seed}", flush=True)
        choices = random.Random(OPTIONS.seed)
        ours, theirs = self.session()
        began = time.monotonic()
        exchange = Exchange(self.world.folder, ours, theirs, OPTIONS.seed, size=SIZE)
        self.addCleanup(exchange.end)
        killed = {"a": 0, "b": 0, "both": 0}
        for mark in sorted(choices.randrange(int(2 * SIZE * LAST_MARK)) for _ in range(KILLS)):
            while sum(exchange.arrived()) < mark:
                exchange.watch()
                time.sleep(POLL_S)
            time.sleep(choices.uniform(0, MOST_LATE_S))
            exchange.watch()
            self.assertTrue(exchange.running(), f"the transfer ended after {killed}")
            who = choices.choice(["a", "a", "a", "b", "b", "b", "both"])
            killed[who] += 1
            daemons = [host.daemon for host in (self.a, self.b) if who in (host.letter, "both")]
            for daemon in daemons:
                daemon.kill()
            for daemon in daemons:
                daemon.start()
        sizes, seen = exchange.finish()
        self.assertEqual(sizes, [SIZE, SIZE])
        self.assertGreater(seen["interrupted"], 0, "no call was ever interrupted by a kill")
        print(f"kills: {killed}; bytes: {sizes}; seen by the applications: {dict(seen)}; "
              f"{time.monotonic() - began:.0f} s", flush=True)
        self.end(ours, theirs)


class AimedKill(HostsTestCase):
    """A daemon is killed while it gives the first bytes that it has restored. What it gives from pages that are not in
    memory yet can get lost: the kernel does not finish copying them after a SIGKILL."""

    limit_s = LIMIT_S
    READ_BYTES = 256 * 1024
    WAITING_BYTES = 400_000
    MOST_LATE_S = 0.0006  # a kill comes up to this time after the read

    def killed_during_a_read(self, reader, late_s):
        """Bytes or an error."""
        got = []

        def read():
            try:
                got.append(os.read(reader.descriptor, self.READ_BYTES))
            except OSError as error:
                got.append(error)
        thread = threading.Thread(target=read)
        thread.start()
        end = time.perf_counter() + late_s
        while time.perf_counter() < end:
            pass
        self.b.daemon.process.kill()
        thread.join(SOON_S)
        self.b.daemon.kill()
        return got[0]

    def test_the_first_read_after_a_start(self):
        choices = random.Random(OPTIONS.seed)
        ours, theirs = self.session()
        sender = Carrier("send", ours, self.world.folder, "x")
        self.addCleanup(sender.end)
        reader = carry.Application(argparse.Namespace(what="receive", path=theirs, seed="x", progress=None, stop=None,
                                                      largest=self.READ_BYTES, pause=0))
        seen = collections.Counter()
        for _ in range(AIMED_KILLS):
            wait_until(lambda: int(attribute(theirs, "received")) >= reader.position + self.WAITING_BYTES,
                       "the buffer fills", SOON_S)
            self.b.daemon.kill()
            self.b.daemon.start()
            reader.open()
            got = self.killed_during_a_read(reader, choices.uniform(0, self.MOST_LATE_S))
            if isinstance(got, bytes):
                seen["bytes"] += 1
                reader.take(got)
            else:
                seen[errno.errorcode[got.errno]] += 1
                self.assertIn(got.errno, carry.AWAY)
            self.b.daemon.start()
            reader.open()
            reader.take(os.read(reader.descriptor, carry.PATTERN_BYTES))
        print(f"{AIMED_KILLS} aimed kills: the reads gave {dict(seen)}", flush=True)
        self.assertEqual(reader.differences, [])


class ShortSessions(HostsTestCase):
    """Sessions that are made, used and closed while daemons are killed: what was written to one arrives once."""

    limit_s = LIMIT_S
    SESSIONS = 100
    LARGEST = 300_000
    MOST_QUIET_S = 0.15  # between two kills
    # What dialling gives while the peer's daemon is away.
    PEER_AWAY = {errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ECONNREFUSED}

    def application(self, what, path, seed=0, size=None):
        return carry.Application(argparse.Namespace(what=what, path=path, seed=seed, bytes=size, progress=None,
                                                    stop=None, largest=self.LARGEST, pause=0))

    def content(self, number):
        size = int(2 ** random.Random(f"{OPTIONS.seed} {number}").uniform(3, math.log2(self.LARGEST)))
        return carry.Stream(f"{OPTIONS.seed} {number}").at(0, size)

    def remove(self, application):
        """rm; when the daemon was killed meanwhile, the name may be gone already."""
        try:
            os.unlink(application.path)
        except FileNotFoundError:
            if not application.endpoint.is_dir():
                raise

    def clients(self):
        for number in range(self.SESSIONS):
            path = self.at_a.sessions / self.at_b.target("file", f"k{number}")
            client = self.application("send", path, f"{OPTIONS.seed} {number}", len(self.content(number)))
            client.away = carry.AWAY | self.PEER_AWAY
            client.send()
            os.close(client.descriptor)
            client.patiently(self.remove, client)

    def server(self):
        service = self.application("receive", self.at_b.services / "file")
        while not self.over.is_set():
            name = service.patiently(self.at_b.accept, "file").name
            threading.Thread(target=self.guarded, args=(self.serve, name), daemon=True).start()

    def serve(self, name):
        session = self.application("receive", self.at_b.sessions / name)
        got = b""
        try:
            session.open()
            while (data := session.call(os.read, self.LARGEST)) != b"":
                got += data or b""
        except ConnectionResetError:
            # The client's daemon was killed before it had made the session: nobody has written anything.
            self.assertEqual(got, b"")
        self.arrived.append(got)
        os.close(session.descriptor)
        session.patiently(self.remove, session)

    def guarded(self, function, *arguments):
        try:
            function(*arguments)
        except BaseException as problem:
            if not self.over.is_set():
                self.problems.append(problem)

    def test_made_used_and_closed(self):
        choices = random.Random(OPTIONS.seed)
        self.over, self.arrived, self.problems, kills = threading.Event(), [], [], 0
        self.addCleanup(self.over.set)
        threads = [threading.Thread(target=self.guarded, args=(what,), daemon=True)
                   for what in (self.server, self.clients)]
        for thread in threads:
            thread.start()
        while threads[1].is_alive() and not self.problems:
            time.sleep(choices.uniform(0, self.MOST_QUIET_S))
            hosts = choices.choice([(self.a,), (self.b,), (self.a, self.b)])
            for host in hosts:
                host.daemon.kill()
            for host in hosts:
                host.daemon.start()
                kills += 1
        wanted = sorted(self.content(number) for number in range(self.SESSIONS))
        folders = [self.at_a.sessions, self.at_b.sessions]
        wait_until(lambda: self.problems or (len(list(filter(None, self.arrived))) >= len(wanted) and
                                             not any(map(os.listdir, folders))),
                   "all arrives and is closed", SOON_S)
        print(f"{kills} kills, {len(self.arrived) - len(wanted)} sessions half made", flush=True)
        self.assertEqual(self.problems, [])
        arrived = sorted(filter(None, self.arrived))
        self.assertEqual([len(got) for got in arrived], [len(content) for content in wanted])
        self.assertTrue(arrived == wanted, "other bytes have arrived")
        self.assertGreater(kills, 0)
        for host in (self.a, self.b):
            self.assertEqual(list(host.daemon.state.glob("endpoints/*/sessions/*.damaged")), [],
                             "a session that was not made to the end is not damage")


if __name__ == "__main__":
    suite.main(hosts=True, limit_s=LIMIT_S + 60)
