"""Sticks that are loop devices, under a real systemd-udevd on each host.

The kernel tells every udevd of every device. On which host a stick is plugged in says the folder in which the file behind
the loop device lies; a rule for tests alone tags it there. Each udevd has a mount namespace of its own, for its database
in /run/udev; what is mounted below the world's folder is seen in all of them.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from pathlib import Path

from support.keeper import keeper, quietly
from support.processes import AT_ONCE_S, SOON_S, start, wait_until

UDEVD = "/lib/systemd/systemd-udevd"
RULES = "/run/udev/rules.d"
KIB = 1024

RULE = """\
ACTION=="remove", GOTO="end"
SUBSYSTEM!="block", GOTO="end"
KERNEL!="loop*", GOTO="end"
ATTR{{loop/backing_file}}!="{port}/*", GOTO="end"
IMPORT{{builtin}}="blkid"
ENV{{ID_FS_USAGE}}=="filesystem", TAG+="sessionfs"
LABEL="end"
"""

_numbers = itertools.count(1)


def why_not():
    """One line that says why there can be no sticks here; None when there can."""
    if not os.access(UDEVD, os.X_OK):
        return f"{UDEVD} is not installed (Debian's udev)"
    if subprocess.run(["losetup", "--find"], capture_output=True, check=False).returncode != 0:
        return "there are no loop devices"
    return None


def checked(*command):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SOON_S,
                            check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr.strip() or result.returncode}")
    return result.stdout


def in_kernel(filesystem):
    with open("/proc/filesystems", encoding="ascii") as known:
        return filesystem in known.read().split()


def share(folder):
    """What is mounted below `folder` is seen by all hosts."""
    checked("mount", "--bind", str(folder), str(folder))
    checked("mount", "--make-shared", str(folder))
    keeper.add("mount", str(folder))


class Port:
    """Where sticks are plugged in at a host: its udevd, and how programs are run where that is."""

    def __init__(self, host, folder):
        self.host = host
        self.folder = Path(folder, f"usb-{host.letter}")
        self.folder.mkdir()
        rule = RULE.format(port=self.folder)
        script = ("mount --make-private / && { mount --make-private /run || :; } && mkdir -p /run/udev && "
                  f"mount -t tmpfs none /run/udev && mkdir -p {RULES} && cat > {RULES}/71-sticks.rules && "
                  f"exec {UDEVD} --children-max=2")
        log = open(Path(folder, f"udevd-{host.letter}.log"), "ab")
        self.udevd = start([*host.enter(), "unshare", "--mount", "--propagation", "unchanged", "bash", "-c", script],
                           stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True)
        log.close()
        self.udevd.stdin.write(rule)
        self.udevd.stdin.close()
        # udevd has its control socket when it hears the kernel.
        wait_until(lambda: os.path.exists(f"/proc/{self.udevd.pid}/root/run/udev/control"), "udevd runs", SOON_S)

    def enter(self, *command):
        """Runs a command in the network and the mounts of this host."""
        return ["nsenter", f"--target={self.udevd.pid}", "--mount", "--net", "--wd=/", "--", *command]

    def end(self):
        if self.udevd.poll() is None:
            self.udevd.terminate()
            try:
                self.udevd.wait(AT_ONCE_S)
            except subprocess.TimeoutExpired:
                self.udevd.kill()
                self.udevd.wait(AT_ONCE_S)


class Stick:
    """A file system in a file."""

    TYPES = {
        "ext4": ["mkfs.ext4", "-q", "-F"],
        "vfat": ["mkfs.vfat"],
        "exfat": ["mkfs.exfat"],
    }

    def __init__(self, folder, filesystem="ext4", mib=64, inodes=None):
        self.name = f"stick-{next(_numbers)}"
        self.image = Path(folder, f"{self.name}.image")
        with open(self.image, "wb") as image:
            image.truncate(mib * KIB * KIB)
        checked(*self.TYPES[filesystem], *(["-N", str(inodes)] if inodes else []), str(self.image))
        self.filesystem, self.device, self.plugged = filesystem, None, None

    def plug(self, port):
        """At the host of `port`; udev tells of it."""
        file = port.folder / f"{self.name}.{next(_numbers)}"
        os.link(self.image, file)
        self.device = checked("losetup", "--find", "--show", str(file)).strip()
        keeper.add("loop", self.device)
        self.plugged = file

    @property
    def number(self):
        return self.device.removeprefix("/dev/")

    def pull(self):
        """It is taken out, perhaps without a warning: the device is gone for udev, whoever still uses it. The kernel
        lets go of it when nobody does any more."""
        device, self.device = self.device, None
        if device is None:
            return
        Path("/sys/block", device.removeprefix("/dev/"), "uevent").write_text("remove\n", encoding="ascii")
        quietly("losetup", "--detach", device)
        with contextlib.suppress(OSError):
            os.unlink(self.plugged)
        self.plugged = None
        number = device.removeprefix("/dev/")

        def free():
            return not Path("/sys/block", number, "loop").exists()
        wait_until(free, f"{device} is free", SOON_S)
        keeper.drop("loop", device)

    def remove(self):
        with contextlib.suppress(Exception):
            self.pull()
        with contextlib.suppress(OSError):
            os.unlink(self.image)

    # Where the kernel does not know a file system, a program that does. Of vfat this one has no chmod(2) and no rename(2)
    # of folders, which the kernel's has.
    PROGRAMS = {"vfat": ["fusefat", "-o", "rw+"], "exfat": ["mount.exfat-fuse"]}

    @contextlib.contextmanager
    def opened(self):
        """Its files, while it is nowhere plugged in."""
        folder = self.image.with_suffix(".mnt")
        folder.mkdir()
        device = checked("losetup", "--find", "--show", str(self.image)).strip()
        keeper.add("loop", device)
        checked(*(["mount"] if in_kernel(self.filesystem) else self.PROGRAMS[self.filesystem]), device, str(folder))
        keeper.add("mount", str(folder))
        try:
            yield folder
        finally:
            for _ in range(100):
                if quietly("umount", str(folder)):
                    break
                time.sleep(0.05)
            keeper.drop("mount", str(folder))
            checked("losetup", "--detach", device)
            keeper.drop("loop", device)
            shutil.rmtree(folder, ignore_errors=True)
