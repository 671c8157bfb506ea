"""Tests of endpoints that travel between the hosts A, B and C while their sessions are used; the name server is on C."""

import errno
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from hosts.hostscase import HostsTestCase, RECOVERY_LIMIT_S
from hosts.world import DOMAIN
from support.daemon import Endpoint
from support.exchange import Exchange
from support.processes import SOON_S, finish, start, wait_until

_numbers = itertools.count(1)


class Traveller:
    """An endpoint that may be at any host. `sessions` is where it is: a link that applications follow, and so they
    carry on wherever it has gone."""

    def __init__(self, world, name, host):
        self.world, self.name = world, name
        self.link = Path(world.folder, f"where-{name}")
        self.host = self.passphrase = None
        self.is_at(host)
        host.daemon.mount.endpoint(name)

    def __str__(self):
        return self.name

    def is_at(self, host):
        """Where it is looked for from now on."""
        new = self.link.with_name(f"{self.link.name}.new")
        os.symlink(host.daemon.mount.path / self.name, new)
        os.rename(new, self.link)
        self.host = host

    @property
    def at(self):
        """As it is seen at its present host."""
        return Endpoint(self.host.daemon.mount.path / self.name)

    def session(self, name):
        return self.link / "sessions" / name

    def is_here(self):
        return (self.host.daemon.mount.path / self.name).is_dir()

    def is_used(self):
        """It is here, and its stick with it."""
        try:
            return "\naway: " not in self.at.status()
        except OSError:
            return False

    def wait_gone(self, host):
        wait_until(lambda: not (host.daemon.mount.path / self.name).exists(), f"{self.name} is gone from {host.letter}",
                   SOON_S)


def command(mount, line, endpoint=None):
    """One command to ctl of a mount or an endpoint, in a process that can be left behind. Raises OSError."""
    target = mount.path / (endpoint or "") / "ctl"
    result = finish(start([sys.executable, "-c", "import os, sys\nfile = os.open(sys.argv[1], os.O_WRONLY)\n"
                           "try: os.write(file, os.fsencode(sys.argv[2]))\n"
                           "except OSError as error: print(error.errno); sys.exit(1)\n", str(target), line + "\n"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), RECOVERY_LIMIT_S)
    if result.status == 1 and result.out.strip().isdigit():
        raise OSError(int(result.out), os.strerror(int(result.out)), f"{target}: {line}")
    if result.status != 0:
        raise AssertionError(f"{target}: {line}: {result}")


def error_of_reading(file):
    """Reads a session to its end, which is an error; its number."""
    script = ("import os, sys\n"
              "try:\n  file = os.open(sys.argv[1], os.O_RDONLY)\n  while os.read(file, 65536): pass\n"
              "except OSError as error: print(error.errno); sys.exit()\nprint(0)\n")
    result = finish(start([sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True), RECOVERY_LIMIT_S)
    return int(result.out)


class TravelTestCase(HostsTestCase):
    """A, B and C all have daemons of the domain; b@ at B has the service `file`."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.c = cls.world.c
        cls.world.start_daemon(cls.c, cls.config)
        cls.at_c = cls.world.join(cls.c)

    def setUp(self):
        self.exchanges = []
        self.addCleanup(lambda: [exchange.end() for exchange in self.exchanges])

    def folder(self):
        """A new folder, as a stick of ext4 would have it."""
        folder = Path(self.world.folder, f"stick-{next(_numbers)}")
        folder.mkdir()
        self.addCleanup(shutil.rmtree, folder, True)
        return folder

    def traveller(self, host=None):
        return Traveller(self.world, f"t{next(_numbers)}@{DOMAIN}", host or self.a)

    def connect(self, traveller, size=None):
        """Data in both directions between `traveller` and b@, in a session that the traveller has made. Its files."""
        label = f"x{next(_numbers)}"
        ours = traveller.at.dial(self.at_b, "file", label).name
        theirs = self.at_b.accept("file")
        return self.exchange(traveller, ours, theirs, size)

    def answer(self, traveller, size=None):
        """The same in a session that b@ has made."""
        traveller.at.serve("file")
        label = f"x{next(_numbers)}"

        def dialled():
            try:
                return self.at_b.dial(traveller.at, "file", label)
            except OSError as error:
                if error.errno not in (errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENOENT):
                    raise
                return None
        theirs = wait_until(dialled, f"B can dial {traveller}", SOON_S)
        return self.exchange(traveller, traveller.at.accept("file").name, theirs, size)

    def exchange(self, traveller, ours, theirs, size):
        made = Exchange(self.world.folder, traveller.session(ours), theirs, seed=f"{traveller}-{ours}", size=size)
        made.ours, made.theirs = ours, theirs
        self.exchanges.append(made)
        return made

    def goes_on(self, *exchanges):
        """What is written from now on arrives, in both directions."""
        for exchange in exchanges:
            marks = [sender.carried() + (1 << 18) for sender, _ in exchange.pairs]

            def passed(exchange=exchange, marks=marks):
                exchange.watch()
                return all(arrived > mark for arrived, mark in zip(exchange.arrived(), marks))
            wait_until(passed, "bytes arrive in both directions", RECOVERY_LIMIT_S)

    def finish(self, *exchanges):
        """Everything that was written has arrived, in order."""
        for exchange in exchanges:
            exchange.stop()
        for exchange in exchanges:
            exchange.finish()

    def copy(self, tool, traveller, stick):
        line = tool.format(here=traveller.at.path, there=stick, up=traveller.at.path.parent, name=traveller.name)
        result = finish(start(["bash", "-c", f"set -o pipefail; {line}"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True), SOON_S)
        self.assertEqual((result.status, result.err), (0, ""), f"{line}: {result}")

    def save(self, traveller, target, passphrase=None):
        line = f"save {target}"
        command(traveller.host.daemon.mount, f"passphrase {passphrase}\n{line}" if passphrase else line, traveller.name)

    def load(self, traveller, folder, host, passphrase=None):
        self.load_at(host, folder, passphrase)
        traveller.is_at(host)

    def load_at(self, host, folder, passphrase=None):
        line = f"load {folder}"
        command(host.daemon.mount, f"passphrase {passphrase}\n{line}" if passphrase else line)
