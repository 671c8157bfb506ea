"""An interactive shell by OpenSSH through a session: it stays where it is while links are down, both hosts get new
addresses, connections and daemons are killed, and the session is suspended. What is typed meanwhile arrives once.

With --record FILE it writes down what was done and what the screen showed; --down S: so long both links are down.
"""

import argparse
import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import RECOVERY_LIMIT_S  # noqa: E402
from hosts.sshcase import SSH_PROGRAMS, SshTestCase, where  # noqa: E402
from hosts.world import Host  # noqa: E402
from support import suite  # noqa: E402
from support.processes import SOON_S, finish, kill_group, start, wait_until  # noqa: E402

DOWN_S = 5.0
PAUSE_S = 1.0
PROMPT = "b$ "
ROWS, COLUMNS = 24, 110
# What shows within this time of one another is one line of the recording.
TOGETHER_S = 0.3


class Recording:
    """What happened when: who (operator, network, keyboard, screen), what."""

    def __init__(self):
        self.began = time.monotonic()
        self.events = []
        self.lock = threading.Lock()

    def note(self, who, what):
        with self.lock:
            self.events.append([time.monotonic() - self.began, who, what])

    def screen(self):
        """All that the screen has shown."""
        with self.lock:
            return "".join(what for _, who, what in self.events if who == "screen")

    def write(self, file, head, places):
        """`places`: what stands for paths of this machine."""
        joined = []
        for at, who, what in self.events:
            if joined and who == joined[-1][1] == "screen" and at - joined[-1][3] < TOGETHER_S:
                joined[-1][2] += what
                joined[-1][3] = at
            else:
                joined.append([at, who, what, at])
        with open(file, "w", encoding="utf-8") as out:
            out.write(head)
            for at, who, what, _ in joined:
                for path, place in places.items():
                    what = what.replace(path, place)
                for number, line in enumerate(what.replace("\r", "").strip("\n").split("\n")):
                    begin = f"{at:8.1f} s  {who:<8}  " if number == 0 else " " * 22
                    out.write((begin + line).rstrip() + "\n")


class Terminal:
    """A program on a terminal of its own; what it shows goes to a recording as it comes."""

    def __init__(self, command, recording):
        self.recording = recording
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (ROWS, COLUMNS))
        self.process = start(command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "dumb"})
        os.close(slave)
        self.reading = threading.Thread(target=self._read, daemon=True)
        self.reading.start()

    def _read(self):
        with contextlib.suppress(OSError):  # the program has ended
            while data := os.read(self.master, 1 << 16):
                self.recording.note("screen", data.decode(errors="replace"))

    def type(self, line):
        """Key by key, as people do, then Enter."""
        self.recording.note("keyboard", line)
        for key in line + "\n":
            os.write(self.master, key.encode())
            time.sleep(0.01)

    def close(self):
        kill_group(self.process)
        self.process.wait(SOON_S)
        self.reading.join(SOON_S)
        os.close(self.master)


class Outage(SshTestCase):
    down_s = DOWN_S
    record = None

    def setUp(self):
        super().setUp()
        self.recording = Recording()
        self.typed = []

    def shell_of_b(self):
        ssh = self.serve_ssh()
        self.recording.note("operator", f"A$ ssh -tt -o ProxyCommand='sessionctl connect ssh.{self.at_b.name}' b")
        # A shell without the settings of whoever runs the test.
        self.terminal = Terminal(self.a.enter(*ssh, "-tt", "b", f"cd {self.folder} && env PS1='{PROMPT}' HISTFILE= bash --noprofile --norc"),
                                 self.recording)
        self.addCleanup(self.terminal.close)
        wait_until(lambda: self.recording.screen().endswith(PROMPT), "the shell is there", SOON_S)

    def type(self):
        """A command, whose output is not what was typed; returns the output."""
        number = len(self.typed) + 1
        self.typed.append(number)
        self.terminal.type(f'echo "answer $((1000 + {number}))" | tee -a answers')
        return f"answer {1000 + number}"

    def comes(self, answer):
        def shown():
            self.assertIsNone(self.terminal.process.poll(), self.recording.screen())
            return self.recording.screen().count(f"{answer}\r\n") == 1 and self.recording.screen().endswith(PROMPT)
        wait_until(shown, f"{answer} is on the screen: {self.recording.screen()!r}", RECOVERY_LIMIT_S)

    def type_in_a_break(self, cut, mend, for_s):
        """(who, what, the function that does it) for the beginning and the end; nothing answers until it is over."""
        self.do(*cut)
        answer = self.type()
        time.sleep(for_s)
        self.assertNotIn(answer, self.recording.screen(), cut[1])
        self.do(*mend)
        self.comes(answer)

    def do(self, who, what, function):
        self.recording.note(who, what)
        function()

    def test_the_shell_survives(self):
        self.shell_of_b()
        self.comes(self.type())
        self.both_links_are_down()
        self.both_hosts_get_new_addresses()
        self.all_connections_are_killed()
        for host in (self.a, self.b):
            self.daemon_is_killed(host)
        self.session_is_suspended()
        self.recording.note("keyboard", "exit 7")
        os.write(self.terminal.master, b"exit 7\n")
        self.assertEqual(self.terminal.process.wait(SOON_S), 7, "the exit status of the shell")
        self.terminal.reading.join(SOON_S)
        self.recording.note("operator", "ssh has ended with the shell's status, 7")
        self.each_came_once()
        if self.record:
            self.recording.write(self.record, self.head(), {str(self.a.daemon.mount.path): "/session"})

    # --- what happens ---------------------------------------------------------------------------------------------

    def both_links_are_down(self):
        def both(change):
            for host in (self.a, self.b):
                change(host)
        self.type_in_a_break(("network", "the links of both hosts go down", lambda: both(Host.link_down)),
                             ("network", "they come up", lambda: both(Host.link_up)), self.down_s)

    def both_hosts_get_new_addresses(self):
        before = [host.address for host in (self.a, self.b)]
        for host in (self.a, self.b):
            host.replace_address()
        after = [host.address for host in (self.a, self.b)]
        for letter, old, new in zip("AB", before, after):
            self.recording.note("network", f"{letter} has another address, {new} instead of {old}")
        self.comes(self.type())

    def all_connections_are_killed(self):
        killed = [*self.a.kill_connections(self.b), *self.a.kill_connections(self.world.c), *self.b.kill_connections(self.world.c)]
        self.assertTrue(killed)
        self.recording.note("network", "all connections of both daemons are reset (ss -K)")
        self.comes(self.type())

    def daemon_is_killed(self, host):
        letter = host.letter.upper()
        self.type_in_a_break(("operator", f"{letter}$ kill -KILL the daemon of {letter}", host.daemon.kill),
                             ("operator", f"{letter}$ sessionfs, started again", host.daemon.start), PAUSE_S)

    def session_is_suspended(self):
        def control(verb):
            done = finish(self.run_at(self.a, *self.control_words(self.a, verb)), SOON_S)
            self.assertEqual(done.status, 0, done)
        self.type_in_a_break(("operator", "A$ sessionctl suspend", lambda: control("suspend")),
                             ("operator", "A$ sessionctl resume", lambda: control("resume")), PAUSE_S)

    # --- what came of it --------------------------------------------------------------------------------------------

    def each_came_once(self):
        answers = [f"answer {1000 + number}" for number in self.typed]
        self.assertEqual((self.folder / "answers").read_text(encoding="ascii").splitlines(), answers)
        shown = re.findall(r"^answer \d+(?=\r\n)", self.recording.screen(), re.MULTILINE)
        self.assertEqual(shown, answers)
        for number in self.typed:
            self.assertEqual(self.recording.screen().count(f"$((1000 + {number}))"), 1, "what was typed is shown once")

    def head(self):
        version = subprocess.run([os.environ["SESSIONFS_BIN"], "--version"], capture_output=True, text=True, check=True).stdout
        return f"""\
An ssh session that stays
=========================

A and B are hosts (network namespaces) that run {version.split()[0]} {version.split()[-1]}; B offers its sshd:

    B$ sessionctl serve ssh -- /usr/sbin/sshd -i

What was done to the network and to the daemons, what was typed into one interactive ssh on A, and what its screen
showed; the time is that since its start. Nobody has started ssh again, and what was typed arrived once. Recorded by

    tests/hosts/ssh_outage_test.py --down {self.down_s:g} --record FILE

"""


def why_not():
    missing = [name for name in SSH_PROGRAMS if where(name) is None]
    return f"the program {missing[0]} is not installed" if missing else None


if __name__ == "__main__":
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--record", metavar="FILE")
    options.add_argument("--down", type=float, default=DOWN_S, metavar="S")
    given, sys.argv[1:] = options.parse_known_args()
    Outage.record, Outage.down_s, Outage.limit_s = given.record, given.down, 200 + given.down
    suite.main(hosts=True, also=why_not)
