"""Use cases 1 to 6 of the thesis (3.2.2): sessions follow the links of their hosts, and what their policies say.

A and B have a second jack, eth1, into a network of its own; C is in both networks.

  --away SECONDS   how long an address is away before it comes back; default 3
"""

import argparse
import errno
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import MIB, RECOVERY_LIMIT_S, CatTransfer, HostsTestCase, not_active  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import attribute, state_word  # noqa: E402
from support.processes import SOON_S, wait_until  # noqa: E402

SIZE = 64 * MIB

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
        self.a.unplug()
        not_active(self.ours)
        self.a.plug("eth1")
        self.b.plug("eth1")
        wait_until(lambda: "eth1 up" in self.a.daemon.mount.status(), "A has seen its new link", SOON_S)
        wait_until(lambda: state_word(self.ours) == "ready_resume", "A waits", SOON_S)
        self.assertNotIn("interface", self.at_a.status().partition(f"session: {self.ours.name}")[2].split("\n")[0])
        self.at_a.rules("policy", "")  # acts at once
        self.wait_on(self.ours, "eth1")
        self.carries(self.ours, self.theirs)

    def test_use_case_2_where_the_link_is_too_slow(self):
        self.at_a.rules("policy", "require speed>=100000\n")  # a pair of veths says that it has 10000
        not_active(self.ours)
        self.assertIn("10000", self.choice(self.at_a))
        self.at_a.rules("policy", "require speed>=10000\n")
        self.wait_on(self.ours, "eth0")
        self.carries(self.ours, self.theirs)

    def test_use_case_3_a_better_interface_beside_the_present_one(self):
        self.at_b.rules("policy", "prefer eth1 eth0\n")
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.b.plug("eth1")
        self.a.plug("eth1")
        self.wait_on(self.theirs, "eth1")
        self.assertNotIn("pause:", self.at_b.status(), "the old link carried on until the new one did")
        self.assertEqual(self.choice(self.at_b), "eth1: preferred by: prefer eth1")
        self.same(transfers)

    def test_use_case_3_where_the_policy_stays(self):
        self.at_b.rules("policy", "prefer eth1 eth0\nstay\n")
        self.b.plug("eth1")
        self.a.plug("eth1")
        wait_until(lambda: "stay" in self.choice(self.at_b), "B has seen its new link", SOON_S)
        self.assertEqual(self.interface(self.theirs), "eth0")
        self.carries(self.ours, self.theirs)

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

    def test_use_cases_5_and_6_suspend_and_resume(self):
        transfers = self.transfers()
        self.flow(transfers, 0.2)
        self.at_b.command("suspend")
        wait_until(lambda: state_word(self.theirs) == "suspended" and state_word(self.ours) != "active",
                   "both have stopped", SOON_S)
        self.assertIn("suspended by the peer", self.at_a.status())
        self.at_b.command("resume")
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
        self.at_a.rules("policy", "")
        self.wait_on(self.ours, "eth0")

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


if __name__ == "__main__":
    suite.main(hosts=True)
