"""The DNS servers of the harness: every program asks its own, mounts are seen by everybody, and nothing is left."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts import dns  # noqa: E402
from hosts.dns import Dns  # noqa: E402
from hosts.world import World  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import Daemon, Program  # noqa: E402
from support.keeper import start_time  # noqa: E402
from support.processes import AT_ONCE_S, SOON_S, start, wait_until  # noqa: E402

# A daemon that asks its own DNS server; whoever runs it is killed.
ABANDONED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from hosts.dns import Dns
from hosts.world import World
from support.daemon import Daemon
world = World()
world.__enter__()
server = Dns(world.c, "net")
server.__enter__()
world.a.daemon = Daemon(Path(world.folder, "a"), enter=server.enter(world.a)).start()
print(world.prefix, world.folder, world.a.daemon.pid, server.program.pid, flush=True)
time.sleep(1000)
"""
RESOLV_CONF = Path("/etc/resolv.conf")


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return sorted(line.split()[4] for line in lines)


def namespaces():
    with contextlib.suppress(FileNotFoundError):
        return sorted(os.listdir("/run/netns"))
    return []


class DnsServers(suite.TestCase):
    def setUp(self):
        self.before = mounts(), namespaces(), RESOLV_CONF.read_bytes()
        self.addCleanup(self.nothing_is_left)
        self.world = World()
        self.world.__enter__()
        self.addCleanup(self.world.close)

    def nothing_is_left(self):
        self.assertEqual((mounts(), namespaces(), RESOLV_CONF.read_bytes()), self.before)
        self.assertFalse(os.path.exists(self.world.folder))

    def server(self, *arguments):
        server = Dns(*arguments)
        self.addCleanup(server.close)
        return server

    def test_each_program_asks_its_own(self):
        first, second = self.server(self.world.c, "net"), self.server(self.world.b, "net")
        first.host_record("name.net", "10.0.0.1", "fd00::1")
        second.host_record("name.net", "10.0.0.2").host_record("second.net", "fd00::2")
        first.__enter__()
        second.__enter__()
        for host in self.world.hosts:
            self.assertEqual(first.lookup(host, "name.net"), ["10.0.0.1", "fd00::1"])
            self.assertEqual(first.lookup(host, "second.net"), [])
            self.assertEqual(second.lookup(host, "name.net"), ["10.0.0.2"])
            self.assertEqual(second.lookup(host, "second.net"), ["fd00::2"])
            self.assertEqual(first.run(host, "cat", "/etc/resolv.conf"), first.resolv_conf.read_text())
        first.forget().host_record("name.net", "10.0.0.3").restart()
        self.assertEqual(first.lookup(self.world.a, "name.net"), ["10.0.0.3"])
        second.stop()
        self.assertEqual(second.lookup(self.world.a, "name.net"), [])

    def test_mounts_are_seen_by_everybody_and_go(self):
        server = self.server(self.world.c, "net")
        server.__enter__()
        daemon = Daemon(Path(self.world.folder, "a"), enter=server.enter(self.world.a))
        self.world.a.daemon = daemon.start()
        self.assertIn(str(daemon.mountpoint), mounts())
        self.assertTrue(daemon.mount.status())
        self.assertEqual(Path(f"/proc/{daemon.pid}/root/etc/resolv.conf").read_bytes(),
                         server.resolv_conf.read_bytes())
        self.assertEqual(RESOLV_CONF.read_bytes(), self.before[2])
        daemon.restart()
        self.assertTrue(daemon.mount.status())
        self.assertEqual(daemon.stop(), 0)
        self.assertNotIn(str(daemon.mountpoint), mounts())
        # Killed, and taken away from outside.
        daemon.start()
        daemon.kill()
        self.assertNotIn(str(daemon.mountpoint), mounts())
        # Two at once, each with its mount, and the server closed before them: it takes away what is left.
        self.world.b.daemon = Daemon(Path(self.world.folder, "b"), enter=server.enter(self.world.b)).start()
        daemon.start()
        self.assertEqual(len([path for path in mounts() if path.startswith(self.world.folder + "/")]), 2)

    def test_a_name_server_of_sessions_runs_with_it(self):
        server = self.server(self.world.c, "net").host_record("sns.net", self.world.b.address)
        server.__enter__()
        snsd = Program([os.environ["SNSD_BIN"], "--domain", "verkstad.net", "--state",
                        str(Path(self.world.folder, "sns"))], str(Path(self.world.folder, "sns.log")),
                       server.enter(self.world.b))
        self.addCleanup(snsd.stop)
        snsd.start()
        wait_until(lambda: ":4701" in self.world.b.run("ss", "-Htln"), "snsd listens", SOON_S)
        self.assertEqual(snsd.stop(), 0)


class Cleaning(suite.TestCase):
    def test_nothing_is_left_when_a_test_fails(self):
        before = mounts(), namespaces()
        with self.assertRaisesRegex(ZeroDivisionError, "division"), World() as world, Dns(world.c, "net") as server:
            for host in (world.a, world.b):
                host.daemon = Daemon(Path(world.folder, host.letter), enter=server.enter(host)).start()
            pids = [world.a.daemon.pid, world.b.daemon.pid, server.program.pid]
            self.assertNotEqual((mounts(), namespaces()), before)
            _ = 1 // 0
        self.assertEqual((mounts(), namespaces()), before)
        self.assertFalse(os.path.exists(world.folder))
        self.assertFalse([pid for pid in pids if start_time(pid) is not None])

    def test_nothing_is_left_when_the_tests_are_killed(self):
        for number in (15, 9):
            with self.subTest(signal=number):
                before = mounts()
                tests = start([sys.executable, "-c", ABANDONED, str(Path(__file__).resolve().parents[1])],
                              stdout=subprocess.PIPE, text=True)
                prefix, folder, *pids = tests.stdout.readline().split()
                self.assertIn(folder, mounts())
                tests.send_signal(number)
                tests.wait(AT_ONCE_S)
                tests.stdout.close()
                wait_until(lambda p=prefix: not [name for name in namespaces() if name.startswith(p)],
                           "the namespaces are gone", SOON_S)
                wait_until(lambda f=folder: not os.path.exists(f), "the folder is gone", SOON_S)
                wait_until(lambda b=before: mounts() == b, "the mounts are gone", SOON_S)
                wait_until(lambda p=pids: not any(start_time(pid) for pid in p), "the processes are gone")


if __name__ == "__main__":
    reason = dns.why_not()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(suite.SKIPPED)
    suite.main(hosts=True)
