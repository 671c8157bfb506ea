"""Endpoints travel at random between three hosts, by every way there is, while their sessions carry data in both
directions: no byte is wrong, and every session goes on, or has ended with ECONNRESET on both sides and a reason.

  --steps N   journeys (few of them without it)
  --seed N    of what happens (not of when)
"""

import argparse
import collections
import errno
import os
import random
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import RECOVERY_LIMIT_S  # noqa: E402
from hosts.stickcase import StickTestCase  # noqa: E402
from hosts.travelcase import error_of_reading  # noqa: E402
from support import sticks, suite  # noqa: E402
from support.processes import SOON_S, wait_until  # noqa: E402

TRAVELLERS = 3
EXTRA_S = 240
STEP_S = 30

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--steps", type=int, default=12)
parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
OPTIONS, sys.argv[1:] = parser.parse_known_args()

TOOLS = ("cp -r -- {here} {there}", "cp -a -- {here} {there}", "rsync -a -- {here} {there}/",
         "tar -C {up} -cf - -- {name} | tar -C {there} -xf -")


class Journeys(StickTestCase):
    limit_s = EXTRA_S + STEP_S * OPTIONS.steps

    def setUp(self):
        super().setUp()
        self.choices = random.Random(OPTIONS.seed)
        self.counts = collections.Counter()

    def describe(self):
        return f"seed {OPTIONS.seed}, {dict(self.counts)}\n{super().describe()}"

    def elsewhere(self, traveller):
        return self.choices.choice([host for host in (self.a, self.b, self.c) if host is not traveller.host])

    def anywhere(self):
        return self.choices.choice([self.a, self.b, self.c])

    # --- journeys: each leaves the traveller where its exchange goes on ------------------------------------------

    def saved(self, traveller):
        stick = self.folder()
        self.save(traveller, stick)
        self.load(traveller, stick, self.anywhere(), traveller.passphrase)

    def saved_with_a_passphrase(self, traveller):
        stick = self.folder()
        traveller.passphrase = "open sesame"  # from now on, wherever it is written
        self.save(traveller, stick, traveller.passphrase)
        self.load(traveller, stick, self.anywhere(), traveller.passphrase)

    def moved(self, traveller):
        stick = self.folder()
        self.copy("mv -- {here} {there}", traveller, stick)
        self.load(traveller, stick / traveller.name, self.anywhere(), traveller.passphrase)

    def copied(self, traveller):
        stick, former = self.folder(), traveller.host
        self.copy(self.choices.choice(TOOLS), traveller, stick)
        if self.choices.random() < 0.5:
            self.goes_on(traveller.exchange)
        self.load(traveller, stick, self.elsewhere(traveller), traveller.passphrase)
        traveller.wait_gone(former)

    def loaded_twice(self, traveller):
        """Two copies at once, at two other hosts."""
        hosts, former = [host for host in (self.a, self.b, self.c) if host is not traveller.host], traveller.host
        sticks = [self.folder() for _ in hosts]
        for stick in sticks:
            self.copy(self.choices.choice(TOOLS), traveller, stick)
        errors = {}

        def load(host, stick):
            try:
                self.load_at(host, stick, traveller.passphrase)
            except OSError as error:
                errors[host.letter] = errno.errorcode[error.errno]
        threads = [threading.Thread(target=load, args=pair) for pair in zip(hosts, sticks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(RECOVERY_LIMIT_S)
            self.assertFalse(thread.is_alive(), "both loads have ended")

        def holders():
            return [host for host in (self.a, self.b, self.c) if (host.daemon.mount.path / traveller.name).is_dir()]
        wait_until(lambda: len(holders()) == 1, f"{traveller} is at one host, after {errors}", SOON_S)
        traveller.is_at(holders()[0])
        self.counts[f"of two copies {'one is' if errors else 'both are'} loaded"] += 1
        self.assertIsNot(traveller.host, former, errors)

    def ejected(self, traveller):
        """On a real stick, with and without the passphrase's seal; a stick does not ask for it when it is plugged in."""
        if traveller.passphrase:
            return self.saved(traveller)
        stick = self.stick()
        self.save(traveller, self.plug(stick, traveller.host))
        self.eject(stick, traveller.host)
        for _ in range(2):
            self.arrive(traveller, stick, self.anywhere())
            self.goes_on(traveller.exchange)
            self.eject(stick, traveller.host)
        self.arrive(traveller, stick, self.anywhere())
        self.goes_on(traveller.exchange)
        return self.away_from(traveller, stick)

    def pulled(self, traveller):
        """Without a word, and plugged in again here or there."""
        if traveller.passphrase:
            return self.saved(traveller)
        stick = self.stick()
        self.save(traveller, self.plug(stick, traveller.host))
        self.eject(stick, traveller.host)
        self.arrive(traveller, stick, self.anywhere())
        for _ in range(2):
            self.goes_on(traveller.exchange)
            former = traveller.host
            stick.pull()
            self.arrive(traveller, stick, self.anywhere())
            if former is not traveller.host:
                traveller.wait_gone(former)
        self.goes_on(traveller.exchange)
        return self.away_from(traveller, stick)

    def arrive(self, traveller, stick, host):
        self.plug(stick, host)
        traveller.is_at(host)
        wait_until(traveller.is_used, f"{traveller} is loaded at {host.letter}", SOON_S)

    def away_from(self, traveller, stick):
        """The stick is used no more."""
        self.saved(traveller)
        self.take_away(stick)

    def killed(self, traveller):
        traveller.host.daemon.kill()
        traveller.host.daemon.start()

    def lost(self, traveller):
        """An old copy, and nobody to ask for what was carried since."""
        if traveller.host is self.c:
            return self.copied(traveller)  # its network is the name server's
        stick, former = self.folder(), traveller.host
        self.copy(self.choices.choice(TOOLS), traveller, stick)
        self.goes_on(traveller.exchange)
        traveller.exchange.end()
        former.link_down()
        try:
            self.load(traveller, stick, self.c, traveller.passphrase)
            if former is not self.b:  # the peer's own way is away
                self.is_lost(traveller)
        finally:
            former.link_up()
        traveller.wait_gone(former)
        self.is_lost(traveller)
        self.exchanges.remove(traveller.exchange)
        traveller.exchange = self.connect(traveller)

    def is_lost(self, traveller):
        for file in (traveller.session(traveller.exchange.ours), traveller.exchange.theirs):
            self.assertEqual(error_of_reading(file), errno.ECONNRESET, file)
        for endpoint in (traveller.at, self.at_b):
            self.assertIn(os.strerror(errno.ECONNRESET), endpoint.status())

    # ---------------------------------------------------------------------------------------------------------------

    def test_journeys(self):
        travellers = [self.traveller(host) for host in (self.a, self.c, self.a)[:TRAVELLERS]]
        for traveller in travellers:
            traveller.exchange = self.connect(traveller)
        ways = []
        for _ in range(OPTIONS.steps):
            ways = ways or self.choices.sample(self.ways(), len(self.ways()))
            traveller, way = self.choices.choice(travellers), ways.pop()
            self.counts[way.__name__] += 1
            way(traveller)
            self.goes_on(*(each.exchange for each in travellers))
        exchanges = [each.exchange for each in travellers]
        self.finish(*exchanges)
        print(f"seed {OPTIONS.seed}: {dict(self.counts)}", file=sys.stderr)

    def ways(self):
        return [self.saved, self.saved_with_a_passphrase, self.moved, self.copied, self.loaded_twice, self.ejected,
                self.pulled, self.killed, self.lost]


if __name__ == "__main__":
    suite.main(hosts=True, also=sticks.why_not)
