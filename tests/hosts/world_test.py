"""The harness itself, on plain TCP: the ways of breaking a connection break it, and nothing is left behind."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import connected, gone, wait_gone  # noqa: E402
from hosts.world import World  # noqa: E402
from support import suite  # noqa: E402
from support.keeper import start_time  # noqa: E402
from support.processes import AT_ONCE_S, SOON_S, start, wait_until  # noqa: E402

# Answers every byte by itself; IPv6 sockets take IPv4 too, as the daemon's do.
ECHO = """
import socket, threading
def echo(connection):
    try:
        while data := connection.recv(100):
            connection.sendall(data)
    except OSError:
        pass
server = socket.create_server(("::", 4700), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"""
# Asks all the time; tells when its connection is lost and connects again.
ASK = """
import socket, sys, time
while True:
    try:
        with socket.create_connection((sys.argv[1], 4700), 2) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
            while True:
                connection.sendall(b"x")
                connection.recv(1)
                print(".", end="", flush=True)
                time.sleep(0.01)
    except OSError as error:
        print("L", end="", flush=True)
        time.sleep(0.05)
"""
ABANDONED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from hosts.world import World
from support.processes import start
world = World()
world.__enter__()
print(world.prefix, world.folder, start(world.a.enter("sleep", "1000")).pid, flush=True)
time.sleep(1000)
"""


class PlainTcp(suite.TestCase):
    def setUp(self):
        self.world = World()
        self.world.__enter__()
        self.addCleanup(self.world.close)
        self.said = open(os.path.join(self.world.folder, "said"), "w+b", buffering=0)
        self.addCleanup(self.said.close)

    def talk(self, address):
        server = start(self.world.b.enter(sys.executable, "-c", ECHO))
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_until(lambda: ":4700" in self.world.b.run("ss", "-Htln"), "the server listens")
        client = start(self.world.a.enter(sys.executable, "-c", ASK, address), stdout=self.said)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)

    def heard(self):
        return Path(self.said.name).read_bytes()

    def flows(self):
        before = self.heard().count(b".")
        wait_until(lambda: self.heard().count(b".") > before + 5, "bytes flow", SOON_S)

    def losses(self):
        return self.heard().count(b"L")

    def broken_by(self, action, undo=None):
        self.flows()
        before, losses = connected(self.world), self.losses()
        action()
        wait_until(lambda: self.losses() > losses, "the client has lost its connection", SOON_S)
        wait_gone(self.world, before)
        self.assertTrue(gone(self.world, before))
        if undo:
            undo()
        self.flows()

    def test_every_break_breaks_ipv4(self):
        self.every_break_at(self.world.a, self.world.b, self.world.b.addresses()[0])

    def test_every_break_breaks_ipv6(self):
        self.every_break_at(self.world.b, self.world.a, self.world.b.addresses()[1])

    def every_break_at(self, host, peer, address):
        self.talk(address)
        self.broken_by(lambda: self.assertTrue(host.kill_connections(peer)))
        self.broken_by(host.link_down, host.link_up)
        self.broken_by(host.unplug, host.plug)
        self.broken_by(host.silence, host.speak)
        self.broken_by(self.world.a.replace_address)
        self.broken_by(self.world.a.replace_address)

    def test_two_worlds_at_once(self):
        with World() as other:
            self.assertNotEqual(other.prefix, self.world.prefix)
            self.assertTrue(other.a.reaches(other.b))


class Cleaning(suite.TestCase):
    def test_nothing_is_left_when_the_tests_are_killed(self):
        for number in (15, 9):
            with self.subTest(signal=number):
                tests = start([sys.executable, "-c", ABANDONED, str(Path(__file__).resolve().parents[1])],
                              stdout=subprocess.PIPE, text=True)
                prefix, folder, pid = tests.stdout.readline().split()
                self.assertTrue(os.path.exists(f"/run/netns/{prefix}-a"))
                tests.send_signal(number)
                tests.wait(AT_ONCE_S)
                tests.stdout.close()
                wait_until(lambda p=prefix: not [name for name in os.listdir("/run/netns") if name.startswith(p)],
                           "the namespaces are gone", SOON_S)
                wait_until(lambda f=folder: not os.path.exists(f), "the folder is gone")
                wait_until(lambda p=pid: start_time(p) is None, "the process is gone")


if __name__ == "__main__":
    suite.main(hosts=True)
