"""The programs under test, and the mount as the tests see it."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from support.keeper import keeper, mounted, unmount
from support.processes import AT_ONCE_S, SOON_S, Late, start, wait_until
from support.pump import Counter

PUMP = str(Path(__file__).with_name("pump.py"))
LOG_TAIL_BYTES = 6000
STATUS_LINES = 60
# All status files, the newest of numbered endpoints first.
ALL_STATUS = """
cd "$0" && for file in status $(ls -d *@* | sort -rV); do
  [[ -d $file ]] && file+=/status
  echo "== $file"
  cat "$file"
done
"""


class Program:
    """A program that runs in the background and writes a log. `enter`: a command that runs it somewhere else."""

    def __init__(self, command, log, enter=()):
        self.command, self.log, self.enter = [*enter, *command], log, list(enter)
        self.process = None

    def move(self, enter):
        """Where it runs from its next start on."""
        self.command = [*enter, *self.command[len(self.enter):]]
        self.enter = list(enter)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = start(self.command, stdout=log, stderr=subprocess.STDOUT)
        return self

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, limit_s=AT_ONCE_S):
        """SIGTERM; returns the exit status."""
        if self.process is None:
            return None
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Late(f"{self.command} not ended within {limit_s} s after SIGTERM:\n{self.tail()}") from None

    def kill(self):
        """SIGKILL: as a crash would end it."""
        if self.running():
            self.process.kill()
            self.process.wait(AT_ONCE_S)

    def tail(self):
        try:
            with open(self.log, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
                return log.read().decode(errors="replace")
        except OSError as error:
            return str(error)


class Daemon(Program):
    """A `sessionfs` in the foreground, with its mount and its state under `folder`."""

    def __init__(self, folder, config=None, listen=None, enter=()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mountpoint, self.state = self.folder / "session", self.folder / "state"
        for path in (self.mountpoint, self.state):
            path.mkdir(exist_ok=True)
        self.config = self.folder / "config.toml"
        self.config.write_text(config or "", encoding="ascii")
        command = [os.environ["SESSIONFS_BIN"], str(self.mountpoint), "-f", "--config", str(self.config),
                   "--state", str(self.state)]
        if listen:
            command += ["--listen", listen]
        super().__init__(command, str(self.folder / "log"), enter)
        self.mount = Mount(self.mountpoint)
        keeper.add("mount", str(self.mountpoint))

    def start(self):
        super().start()
        status = self.mountpoint / "status"

        def ready():
            if not self.running():
                raise AssertionError(f"{self.command} has ended with {self.process.returncode}:\n{self.tail()}")
            return self.mounted() and status.exists()
        wait_until(ready, f"{status} is there; the log:\n{self.tail()}", SOON_S)
        return self

    def mounted(self):
        return mounted(str(self.mountpoint))

    def stop(self, limit_s=AT_ONCE_S):
        try:
            return super().stop(limit_s)
        finally:
            if self.mounted():
                unmount(str(self.mountpoint))

    def kill(self):
        super().kill()
        unmount(str(self.mountpoint))

    def restart(self):
        """SIGTERM, then again on the same state."""
        status = self.stop()
        if status != 0:
            raise AssertionError(f"exit status {status} after SIGTERM; the log:\n{self.tail()}")
        return self.start()

    def describe(self):
        """For the report of a failure: status files, and the log's end. Asks in a process that can be left behind."""
        try:
            status = subprocess.run(["bash", "-c", ALL_STATUS, str(self.mountpoint)], stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True, errors="replace", timeout=5, check=False).stdout
        except subprocess.TimeoutExpired:
            status = "the mount does not answer"
        lines = status.splitlines()
        status = "\n".join(lines[:STATUS_LINES] + ([f"... {len(lines)} lines"] if len(lines) > STATUS_LINES else []))
        return f"{status}\n== log of {self.mountpoint}\n{self.tail()}"

    def ports(self):
        """The TCP ports at which the daemon listens."""
        sockets = set()
        for descriptor in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(OSError):
                found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{self.pid}/fd/{descriptor}"))
                if found:
                    sockets.add(found.group(1))
        ports = set()
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{self.pid}/net/{table}", encoding="ascii") as lines:
                for line in itertools.islice(lines, 1, None):
                    fields = line.split()
                    if fields[3] == "0A" and fields[9] in sockets:
                        ports.add(int(fields[1].rpartition(":")[2], 16))
        return sorted(ports)


class Mount:
    """A mounted tree."""

    def __init__(self, path):
        self.path = Path(path)

    def endpoint(self, name, create=True):
        """The endpoint `name`, made with mkdir."""
        if create:
            os.mkdir(self.path / name)
        return Endpoint(self.path / name)

    def status(self):
        return (self.path / "status").read_text(encoding="utf-8")

    def names(self):
        return sorted(name for name in os.listdir(self.path) if "@" in name)


class Endpoint:
    """An endpoint's directory."""

    def __init__(self, path):
        self.path = Path(path)
        self.name = self.path.name
        self.services, self.sessions = self.path / "services", self.path / "sessions"

    def __str__(self):
        return str(self.path)

    def serve(self, service):
        """Creates a service; returns its file."""
        file = self.services / service
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o600))
        return file

    def accept(self, service):
        """Waits for one session of a service; returns its file."""
        descriptor = os.open(self.services / service, os.O_RDONLY)
        try:
            name = os.read(descriptor, 4096)
        finally:
            with contextlib.suppress(OSError):  # a daemon killed right after the read has given the name all the same
                os.close(descriptor)
        if not name.endswith(b"\n") or name.count(b"\n") != 1:
            raise AssertionError(f"accepted {name!r}, not one name and a newline")
        return self.sessions / name.decode()[:-1]

    def target(self, service, label=None):
        """What others dial."""
        return f"{service}.{self.name}" + (f"~{label}" if label else "")

    def dial(self, peer, service, label=None):
        """Connects to a service of the endpoint `peer`; returns the session's file."""
        file = self.sessions / peer.target(service, label)
        os.close(os.open(file, os.O_RDWR))
        return file

    def command(self, line):
        """One line to ctl."""
        with opened(self.path / "ctl", os.O_WRONLY) as descriptor:
            os.write(descriptor, line.encode() + b"\n")

    def rules(self, file, text):
        """Replaces `access` or `policy`."""
        with opened(self.path / file, os.O_WRONLY | os.O_TRUNC) as descriptor:
            os.write(descriptor, text.encode())

    def status(self):
        return (self.path / "status").read_text(encoding="utf-8")


@contextlib.contextmanager
def opened(path, flags):
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def attribute(session, name):
    """One of user.session.* of a session's file, as text."""
    return os.getxattr(session, f"user.session.{name}").decode()


def state_word(session):
    """The session's state in one form: small letters and underscores."""
    return attribute(session, "state").lower().replace("-", "_").replace(" ", "_")


def write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view):]


def read_exactly(descriptor, count, block=1 << 20):
    """Reads until `count` bytes have come or the stream has ended."""
    parts, got = [], 0
    while got < count:
        data = os.read(descriptor, min(block, count - got))
        if not data:
            break
        parts.append(data)
        got += len(data)
    return b"".join(parts)


class Pump:
    """pump.py at work on a session file; what it carries is counted while it runs. A gated sender sends no more than
    flow_to() has said so far."""

    def __init__(self, what, path, folder, size=None, source=None, block=None, gated=False):
        number = next(_numbers)
        self.progress = Counter(os.path.join(folder, f"progress-{number}"))
        gate_file = os.path.join(folder, f"gate-{number}")
        self.gate = Counter(gate_file) if gated else None
        command = [sys.executable, PUMP, what, str(path), "--progress", os.path.join(folder, f"progress-{number}")]
        for option, value in (("--bytes", size), ("--source", source), ("--block", block),
                              ("--gate", gate_file if gated else None)):
            command += [option, str(value)] if value is not None else []
        self.process = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def carried(self):
        return self.progress.get()

    def flow_to(self, mark):
        self.gate.set(max(mark, self.gate.get()))

    def running(self):
        return self.process.poll() is None

    def result(self, limit_s=SOON_S):
        """Waits until it is done; returns {"bytes", "sha256"}."""
        try:
            out, err = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise Late(f"{self.process.args[2:]} not done within {limit_s} s, at {self.carried()} bytes") from None
        if self.process.returncode != 0:
            raise AssertionError(f"{self.process.args[2:]} failed after {self.carried()} bytes: {out}{err}")
        self.progress.close()
        if self.gate:
            self.gate.close()
        return json.loads(out)


_numbers = itertools.count(1)
