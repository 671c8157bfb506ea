"""One folder's tree and what can be done in it, so that the same can be done in two and the outcomes compared."""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import stat
import struct

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 16
XATTR_LIMIT_BYTES = 65536
_AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


def _checked(value):
    if value < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return value


def acl(*entries):
    """The value of system.posix_acl_*; entries are (tag, permissions, id), as in linux/posix_acl_xattr.h."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@contextlib.contextmanager
def as_user(user):
    """What is inside is done as that user; needs root for any but its own."""
    own = os.geteuid()
    if user == own:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(own)
        os.setegid(group)
        os.setgroups(groups)


class FileTree:
    """A folder, with open files in numbered slots. `hidden`: names at its top that are not looked at."""

    def __init__(self, root, hidden=()):
        self.root, self.hidden = str(root), frozenset(hidden)
        self.files, self.maps = {}, {}

    def end(self):
        for slot in list(self.maps):
            self.unmap(slot)
        for slot in list(self.files):
            self.close(slot)

    def path(self, name):
        return f"{self.root}/{name}" if name else self.root

    def do(self, user, name, arguments):
        """What the operation gives, or the name of its error."""
        try:
            with as_user(user):
                return getattr(self, name)(*arguments)
        except OSError as error:
            return errno.errorcode.get(error.errno, error.errno)
        except (ValueError, KeyError) as error:
            return type(error).__name__

    # --- Names

    def mkdir(self, name, mode):
        os.mkdir(self.path(name), mode)

    def rmdir(self, name):
        os.rmdir(self.path(name))

    def unlink(self, name):
        os.unlink(self.path(name))

    def mkfifo(self, name, mode):
        os.mkfifo(self.path(name), mode)

    def mknod(self, name, mode):
        os.mknod(self.path(name), mode)

    def symlink(self, target, name):
        os.symlink(target, self.path(name))

    def link(self, name, new_name, follow):
        os.link(self.path(name), self.path(new_name), follow_symlinks=follow)

    def rename(self, name, new_name, flags):
        _checked(_libc.renameat2(_AT_FDCWD, os.fsencode(self.path(name)), _AT_FDCWD, os.fsencode(self.path(new_name)),
                                 flags))

    def umask(self, mask):
        os.umask(mask)

    # --- Attributes

    def stat(self, name, follow):
        return self.look(os.stat(self.path(name), follow_symlinks=follow))

    def look(self, found):
        size = found.st_size if not stat.S_ISDIR(found.st_mode) else 0
        return oct(found.st_mode), found.st_nlink, found.st_uid, found.st_gid, size

    def access(self, name, mode):
        return os.access(self.path(name), mode, effective_ids=True)

    def chmod(self, name, mode):
        os.chmod(self.path(name), mode)

    def chown(self, name, user, group, follow):
        os.chown(self.path(name), user, group, follow_symlinks=follow)

    def utime(self, name, times_ns, follow):
        os.utime(self.path(name), ns=times_ns, follow_symlinks=follow)
        return os.stat(self.path(name), follow_symlinks=follow).st_mtime_ns

    def truncate(self, name, size):
        os.truncate(self.path(name), size)

    def setxattr(self, name, key, value, flags, follow):
        os.setxattr(self.path(name), key, value, flags, follow_symlinks=follow)

    def getxattr(self, name, key, follow):
        return os.getxattr(self.path(name), key, follow_symlinks=follow)

    def removexattr(self, name, key, follow):
        os.removexattr(self.path(name), key, follow_symlinks=follow)

    def listxattr(self, name, follow):
        # Whether root's names are listed to others is the storage's choice: btrfs does, ext4 and the mount do not.
        own = os.geteuid() == 0
        return sorted(key for key in os.listxattr(self.path(name), follow_symlinks=follow)
                      if own or not key.startswith("trusted."))

    def readlink(self, name):
        return os.readlink(self.path(name))

    def listdir(self, name):
        """Names and types; and each entry's number must be the one that lstat gives."""
        found = []
        with os.scandir(self.path(name)) as entries:
            for entry in entries:
                if name == "" and entry.name in self.hidden:
                    continue
                true_number = None
                with contextlib.suppress(PermissionError):
                    true_number = entry.stat(follow_symlinks=False).st_ino in (0, entry.inode())
                found.append((entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink(), true_number))
        return sorted(found)

    # --- Open files

    def open(self, slot, name, flags, mode):
        self.close(slot)
        self.files[slot] = os.open(self.path(name), flags | os.O_NONBLOCK, mode)
        return self.fstat(slot)

    def close(self, slot):
        if slot in self.files:
            os.close(self.files.pop(slot))

    def is_folder(self, slot):
        return stat.S_ISDIR(os.fstat(self.files[slot]).st_mode)

    def fstat(self, slot):
        return self.look(os.fstat(self.files[slot]))

    def read(self, slot, count):
        return os.read(self.files[slot], count)

    def pread(self, slot, count, offset):
        return os.pread(self.files[slot], count, offset)

    def write(self, slot, data):
        return os.write(self.files[slot], data), os.lseek(self.files[slot], 0, os.SEEK_CUR)

    def pwrite(self, slot, data, offset):
        return os.pwrite(self.files[slot], data, offset)

    def lseek(self, slot, offset, whence):
        if self.is_folder(slot):
            return None  # positions in a folder are its file system's
        return os.lseek(self.files[slot], offset, whence)

    def find(self, slot, offset, whence):
        """SEEK_DATA and SEEK_HOLE: what they skip must be what they say. (Where holes are is the storage's choice.)"""
        for shared in self.maps.values():
            shared.flush()
        file = self.files[slot]
        if self.is_folder(slot):
            return None
        size = os.fstat(file).st_size
        if offset >= size:
            return os.lseek(file, offset, whence)
        try:
            found = os.lseek(file, offset, whence)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            found = size
        if whence == os.SEEK_HOLE:
            return offset <= found <= size
        return offset <= found <= size and os.pread(file, found - offset, offset).strip(b"\0") == b""

    def ftruncate(self, slot, size):
        os.ftruncate(self.files[slot], size)

    def fallocate(self, slot, mode, offset, length):
        _checked(_libc.fallocate(self.files[slot], mode, offset, length))

    def fchmod(self, slot, mode):
        os.fchmod(self.files[slot], mode)

    def fsync(self, slot):
        os.fsync(self.files[slot])

    def fdatasync(self, slot):
        os.fdatasync(self.files[slot])

    def copy(self, slot, to, count, offset, to_offset):
        return os.copy_file_range(self.files[slot], self.files[to], count, offset, to_offset)

    def flock(self, slot, how):
        fcntl.flock(self.files[slot], how | fcntl.LOCK_NB)

    def lockf(self, slot, how, length, start):
        fcntl.lockf(self.files[slot], how | fcntl.LOCK_NB, length, start)

    def set_append(self, slot, append):
        flags = fcntl.fcntl(self.files[slot], fcntl.F_GETFL) & ~os.O_APPEND
        fcntl.fcntl(self.files[slot], fcntl.F_SETFL, flags | (os.O_APPEND if append else 0))

    # --- Mappings: of a slot each, which may be closed or used for another file after it

    def map(self, slot, length, private):
        self.unmap(slot)
        self.maps[slot] = mmap.mmap(self.files[slot], length, mmap.MAP_PRIVATE if private else mmap.MAP_SHARED)

    def unmap(self, slot):
        if slot in self.maps:
            self.maps.pop(slot).close()

    def peek(self, slot, offset, count):
        """Reads the mapping, where the file still is."""
        end = min(offset + count, self.maps[slot].size(), len(self.maps[slot]))
        return self.maps[slot][offset:end]

    def poke(self, slot, offset, data):
        """Writes the mapping, where the file still is."""
        end = min(offset + len(data), self.maps[slot].size(), len(self.maps[slot]))
        if end > offset:
            self.maps[slot][offset:end] = data[:end - offset]

    def msync(self, slot):
        self.maps[slot].flush()

    # --- The whole

    def snapshot(self):
        """Everything below the folder by name: attributes, contents, extended attributes."""
        found, folders = {}, [""]
        while folders:
            folder = folders.pop()
            for name in os.listdir(self.path(folder)):
                if folder == "" and name in self.hidden:
                    continue
                inner = f"{folder}/{name}" if folder else name
                found[inner] = self.description(self.path(inner))
                if stat.S_ISDIR(os.lstat(self.path(inner)).st_mode):
                    folders.append(inner)
        return found

    def description(self, path):
        attributes = os.lstat(path)
        content = None
        if stat.S_ISLNK(attributes.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(attributes.st_mode):
            with open(path, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest()[:16]
        with contextlib.suppress(OSError):  # where there are none at all
            keys = sorted(os.listxattr(path, follow_symlinks=False))
            return self.look(attributes), content, {k: os.getxattr(path, k, follow_symlinks=False) for k in keys}
        return self.look(attributes), content, {}
