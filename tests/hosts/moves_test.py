"""Random moves of one end or both while data goes both ways: other links, addresses, families, another name server.

A, B and the hosts of the name server, C and D, are in two networks, between which C routes. After each move there is a
path between A and B, and one to the name server, which DNS knows; bytes that are written then must arrive in both
directions.

  --full      500 moves; nothing may stand still for more than 5 s after one (on a machine with nothing else to do)
  --moves N   so many; default 25
  --seed N    of what happens
"""

import argparse
import collections
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts import dns  # noqa: E402
from hosts.hostscase import RECOVERY_LIMIT_S, after_all_written, passed  # noqa: E402
from hosts.world import DOMAIN, SNS_PORT, Host, World  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import Daemon, Program  # noqa: E402
from support.exchange import Exchange  # noqa: E402
from support.processes import SOON_S, Late, wait_until  # noqa: E402

LONGEST_S = 5
MOVES = 25
SNS_NAME = f"sns.{DOMAIN}"
NETWORKS = {"eth0": ("10.77.0.", "fd77::"), "eth1": ("10.78.0.", "fd78::")}
ROUTER = 3  # C

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--full", action="store_true")
parser.add_argument("--moves", type=int)
parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
OPTIONS, sys.argv[1:] = parser.parse_known_args()
COUNT = OPTIONS.moves or (500 if OPTIONS.full else MOVES)
LIMIT_S = 120 + COUNT * 10


class MoveWorld(World):
    """With a second host for the name server, D."""

    def __init__(self):
        super().__init__()
        self.d = Host(self, "d", 4)
        self.hosts = (*self.hosts, self.d)


class Place:
    """Where a host is: its links, the families it speaks, the addresses it has."""

    def __init__(self, host):
        self.host, self.links, self.families, self.number = host, {"eth0", "eth1"}, {4, 6}, host.number

    def numbers(self):
        return self.host.number, self.host.number + 10, self.host.number + 20

    def plug(self, links, together):
        """`together`: the new ones come before the old ones go."""
        steps = [(self.host.plug, links - self.links), (self.host.unplug, self.links - links)]
        for act, which in steps if together else reversed(steps):
            for link in sorted(which):
                act(link)
        self.links = links

    def readdress(self, number, families):
        """Takes the addresses away, then gives the others: of each family both links have one."""
        self.number, self.families = number, families
        lines = []
        for link, (ipv4, ipv6) in NETWORKS.items():
            other = NETWORKS["eth1" if link == "eth0" else "eth0"]
            lines.append(f"address flush dev {link} scope global")
            if 4 in families:
                lines += [f"address add {ipv4}{number}/24 dev {link}",
                          f"route add {other[0]}0/24 via {ipv4}{ROUTER} dev {link} metric 1000"]
            if 6 in families:
                lines += [f"address add {ipv6}{number:x}/64 dev {link} nodad",
                          f"route replace {other[1]}/64 via {ipv6}{ROUTER} dev {link} metric 2000"]
        self.host.ip_batch(lines)

    def __str__(self):
        return (f"{self.host.letter}: {'+'.join(sorted(self.links))}, .{self.number}, "
                f"IPv{' and IPv'.join(map(str, sorted(self.families)))}")


class Moves(suite.TestCase):
    limit_s = LIMIT_S + 60

    def setUp(self):
        reason = dns.why_not()
        if reason:
            self.skipTest(reason)
        print(f"--seed {OPTIONS.seed}", flush=True)
        self.choices = random.Random(OPTIONS.seed)
        self.world = MoveWorld()
        self.sns_host, self.snsd = self.world.c, None
        self.world.__enter__()
        self.addCleanup(self.world.close)
        self.world.add_second_network(routed=True)
        self.places = [Place(self.world.a), Place(self.world.b)]
        for place in (*self.places, Place(self.world.d)):
            place.readdress(place.number, place.families)
        self.dns = dns.Dns(self.world.c, DOMAIN)
        self.dns.resolv_conf.write_text("nameserver 10.77.0.3\nnameserver fd77::3\noptions timeout:1\n", encoding="ascii")
        self.tell_dns()
        self.dns.__enter__()
        self.addCleanup(self.dns.close)
        self.start_sns()
        self.addCleanup(lambda: self.snsd.stop())
        self.at_a, self.at_b = (self.member(place.host) for place in self.places)
        self.at_b.serve("file")

    def describe(self):
        return "\n".join([*map(str, self.places), f"name server at {self.sns_host.letter}", self.world.describe(),
                          f"== log of snsd\n{self.snsd.tail() if self.snsd else ''}"])

    # --- the name server ---------------------------------------------------------------------------------------

    def tell_dns(self):
        self.dns.forget().srv(DOMAIN, SNS_NAME, SNS_PORT).host_record(SNS_NAME, *self.sns_host.addresses())

    def start_sns(self):
        command = [os.environ["SNSD_BIN"], "--domain", DOMAIN, "--state", str(Path(self.world.folder, "sns")),
                   "--listen", f"[::]:{SNS_PORT}"]
        self.snsd = Program(command, str(Path(self.world.folder, "sns.log")), self.sns_host.enter()).start()
        wait_until(lambda: f":{SNS_PORT}" in self.sns_host.run("ss", "-Htln"), "snsd listens", SOON_S)

    def move_sns(self):
        self.snsd.stop()
        self.sns_host = self.world.d if self.sns_host is self.world.c else self.world.c
        self.start_sns()
        self.tell_dns()
        self.dns.restart()

    def member(self, host):
        name = f"{host.letter}@{DOMAIN}"
        config = f'domain = "{DOMAIN}"\nendpoint = "{name}"\n'
        host.daemon = Daemon(Path(self.world.folder, host.letter), config=config, enter=self.dns.enter(host)).start()
        self.addCleanup(host.daemon.stop)
        token = self.world.c.run(os.environ["SNSD_BIN"], "token", "--state", str(Path(self.world.folder, "sns")),
                                 "--address", f"{SNS_NAME}:{SNS_PORT}").strip()
        (host.daemon.mount.path / "ctl").write_text(f"join {token}\n", encoding="ascii")
        wait_until((host.daemon.mount.path / name).is_dir, f"{name} appears", SOON_S)
        return host.daemon.mount.endpoint(name, create=False)

    # --- the moves ---------------------------------------------------------------------------------------------

    def other(self, all_of, now):
        return self.choices.choice([each for each in all_of if each != now])

    def links(self, place):
        place.plug(self.other([{"eth0"}, {"eth1"}, {"eth0", "eth1"}], place.links), self.choices.random() < 0.5)

    def addresses(self, place):
        place.readdress(self.other(place.numbers(), place.number), place.families)

    def families(self, _place):
        """A path must be left: both ends have the same."""
        families = self.other([{4}, {6}, {4, 6}], self.places[0].families)
        for place in self.choices.sample(self.places, 2):
            place.readdress(place.number, families)

    def all_of_it(self, place):
        place.plug(set(), False)
        self.addresses(place)
        place.plug(self.choices.choice([{"eth0"}, {"eth1"}]), False)

    def name_server(self, _place):
        self.move_sns()

    def name_server_and_both(self, _place):
        for place in self.places:
            place.plug(set(), False)
        self.move_sns()
        for place in self.places:
            self.all_of_it(place)

    KINDS = {links: 6, addresses: 4, families: 3, all_of_it: 4, name_server: 1, name_server_and_both: 1}

    def move(self, counts):
        kind = self.choices.choices(list(self.KINDS), list(self.KINDS.values()))[0]
        both = kind in (Moves.links, Moves.addresses, Moves.all_of_it) and self.choices.random() < 0.5
        for place in self.choices.sample(self.places, 2 if both else 1):
            kind(self, place)
        name = kind.__name__ + (" of both" if both else "")
        counts[name] += 1
        return name

    def test_random_moves(self):
        ours = self.at_a.dial(self.at_b, "file")
        theirs = self.at_b.accept("file")
        exchange = Exchange(self.world.folder, ours, theirs, str(OPTIONS.seed))
        self.addCleanup(exchange.end)
        counts, taken = collections.Counter(), []
        for number in range(1, COUNT + 1):
            what = self.move(counts)
            began, marks = time.monotonic(), after_all_written(exchange)
            while not passed(exchange, marks):
                exchange.watch()
                if time.monotonic() > began + RECOVERY_LIMIT_S:
                    raise Late(f"move {number} ({what}): no bytes in both directions for {RECOVERY_LIMIT_S} s: "
                               f"{exchange.tell()}")
                time.sleep(0.002)
            taken.append((time.monotonic() - began, number, what))
            if OPTIONS.full and taken[-1][0] > LONGEST_S / 2:
                print(f"{taken[-1][0]:.2f} s after move {number}: {what}: {', '.join(map(str, self.places))}", flush=True)
        exchange.stop()
        sizes, _ = exchange.finish()
        taken.sort()
        print(f"{COUNT} moves; bytes: {sizes}; {dict(counts)}; flowing again after {taken[len(taken) // 2][0]:.3f} s "
              f"(median), at the latest after {taken[-1][0]:.2f} s (move {taken[-1][1]}: {taken[-1][2]})", flush=True)
        if OPTIONS.full:
            self.assertLessEqual(taken[-1][0], LONGEST_S)


if __name__ == "__main__":
    suite.main(hosts=True, limit_s=LIMIT_S + 120)
