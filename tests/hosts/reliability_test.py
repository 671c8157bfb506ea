"""The reliability tests of thesis section 5.2.4, with data in both directions all the time:

1. suspend and resume, with probability 1/128, after every read and every write of every application;
2. network change: links go down and up, cables are pulled, addresses replaced and sockets killed as fast as it goes;
3. movement: a daemon ends, or is killed, and starts with the same state on another host, where the peer must find it;
4. all three at once.

  --minutes N   how long number 4 takes; otherwise all of them together take half a minute
  --each        with --minutes: 1 to 3 take as long
  --seed N      of the bytes, the sizes of reads and writes, and of what happens (not of when)
"""

import argparse
import collections
import contextlib
import os
import random
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import MIB, RECOVERY_LIMIT_S, HostsTestCase, after_all_written, passed  # noqa: E402
from hosts.world import Host, World  # noqa: E402
from support import suite  # noqa: E402
from support.exchange import POLL_S, Exchange  # noqa: E402
from support.processes import SOON_S, Late  # noqa: E402

PAUSE = 128           # suspend and resume after one of so many reads and writes
MOST_FLAPS = 8        # in a row, without a byte that must pass between them
LONGEST_DOWN_S = 0.3  # a link is away
SHORT_S = 7.5
# A test takes longer where the machine is so slow that not all has happened yet, or less was carried than this.
LONGER_S = 90
LEAST_BYTES = 16 * MIB
EXTRA_S = 300         # for the beginning, and the end of what is on its way

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--minutes", type=float)
parser.add_argument("--each", action="store_true")
parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
OPTIONS, sys.argv[1:] = parser.parse_known_args()
LONG_S = 60 * OPTIONS.minutes if OPTIONS.minutes else SHORT_S
LIMIT_S = LONG_S + EXTRA_S


class WideWorld(World):
    """A world with two more hosts, D and E, to which the daemons of A and B can move."""

    def __init__(self):
        super().__init__()
        self.d, self.e = (Host(self, letter, number) for number, letter in enumerate("de", start=4))
        self.hosts = (*self.hosts, self.d, self.e)


class Side:
    """A daemon, the hosts on which it may run, and the one on which it runs."""

    def __init__(self, daemon, hosts):
        self.daemon, self.hosts = daemon, hosts

    @property
    def host(self):
        return self.hosts[0]

    def move(self):
        self.hosts = self.hosts[::-1]
        self.daemon.move(self.host.enter())


class Disturber(threading.Thread):
    """Does turn() again and again until over() is called."""

    def __init__(self, sides, exchange, seed, counts):
        super().__init__(daemon=True)
        self.sides, self.exchange, self.counts = sides, exchange, counts
        self.choices = random.Random(f"{seed} {type(self).__name__}")
        self.ended, self.problem = threading.Event(), None

    def run(self):
        try:
            while not self.ended.is_set():
                self.turn()
        except BaseException as problem:
            self.problem = problem

    def check(self):
        if self.problem:
            raise self.problem

    def over(self):
        self.ended.set()
        self.join(SOON_S)
        if self.is_alive():
            raise Late(f"{type(self).__name__} has not ended within {SOON_S} s")
        self.check()

    def until_it_goes_on(self):
        """Waits until what is written from now on arrives in both directions: a session goes on however fast it is
        disturbed."""
        marks, end = after_all_written(self.exchange), time.monotonic() + RECOVERY_LIMIT_S
        while not self.ended.is_set():
            if passed(self.exchange, marks):
                return
            if time.monotonic() > end:
                raise Late(f"{type(self).__name__}: no bytes in both directions for {RECOVERY_LIMIT_S} s, after "
                           f"{dict(self.counts)}: {self.exchange.tell()}")
            time.sleep(POLL_S)


class Flapper(Disturber):
    ways = ()

    def turn(self):
        for _ in range(self.choices.randint(1, MOST_FLAPS)):
            side, other = self.choices.sample(self.sides, 2)
            self.ways = self.ways or self.choices.sample([self.link, self.cable, self.address, self.sockets], 4)
            self.ways.pop()(side.host, other.host)
        self.until_it_goes_on()

    def away(self):
        if self.choices.random() < 0.5:
            self.ended.wait(self.choices.uniform(0, LONGEST_DOWN_S))

    def link(self, host, _peer):
        host.link_down()
        self.away()
        host.link_up()
        self.counts["links down and up"] += 1

    def cable(self, host, _peer):
        host.unplug()
        self.away()
        host.plug()
        self.counts["cables pulled"] += 1

    def address(self, host, _peer):
        host.replace_address()
        self.counts["addresses replaced"] += 1

    def sockets(self, host, peer):
        self.counts["sockets killed"] += len(host.kill_connections(peer))


class Mover(Disturber):
    def turn(self):
        sides = self.choices.choice([self.sides[:1], self.sides[1:], self.sides])
        for side in sides:
            if self.choices.random() < 0.5:
                side.daemon.kill()
                self.counts["killed"] += 1
            else:
                status = side.daemon.stop(SOON_S)
                if status != 0:
                    raise AssertionError(f"exit status {status} after SIGTERM; the log:\n{side.daemon.tail()}")
                self.counts["stopped"] += 1
            side.move()
        for side in sides:
            side.daemon.start()
            self.counts["moves"] += 1
        if self.choices.random() < 0.75:
            self.until_it_goes_on()


class Reliability(HostsTestCase):
    limit_s = LIMIT_S
    PAUSES = ("suspends", "resumes")
    FLAPS = ("links down and up", "cables pulled", "addresses replaced", "sockets killed")
    MOVES = ("moves",)
    INTERRUPTED = ("interrupted",)

    @classmethod
    def setUpClass(cls):
        print(f"--seed {OPTIONS.seed}", flush=True)
        cls.world = cls._enter(WideWorld())
        cls.a, cls.b = cls.world.a, cls.world.b
        cls.at_a, cls.at_b = cls.world.start(cls.config)
        cls.at_b.serve("file")
        cls.serial = 0
        cls.sides = [Side(cls.a.daemon, [cls.a, cls.world.d]), Side(cls.b.daemon, [cls.b, cls.world.e])]

    def disturbed(self, what, pause=0, kinds=()):
        """Data in both directions while it is disturbed in these ways, by all that is named in `what`."""
        ours, theirs = self.session()
        began, counts = time.monotonic(), collections.Counter()
        seed = f"{OPTIONS.seed} {self.id().rpartition('.')[2]}"
        exchange = Exchange(self.world.folder, ours, theirs, seed, pause=pause)
        self.addCleanup(exchange.end)
        told = [name for name in what if name in self.FLAPS + self.MOVES]  # at once; the rest at the end

        def enough(now):
            return now > began + LONG_S + LONGER_S or (
                now > began + LONG_S and sum(exchange.arrived()) >= LEAST_BYTES and all(counts[name] for name in told))
        disturbers = [kind(self.sides, exchange, seed, counts) for kind in kinds]
        with contextlib.ExitStack() as stack:
            for disturber in disturbers:
                disturber.start()
                stack.callback(disturber.over)
            while not enough(time.monotonic()):
                exchange.watch()
                for disturber in disturbers:
                    disturber.check()
                time.sleep(POLL_S)
        exchange.stop()
        sizes, seen = exchange.finish()
        counts.update(seen)
        print(f"{time.monotonic() - began:.0f} s; bytes: {sizes}; {dict(counts)}", flush=True)
        self.end(ours, theirs)
        for name in what:
            self.assertGreater(counts[name], 0, f"{name} did not happen")
        for size in sizes:
            self.assertGreater(size, 0)

    @unittest.skipIf(OPTIONS.minutes and not OPTIONS.each, "without --each")
    def test_1_suspend_and_resume(self):
        self.disturbed(self.PAUSES, pause=PAUSE)

    @unittest.skipIf(OPTIONS.minutes and not OPTIONS.each, "without --each")
    def test_2_network_change(self):
        self.disturbed(self.FLAPS, kinds=[Flapper])

    @unittest.skipIf(OPTIONS.minutes and not OPTIONS.each, "without --each")
    def test_3_movement(self):
        self.disturbed(self.MOVES + self.INTERRUPTED, kinds=[Mover])

    def test_4_all_at_once(self):
        self.disturbed(self.PAUSES + self.FLAPS + self.MOVES + self.INTERRUPTED, pause=PAUSE, kinds=[Flapper, Mover])


if __name__ == "__main__":
    suite.main(hosts=True, limit_s=(4 * LIMIT_S if OPTIONS.each or not OPTIONS.minutes else LIMIT_S) + 60)
