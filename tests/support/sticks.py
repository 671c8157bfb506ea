"""Sticks that are plugged into hosts and pulled out, and the udevd of a host that notices them.

A stick is a file with a file system (Stick), plugged in by a loop device. To the kernel a loop device is everybody's,
so that every udevd on the machine hears of it. A host's own (Udevd) takes only what is plugged into the host: what the
loop device shows lies in a folder that stands for the host's ports, and a rule that is there for the tests alone
(before the rules under test) says that these are on USB.

udevd runs in a network namespace (the host's, or one of its own), for what it tells reaches only programs in the same,
and in a mount namespace with a /run of its own, so that it knows nothing of the machine's udevd, rules and systemd. The
daemon that is to hear it runs there, too: Udevd.enter().

A pull is a `remove` that the kernel is asked to tell (/sys/block/LOOP/uevent), after which the loop device goes as soon
as nobody uses it. Unlike a real stick it can be read until then.
"""

import contextlib
import itertools
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from support.keeper import keeper, loop_holds, mounted, quietly, unmount
from support.processes import SOON_S, kill_group, start, wait_until

RULES = Path(__file__).parents[2] / "udev-rules" / "70-sessionfs.rules"
UDEVD = next((path for path in ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd")
              if os.access(path, os.X_OK)), None)
MIB = 1 << 20
SECTOR_BYTES = 512
_numbers = itertools.count(1)
MKFS = {"ext4": "mkfs.ext4", "vfat": "mkfs.vfat", "exfat": "mkfs.exfat", "minix": "mkfs.minix"}

# $1 is the folder of its rules. What is mounted over what is there must be seen here alone.
IN_OWN_RUN = """
set -e
for folder in /run /usr/lib/udev/rules.d /lib/udev/rules.d /usr/local/lib/udev/rules.d /etc/udev/rules.d; do
  [ -d "$folder" ] || continue
  mount --make-private "$(stat -c %m "$folder")"
  mount -t tmpfs -o mode=755 none "$folder"
done
mkdir -p /run/udev/rules.d
cp "$1"/*.rules /run/udev/rules.d
exec "$0" --resolve-names=never
"""

PORT_RULES = """
SUBSYSTEM!="block", GOTO="test_end"
KERNEL!="loop*", GOTO="test_end"
ACTION=="remove", GOTO="test_end"
ATTRS{loop/backing_file}=="*/@PORT@/*", GOTO="test_port"
GOTO="test_end"
LABEL="test_port"
IMPORT{builtin}="blkid"
ENV{ID_BUS}="usb"
LABEL="test_end"
"""


def why_not():
    """One line that says why nothing can be plugged in here; None when it can."""
    if os.geteuid() != 0:
        return "sticks need root"
    if UDEVD is None:
        return "systemd-udevd is not installed"
    for program in ("losetup", "nsenter", "unshare", "mount", "umount", "addpart", "mkfs.ext4"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    if subprocess.run(["losetup", "--find"], capture_output=True, check=False).returncode != 0:
        return "there are no loop devices"
    if not os.access("/sys/block/loop0/uevent", os.W_OK):
        return "the kernel cannot be asked for events of loop devices"
    if os.system("unshare --net --mount true 2>/dev/null") != 0:
        return "namespaces cannot be made"
    return None


def kernel_mounts(kind):
    with open("/proc/filesystems", encoding="ascii") as known:
        return any(line.split()[-1] == kind for line in known)


def can_mount(kind):
    """Whether the daemon can mount such a stick here."""
    return kernel_mounts(kind) or kind == "exfat" and shutil.which("mount.exfat-fuse") is not None


def mount_image(kind, node, folder):
    """Where the kernel does not know a file system, by a program that does. Of vfat this one has no chmod(2) and no
    rename(2) of folders, which the kernel's has."""
    if kernel_mounts(kind):
        return checked("mount", node, folder)
    return checked(*{"vfat": ["fusefat", "-o", "rw+"], "exfat": ["mount.exfat-fuse"]}[kind], node, folder)


def mount_by_fusefat(udevd, node, folder):
    """Mounts a vfat stick where the kernel cannot."""
    udevd.run("fusefat", "-o", f"rw+,allow_other,fsname={node}", node, folder)


def checked(*command):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SOON_S,
                            check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr.strip() or result.returncode}")
    return result.stdout


def share(folder):
    """Makes the folder a mount that others see what is mounted in it from: mounts of a Udevd's programs, too."""
    if mounted(folder):
        return
    checked("mount", "--bind", folder, folder)
    keeper.add("mount", folder)
    checked("mount", "--make-private", folder)
    checked("mount", "--make-shared", folder)


def unshare(folder):
    """Takes away what is mounted in it, and that."""
    unmount(folder)
    keeper.drop("mount", folder)


class Udevd:
    """The udevd of one host. A context manager. `folder` holds its ports and its log; it should be one that is shared
    (share()), to see from the outside what programs mount in it. `netns`: the name of the host's network namespace."""

    def __init__(self, folder, netns=None):
        self.folder = Path(tempfile.mkdtemp(prefix="port-", dir=folder))
        self.port = self.folder
        self.netns = netns
        self.rules = Path(tempfile.mkdtemp(prefix="rules-", dir=folder))
        self.log = Path(f"{self.folder}.log")
        self.process = None

    def __enter__(self):
        (self.rules / "60-test.rules").write_text(PORT_RULES.replace("@PORT@", self.folder.name), encoding="ascii")
        shutil.copy(RULES, self.rules)
        net = [f"--net=/run/netns/{self.netns}"] if self.netns else []
        command = [*(["nsenter", *net, "--"] if net else []), "unshare", "--mount", "--propagation", "unchanged",
                   *([] if net else ["--net"]), "sh", "-c", IN_OWN_RUN, UDEVD, str(self.rules)]
        with open(self.log, "ab") as log:
            self.process = start(command, stdout=log, stderr=subprocess.STDOUT)

        def runs():
            if self.process.poll() is not None:
                raise AssertionError(f"udevd has ended with {self.process.returncode}:\n{self.said()}")
            # In its own /run: before that is there it would be the machine's.
            return f"{UDEVD}" in self.words() and os.path.exists(f"/proc/{self.process.pid}/root/run/udev/control")
        try:
            wait_until(runs, "udevd runs", SOON_S)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def words(self):
        """The program that runs there."""
        try:
            return Path(f"/proc/{self.process.pid}/cmdline").read_text(encoding="utf-8").split("\0")[:1]
        except OSError:
            return []

    def close(self):
        """udevd ends. What runs by enter() must have ended before."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(SOON_S)
        except subprocess.TimeoutExpired:
            kill_group(self.process)
            self.process.wait(SOON_S)
        self.process = None

    def said(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def enter(self):
        """A command that runs the program that follows where this udevd is heard."""
        return ["nsenter", f"--target={self.process.pid}", "--mount", "--net", "--"]

    def run(self, *command):
        return checked(*self.enter(), *command)


class Stick:
    """A stick, not plugged in. `folder` holds its file. `partitioned`: the file system is in a partition of it."""

    PARTITION_BYTES = MIB

    def __init__(self, folder, kind="ext4", uuid=None, label="", size_mib=16, inodes=None, partitioned=False):
        self.kind, self.uuid, self.label, self.inodes, self.partitioned = kind, uuid, label, inodes, partitioned
        handle, self.image = tempfile.mkstemp(prefix="stick-", suffix=".img", dir=folder)
        os.truncate(handle, size_mib * MIB)
        os.close(handle)
        self.node = self.path = None  # of the disk, while it is plugged in
        self.pulled = None
        self.make()

    def make(self):
        """An empty file system."""
        label = ["-L", self.label] if self.label else []
        if self.kind == "ext4":
            offset = []
            if self.partitioned:
                self.write_partition_table()
                offset = ["-E", f"offset={self.PARTITION_BYTES}"]
            blocks = (os.path.getsize(self.image) - (self.PARTITION_BYTES if self.partitioned else 0)) // 1024
            checked("mkfs.ext4", "-q", "-F", "-b", "1024", *(["-U", self.uuid] if self.uuid else []), *label, *offset,
                    *(["-N", str(self.inodes)] if self.inodes else []), self.image, str(blocks))
        elif self.kind == "vfat":
            checked("mkfs.vfat", *(["-i", self.uuid.replace("-", "")] if self.uuid else []),
                    *(["-n", self.label] if self.label else []), self.image)
        elif self.kind == "exfat":
            checked("mkfs.exfat", *label, self.image)
            if self.uuid:
                checked("exfatlabel", "-i", self.image, "0x" + self.uuid.replace("-", ""))
        else:
            checked(MKFS[self.kind], self.image)

    def write_partition_table(self):
        """One of the old kind, with one partition."""
        first = self.PARTITION_BYTES // SECTOR_BYTES
        count = os.path.getsize(self.image) // SECTOR_BYTES - first
        entry = struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", first, count)
        with open(self.image, "r+b") as image:
            image.seek(446)
            image.write(entry + bytes(48) + b"\x55\xaa")

    def damage(self):
        """What follows the superblock is lost: it is recognized, and cannot be mounted. (ext4)"""
        with open(self.image, "r+b") as image:
            image.seek(2048)
            image.write(b"\xff" * 4096)

    def plug(self, udevd):
        """Into a port of this udevd's host. Returns the node of the device with the file system."""
        self.path = os.path.join(udevd.port, f"{next(_numbers)}-{os.path.basename(self.image)}")
        os.link(self.image, self.path)
        self.node = checked("losetup", "--find", "--show", *(["--partscan"] if self.partitioned else []),
                            self.path).strip()
        keeper.add("loop", f"{self.node} {self.path}")
        if self.partitioned and not os.path.exists(self.device()):  # the kernel may know no partition tables
            first = self.PARTITION_BYTES // SECTOR_BYTES
            checked("addpart", self.node, "1", str(first), str(os.path.getsize(self.image) // SECTOR_BYTES - first))
        return self.device()

    def device(self):
        """The node with the file system, while it is plugged in."""
        return f"{self.node}p1" if self.partitioned else self.node

    def tell(self, action):
        """Has the kernel tell of the device."""
        name = os.path.basename(self.node)
        names = ([f"{name}/{name}p1"] if self.partitioned else []) + [name]
        for each in names:
            if os.path.exists(f"/sys/block/{each}/uevent"):
                Path(f"/sys/block/{each}/uevent").write_text(action, encoding="ascii")

    def pull(self):
        """Out of its port, without a warning."""
        self.tell("remove")
        checked("losetup", "--detach", self.node)
        os.unlink(self.path)
        self.pulled = (self.node, self.path)
        self.node = self.path = None

    def close(self):
        """Pulls it if it is plugged in; what used it must have ended before."""
        if self.node is not None:
            self.pull()

    def is_free(self):
        """After a pull: nobody uses the device any more."""
        if self.pulled is None:
            return True
        node, path = self.pulled
        if loop_holds(node, path):
            return False
        keeper.drop("loop", f"{node} {path}")
        self.pulled = None
        return True

    def remove(self):
        """What was on it is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.image)

    @contextlib.contextmanager
    def opened(self):
        """Its files, while it is plugged in nowhere."""
        folder = f"{self.image}.mnt"
        os.mkdir(folder)
        node = checked("losetup", "--find", "--show", self.image).strip()
        keeper.add("loop", f"{node} {self.image}")
        mount_image(self.kind, node, folder)
        keeper.add("mount", folder)
        try:
            yield Path(folder)
        finally:
            wait_until(lambda: quietly("umount", folder), f"{folder} is unmounted", SOON_S)
            keeper.drop("mount", folder)
            quietly("losetup", "--detach", node)
            wait_until(lambda: not loop_holds(node, self.image), f"{node} is free", SOON_S)
            keeper.drop("loop", f"{node} {self.image}")
            os.rmdir(folder)
