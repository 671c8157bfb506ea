"""Tests of two daemons, on the hosts A and B, and a name server on C."""

import errno
import itertools
import os
import time
from pathlib import Path

from hosts.world import World
from support.daemon import Pump, opened, state_word
from support.processes import SOON_S, Late, finish, start_shell, wait_until
from support.suite import TestCase

MIB = 1 << 20
# A break is over when the transfer goes on: detection of silence, retries and a new handshake on a busy machine.
RECOVERY_LIMIT_S = 60
# In these states data flows.
FLOWING = ("active", "moving")
# Of a stream that has stopped no more arrives than its receiver's side held (`buffer`, 1 MiB) or had on its way, ...
HELD_BYTES = 2 * MIB
# ... when far more than both sides' buffers waits to be sent, ...
AHEAD_BYTES = 16 * MIB
# ... and nothing has moved for this long.
STILL_S = 0.5
# What one write of carry.py's, which may be done but not counted yet, has at most (its --largest).
LARGEST_WRITE_BYTES = 256 * 1024


class HostsTestCase(TestCase):
    """One world for all tests of a class, with endpoints a@ and b@ and the service `file` at b@."""

    world_class = World
    config = ""
    sns_options = ()
    limit_s = 240

    @classmethod
    def setUpClass(cls):
        cls.world = cls._enter(cls.world_class())
        cls.a, cls.b = cls.world.a, cls.world.b
        cls.at_a, cls.at_b = cls.world.start(cls.config, cls.sns_options)
        cls.at_b.serve("file")
        cls.serial = 0

    @classmethod
    def _enter(cls, world):
        entered = world.__enter__()
        cls.addClassCleanup(world.close)
        return entered

    def describe(self):
        return self.world.describe()

    def session(self):
        """A new session from a@ to b@: its file at A and its file at B."""
        type(self).serial += 1
        label = f"t{self.serial}"

        def dialled():
            # Just after a host has moved, the name server may not know yet where it is.
            try:
                return self.at_a.dial(self.at_b, "file", label)
            except OSError as error:
                if error.errno not in (errno.EHOSTUNREACH, errno.ETIMEDOUT):
                    raise
                return None
        ours = wait_until(dialled, "A can dial B", SOON_S)
        theirs = self.at_b.accept("file")
        return ours, theirs

    def end(self, *files):
        for file in files:
            os.unlink(file)

    def carries(self, ours, theirs):
        """The session works in both directions."""
        for source, sink in ((ours, theirs), (theirs, ours)):
            with opened(source, os.O_WRONLY) as out, opened(sink, os.O_RDONLY) as data:
                os.write(out, b"works")
                got = b""
                while len(got) < 5:
                    got += os.read(data, 5)
            self.assertEqual(got, b"works")


class Transfer:
    """Bytes on their way from one session file to the other, in one process each, with marks of progress.

    The sender goes only a little beyond the mark that is waited for, or as far as flow_to() says, so that what happens
    at a mark happens in the midst of the transfer on machines of any speed.
    """

    def __init__(self, world, source, sink, size, files="usr"):
        self.world, self.size = world, size
        self.receiver, self.sender = self.ends(source, sink, files)

    def ends(self, source, sink, files):
        return (Pump("receive", sink, self.world.folder, size=self.size),
                Pump("send", source, self.world.folder, size=self.size, source=files, gated=True))

    def arrived(self):
        return self.receiver.carried()

    def flow_to(self, mark):
        """Lets bytes up to the mark go."""
        self.sender.flow_to(mark)

    def wait_for(self, mark, limit_s=RECOVERY_LIMIT_S):
        """Waits until `mark` bytes have arrived. It may take long, as long as something arrives all the time."""
        mark = min(mark, self.size)
        self.flow_to(mark + MIB)
        while True:
            before = self.arrived()
            if before >= mark:
                return
            wait_until(lambda seen=before: self.arrived() > seen or not self.receiver.running(),
                       f"more than {before} of {self.size} bytes arrive", limit_s, interval_s=0.002)
            if not self.receiver.running() and self.arrived() < mark:
                raise Late(f"the receiver ended at {self.arrived()} of {self.size} bytes: {self.receiver.result()}")

    def result(self, limit_s=RECOVERY_LIMIT_S):
        """Both ends are done and say the same."""
        self.wait_for(self.size, limit_s)
        sent, received = self.sender.result(limit_s), self.receiver.result(limit_s)
        if sent != received or sent["bytes"] != self.size:
            raise AssertionError(f"sent {sent}, received {received}")
        return received


class CatTransfer(Transfer):
    """The same by `cat` into and out of the session files, and `sha256sum` at both ends. The sender finishes the
    session when all is written, so that the receiver's cat ends."""

    def ends(self, source, sink, files):
        return CatOut(sink, self.world.folder), CatIn(source, self.world.folder, self.size, files)


_numbers = itertools.count(1)


class CatOut:
    def __init__(self, session, folder):
        self.arrived = Path(folder, f"arrived-{next(_numbers)}")
        self.arrived.touch()
        self.process = start_shell('cat "$SESSION" > "$ARRIVED" && sha256sum < "$ARRIVED"', SESSION=session,
                                   ARRIVED=self.arrived)

    def carried(self):
        return self.arrived.stat().st_size

    def running(self):
        return self.process.poll() is None

    def result(self, limit_s=SOON_S):
        return {"bytes": self.carried(), "sha256": summed(self.process, limit_s)}


class CatIn:
    """What is to be sent comes, as far as it may, through a FIFO."""

    def __init__(self, session, folder, size, files):
        fifo, self.sent = (Path(folder, f"{word}-{next(_numbers)}") for word in ("fifo", "sent"))
        os.mkfifo(fifo)
        self.process = start_shell('set -o pipefail; tee "$SENT" < "$FIFO" | cat > "$SESSION" && '
                                   'echo "finish ${SESSION##*/}" > "${SESSION%/*}/../ctl" && sha256sum < "$SENT"',
                                   SESSION=session, FIFO=fifo, SENT=self.sent)
        self.feeder = Pump("send", fifo, folder, size=size, source=files, gated=True)

    def flow_to(self, mark):
        self.feeder.flow_to(mark)

    def carried(self):
        return self.feeder.carried()

    def running(self):
        return self.process.poll() is None

    def result(self, limit_s=SOON_S):
        fed = self.feeder.result(limit_s)
        return {**fed, "sha256": summed(self.process, limit_s)}


def summed(process, limit_s):
    """What sha256sum at the end of a script has printed."""
    done = finish(process, limit_s)
    if done.status != 0:
        raise AssertionError(f"failed: {done}")
    return done.out.split()[0]


def at_marks(transfers, count):
    """Yields 1 to `count` while all transfers are on their way, the marks spread evenly over them."""
    for number in range(1, count + 1):
        for transfer in transfers:
            transfer.wait_for(transfer.size * number // (count + 1))
        for transfer in transfers:
            transfer.flow_to(int(transfer.size * (number + 0.9)) // (count + 1))
        yield number


def stands_still(*transfers):
    """Waits until the writers of a session that has stopped wait, though they have more, and nothing arrives."""
    before = [transfer.arrived() for transfer in transfers]
    for transfer, arrived in zip(transfers, before):
        transfer.flow_to(arrived + AHEAD_BYTES)

    def where():
        return [(transfer.sender.carried(), transfer.arrived()) for transfer in transfers]
    seen, since, end = where(), time.monotonic(), time.monotonic() + SOON_S
    while time.monotonic() < since + STILL_S:
        time.sleep(0.02)
        if where() != seen:
            seen, since = where(), time.monotonic()
        if since > end:
            raise Late(f"not within {SOON_S} s: the stream stands still, at {seen}")
    for transfer, arrived, (written, arrived_since) in zip(transfers, before, seen):
        if not (transfer.sender.running() and transfer.receiver.running()):
            raise AssertionError(f"{transfer.sender} or {transfer.receiver} has ended without a connection")
        if arrived_since > arrived + HELD_BYTES or written >= min(arrived + AHEAD_BYTES, transfer.size):
            raise AssertionError(f"the stream has not stopped at {arrived}: {written} written, {arrived_since} arrived")


def after_all_written(exchange):
    """A mark in each direction of an Exchange: what arrives beyond it is written from now on."""
    return [sender.carried() + LARGEST_WRITE_BYTES for sender, _ in exchange.pairs]


def passed(exchange, marks):
    return all(arrived > mark for arrived, mark in zip(exchange.arrived(), marks))


def connected(world):
    """The connections that carry something between A and B now; waits until there is one."""
    return wait_until(lambda: world.a.connections(world.b), "A and B are connected", RECOVERY_LIMIT_S)


def swapped(connection):
    return connection[2:] + connection[:2]


def gone(world, connections):
    """Whether none of these connections (as A sees them) can carry anything any more: one side has given it up."""
    return not (connections & world.a.connections(world.b) &
                {swapped(connection) for connection in world.b.connections(world.a)})


def wait_gone(world, connections):
    wait_until(lambda: gone(world, connections), f"{connections} are given up", RECOVERY_LIMIT_S)


def flows(session):
    return state_word(session) in FLOWING


def not_active(*sessions):
    """Waits until these sessions have noticed that there is no connection."""
    for session in sessions:
        wait_until(lambda s=session: not flows(s), f"{session} notices the break", SOON_S)
