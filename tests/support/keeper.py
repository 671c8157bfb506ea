"""Clears away what the tests make (processes, mounts, namespaces, loop devices, folders), however the tests end.

The keeper is a process of its own, apart from the tests' process tree. It is told through a pipe what is made. When
the pipe closes, because the tests are over or were killed, or when their time is up, it clears everything away.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

CLEANING_LIMIT_S = 20


def start_time(pid):
    """Tells a process from a later one with the same number; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except OSError:
        return None


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def mounted(path):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        return any(line.split()[4] == path for line in mounts)


def mounts_below(path):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        return [point for point in (line.split()[4] for line in mounts) if point.startswith(path + "/")]


def quietly(*command):
    """Runs a command of the cleaning; True when it succeeded."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=CLEANING_LIMIT_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def unmount(path):
    """Takes a mount away as a last resort, whoever still uses it."""
    for _ in range(16):  # mounts may lie on top of one another
        if not mounted(path):
            return
        if not quietly("umount", "-l", path):
            quietly("fusermount3", "-uz", path)


def loop_holds(node, path):
    """Whether the loop device shows this file; it may be another one's by now."""
    try:
        with open(f"/sys/block/{os.path.basename(node)}/loop/backing_file", encoding="utf-8",
                  errors="surrogateescape") as file:
            # Of a file whose folder was unmounted the kernel knows the end of the path alone.
            shown = file.read().rstrip("\n").removesuffix(" (deleted)")
            return os.path.basename(shown) == os.path.basename(path)
    except OSError:
        return False


def clear_cgroup(path):
    """Ends what is in a cgroup (of the second version), and removes it with those in it."""
    end = time.monotonic() + CLEANING_LIMIT_S
    while os.path.exists(path) and time.monotonic() < end:
        try:
            with open(f"{path}/cgroup.kill", "w", encoding="ascii") as kill:
                kill.write("1")
            for folder, _, _ in os.walk(path, topdown=False):
                os.rmdir(folder)
        except OSError:  # they are still ending
            time.sleep(0.05)


class _Cleaner:
    """The keeper's side: what is there, and how it goes."""

    def __init__(self):
        self.things = {"pid": [], "cgroup": [], "mount": [], "netns": [], "loop": [], "dir": []}
        self.deadline = None

    def take(self, line):
        word, kind, *value = line.split(" ", 2)
        if word == "limit":
            self.deadline = time.monotonic() + float(kind)
        elif word == "+":
            self.things[kind].append(value[0])
        elif word == "-" and value[0] in self.things[kind]:
            self.things[kind].remove(value[0])

    def kill(self, pid, started):
        if start_time(pid) == started and state_of(pid) not in (None, "Z"):
            os.kill(pid, signal.SIGKILL)

    def clear(self):
        """Everything away; returns what could not be cleared."""
        for thing in self.things["pid"]:
            pid, started = thing.split()
            self.kill(int(pid), started)
        for path in self.things["cgroup"]:
            clear_cgroup(path)
        for namespace in self.things["netns"]:
            listed = subprocess.run(["ip", "netns", "pids", namespace], stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True, check=False)
            for pid in listed.stdout.split():
                self.kill(int(pid), start_time(int(pid)))
        for path in self.things["dir"]:
            for inner in reversed(mounts_below(path)):
                unmount(inner)
        for path in self.things["mount"]:
            unmount(path)
        left = [path for path in self.things["mount"] if mounted(path)]
        left += [path for path in self.things["cgroup"] if os.path.exists(path)]
        for thing in self.things["loop"]:
            node, path = thing.split(" ", 1)
            if loop_holds(node, path):
                quietly("losetup", "--detach", node)
            end = time.monotonic() + CLEANING_LIMIT_S
            while loop_holds(node, path) and time.monotonic() < end:  # its last user may be on its way out
                time.sleep(0.05)
            if loop_holds(node, path):
                left.append(thing)
        for namespace in self.things["netns"]:
            quietly("ip", "netns", "del", namespace)
            if os.path.exists(f"/run/netns/{namespace}"):
                left.append(f"namespace {namespace}")
        for path in self.things["dir"]:
            quietly("rm", "-rf", "--one-file-system", "--", path)
            if os.path.exists(path):
                left.append(path)
        return left


def _serve(commands, reports):
    """The keeper's loop: until the pipe closes or the time is up."""
    import select
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    cleaner = _Cleaner()
    buffered = b""
    while True:
        wait = None if cleaner.deadline is None else max(0.0, cleaner.deadline - time.monotonic())
        if not select.select([commands], [], [], wait)[0]:
            os.write(reports, b"the time limit was reached\n")
            break
        data = os.read(commands, 65536)
        if not data:
            break
        buffered += data
        *lines, buffered = buffered.split(b"\n")
        for line in lines:
            cleaner.take(line.decode("utf-8", "surrogateescape"))
    for thing in cleaner.clear():
        try:
            os.write(reports, f"left behind: {thing}\n".encode())
        except OSError:
            pass


class Keeper:
    """The tests' side."""

    def __init__(self):
        self._commands = None
        self._reports = None
        self._owner = None

    def _start(self):
        if self._commands is not None:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        command_end, self._commands = os.pipe()
        self._reports, report_end = os.pipe()
        self._owner = os.getpid()
        child = os.fork()
        if child == 0:
            # Its parent must not be the tests, so that whoever ends the tests' process tree does not end it too.
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
            try:
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor in (0, 1, 2):
                    os.dup2(null, descriptor)
                os.close(self._commands)
                os.close(self._reports)
                os.chdir("/")
                _serve(command_end, report_end)
            finally:
                os._exit(0)
        os.close(command_end)
        os.close(report_end)
        os.waitpid(child, 0)

    def _tell(self, line):
        self._start()
        os.write(self._commands, line.encode("utf-8", "surrogateescape") + b"\n")

    def limit(self, seconds):
        """Everything goes after this time, even while the tests still run: nothing can hang for ever."""
        self._tell(f"limit {seconds}")

    def add(self, kind, value):
        self._tell(f"+ {kind} {value}")

    def drop(self, kind, value):
        self._tell(f"- {kind} {value}")

    def add_process(self, pid):
        self.add("pid", f"{pid} {start_time(pid)}")

    def finish(self):
        """Clears everything away; returns what the keeper has to say of it, one line each."""
        if self._commands is None or self._owner != os.getpid():
            return []
        os.close(self._commands)
        said = b""
        while data := os.read(self._reports, 65536):
            said += data
        os.close(self._reports)
        self._commands = self._reports = None
        return said.decode().splitlines()


keeper = Keeper()


def temporary_folder(prefix="sessionfs-test-"):
    """A new folder that goes with the tests, mounts inside it unmounted first."""
    import tempfile
    path = os.path.realpath(tempfile.mkdtemp(prefix=prefix))
    keeper.add("dir", path)
    return path


def remove_folder(path):
    """Removes a folder made by temporary_folder(), unless something is still mounted in it."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        if any(line.split()[4].startswith(path + "/") for line in mounts):
            return
    shutil.rmtree(path, ignore_errors=True)
    if not os.path.exists(path):
        keeper.drop("dir", path)
