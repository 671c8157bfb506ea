"""Use cases 1 to 6 of the thesis (3.2.2): sessions follow the links of their hosts, and what their policies say.

A and B have a second jack, eth1, into a network of its own; C is in both networks.

  --away SECONDS   how long an address is away before it comes back; default 3
"""

import argparse
import errno
import os
import re
import sys
import time
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import MIB, RECOVERY_LIMIT_S, CatTransfer, HostsTestCase, Transfer  # noqa: E402
from hosts.hostscase import flows, not_active, stands_still  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import Daemon, attribute, state_word  # noqa: E402
from support.keeper import remove_folder, temporary_folder  # noqa: E402
from support.processes import SOON_S, run, wait_until  # noqa: E402

SIZE = 64 * MIB
WAIT_S = 1.5          # a session waits so long for what its policy asks for
ADDRESSES = 1000
FLAPS, FLAP_S = 150, 0.02

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--away", type=float, default=3)
OPTIONS, sys.argv[1:] = parser.parse_known_args()
AWAY_S = OPTIONS.away


class Links(HostsTestCase):
    limit_s = 600 + OPTIONS.away

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.add_second_network()

    def setUp(self):
        for host in (self.a, self.b):
            host.plug()
            host.unplug("eth1")
        for endpoint in (self.at_a, self.at_b):
            endpoint.rules("policy", "")
        self.ours, self.theirs = self.session()
        self.carries(self.ours, self.theirs)

    def tearDown(self):
        self.end(self.ours, self.theirs)
        super().tearDown()

    # --- what is seen ------------------------------------------------------------------------------------------

    def transfers(self):
        """In both directions at once."""
        return [CatTransfer(self.world, self.ours, self.theirs, SIZE),
                CatTransfer(self.world, self.theirs, self.ours, SIZE)]

    def flow(self, transfers, part):
        for transfer in transfers:
            transfer.wait_for(int(transfer.size * part))

    def same(self, transfers):
        for transfer in transfers:
            transfer.result()

    def interface(self, session):
        try:
            return attribute(session, "interface")
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
            return None

    def wait_choice(self, endpoint, interface):
        wait_until(lambda: self.choice(endpoint).startswith(f"{interface}: "), f"{endpoint.name} picks {interface}",
                   SOON_S)

    def known(self, endpoint):
        """What the name server knows of it."""
        return run(self.world.c.enter(os.environ["SNSD_BIN"], "show", endpoint.name, "--state",
                                      str(Path(self.world.folder, "sns")))).out

    def plug_second(self):
        """Both hosts are in both networks, and the name server knows it."""
        for host, endpoint in ((self.a, self.at_a), (self.b, self.at_b)):
            host.plug("eth1")
            wait_until(lambda h=host, e=endpoint: f"10.78.0.{h.number}" in self.known(e),
                       f"the name server knows the second address of {endpoint.name}", SOON_S)

    def waits_for_the_policy(self, transfers):
        """A's side waits, and goes on waiting."""
        wait_until(lambda: state_word(self.ours) == "ready_resume", "A waits", SOON_S)
        stands_still(*transfers)
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            self.assertEqual(state_word(self.ours), "ready_resume")
            time.sleep(0.05)
        stands_still(*transfers)

    def wait_on(self, session, interface):
        wait_until(lambda: state_word(session) == "active" and self.interface(session) == interface,
                   f"{session.name} goes by {interface}", RECOVERY_LIMIT_S)

    def choice(self, endpoint):
        return re.search(r"^interface: (.*)$", endpoint.status(), re.MULTILINE).group(1)

    # --- the use cases -----------------------------------------------------------------------------------------

    def test_use_case_1_unexpected_disconnection(self):
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.a.unplug()
        not_active(self.ours)
        self.assertEqual(self.choice(self.at_a), "none: eth0 has no carrier, eth1 has no carrier")
        self.assertRegex(self.at_a.status(), rf"pause: {self.ours.name} \d+s ago: the connection broke")
        stands_still(*transfers)
        self.a.plug()
        self.same(transfers)

    def test_use_case_2_a_new_interface_where_there_was_none(self):
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.a.unplug()
        not_active(self.ours)
        self.a.plug("eth1")
        self.b.plug("eth1")
        self.wait_on(self.ours, "eth1")
        self.same(transfers)

    def test_use_case_2_where_the_policy_forbids_it(self):
        self.at_a.rules("policy", "deny eth1\n")
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.a.unplug()
        not_active(self.ours)
        self.a.plug("eth1")
        self.b.plug("eth1")
        wait_until(lambda: "eth1 up" in self.a.daemon.mount.status(), "A has seen its new link", SOON_S)
        self.waits_for_the_policy(transfers)
        self.assertNotIn("interface", self.at_a.status().partition(f"session: {self.ours.name}")[2].split("\n")[0])
        self.at_a.rules("policy", "")  # acts at once
        self.wait_on(self.ours, "eth1")
        self.same(transfers)

    def test_use_case_2_where_the_link_is_too_slow(self):
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.at_a.rules("policy", "require speed>=100000\n")  # a pair of veths says that it has 10000
        not_active(self.ours)
        self.waits_for_the_policy(transfers)
        self.assertIn("10000", self.choice(self.at_a))
        self.at_a.rules("policy", "require speed>=10000\n")
        self.wait_on(self.ours, "eth0")
        self.same(transfers)

    def better_interface(self, endpoint, host, side):
        """It comes beside the present one. `side`: of the session, 0 the dialler's."""
        self.end(self.ours, self.theirs)
        host.daemon.restart()  # it remembers how often eth1 was lost, and would wait the longer
        self.ours, self.theirs = self.session()
        session = (self.ours, self.theirs)[side]
        endpoint.rules("policy", "prefer eth1 eth0\n")
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.b.plug("eth1")
        self.a.plug("eth1")
        self.wait_on(session, "eth1")
        self.assertNotIn("pause:", endpoint.status(), "the old link carried on until the new one did")
        self.assertEqual(self.choice(endpoint), "eth1: preferred by: prefer eth1")
        self.same(transfers)

    def test_use_case_3_a_better_interface_of_the_accepting_side(self):
        self.better_interface(self.at_b, self.b, 1)

    def test_use_case_3_a_better_interface_of_the_dialling_side(self):
        self.better_interface(self.at_a, self.a, 0)

    def test_use_case_3_where_the_policy_stays(self):
        self.at_b.rules("policy", "prefer eth1 eth0\nstay\n")
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.b.plug("eth1")
        self.a.plug("eth1")
        wait_until(lambda: "stay" in self.choice(self.at_b), "B has seen its new link", SOON_S)
        self.flow(transfers, 0.8)
        self.assertEqual(self.interface(self.theirs), "eth0")
        self.same(transfers)

    def test_use_case_4_both_rebind_at_once(self):
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        for host in (self.a, self.b):
            host.unplug()
        for host in (self.a, self.b):
            host.plug("eth1")
        self.wait_on(self.ours, "eth1")
        self.wait_on(self.theirs, "eth1")
        self.flow(transfers, 0.6)
        for host in (self.a, self.b):
            host.unplug("eth1")
            host.plug()
        self.wait_on(self.ours, "eth0")
        self.same(transfers)

    def test_use_case_5_suspend(self):
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.at_b.command("suspend")
        wait_until(lambda: state_word(self.theirs) == "suspended" and not flows(self.ours), "both have stopped", SOON_S)
        stands_still(*transfers)
        self.assertIn("suspended by the peer", self.at_a.status())
        self.at_a.command("resume")  # it is not A's to resume
        stands_still(*transfers)
        self.assertEqual(state_word(self.theirs), "suspended")
        self.at_b.command("resume")
        self.same(transfers)

    def test_use_case_6_resume(self):
        transfers = self.transfers()
        for endpoint, session, part in ((self.at_a, self.ours, 0.3), (self.at_b, self.theirs, 0.6)):
            self.flow(transfers, part)
            endpoint.command(f"suspend {session.name}")
            wait_until(lambda: not flows(self.ours) and not flows(self.theirs), "both have stopped", SOON_S)
            endpoint.command(f"resume {session.name}")
            wait_until(lambda: flows(self.ours) and flows(self.theirs), "both go on", RECOVERY_LIMIT_S)
        self.same(transfers)

    # --- which way ---------------------------------------------------------------------------------------------

    def test_a_new_session_goes_by_the_chosen_interface_at_once(self):
        self.plug_second()
        for endpoint in (self.at_a, self.at_b):
            endpoint.rules("policy", "prefer eth1 eth0\n")
            self.wait_choice(endpoint, "eth1")
        ours, theirs = self.session()
        self.assertEqual([self.interface(ours), self.interface(theirs)], ["eth1", "eth1"])
        self.carries(ours, theirs)
        self.assertRegex(self.at_a.status(), rf"(?m)^session: {ours.name} .* last=T\d+:connect_ok$", "it has not moved")
        self.end(ours, theirs)

    def test_silent_loss_with_a_second_interface(self):
        self.plug_second()
        self.end(self.ours, self.theirs)
        self.ours, self.theirs = self.session()  # each knows both addresses of the other
        self.assertEqual(self.interface(self.ours), "eth0")
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.a.silence()
        self.addCleanup(self.a.speak)
        self.wait_on(self.ours, "eth1")
        self.wait_on(self.theirs, "eth1")
        self.same(transfers)

    # --- by hand -----------------------------------------------------------------------------------------------

    def test_rebind(self):
        for host in (self.a, self.b):
            host.plug("eth1")
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        wait_until(lambda: "eth1 up" in self.a.daemon.mount.status(), "A has seen its new link", SOON_S)
        self.at_a.command("rebind eth1")
        self.wait_on(self.ours, "eth1")
        self.assertEqual(self.choice(self.at_a), "eth1: asked for by rebind")
        self.flow(transfers, 0.5)
        self.at_a.command("rebind")
        self.wait_on(self.ours, "eth0")
        self.same(transfers)

    def test_rebind_to_what_is_not_there_or_forbidden(self):
        self.assert_errno(errno.ENODEV, self.at_a.command, "rebind eth7")
        self.assertIn("rebind: there is no interface eth7", self.at_a.status())
        self.at_a.rules("policy", "deny eth0\nprefer lo\n")
        self.assert_errno(errno.EACCES, self.at_a.command, "rebind eth0")
        self.assertIn("denied by: deny eth0", self.at_a.status())
        self.assert_errno(errno.EINVAL, self.at_a.rules, "policy", "deny\n")
        self.assert_errno(errno.EINVAL, self.at_a.command, "rebind eth0 eth1")
        self.at_a.rules("policy", "deny eth1\n")
        self.assert_errno(errno.EACCES, self.at_a.command, "rebind eth1")  # that it has no carrier changes nothing
        self.assertIn("denied by: deny eth1", self.at_a.status())
        self.at_a.rules("policy", "require speed>=100000\n")
        self.assert_errno(errno.EACCES, self.at_a.command, "rebind eth0")
        self.assertIn("rebind: eth0 is too slow: 10000 Mbit/s", self.at_a.status())
        self.at_a.rules("policy", "")
        self.assert_errno(errno.EACCES, self.at_a.command, "rebind lo")
        self.assertIn("rebind: lo leads to no other host", self.at_a.status())
        self.wait_on(self.ours, "eth0")

    def test_rebind_to_what_has_no_address_yet(self):
        addresses = [f"10.78.0.{self.a.number}/24", f"fd78::{self.a.number:x}/64 nodad"]
        for host in (self.a, self.b):
            host.plug("eth1")
        wait_until(lambda: "eth1 up" in self.a.daemon.mount.status(), "A has seen its new link", SOON_S)
        self.a.ip_batch(["address flush dev eth1"])
        wait_until(lambda: "10.78.0." not in self.a.daemon.mount.status(), "its addresses are gone", SOON_S)
        self.at_a.command("rebind eth1")
        self.assertRegex(self.choice(self.at_a), "^eth0: .*; eth1, asked for by rebind, has no address")
        self.a.ip_batch([*(f"address add {address} dev eth1" for address in addresses),
                         "route add 10.77.0.0/24 via 10.78.0.3 metric 1000"])
        self.wait_on(self.ours, "eth1")
        self.at_a.command("rebind")
        self.carries(self.ours, self.theirs)

    def test_an_address_that_comes_back(self):
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        lines = [f"address {{}} {address} dev eth0" for address in
                 (f"{self.b.addresses()[0]}/24", f"{self.b.addresses()[1]}/64")]
        self.b.ip_batch([line.format("delete") for line in lines])
        not_active(self.ours, self.theirs)
        time.sleep(AWAY_S)
        self.b.ip_batch([line.format("add") for line in lines])
        self.same(transfers)

    def test_a_link_that_flaps_beside_a_good_one(self):
        self.at_a.rules("policy", "prefer eth1 eth0\n")
        transfers = self.transfers()
        self.b.plug("eth1")
        for _ in range(100):
            self.a.plug("eth1")
            self.a.unplug("eth1")
        self.assertEqual(self.interface(self.ours), "eth0")
        self.same(transfers)

    def test_the_only_link_flaps_and_then_stays(self):
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        for transfer in transfers:
            transfer.flow_to(SIZE)
        for _ in range(FLAPS):
            self.a.unplug()
            time.sleep(FLAP_S / 2)
            self.a.plug()
            time.sleep(FLAP_S / 2)
        self.same(transfers)

    # --- many addresses ----------------------------------------------------------------------------------------

    def test_thousand_addresses(self):
        own = [f"10.90.{number // 250}.{number % 250 + 1}/16" for number in range(ADDRESSES // 2)]
        own += [f"fd90::{number:x}/64 nodad" for number in range(1, ADDRESSES // 2 + 1)]
        self.addCleanup(self.a.ip_batch, [f"address flush dev eth0 to {net}" for net in ("10.90.0.0/16", "fd90::/64")])
        self.a.ip_batch([f"address add {address} dev eth0" for address in own])
        last = [own[ADDRESSES // 2 - 1], own[-1]]
        wait_until(lambda: all(f" {each.partition('/')[0]}" in self.a.daemon.mount.status() for each in last),
                   "A has seen them", SOON_S)
        self.a.daemon.restart()
        ours, theirs = self.session()
        self.carries(ours, theirs)
        self.at_a.serve("here")
        back = self.at_b.dial(self.at_a, "here")
        self.carries(back, self.at_a.accept("here"))
        (self.at_a.services / "here").unlink()
        self.end(ours, theirs, back)


class Loopback(suite.TestCase):
    """A host without any interface but loopback."""

    def test_sessions_of_a_host_without_a_network(self):
        folder = temporary_folder("sessionfs-loopback-")
        self.addCleanup(remove_folder, folder)
        daemon = Daemon(Path(folder, "host"), enter=["unshare", "--net", "--"]).start()
        self.addCleanup(daemon.stop)
        self.assertIn("interface: lo down loopback\n", daemon.mount.status())
        run(["nsenter", f"--net=/proc/{daemon.pid}/ns/net", "--", "ip", "link", "set", "lo", "up"])
        wait_until(lambda: "interface: lo up loopback" in daemon.mount.status(), "lo is up", SOON_S)
        alice, bob = daemon.mount.endpoint("alice@local"), daemon.mount.endpoint("bob@local")
        bob.serve("file")
        ours = alice.dial(bob, "file")
        theirs = bob.accept("file")
        self.assertEqual([attribute(each, "interface") for each in (ours, theirs)], ["lo", "lo"])
        host = types.SimpleNamespace(folder=folder)
        for transfer in [Transfer(host, ours, theirs, SIZE), Transfer(host, theirs, ours, SIZE, files="back")]:
            transfer.result()
        self.assertRegex(alice.status(), r"(?m)^interface: lo: the only one that may be used$")


if __name__ == "__main__":
    suite.main(hosts=True)
