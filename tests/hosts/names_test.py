"""What a domain's name server gives to its hosts: news of who moves, who is away, and who is not to be believed."""

import errno
import itertools
import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import HostsTestCase, connected, not_active, wait_gone  # noqa: E402
from hosts.world import DOMAIN, checked  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import state_word  # noqa: E402
from support.processes import SOON_S, run, wait_until  # noqa: E402

# A host that resumes because of news must do so while its own timer still has at least so long to run.
LONG_WAIT_S = 8
ROUNDS = 6
FLAPS = 50
FLAP_S = 0.02


class NamesTestCase(HostsTestCase):
    def snsd(self, *arguments):
        return self.world.c.run(os.environ["SNSD_BIN"], *arguments, "--state", str(Path(self.world.folder, "sns")))

    def table(self):
        """All that the name server knows, but for when a lease was renewed."""
        return self.snsd("export")

    def registration(self, host, endpoint):
        found = re.search(r"^registration: (.*)$", endpoint.status(), re.MULTILINE)
        return found.group(1) if found and host.daemon.running() else ""

    def wait_registered(self, host, endpoint):
        wait_until(lambda: self.registration(host, endpoint) == "registered", f"{endpoint} is registered", SOON_S)


def next_attempt_s(endpoint, session):
    """How long the session waits for its next attempt by itself, as `status` says."""
    for line in endpoint.status().splitlines():
        if line.startswith(f"session: {session.name} "):
            found = re.search(r" next-attempt=(\d+)s", line)
            return int(found.group(1)) if found else 0
    return 0


class Watch(NamesTestCase):
    def no_way_to_a(self):
        """B cannot begin a connection to A any more; A can to B."""
        rules = ("add table bridge oneway; "
                 "add chain bridge oneway c { type filter hook forward priority 0; }; "
                 f'add rule bridge oneway c iifname "{self.b.port}" tcp dport 4700 tcp flags & (syn|ack) == syn drop')
        checked(*self.world.in_switch("nft", rules))
        self.addCleanup(checked, *self.world.in_switch("nft", "delete table bridge oneway"))

    def test_a_peer_that_waits_resumes_when_it_is_told(self):
        ours, theirs = self.session()
        self.carries(ours, theirs)
        self.no_way_to_a()
        for _ in range(ROUNDS):
            self.b.daemon.kill()
            not_active(ours)
            wait_until(lambda: next_attempt_s(self.at_a, ours) > LONG_WAIT_S, "A tries seldom by now", SOON_S * 3)
            self.b.replace_address()
            left = next_attempt_s(self.at_a, ours)
            before = time.monotonic()
            self.b.daemon.start()
            self.wait_registered(self.b, self.at_b)
            announced = time.monotonic()
            wait_until(lambda: state_word(ours) == "active", "A resumes", SOON_S)
            resumed = time.monotonic()
            self.carries(ours, theirs)
            print(f"announced after {announced - before:.2f} s, resumed {resumed - announced:.2f} s later; "
                  f"A's own timer had {left:.0f} s left at the beginning", file=sys.stderr)
            # The timer's seconds are whole ones.
            if resumed - before < left - 1:
                return
        self.fail(f"in {ROUNDS} rounds A never resumed before its own timer was due")


class Links(NamesTestCase):
    def test_a_link_that_is_nothing_to_the_name_server(self):
        """One that comes and goes all the time takes no connection to the name server away."""
        def asked():
            os.close(os.open(self.at_b.services / f"s{time.monotonic_ns()}", os.O_CREAT | os.O_WRONLY))
            lines = self.b.run("ss", "-Htn", "state", "established", "dport", "=", ":4701").splitlines()
            return {line.split()[2] for line in lines}
        self.b.ip("link", "add", "flaps", "type", "veth", "peer", "name", "other")
        self.b.ip("link", "set", "other", "up")
        connections = asked()
        self.assertEqual(len(connections), 1)
        for _ in range(FLAPS):
            for state in ("up", "down"):
                self.b.ip("link", "set", "flaps", state)
                time.sleep(FLAP_S)
        self.assertEqual(asked(), connections)


class Leases(NamesTestCase):
    sns_options = ("--lease", "2")

    def test_who_has_vanished_is_away(self):
        ours, theirs = self.session()
        self.carries(ours, theirs)
        self.b.daemon.kill()
        wait_until(lambda: "away since" in self.snsd("show", self.at_b.name), "the name server misses B", SOON_S)
        self.assertIn("away since", self.snsd("list"))
        self.assert_errno(errno.EHOSTUNREACH, os.open, self.at_a.sessions / f"file.b@{DOMAIN}~away", os.O_RDWR)
        not_active(ours)
        wait_until(lambda: f"waits: {ours.name} for {self.at_b.name}, away since 20" in self.at_a.status(),
                   "status says since when", SOON_S)
        self.b.daemon.start()
        self.wait_registered(self.b, self.at_b)
        self.carries(ours, theirs)
        self.assertNotIn("away since", self.snsd("show", self.at_b.name))
        self.assertNotIn("waits:", self.at_a.status())

    def test_a_lease_is_renewed(self):
        time.sleep(5)  # more than two leases; the outcome must hold however long it takes
        self.assertNotIn("away since", self.snsd("list"))


class WithoutNameServer(NamesTestCase):
    def test_sessions_go_on_between_known_places(self):
        ours, theirs = self.session()
        self.carries(ours, theirs)
        self.world.sns.kill()
        try:
            self.carries(ours, theirs)
            for _ in range(3):
                links = connected(self.world)
                self.a.kill_connections(self.b)
                wait_gone(self.world, links)
                self.carries(ours, theirs)
        finally:
            self.world.sns.start()
            self.world.wait_for_sns()
        self.end(*self.session())


class Revoked(NamesTestCase):
    sns_options = ("--lease", "6")

    def test_a_revoked_key_opens_no_door(self):
        name = f"stick@{DOMAIN}"
        stick = self.b.daemon.mount.endpoint(name)
        stick.serve("file")
        self.at_a.dial(stick, "file", "before")
        self.at_a.serve("door")
        self.snsd("revoke", name)
        before = self.table()
        # The server notices within a second; a session dialled before stands, and another label is another session.
        labels = map("after{}".format, itertools.count())
        wait_until(lambda: self._errno(self.at_a.sessions / stick.target("file", next(labels))) == errno.EKEYREJECTED,
                   "A is told that the key is revoked", SOON_S)
        # Nor does it get anywhere itself.
        self.assertEqual(self._errno(stick.sessions / self.at_a.target("door")), errno.EKEYREJECTED)
        self.assert_errno(errno.EKEYREJECTED, (stick.services / "more").touch)
        wait_until(lambda: "revoked" in self.registration(self.b, stick), "its status says so", SOON_S * 3)
        os.rmdir(stick.path)  # of what is here
        self.assertFalse(stick.path.exists())
        self.assertEqual(self.table(), before)
        self.assertIn("revoked", self.snsd("show", name))

    @staticmethod
    def _errno(path):
        try:
            os.close(os.open(path, os.O_RDWR))
            return 0
        except OSError as error:
            return error.errno

    def test_a_revoked_member_creates_nothing(self):
        number = re.search(r"(\d+)", self.snsd("show", self.at_b.name).partition("member")[2]).group(1)
        self.snsd("revoke", number)
        before = self.table()
        self.assert_errno(errno.EKEYREJECTED, os.mkdir, self.b.daemon.mount.path / f"new@{DOMAIN}")
        self.assertEqual(self.table(), before)
        self.end(*self.session())  # what it has goes on

    def test_an_expired_token(self):
        token = self.snsd("token", "--expires", "1", "--address", "10.77.0.3:4701").strip()
        self.world.start_daemon(self.world.c)
        time.sleep(2.5)  # in whole seconds; nothing else is waited for
        mount = self.world.c.daemon.mount
        before = self.table()
        self.assert_errno(errno.EKEYEXPIRED, (mount.path / "ctl").write_text, f"join {token}\n", encoding="ascii")
        reason = "this token has expired; ask for a new one with: snsd token"
        self.assertIn(reason, mount.status())
        told = run([os.environ["SESSIONCTL_BIN"], "--mount", str(mount.path), "join", token])
        self.assertEqual(told.status, 1)
        self.assertIn(reason, told.err)
        self.assertEqual(told.err.count("\n"), 1)
        self.assertEqual(self.table(), before)


if __name__ == "__main__":
    suite.main(hosts=True)
