"""Breaks that nobody is told of: packets lost on the way, a peer's daemon that is stopped, killed, or away for long."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import MIB, HostsTestCase, Transfer, at_marks, connected, not_active, wait_gone  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import opened, read_exactly, state_word  # noqa: E402
from support.processes import SOON_S, shell_ok, start, wait_blocked, wait_until  # noqa: E402

SIZE = 64 * MIB
STOPPED_S = 5  # longer than the default of silence_limit


class Silence(HostsTestCase):
    def test_use_case_1_and_2_no_network_then_a_network(self):
        # Calls wait while there is no network; they return when there is one.
        ours, theirs = self.session()
        self.a.unplug()
        try:
            reader = start(["head", "-c", "5", str(ours)], stdout=subprocess.PIPE)
            wait_blocked(reader.pid, "a reader without a network")
            shell_ok('printf reply > "$F"', F=theirs)
            not_active(ours)
            self.assertIsNone(reader.poll())
        finally:
            self.a.plug()
        self.assertEqual(reader.communicate(timeout=SOON_S)[0], b"reply")
        self.end(ours, theirs)

    def test_use_case_3_a_new_interface_while_another_is_there(self):
        # The address in use goes while another one is there already.
        ours, theirs = self.session()
        transfer = Transfer(self.world, ours, theirs, SIZE)
        next(at_marks([transfer], 2))
        before = connected(self.world)
        self.a.add_addresses(not self.a.moved)
        old4, old6 = self.a.addresses()
        self.a.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries")
        self.a.ip("addr", "del", f"{old4}/24", "dev", "eth0")
        self.a.ip("addr", "del", f"{old6}/64", "dev", "eth0")
        self.a.moved = not self.a.moved
        wait_gone(self.world, before)
        transfer.result()
        self.end(ours, theirs)

    def test_silent_loss_during_a_transfer(self):
        ours, theirs = self.session()
        forth = Transfer(self.world, ours, theirs, SIZE)
        back = Transfer(self.world, theirs, ours, SIZE, files="3")
        for number in at_marks([forth, back], 2):
            host = (self.a, self.b)[number - 1]
            before = connected(self.world)
            host.silence()
            try:
                wait_gone(self.world, before)
                not_active(ours, theirs)
            finally:
                host.speak()
        forth.result()
        back.result()
        self.end(ours, theirs)

    def test_silent_loss_of_an_idle_session_is_noticed(self):
        ours, theirs = self.session()
        self.carries(ours, theirs)
        self.b.silence()
        try:
            not_active(ours, theirs)
        finally:
            self.b.speak()
        self.carries(ours, theirs)
        self.end(ours, theirs)

    def test_the_peers_daemon_is_stopped_and_continued(self):
        ours, theirs = self.session()
        transfer = Transfer(self.world, ours, theirs, SIZE)
        for number in at_marks([transfer], 2):
            stopped, other = ((self.b, ours), (self.a, theirs))[number - 1]
            stopped.daemon.signal(signal.SIGSTOP)
            try:
                not_active(other)
            finally:
                stopped.daemon.signal(signal.SIGCONT)
        transfer.result()
        self.end(ours, theirs)

    def test_a_stop_too_short_to_be_noticed(self):
        ours, theirs = self.session()
        transfer = Transfer(self.world, ours, theirs, SIZE)
        for _ in at_marks([transfer], 7):
            for host in (self.a, self.b):
                host.daemon.signal(signal.SIGSTOP)
                host.daemon.signal(signal.SIGCONT)
        transfer.result()
        self.end(ours, theirs)

    def test_the_peers_daemon_ends_and_starts_again(self):
        ours, theirs = self.session()
        for end in (self.b.daemon.stop, self.b.daemon.kill):
            with opened(ours, os.O_WRONLY) as out:
                os.write(out, b"before ")
                end()
                not_active(ours)
                os.write(out, b"while away ")
                self.b.daemon.start()
                os.write(out, b"after\n")
            with opened(theirs, os.O_RDONLY) as data:
                self.assertEqual(read_exactly(data, 24), b"before while away after\n")
        self.end(ours, theirs)

    def test_closed_while_the_peer_is_away(self):
        ours, theirs = self.session()
        self.assertEqual(self.b.daemon.stop(), 0)
        shell_ok('echo last words > "$F"; rm "$F"', F=ours)
        self.assertFalse(ours.name in os.listdir(self.at_a.sessions))
        # Not even our own restart may lose them.
        self.a.daemon.restart()
        self.b.daemon.start()
        wait_until(lambda: theirs.name in os.listdir(self.at_b.sessions), f"{theirs} is there")
        reader = start(["cat", str(theirs)], stdout=subprocess.PIPE)
        self.assertEqual(reader.communicate(timeout=SOON_S)[0], b"last words\n")
        os.unlink(theirs)

    def test_both_daemons_restart_at_an_address_never_seen_before(self):
        ours, theirs = self.session()
        shell_ok('printf "one " > "$F"', F=ours)
        for host in (self.a, self.b):
            self.assertEqual(host.daemon.stop(), 0)
        for host in (self.a, self.b):
            host.replace_address()
            host.daemon.start()
        shell_ok('printf two > "$F"', F=ours)
        with opened(theirs, os.O_RDONLY) as data:
            self.assertEqual(read_exactly(data, 7), b"one two")
        self.end(ours, theirs)


class Patience(HostsTestCase):
    # The sessions' buffers hold more than the kernels', so that the kernel, too, waits for the peer.
    config = 'silence_limit = "60s"\nidle_silence_limit = "60s"\nbuffer = "32MiB"\n'

    def test_a_silence_shorter_than_the_limit_breaks_nothing(self):
        ours, theirs = self.session()
        transfer = Transfer(self.world, ours, theirs, SIZE)
        next(at_marks([transfer], 1))
        before = connected(self.world)
        transfer.flow_to(SIZE)
        self.b.daemon.signal(signal.SIGSTOP)
        try:
            time.sleep(STOPPED_S)
            self.assertEqual(state_word(ours), "active")
        finally:
            self.b.daemon.signal(signal.SIGCONT)
        transfer.result()
        self.assertEqual(connected(self.world), before)
        self.assertNotIn("pause:", self.at_a.status() + self.at_b.status())
        self.end(ours, theirs)


if __name__ == "__main__":
    suite.main(hosts=True)
