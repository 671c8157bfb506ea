"""Bad input to the ports of the name server and of the daemons, from another host."""

import sys
import subprocess
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import MIB, HostsTestCase, Transfer  # noqa: E402
from hosts.world import DOMAIN, SNS_PORT  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import state_word  # noqa: E402
from support.processes import SOON_S, finish, start  # noqa: E402

TESTS = str(Path(__file__).resolve().parents[1])
SEND = """
import sys
sys.path.insert(0, sys.argv[1])
from support import strangers
for what, data in strangers.messages(int(sys.argv[4])):
    for linger in (True, False):
        strangers.send((sys.argv[2], int(sys.argv[3])), data, linger)
"""
HOLD = """
import sys
sys.path.insert(0, sys.argv[1])
from support import strangers
held = strangers.hold((sys.argv[2], int(sys.argv[3])), b"", 150)
held += strangers.hold((sys.argv[2], int(sys.argv[3])), strangers.HALF_HELLO, 150)
print("held", flush=True)
sys.stdin.read(1)
print(all(strangers.closed_by_peer(connection, 60) for connection in (held[0], held[-1])), flush=True)
"""


class BadInput(HostsTestCase):
    def stranger(self, script, address, port, *arguments, **options):
        """A program on C that has nothing but the network."""
        return start(self.world.c.enter(sys.executable, "-c", script, TESTS, address, str(port), *arguments),
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def goes_on(self):
        self.assertTrue(self.world.sns.running(), self.world.sns.tail())
        for host in (self.a, self.b):
            self.assertTrue(host.daemon.running(), host.daemon.tail())
        name = f"made{self.serial}@{DOMAIN}"
        made = self.a.daemon.mount.endpoint(name)
        ours, theirs = self.session()
        self.carries(ours, theirs)
        self.end(ours, theirs)
        made.path.rmdir()

    def test_the_name_servers_port(self):
        for address in self.world.c.addresses():
            result = finish(self.stranger(SEND, address, SNS_PORT, "1"), SOON_S)
            self.assertEqual(result.status, 0, result)
            self.goes_on()

    def test_the_daemons_port(self):
        ours, theirs = self.session()
        for address in self.b.addresses():
            for port in self.b.daemon.ports():
                result = finish(self.stranger(SEND, address, port, "2"), SOON_S)
                self.assertEqual(result.status, 0, result)
        self.assertEqual((state_word(ours), state_word(theirs)), ("active", "active"))
        self.carries(ours, theirs)
        self.end(ours, theirs)
        self.goes_on()

    def test_during_a_transfer(self):
        ours, theirs = self.session()
        transfer = Transfer(self.world, ours, theirs, 64 * MIB)
        strangers = [self.stranger(SEND, self.a.address, self.a.daemon.ports()[0], "3"),
                     self.stranger(SEND, self.b.address, self.b.daemon.ports()[0], "4"),
                     self.stranger(SEND, self.world.c.address, SNS_PORT, "5")]
        transfer.result()
        for stranger in strangers:
            self.assertEqual(finish(stranger, SOON_S).status, 0)
        self.end(ours, theirs)
        self.goes_on()

    def test_half_open_connections_to_both(self):
        for address, port in ((self.world.c.address, SNS_PORT), (self.b.address, self.b.daemon.ports()[0])):
            stranger = self.stranger(HOLD, address, port, stdin=subprocess.PIPE)
            self.assertEqual(stranger.stdout.readline(), "held\n")
            self.goes_on()  # while they are held
            out, err = stranger.communicate("x", timeout=2 * SOON_S)
            self.assertEqual(out, "True\n", f"silent connections are closed by the other side: {err}")


if __name__ == "__main__":
    suite.main(hosts=True)
