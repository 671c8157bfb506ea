"""Sticks that are plugged in, pulled and ejected, under a real udevd on each host: loop devices stand in for them."""

import errno
import os
import stat
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.stickcase import StickTestCase  # noqa: E402
from hosts.travelcase import command, error_of_reading  # noqa: E402
from hosts.world import DOMAIN  # noqa: E402
from support import sticks, suite  # noqa: E402
from support.processes import SOON_S, wait_until  # noqa: E402


PEM = b"-----BEGIN PRIVATE KEY-----"


def made(folder):
    folder.mkdir()
    return folder


def put(folder, record):
    """A folder with a record; the record's path."""
    file = made(folder) / ".endpoint"
    file.write_bytes(record)
    return file


class Sticks(StickTestCase):
    def test_a_stick_goes_from_host_to_host(self):
        traveller = self.traveller()
        (traveller.at.path / "notes").write_text("kept", encoding="ascii")
        exchanges = [self.connect(traveller), self.answer(traveller)]
        self.goes_on(*exchanges)
        stick = self.stick()
        root = self.plug(stick, self.a)
        self.save(traveller, root)
        self.eject(stick, self.a)
        for host in (self.c, self.b, self.a):
            self.plug(stick, host)
            traveller.is_at(host)
            wait_until(traveller.is_here, f"{traveller} is loaded at {host.letter}", SOON_S)
            self.assertEqual((traveller.at.path / "notes").read_text(encoding="ascii"), "kept")
            self.goes_on(*exchanges)
            self.eject(stick, host)
            traveller.wait_gone(host)
        self.plug(stick, self.c)
        traveller.is_at(self.c)
        self.finish(*exchanges)

    def test_a_stick_is_pulled_without_a_warning(self):
        traveller, stick = self.on_a_stick(self.a)
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        document = os.open(traveller.at.path / "notes", os.O_RDWR | os.O_CREAT, 0o600)
        stick.pull()
        wait_until(lambda: "its stick is gone" in self.a.daemon.mount.status(), "A notices", SOON_S)
        self.assert_errno(errno.ESTALE, os.write, document, b"x")
        self.assert_errno(errno.ESTALE, os.close, document)
        wait_until(lambda: not self.mounts_of(self.a), "the dead mount is let go", SOON_S)
        # The same stick at the same host: it goes on.
        self.plug(stick, self.a)
        self.goes_on(exchange)
        # At another host: the former one hands over what it has.
        stick.pull()
        self.plug(stick, self.c)
        traveller.is_at(self.c)
        self.goes_on(exchange)
        traveller.wait_gone(self.a)
        self.finish(exchange)

    def test_what_was_on_a_stick_that_is_lost_can_be_removed(self):
        traveller, stick = self.on_a_stick(self.a)
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        stick.pull()
        wait_until(lambda: "its stick is gone" in self.a.daemon.mount.status(), "A notices", SOON_S)
        os.rmdir(traveller.at.path)
        self.assertNotIn(traveller.name, self.a.daemon.mount.names())
        # Its peers learn of it, and its name is free again.
        exchange.end()
        self.assertEqual(error_of_reading(exchange.theirs), 0)
        os.mkdir(traveller.at.path)

    def test_a_sealed_stick_comes_back(self):
        # Who has given its passphrase here once is asked for nothing.
        traveller, stick = self.traveller(self.a), self.stick()
        self.save(traveller, self.plug(stick, self.a), "open sesame")
        self.load(traveller, self.root_of(stick, self.a) / traveller.name, self.a, "open sesame")
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        stick.pull()
        wait_until(lambda: "its stick is gone" in self.a.daemon.mount.status(), "A notices", SOON_S)
        self.plug(stick, self.a)
        self.goes_on(exchange)
        command(self.a.daemon.mount, "save", traveller.name)
        self.assertEqual((self.seen_from_outside(self.root_of(stick, self.a), self.a)
                          / traveller.name / ".endpoint").read_bytes()[:4], b"SFSX")

    def test_a_stick_comes_back_from_a_host_that_the_former_one_knows_nothing_of(self):
        traveller, stick = self.on_a_stick(self.a)
        stick.pull()
        wait_until(lambda: "its stick is gone" in self.a.daemon.mount.status(), "A notices", SOON_S)
        self.a.daemon.kill()
        self.plug(stick, self.c)
        traveller.is_at(self.c)
        wait_until(traveller.is_used, "it is loaded at C", SOON_S)
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        self.eject(stick, self.c)
        # A believes that it resides there still; what is on the stick is later.
        self.a.daemon.start()
        self.plug(stick, self.a)
        traveller.is_at(self.a)
        wait_until(traveller.is_used, "it is loaded at A", SOON_S)
        self.goes_on(exchange)
        self.finish(exchange)
        self.eject(stick, self.a)

    def test_hostile_sticks(self):
        """Each is told of in one line of the log, and changes nothing."""
        traveller = self.traveller()
        copied = self.folder()
        self.copy("cp -r -- {here} {there}", traveller, copied)
        record = (copied / traveller.name / ".endpoint").read_bytes()
        name = f"evil@{DOMAIN}"
        for make, line in (
                (lambda root: put(root / name, b"not a record\n"), f"{name}: its record is damaged"),
                (lambda root: put(root / name, record[:-1] + b"?"), f"{name}: its record is damaged"),
                (lambda root: put(root / name, record[:len(record) // 2]), f"{name}: its record is damaged"),
                (lambda root: put(root / name, record), f"{name}: its record is that of {traveller.name}"),
                (lambda root: put(root / traveller.name, record.replace(PEM, b"-----BEGIN PRIVATE KEY-----\nAAAA")),
                 f"{traveller.name}: its record is damaged"),
                (lambda root: os.symlink("/etc/shadow", made(root / name) / ".endpoint"),
                 f"{name}: its record is a symbolic link"),
                (lambda root: os.symlink("/etc", root / name), f"{name}: is a symbolic link"),
                (lambda root: os.mkfifo(made(root / name) / ".endpoint"), f"{name}: its record is no plain file"),
                (lambda root: os.mknod(made(root / name) / ".endpoint", 0o600 | stat.S_IFBLK, os.makedev(7, 0)),
                 f"{name}: its record is no plain file"),
                (lambda root: os.truncate(put(root / name, b"SFSE"), 1 << 40), f"{name}: its record is too large"),
                (lambda root: put(root / f"bell\a\n@{DOMAIN}", record), "holds a record, but its name is not an endpoint's"),
                (lambda root: [(root / str(number)).touch() for number in range(100_000)], "holds too many files"),
                (lambda root: put(root / f"far@elsewhere.net", record.replace(DOMAIN.encode(), b"elsewhere.ne")),
                 f"far@elsewhere.net: its record is damaged")):
            with self.subTest(line=line):
                before = self.tree(self.c)
                stick = self.stick(size_mib=256, inodes=120_000)
                with stick.opened() as root:
                    make(root)
                told = self.told_by(self.c)
                self.plug(stick, self.c)
                said = wait_until(told, "the log tells of it", SOON_S)
                self.assertIn(line, said)
                self.assertEqual(said.count("\n"), 1, said)
                self.assertTrue(said.rstrip("\n").isprintable(), said)
                self.assertEqual(self.tree(self.c), before)
                self.eject(stick, self.c)
                self.take_away(stick)
        self.assertTrue(traveller.is_here())

    def test_what_the_name_server_does_not_know_comes_only_when_it_is_asked_for(self):
        traveller, copied = self.traveller(), self.folder()
        self.copy("cp -r -- {here} {there}", traveller, copied)
        os.rmdir(traveller.at.path)
        stick = self.stick()
        with stick.opened() as root:
            put(root / traveller.name, (copied / traveller.name / ".endpoint").read_bytes())
        told = self.told_by(self.c)
        root = self.plug(stick, self.c)
        said = wait_until(told, "the log tells of it", SOON_S)
        self.assertRegex(said, f"{traveller.name}: the name server does not know it; if it is yours, use sessionctl load")
        self.assertFalse(traveller.is_here())
        self.load(traveller, root, self.c)
        self.eject(stick, self.c)

    def test_a_state_of_a_program_that_is_not_allowed(self):
        traveller, stick = self.on_a_stick(self.a)
        self.eject(stick, self.a)
        with stick.opened() as root:
            (root / traveller.name / ".state.evil.1").write_text("run me", encoding="ascii")
            (root / traveller.name / ".state...1").write_text("run me", encoding="ascii")
            os.symlink("/bin/sh", root / traveller.name / ".state.sh.1")
        told = self.told_by(self.c)
        self.plug(stick, self.c)
        traveller.is_at(self.c)
        wait_until(traveller.is_used, "it is loaded", SOON_S)
        said = told()
        self.assertIn(f"{traveller.name}: .state.evil.1: the program evil is not allowed here", said)
        self.assertEqual(said.count("\n"), 2, "that, and that it is loaded")

    def told_by(self, host):
        """What the log of a host will have told from now on, but for the mounting itself."""
        log = Path(host.daemon.log)
        before = log.stat().st_size

        def told():
            lines = log.read_bytes()[before:].decode().splitlines(keepends=True)
            return "".join(line for line in lines if not line.startswith("sessionfs: the medium /dev/"))
        return told

    def tree(self, host):
        """What the mount of a host shows, and what its state folder holds of endpoints."""
        return (host.daemon.mount.names(), sorted(os.listdir(host.daemon.state / "endpoints")))

    def test_two_sticks_and_one_is_ejected(self):
        one, first = self.on_a_stick(self.a)
        two, second = self.on_a_stick(self.a)
        exchanges = [self.connect(one), self.connect(two)]
        self.goes_on(*exchanges)
        self.eject(first, self.a)
        one.wait_gone(self.a)
        self.goes_on(exchanges[1])
        self.plug(first, self.c)
        one.is_at(self.c)
        self.goes_on(*exchanges)
        self.eject(second, self.a)
        self.plug(second, self.a)
        self.finish(*exchanges)

    def test_what_cannot_be_ejected(self):
        self.assert_errno(errno.ENODEV, command, self.a.daemon.mount, "eject /dev/nowhere1")
        self.assertIn("last error: eject: no medium is named /dev/nowhere1", self.a.daemon.mount.status())
        traveller, stick = self.on_a_stick(self.a)
        held = os.open(self.seen_from_outside(self.root_of(stick, self.a), self.a) / "somebody", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            self.assert_errno(errno.EBUSY, command, self.a.daemon.mount, f"eject {stick.device()}")
        finally:
            os.close(held)
        self.assertIn("is in use: ", self.a.daemon.mount.status())
        wait_until(traveller.is_here, "it goes on at A", SOON_S)
        self.eject(stick, self.a)
        self.plug(stick, self.c)
        traveller.is_at(self.c)
        wait_until(traveller.is_here, "it is loaded at C", SOON_S)


if __name__ == "__main__":
    suite.main(hosts=True, also=sticks.why_not)
