"""Random operations on an endpoint's documents do what they do on the storage's own file system.

The same operations, by several users, go to the mount and to an ordinary folder; all results, errors and the whole
trees must be alike.

  --seed N        of the operations; a failure tells its seed and the last operations
  --steps N       how many operations
  --image TYPE    also on file systems of that type (ext4, xfs, btrfs, vfat), made in files; needs root and mkfs.TYPE
"""

import argparse
import collections
import contextlib
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import Daemon  # noqa: E402
from support.file_tree import FileTree  # noqa: E402
from support.keeper import keeper, remove_folder, temporary_folder, unmount  # noqa: E402
from support.local import LISTEN  # noqa: E402
from support.tree_chooser import Chooser  # noqa: E402

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
parser.add_argument("--steps", type=int, default=3000)
parser.add_argument("--image")
OPTIONS, sys.argv[1:] = parser.parse_known_args()

ROOT = os.geteuid() == 0
USERS = (0, 54321, 54322) if ROOT else (os.geteuid(),)
RESERVED = ("ctl", "status", "policy", "access", "services", "sessions", ".endpoint")
STEPS_PER_LOOK = 250  # between comparisons of the whole trees
TOLD_OPERATIONS = 300
IMAGE_BYTES = 320 << 20


def short(value):
    """For people: without the bytes of long data."""
    if isinstance(value, tuple):
        return "(" + ", ".join(map(short, value)) + ")"
    return f"{len(value)} bytes" if isinstance(value, bytes) and len(value) > 16 else repr(value)


@contextlib.contextmanager
def telling(operations):
    """A failure inside says how it can be had again."""
    try:
        yield
    except BaseException:
        print(f"--seed {OPTIONS.seed}; the last operations, by user, and their results in the reference:", *operations,
              sep="\n", file=sys.stderr)
        raise


class RandomOperations(suite.TestCase):
    limit_s = 60 + OPTIONS.steps / 20

    def setUp(self):
        folder = temporary_folder()
        self.addCleanup(remove_folder, folder)
        self.folder = Path(folder)
        os.chmod(self.folder, 0o755)  # for the other users
        self.addCleanup(os.umask, os.umask(0o022))
        self.daemon = Daemon(self.folder / "host", listen=LISTEN)
        if ROOT:
            self.daemon.command += ["-o", "allow_other"]
        self.addCleanup(self.end)
        self.daemon.start()
        self.endpoint = self.daemon.mount.endpoint("e@local").path
        self.storage = self.daemon.state / "endpoints/e@local/documents"
        self.reference = self.folder / "reference"
        self.reference.mkdir(0o755)

    def end(self):
        self.daemon.stop()
        keeper.drop("mount", str(self.daemon.mountpoint))

    def describe(self):
        return self.daemon.describe()

    def compare(self, unix):
        """Does the same in the endpoint and in the reference."""
        chooser = Chooser(OPTIONS.seed, USERS, unix)
        ours, theirs = FileTree(self.endpoint, RESERVED), FileTree(self.reference)
        self.addCleanup(ours.end)
        self.addCleanup(theirs.end)
        last = collections.deque(maxlen=TOLD_OPERATIONS)
        with telling(last):
            for step in range(OPTIONS.steps):
                user = chooser.one(USERS[0], *USERS)
                name, arguments = chooser.next()
                last.append(f"{step} {user}: {name}{short(arguments)}")
                expected, found = theirs.do(user, name, arguments), ours.do(user, name, arguments)
                last[-1] += f" -> {short(expected)}"
                self.assertEqual(short(expected), short(found))
                self.assertEqual(expected, found)
                if step % STEPS_PER_LOOK == STEPS_PER_LOOK - 1:
                    self.look(theirs, ours)
            self.look(theirs, ours)
            for tree in (ours, theirs):
                tree.end()
            self.look(theirs, FileTree(self.storage))

    def look(self, theirs, ours):
        expected, found = theirs.snapshot(), ours.snapshot()
        for name in sorted(expected.keys() | found.keys()):
            self.assertEqual(expected.get(name), found.get(name), f"of {name!r}")

    def test_as_on_the_own_file_system(self):
        self.compare(unix=True)

    @unittest.skipUnless(OPTIONS.image, "by hand, with --image TYPE")
    def test_as_on_an_image(self):
        self.daemon.stop()
        for folder in (self.storage, self.reference):
            self.mount_image(folder)
        self.daemon.start()
        self.compare(unix=OPTIONS.image not in ("vfat", "exfat"))
        self.end()

    def mount_image(self, folder):
        image = self.folder / f"{folder.name}.img"
        with open(image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run([f"mkfs.{OPTIONS.image}", image], check=True, stdout=subprocess.DEVNULL)
        options = "loop" if OPTIONS.image not in ("vfat", "exfat") else "loop,umask=0"
        keeper.add("mount", str(folder))
        self.addCleanup(keeper.drop, "mount", str(folder))
        self.addCleanup(unmount, str(folder))
        subprocess.run(["mount", "-t", OPTIONS.image, "-o", options, image, folder], check=True)
        shutil.rmtree(folder / "lost+found", ignore_errors=True)


if __name__ == "__main__":
    suite.main()
