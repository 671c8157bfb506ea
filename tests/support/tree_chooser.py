"""Chooses random operations on a FileTree."""

import fcntl
import os
import random
import stat

from support.file_tree import (FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE, RENAME_EXCHANGE,
                               RENAME_NOREPLACE, acl)

SLOTS = range(6)
MAX_FILE_BYTES = 200_000
NAMES = ("a", "b", "c", "d")
ODD_NAMES = (".x", "näme", "sp ace", "tab\tnewline\n", "\udcff\udcfe", "n" * 255, "n" * 256)
# Where the set-group bit is, the group may always run the file: else FUSE keeps the bit at a write, and ext4 does not.
# (It means nothing then.) The umasks and the access control lists leave it so.
MODES = (0o644, 0o600, 0o666, 0o755, 0o777, 0o000, 0o444, 0o1777, 0o2775, 0o4755, 0o2755, 0o6777)
KEYS = ("user.a", "user.b", "user." + "k" * 200, "trusted.t", "none", "user.", "system.posix_acl_access",
        "system.posix_acl_default")


class Chooser:
    """Operations as (name, arguments), as a seed gives them. `unix`: the file system has all that ext4 has."""

    def __init__(self, seed, users, unix):
        self.random, self.users, self.unix = random.Random(seed), users, unix
        weights = {
            "mkdir": 6, "rmdir": 2, "unlink": 5, "symlink": 2, "link": 4, "rename": 8, "mkfifo": 1, "mknod": 1,
            "umask": 1, "stat": 4, "access": 2, "chmod": 3, "chown": 2, "utime": 2, "truncate": 3, "setxattr": 3,
            "getxattr": 2, "removexattr": 1, "listxattr": 1, "readlink": 1, "listdir": 3, "open": 20, "close": 3,
            "fstat": 2, "read": 4, "pread": 4, "write": 8, "pwrite": 8, "lseek": 3, "find": 3, "ftruncate": 4,
            "fallocate": 3, "fchmod": 1, "fsync": 1, "fdatasync": 1, "copy": 3, "flock": 2, "lockf": 2,
            "set_append": 1, "map": 4, "unmap": 1, "peek": 4, "poke": 4, "msync": 1,
        }
        self.operations, self.weights = list(weights), list(weights.values())

    def next(self):
        name = self.random.choices(self.operations, self.weights)[0]
        return name, getattr(self, name)()

    # --- Parts

    def one(self, *values):
        return self.random.choice(values)

    def chance(self, part):
        return self.random.random() < part

    def name(self):
        parts = [self.one(*NAMES) for _ in range(self.random.choices((1, 2, 3), (5, 4, 2))[0])]
        if self.unix and self.chance(0.03):
            parts[-1] = self.one(*ODD_NAMES)
        if not self.unix and self.chance(0.05):
            parts[-1] = self.one("A", "Longer name.text", "LONGER~1.TEX", "x:y")
        if len(parts) > 1 and self.chance(0.05):
            parts.insert(1, "..")
        return "/".join(parts) + ("/" if self.chance(0.02) else "")

    def slot(self):
        return self.one(*SLOTS)

    def offset(self):
        return self.one(0, 1, 4095, 4096, self.random.randrange(MAX_FILE_BYTES), self.random.randrange(5000))

    def count(self):
        return self.one(0, 1, 4096, self.random.randrange(20000), self.random.randrange(100))

    def data(self):
        return self.random.randbytes(self.count())

    def follow(self):
        return self.chance(0.6)

    # --- The arguments of each operation of FileTree

    def mkdir(self):
        return self.name(), self.one(0o777, 0o777, *MODES)

    def rmdir(self):
        return (self.name(),)

    unlink = readlink = rmdir

    def listdir(self):
        return ("" if self.chance(0.3) else self.name(),)

    def mkfifo(self):
        return self.name(), self.one(*MODES)

    def mknod(self):
        return self.name(), self.one(stat.S_IFREG, 0, stat.S_IFSOCK) | self.one(*MODES)

    def symlink(self):
        # Never with "..": it could lead out of the trees.
        return self.one("a", "b/c", "none", "d", "t" * 300), self.name()

    def link(self):
        return self.name(), self.name(), self.follow()

    def rename(self):
        return self.name(), self.name(), self.one(0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, 3)

    def umask(self):
        return (self.one(0o022, 0o022, 0, 0o006, 0o027),)

    def stat(self):
        return self.name(), self.follow()

    def access(self):
        return self.name(), self.random.randrange(8)

    def chmod(self):
        return self.name(), self.one(*MODES)

    def chown(self):
        return self.name(), self.one(-1, *self.users), self.one(-1, *self.users), self.follow()

    def utime(self):
        seconds = 2 * self.random.randrange(400_000_000, 900_000_000)
        nanoseconds = 0 if not self.unix else self.random.randrange(1_000_000_000)
        return self.name(), (seconds * 10**9, seconds * 10**9 + nanoseconds), self.follow()

    def truncate(self):
        return self.name(), self.offset()

    def setxattr(self):
        key = self.one(*KEYS)
        value = self.random.randbytes(self.one(0, 1, 100, 1000))
        if key.startswith("system."):
            value = acl((0x01, self.random.randrange(8), 0xFFFFFFFF), (0x02, self.random.randrange(8), self.users[-1]),
                        (0x04, self.random.randrange(8) | 1, 0xFFFFFFFF),
                        (0x10, self.random.randrange(8) | 1, 0xFFFFFFFF), (0x20, self.random.randrange(8), 0xFFFFFFFF))
        return self.name(), key, value, self.one(0, 0, os.XATTR_CREATE, os.XATTR_REPLACE), self.follow()

    def getxattr(self):
        return self.name(), self.one(*KEYS), self.follow()

    removexattr = getxattr

    def listxattr(self):
        return self.name(), self.follow()

    def open(self):
        flags = self.one(os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR)
        for flag, part in ((os.O_CREAT, 0.6), (os.O_EXCL, 0.1), (os.O_TRUNC, 0.1), (os.O_APPEND, 0.15),
                           (os.O_DIRECTORY, 0.05), (os.O_NOFOLLOW, 0.1), (os.O_SYNC, 0.02), (os.O_NOATIME, 0.02)):
            if self.chance(part):
                flags |= flag
        if flags & os.O_CREAT == 0:
            flags &= ~os.O_EXCL
        return self.slot(), self.name(), flags, self.one(0o666, 0o666, *MODES)

    def close(self):
        return (self.slot(),)

    fstat = fsync = fdatasync = unmap = msync = close

    def read(self):
        return self.slot(), self.count()

    def pread(self):
        return self.slot(), self.count(), self.offset()

    def write(self):
        return self.slot(), self.data()

    def pwrite(self):
        return self.slot(), self.data(), self.offset()

    def lseek(self):
        return self.slot(), self.one(0, -5, self.offset()), self.one(os.SEEK_SET, os.SEEK_CUR, os.SEEK_END)

    def find(self):
        return self.slot(), self.offset(), self.one(os.SEEK_DATA, os.SEEK_HOLE)

    def ftruncate(self):
        return self.slot(), self.offset()

    def fallocate(self):
        modes = [0, FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, FALLOC_ZERO_RANGE,
                 FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE]
        return self.slot(), self.one(*modes), self.offset(), self.count()

    def fchmod(self):
        return self.slot(), self.one(*MODES)

    def copy(self):
        return self.slot(), self.slot(), self.count(), self.offset(), self.offset()

    def flock(self):
        return self.slot(), self.one(fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN)

    def lockf(self):
        return self.slot(), self.one(fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN), self.count(), self.offset()

    def set_append(self):
        return self.slot(), self.chance(0.3)

    def map(self):
        return self.slot(), self.one(1, 4096, 10000, 100_000), self.chance(0.3)

    def peek(self):
        return self.slot(), self.offset(), self.count()

    def poke(self):
        return self.slot(), self.offset(), self.data()
