"""Running programs and waiting for things, never for ever and never by a sleep that must be long enough."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time

from support.keeper import keeper, state_of

# What must come at once may take this long on a slow, busy machine.
AT_ONCE_S = 15
# What needs several round trips, retries or a detection of silence.
SOON_S = 60


class Late(AssertionError):
    """Something did not happen within its limit."""


def wait_until(condition, what, limit_s=AT_ONCE_S, interval_s=0.02):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Late(f"not within {limit_s} s: {what}")
        time.sleep(interval_s)


@contextlib.contextmanager
def within(limit_s, what):
    """Interrupts what runs inside after `limit_s` seconds: system calls that block, too. In the main thread alone."""
    def late(_number, _frame):
        raise Late(f"not within {limit_s} s: {what}")

    before = signal.signal(signal.SIGALRM, late)
    outer = signal.setitimer(signal.ITIMER_REAL, limit_s)[0]
    began = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, outer - (time.monotonic() - began)))


def start(command, **options):
    """Starts a program in a process group of its own; the keeper ends it if nobody else does."""
    options.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen(command, start_new_session=True, **options)
    keeper.add_process(process.pid)
    return process


def kill_group(process):
    """Ends a program started by start() and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Result:
    def __init__(self, command, status, out, err):
        self.command, self.status, self.out, self.err = command, status, out, err

    def __repr__(self):
        return f"{self.command!r}: exit status {self.status}\n--- out\n{self.out}\n--- err\n{self.err}"


def finish(process, limit_s=SOON_S, command=None):
    """Waits for a program and gives its result; ends it and fails when it takes longer."""
    command = command or process.args
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        kill_group(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=AT_ONCE_S)
            raise Late(f"{command!r} not done within {limit_s} s\n--- out\n{out}\n--- err\n{err}") from None
        raise Late(f"{command!r} not done within {limit_s} s, and cannot be killed") from None
    return Result(command, process.returncode, out, err)


def run(command, limit_s=SOON_S, **options):
    """Runs a program (a list) and gives its result."""
    options.setdefault("text", True)
    return finish(start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options), limit_s)


def start_shell(script, cwd=None, **variables):
    """Starts bash with `script`; the variables are in its environment."""
    return start(["bash", "-c", script], cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                 env={**os.environ, "LC_ALL": "C", **{name: str(value) for name, value in variables.items()}})


def shell(script, limit_s=SOON_S, cwd=None, **variables):
    """Runs bash with `script`, the variables in its environment, and gives its result."""
    return finish(start_shell(script, cwd=cwd, **variables), limit_s, command=script)


def shell_ok(script, limit_s=SOON_S, cwd=None, **variables):
    """As shell(), but it must succeed; returns what it has printed."""
    result = shell(script, limit_s, cwd, **variables)
    if result.status != 0:
        raise AssertionError(f"failed: {result}")
    return result.out


def wait_blocked(pid, what):
    """Waits until a process waits in a call to a FUSE mount."""
    def blocked():
        if state_of(pid) not in ("S", "D"):
            return False
        try:
            with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
                return "request_wait_answer" in file.read() or "fuse" in file.read()
        except OSError:
            return False
    wait_until(blocked, f"{what} (process {pid}) waits in a call to the mount")


_libc = ctypes.CDLL(None, use_errno=True)


def raw_read(descriptor, size):
    """read(2) without Python's repetition after a signal. Returns (bytes, 0) or (None, errno)."""
    buffer = ctypes.create_string_buffer(size)
    count = _libc.read(descriptor, buffer, size)
    if count < 0:
        return None, ctypes.get_errno()
    return buffer.raw[:count], 0
