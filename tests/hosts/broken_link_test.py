"""Real files cross a link that breaks 20 times, in three ways: the same SHA-256 arrives.

  --full   1 GiB each; otherwise SESSIONFS_TEST_MIB in the environment says how much (MiB, default 256, at least 64).
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import (MIB, RECOVERY_LIMIT_S, HostsTestCase, Transfer, at_marks, connected, gone,  # noqa: E402
                             wait_gone)
from support import suite  # noqa: E402
from support.processes import wait_until  # noqa: E402

FULL_MIB = 1024
BREAKS = 20
FULL = "--full" in sys.argv
SIZE = (FULL_MIB if FULL else max(64, int(os.environ.get("SESSIONFS_TEST_MIB", "256")))) * MIB


class BrokenLink(HostsTestCase):
    limit_s = 1800 if FULL else 600

    # --- the three ways; each is sure that the connections that were there carry nothing any more -----------------

    def kill_sockets(self, host, peer, before):
        host.kill_connections(peer)
        wait_gone(self.world, before)

    def link_down_and_up(self, host, _peer, before):
        host.link_down()
        try:
            wait_gone(self.world, before)
        finally:
            host.link_up()

    def unplug_and_plug(self, host, _peer, before):
        host.unplug()
        try:
            wait_gone(self.world, before)
        finally:
            host.plug()

    def replace_address(self, host, _peer, before):
        host.replace_address()
        wait_gone(self.world, before)

    def breaks(self):
        """20 of them: all ways, at either host, in turn."""
        a, b = self.a, self.b
        ways = ((self.kill_sockets, a), (self.link_down_and_up, b), (self.replace_address, a), (self.kill_sockets, b),
                (self.replace_address, b), (self.unplug_and_plug, a), (self.replace_address, a),
                (self.link_down_and_up, a), (self.kill_sockets, a), (self.unplug_and_plug, b))
        return [ways[number % len(ways)] for number in range(BREAKS)]

    def break_at_marks(self, transfers, breaks):
        for number in at_marks(transfers, len(breaks)):
            way, host = breaks[number - 1]
            before = connected(self.world)
            way(host, self.b if host is self.a else self.a, before)
            self.assertTrue(gone(self.world, before))
            for transfer in transfers:
                self.assertLess(transfer.arrived(), transfer.size, f"break {number} came after the end")

    # --- the tests ------------------------------------------------------------------------------------------------

    def test_20_breaks(self):
        ours, theirs = self.session()
        transfer = Transfer(self.world, ours, theirs, SIZE)
        self.break_at_marks([transfer], self.breaks())
        transfer.result()
        self.end(ours, theirs)

    def test_20_breaks_in_both_directions_at_once(self):
        ours, theirs = self.session()
        forth = Transfer(self.world, ours, theirs, SIZE // 2)
        back = Transfer(self.world, theirs, ours, SIZE // 2, files="7")
        self.break_at_marks([forth, back], self.breaks())
        forth.result()
        back.result()
        self.end(ours, theirs)

    def test_use_case_4_both_sides_at_once(self):
        ours, theirs = self.session()
        size = SIZE // 4
        forth = Transfer(self.world, ours, theirs, size)
        back = Transfer(self.world, theirs, ours, size, files="8")
        ways = ("replace_address", "kill_connections", "link", "replace_address")
        for number in at_marks([forth, back], len(ways)):
            way = ways[number - 1]
            before = connected(self.world)
            if way == "replace_address":
                self.a.replace_address()
                self.b.replace_address()
            elif way == "kill_connections":
                self.a.kill_connections(self.b)
                self.b.kill_connections(self.a)
            else:
                self.a.link_down()
                self.b.link_down()
                wait_gone(self.world, before)
                self.b.link_up()
                self.a.link_up()
            wait_gone(self.world, before)
        forth.result()
        back.result()
        self.end(ours, theirs)

    def test_several_sessions_at_once(self):
        sessions = [self.session() for _ in range(4)]
        size = SIZE // 16
        transfers = [Transfer(self.world, ours, theirs, size, files=str(number))
                     for number, (ours, theirs) in enumerate(sessions)]
        for part in at_marks(transfers, 3):
            before = connected(self.world)
            (self.a if part % 2 else self.b).kill_connections(self.b if part % 2 else self.a)
            wait_gone(self.world, before)
        for transfer in transfers:
            transfer.result()
        self.end(*(file for pair in sessions for file in pair))

    def test_an_idle_session_outlives_breaks(self):
        ours, theirs = self.session()
        self.carries(ours, theirs)
        for way, host in self.breaks()[:5]:
            before = wait_until(lambda: self.a.connections(self.b), "connected", RECOVERY_LIMIT_S)
            way(host, self.b if host is self.a else self.a, before)
            self.carries(ours, theirs)
        self.end(ours, theirs)


if __name__ == "__main__":
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != "--full"]
    suite.main(hosts=True, limit_s=3600 if FULL else None)
