#!/usr/bin/env python3
"""Sticks that are plugged in, pulled out, ejected and mounted by others, as udevd and the kernel tell of them.

By media_probe (tests/fs/media_probe.cpp), which is the part of the daemon that notices them, alone.
"""

import errno
import os
import selectors
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import sticks, suite  # noqa: E402
from support.keeper import keeper, mounted, remove_folder, temporary_folder  # noqa: E402
from support.processes import SOON_S, Late, kill_group, start, wait_until  # noqa: E402
from support.sticks import RULES, Stick, Udevd, checked  # noqa: E402

HELPER = RULES.with_name("sessionfs-medium")
ONE = "11111111-2222-3333-4444-555555555555"
TWO = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
# What must not happen is waited for this long after something that comes later has happened.
QUIET_S = 0.5


class Probe:
    """A media_probe where a udevd is heard."""

    def __init__(self, udevd, folder):
        self.log = open(f"{folder}/probe.log", "a+b")  # noqa: SIM115: closed in close()
        self.process = start([*udevd.enter(), os.environ["MEDIA_PROBE_BIN"], f"{folder}/media"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.buffered = b""
        self.lines = []
        try:
            self.early = []  # said before `ready`
            while (line := self.next()) != "ready":
                self.early.append(line)
        except BaseException:
            self.close()
            raise

    def pump(self, wait_s):
        for _ in self.selector.select(wait_s):
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(f"the probe has ended:\n{self.said()}")
            *lines, self.buffered = (self.buffered + data).split(b"\n")
            self.lines += [line.decode() for line in lines]

    def next(self, limit_s=SOON_S):
        """The next line that it says."""
        end = time.monotonic() + limit_s
        while not self.lines:
            if time.monotonic() > end:
                raise Late(f"the probe said nothing within {limit_s} s; its log:\n{self.said()}")
            self.pump(0.05)
        return self.lines.pop(0)

    def quiet(self):
        """Nothing more has been said."""
        self.pump(0)
        end = time.monotonic() + QUIET_S
        while time.monotonic() < end:
            self.pump(0.05)
        return self.lines == []

    def ask(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def eject(self, what):
        """(errno, why), and what else it has said until then."""
        self.ask(f"eject {what}")
        before = []
        while not (line := self.next()).startswith("eject "):
            before.append(line)
        number, _, why = line.removeprefix("eject ").partition(" ")
        return int(number), why, before

    def all(self):
        """The rows of the media, by device."""
        self.ask("all")
        rows = {}
        while (line := self.next()) != "end":
            if not line.startswith("all "):
                raise AssertionError(f"unexpected: {line}")
            row = line.removeprefix("all ").split(" ", 6)
            rows[row[0]] = row[1:]
        return rows

    def state(self, node):
        return self.all().get(node, ["-"] * 5)[4].rstrip(":")

    def said(self):
        self.log.flush()
        return Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def close(self, by_kill=False):
        if by_kill:
            kill_group(self.process)
        self.process.stdin.close()
        try:
            self.process.wait(SOON_S)
        finally:
            kill_group(self.process)
            self.process.wait(SOON_S)
            self.selector.close()
            self.process.stdout.close()
            self.log.close()


class MediaTest(suite.TestCase):
    def setUp(self):
        self.folder = temporary_folder("sessionfs-media-")
        sticks.share(self.folder)
        self.addCleanup(remove_folder, self.folder)
        self.addCleanup(sticks.unshare, self.folder)
        self.media = f"{self.folder}/media"
        self.udevd = Udevd(self.folder)
        self.udevd.__enter__()
        self.addCleanup(self.udevd.close)
        self.sticks = []
        self.addCleanup(self.put_away)
        self.probe = Probe(self.udevd, self.folder)
        self.addCleanup(lambda: self.probe.close())
        self.assertEqual([], self.probe.early)

    def put_away(self):
        """No stick is left plugged in, mounted or busy."""
        for stick in self.sticks:
            stick.close()
        sticks.unshare(self.folder)
        # Mounts in udevd's namespace go with it.
        self.udevd.close()
        for stick in self.sticks:
            if stick.pulled:
                wait_until(stick.is_free, f"nobody uses {stick.pulled}", SOON_S)

    def describe(self):
        return f"{self.probe.said() if not self.probe.log.closed else ''}\n{self.udevd.said()}"

    def stick(self, *arguments, **named):
        self.sticks.append(Stick(self.folder, *arguments, **named))
        return self.sticks[-1]

    def came(self, root):
        self.assertEqual(f"came {root}", self.probe.next())

    def went(self, root):
        self.assertEqual(f"went {root}", self.probe.next())

    def gone(self, root):
        wait_until(lambda: not os.path.exists(root), f"{root} is unmounted and removed", SOON_S)

    def plugged(self, stick):
        """Plugged in and mounted."""
        node = stick.plug(self.udevd)
        self.came(f"{self.media}/{stick.uuid}")
        return node

    def mount_entry(self, root):
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            return next(line for line in table if line.split()[4] == root)

    # --- plugging in and pulling out -------------------------------------------------------------------------------

    def test_rules_are_understood(self):
        self.plugged(self.stick(uuid=ONE))
        self.assertNotIn("70-sessionfs.rules", self.udevd.said())

    def test_plug_pull_and_plug_again(self):
        root = f"{self.media}/{ONE}"
        stick = self.stick(uuid=ONE, label="my stick")
        node = self.plugged(stick)
        self.assertEqual({node: ["my\\040stick", ONE, "ext4", root, "mounted"]}, self.probe.all())
        entry = self.mount_entry(root)
        for option in ("nosuid", "nodev", "noexec"):
            self.assertIn(option, entry.split()[5].split(","))
        self.assertEqual(0o755, os.stat(self.media).st_mode & 0o777)
        Path(root, "kept").write_text("kept", encoding="ascii")
        stick.pull()
        self.went(root)
        self.gone(root)
        self.assertEqual({}, self.probe.all())
        self.plugged(stick)
        self.assertEqual("kept", Path(root, "kept").read_text(encoding="ascii"))
        self.assertTrue(self.probe.quiet())

    def test_pulled_while_a_file_is_open_it_comes_back_as_another_device(self):
        root = f"{self.media}/{ONE}"
        stick = self.stick(uuid=ONE)
        first = self.plugged(stick)
        with open(f"{root}/open", "wb"):
            stick.pull()
            self.went(root)
            second = self.plugged(stick)
            self.assertNotEqual(first, second)
            self.assertEqual([second], list(self.probe.all()))
            self.assertFalse(os.path.exists(f"{root}/open"), "it is the new mount")
            self.assertEqual(1, sum(1 for line in open("/proc/self/mountinfo", encoding="utf-8")
                                    if line.split()[4] == root))

    def test_more_events_change_nothing(self):
        stick = self.stick(uuid=ONE)
        node = self.plugged(stick)
        for action in ("change", "add", "change"):
            stick.tell(action)
        self.assertTrue(self.probe.quiet())
        self.assertEqual("mounted", self.probe.state(node))

    def test_two_sticks(self):
        first, second = self.stick(uuid=ONE, label="ONE"), self.stick(uuid=TWO, label="TWO")
        one, two = first.plug(self.udevd), second.plug(self.udevd)
        self.assertEqual({f"came {self.media}/{ONE}", f"came {self.media}/{TWO}"},
                         {self.probe.next(), self.probe.next()})
        self.assertEqual({one, two}, set(self.probe.all()))
        first.pull()
        self.went(f"{self.media}/{ONE}")
        self.assertEqual([two], list(self.probe.all()))
        self.assertEqual((0, "", [f"went {self.media}/{TWO}"]), self.probe.eject("TWO"))

    def test_pulled_at_once(self):
        stick = self.stick(uuid=ONE)
        for _ in range(8):
            stick.plug(self.udevd)
            stick.pull()
        self.plugged_after_storm(stick)

    def plugged_after_storm(self, stick):
        stick.plug(self.udevd)
        root = f"{self.media}/{ONE}"
        wait_until(lambda: self.probe.state(stick.node) == "mounted" if not self.drain() else False,
                   "it is mounted in the end", SOON_S, interval_s=0.1)
        self.assertTrue(os.path.exists(f"{root}/lost+found"))

    def drain(self):
        """Reads what was said; came and went of one root take turns."""
        self.probe.pump(0)
        while self.probe.lines:
            self.balance = getattr(self, "balance", 0) + (1 if self.probe.next().startswith("came ") else -1)
            self.assertIn(self.balance, (0, 1))
        return False

    def test_a_partition(self):
        stick = self.stick(uuid=ONE, partitioned=True)
        root = f"{self.media}/{ONE}"
        node = self.plugged(stick)
        self.assertTrue(node.endswith("p1"))
        self.assertEqual([node], list(self.probe.all()))
        self.assertEqual((0, "", [f"went {root}"]), self.probe.eject(stick.node))  # the whole disk
        stick.pull()
        self.assertTrue(self.probe.quiet())
        self.plugged(stick)
        stick.pull()
        self.went(root)
        self.gone(root)

    def test_another_host_hears_nothing(self):
        other_folder = f"{self.folder}/other"
        os.mkdir(other_folder)
        with Udevd(other_folder) as udevd:
            other = Probe(udevd, other_folder)
            try:
                stick = self.stick(uuid=ONE)
                self.plugged(stick)
                self.assertTrue(other.quiet())
                stick.pull()
                self.went(f"{self.media}/{ONE}")
                stick.plug(udevd)
                self.assertEqual(f"came {other_folder}/media/{ONE}", other.next())
                self.assertTrue(self.probe.quiet())
                stick.pull()
                self.assertEqual(f"went {other_folder}/media/{ONE}", other.next())
            finally:
                other.close()

    # --- what cannot be mounted ------------------------------------------------------------------------------------

    def test_other_file_systems_are_left_alone(self):
        stick = self.stick("minix")
        node = stick.plug(self.udevd)
        wait_until(lambda: self.probe.state(node) == "unsupported", "it is noticed", SOON_S)
        self.assertTrue(self.probe.quiet())
        self.assertEqual(1, self.probe.said().count("'minix' is not mounted"))
        self.assertFalse(os.path.exists(self.media))

    def test_a_damaged_one_is_said_once(self):
        stick = self.stick(uuid=ONE)
        stick.damage()
        node = stick.plug(self.udevd)
        wait_until(lambda: self.probe.state(node) == "failed", "it is noticed", SOON_S)
        stick.tell("change")
        self.assertTrue(self.probe.quiet())
        self.assertEqual(1, self.probe.said().count("cannot be mounted"))
        self.gone(f"{self.media}/{ONE}")
        stick.pull()
        wait_until(lambda: self.probe.all() == {}, "it is gone", SOON_S)
        stick.make()
        self.plugged(stick)

    def test_without_a_uuid_it_is_named_after_its_device(self):
        stick = self.stick(uuid="00000000-0000-0000-0000-000000000000")
        node = stick.plug(self.udevd)
        self.came(f"{self.media}/{os.path.basename(node)}")

    def test_what_is_no_medium(self):
        image = Path(self.folder, "internal.img")
        internal = self.stick(uuid=ONE)
        shutil.copy(internal.image, image)
        node = checked("losetup", "--find", "--show", str(image)).strip()
        keeper.add("loop", f"{node} {image}")
        try:
            self.plugged(self.stick(uuid=TWO))
            self.assertTrue(self.probe.quiet())
            self.assertNotIn(node, self.probe.all())
        finally:
            checked("losetup", "--detach", node)
            keeper.drop("loop", f"{node} {image}")

    # --- ejecting --------------------------------------------------------------------------------------------------

    def test_eject(self):
        root = f"{self.media}/{ONE}"
        stick = self.stick(uuid=ONE)
        node = self.plugged(stick)
        Path(root, "written").write_text("written", encoding="ascii")
        self.assertEqual((0, "", [f"went {root}"]), self.probe.eject(ONE))
        self.assertFalse(os.path.exists(root))
        self.assertEqual("ejected", self.probe.state(node))
        stick.tell("change")
        self.assertTrue(self.probe.quiet())
        self.assertEqual((0, "", []), self.probe.eject(node))
        stick.pull()
        wait_until(stick.is_free, "nobody uses it", SOON_S)
        self.plugged(stick)
        self.assertEqual("written", Path(root, "written").read_text(encoding="ascii"))

    def test_eject_while_it_is_used(self):
        root = f"{self.media}/{ONE}"
        stick = self.stick(uuid=ONE)
        node = self.plugged(stick)
        with open(f"{root}/open", "wb"):
            error, why, before = self.probe.eject(root)
            self.assertEqual((errno.EBUSY, []), (error, before))
            self.assertIn("in use", why)
            self.assertEqual("mounted", self.probe.state(node))
        self.assertEqual((0, "", [f"went {root}"]), self.probe.eject(root))

    def test_eject_of_nothing(self):
        error, why, _ = self.probe.eject("/dev/nothing")
        self.assertEqual((errno.ENODEV, "no medium is named /dev/nothing; none is plugged in"), (error, why))

    # --- mounted by others -----------------------------------------------------------------------------------------

    def test_one_that_somebody_else_mounts(self):
        root, elsewhere = f"{self.media}/{ONE}", f"{self.folder}/mnt"
        os.mkdir(elsewhere)
        stick = self.stick(uuid=ONE)
        node = self.plugged(stick)
        self.assertEqual((0, "", [f"went {root}"]), self.probe.eject(node))
        self.udevd.run("mount", node, elsewhere)
        self.came(elsewhere)
        self.udevd.run("umount", elsewhere)
        self.went(elsewhere)
        self.udevd.run("mount", node, elsewhere)
        self.came(elsewhere)
        stick.pull()
        self.went(elsewhere)
        self.assertTrue(mounted(elsewhere), "it is not ours")
        self.plugged(stick)
        self.udevd.run("umount", elsewhere)
        self.assertTrue(self.probe.quiet())

    def test_eject_of_one_that_somebody_else_has_mounted_too(self):
        root, elsewhere = f"{self.media}/{ONE}", f"{self.folder}/mnt"
        os.mkdir(elsewhere)
        node = self.plugged(self.stick(uuid=ONE))
        self.udevd.run("mount", node, elsewhere)
        self.assertTrue(self.probe.quiet())
        self.assertEqual((0, "", [f"went {root}"]), self.probe.eject(node))
        self.assertFalse(mounted(elsewhere))

    def test_exfat(self):
        if not sticks.can_mount("exfat"):
            self.skipTest("neither the kernel nor exfat-fuse mounts exfat here")
        stick = self.stick("exfat", uuid="ABCD-1234", label="EX")
        root = f"{self.media}/ABCD-1234"
        self.plugged(stick)
        with open(f"{root}/file", "wb") as file:
            file.write(b"x" * 4096)
        self.assertEqual((0, "", [f"went {root}"]), self.probe.eject("EX"))
        stick.pull()
        wait_until(stick.is_free, "nobody uses it", SOON_S)
        self.plugged(stick)
        with open(f"{root}/file", "rb") as file:
            self.assertEqual(4096, len(file.read()))
            stick.pull()
            self.went(root)
        self.gone(root)

    def test_vfat(self):
        stick = self.stick("vfat", uuid="0123-ABCD", label="FAT")
        root = f"{self.media}/0123-ABCD"
        if sticks.kernel_mounts("vfat"):
            node = self.plugged(stick)
        elif shutil.which("fusefat"):
            # Its mount shows no device but in its source, and is somebody else's.
            root = f"{self.folder}/mnt"
            os.mkdir(root)
            node = stick.plug(self.udevd)
            wait_until(lambda: self.probe.state(node) == "failed", "it is noticed", SOON_S)
            sticks.mount_by_fusefat(self.udevd, node, root)
            self.came(root)
        else:
            self.skipTest("neither the kernel nor fusefat mounts vfat here")
        Path(root, "written").write_text("written", encoding="ascii")
        self.assertEqual((0, "", [f"went {root}"]), self.probe.eject("0123-abcd"))
        self.assertEqual("ejected", self.probe.state(node))

    # --- across restarts -------------------------------------------------------------------------------------------

    def restart(self, by_kill=False):
        self.probe.close(by_kill)
        self.probe = Probe(self.udevd, self.folder)

    def test_it_is_found_again_after_a_restart(self):
        root = f"{self.media}/{ONE}"
        stick = self.stick(uuid=ONE)
        node = self.plugged(stick)
        self.restart(by_kill=True)
        self.assertEqual([f"came {root}"], self.probe.early)
        self.assertEqual("mounted", self.probe.state(node))
        stick.pull()
        self.went(root)
        self.gone(root)

    def test_one_that_was_pulled_meanwhile_is_let_go(self):
        root = f"{self.media}/{ONE}"
        stick = self.stick(uuid=ONE)
        self.plugged(stick)
        self.probe.close()
        stick.pull()
        self.assertTrue(mounted(root))
        self.probe = Probe(self.udevd, self.folder)
        self.assertEqual([], self.probe.early)
        self.gone(root)
        self.plugged(stick)

    def test_one_that_was_plugged_in_before_the_start(self):
        self.probe.close()
        stick = self.stick(uuid=ONE)
        stick.plug(self.udevd)
        self.udevd.run("udevadm", "settle")
        self.probe = Probe(self.udevd, self.folder)
        self.came(f"{self.media}/{ONE}")

    # --- with systemd ----------------------------------------------------------------------------------------------

    def helper(self, action, node):
        """As the unit runs it."""
        self.udevd.run("sh", str(HELPER), action, os.path.basename(node))

    def plugged_with_systemd(self, stick):
        """In a host on which the probe mounts nothing."""
        self.probe.close()
        self.udevd.run("mkdir", "-p", "/run/systemd/system")
        self.probe = Probe(self.udevd, self.folder)
        node = stick.plug(self.udevd)
        wait_until(lambda: self.probe.state(node) == "unmounted", "it is noticed", SOON_S)
        self.assertTrue(self.probe.quiet())
        return node

    def test_with_systemd_its_unit_mounts_exfat(self):
        if not sticks.can_mount("exfat"):
            self.skipTest("neither the kernel nor exfat-fuse mounts exfat here")
        node = self.plugged_with_systemd(self.stick("exfat", uuid="ABCD-1234"))
        root = "/run/sessionfs/media/ABCD-1234"
        self.helper("mount", node)
        self.came(root)
        self.helper("mount", node)
        self.assertTrue(self.probe.quiet(), "it is mounted already")
        self.helper("unmount", node)
        self.went(root)

    def test_with_systemd_its_unit_mounts(self):
        stick = self.stick(uuid=ONE)
        node = self.plugged_with_systemd(stick)
        root = f"/run/sessionfs/media/{ONE}"
        self.helper("mount", node)
        self.came(root)
        self.helper("mount", node)
        table = self.udevd.run("cat", "/proc/self/mountinfo")
        lines = [line for line in table.splitlines() if line.split()[4] == root]
        self.assertEqual(1, len(lines))
        for option in ("nosuid", "nodev", "noexec"):
            self.assertIn(option, lines[0].split()[5].split(","))
        stick.pull()
        self.went(root)
        self.assertIn(f" {root} ", self.udevd.run("cat", "/proc/self/mountinfo"))
        # It comes back before its unit is stopped, as another device.
        back = stick.plug(self.udevd)
        self.assertNotEqual(node, back)
        wait_until(lambda: self.probe.state(back) == "unmounted", "it is noticed", SOON_S)
        self.helper("mount", back)
        self.came(root)
        self.helper("unmount", node)
        self.assertTrue(self.probe.quiet())
        self.helper("unmount", back)
        self.went(root)
        self.assertEqual("", self.udevd.run("ls", "/run/sessionfs/media"))

    def test_the_unit_is_valid(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not installed")
        unit = Path(self.folder, "sessionfs-medium@sdb1.service")
        text = RULES.with_name("sessionfs-medium@.service.in").read_text(encoding="ascii")
        unit.write_text(text.replace("@SESSIONFS_HELPER@", str(HELPER)), encoding="ascii")
        checked("systemd-analyze", "verify", "--man=no", str(unit))


def why_not():
    if not os.access(os.environ.get("MEDIA_PROBE_BIN", ""), os.X_OK):
        return "MEDIA_PROBE_BIN does not name a program"
    return sticks.why_not()


if __name__ == "__main__":
    suite.main(instead=why_not)
