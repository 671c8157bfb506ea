"""An application that carries on: it writes or reads a known stream through a session file, opens the file again when
the daemon was killed or has moved, and goes on at exactly the next byte.

carry.py send PATH --seed SEED [--bytes N]    writes bytes 0 to N of the stream, or until told to stop, then `finish`
carry.py receive PATH --seed SEED             reads until the end of file, and compares every byte with the stream
  --largest BYTES   the sizes of reads and writes are between 1 and this, small ones as frequent as large ones
  --pause N         after every read and every write, with probability 1/N, suspend and resume the session
  --progress FILE   where the number of bytes carried so far is kept, for others to look at
  --stop FILE       where others put 1 when the sender should stop

Prints one line of JSON. A reader does not stop at a difference, so that all of them are told, each with its place: it
looks where in the stream the bytes are that have come instead, and goes on from there.
"""

import argparse
import collections
import contextlib
import errno
import hashlib
import json
import math
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.pump import MIB, Counter  # noqa: E402

# What calls give while the daemon is away: killed, stopping, not yet there again. EIO comes from the kernel, when the
# daemon was killed while a request was copied to it (fuse_dev_do_read in fs/fuse/dev.c).
AWAY = {errno.ENOTCONN, errno.ECONNABORTED, errno.ENOENT, errno.ESTALE, errno.EIO}
AWAY_LIMIT_S = 120
AWAY_POLL_S = 0.01
STATUS_LIMIT_BYTES = 1 << 20
# Bytes that come at a wrong place are looked for this far before and behind it.
SEARCH_BYTES = 4 * MIB
# As many bytes are not found at a wrong place by chance.
PATTERN_BYTES = 32
MAX_DIFFERENCES = 100


class Wrong(Exception):
    """The stream is not exact."""


class Stream:
    """Pseudo-random bytes that can be asked for at any offset."""

    CACHED_BLOCKS = 12

    def __init__(self, seed):
        self.seed, self.blocks = seed, collections.OrderedDict()

    def _block(self, number):
        if number not in self.blocks:
            self.blocks[number] = random.Random(f"{self.seed}/{number}").randbytes(MIB)
            if len(self.blocks) > self.CACHED_BLOCKS:
                self.blocks.popitem(last=False)
        return self.blocks[number]

    def at(self, offset, count):
        parts = []
        while count > 0:
            start = offset % MIB
            part = self._block(offset // MIB)[start:start + count]
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def first_difference(one, other):
    for index, (left, right) in enumerate(zip(one, other)):
        if left != right:
            return index
    return min(len(one), len(other))


class Application:
    def __init__(self, arguments):
        self.arguments, self.flags = arguments, os.O_WRONLY if arguments.what == "send" else os.O_RDONLY
        self.path = Path(arguments.path)
        self.endpoint = self.path.parents[1]
        self.stream = Stream(arguments.seed)
        self.choices = random.Random(f"{arguments.seed} {arguments.what}")
        self.progress = Counter(arguments.progress or os.devnull)
        self.stop = Counter(arguments.stop) if arguments.stop else None
        self.digest, self.position = hashlib.sha256(), 0
        self.descriptor = self.id = None
        self.away = AWAY
        self.sent = 0  # what the daemon had taken of the writes when the file was opened
        self.told = collections.Counter()
        self.errors = collections.Counter()
        self.differences, self.announced = [], []

    # --- the daemon may be away --------------------------------------------------------------------------------

    def patiently(self, function, *arguments):
        """Calls until the daemon answers."""
        end = time.monotonic() + AWAY_LIMIT_S
        while True:
            try:
                return function(*arguments)
            except OSError as error:
                if error.errno not in self.away or time.monotonic() > end:
                    raise
                self.errors[errno.errorcode[error.errno]] += 1
            time.sleep(AWAY_POLL_S)

    def open(self):
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self.descriptor)
            self.descriptor = None
            self.told["opened_again"] += 1
        self.patiently(self.open_now)

    def open_now(self):
        descriptor = os.open(self.path, self.flags)
        try:
            session = os.getxattr(descriptor, "user.session.id").decode()
            self.sent = int(os.getxattr(descriptor, "user.session.sent"))
        except OSError:
            os.close(descriptor)
            raise
        if session != (self.id or session):
            raise Wrong(f"{self.path} was the session {self.id}, and is now another one, {session}")
        self.id, self.descriptor = session, descriptor
        if self.told["opened_again"] and self.flags == os.O_RDONLY:
            self.note_announced()

    def note_announced(self):
        """Bytes of which a restarted daemon says that it cannot know whether they were read."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self.endpoint / "status", os.O_RDONLY)
            try:
                text = os.read(descriptor, STATUS_LIMIT_BYTES).decode()
            finally:
                os.close(descriptor)
            for line in text.splitlines():
                if line.startswith(f"unsure: {self.path.name} ") and line not in self.announced:
                    self.announced.append(line)

    def call(self, function, argument):
        """read or write; None when the daemon went away meanwhile: then the file is open again."""
        try:
            return function(self.descriptor, argument)
        except OSError as error:
            if error.errno not in self.away:
                raise
            self.errors[errno.errorcode[error.errno]] += 1
            self.told["interrupted"] += 1
        self.open()
        return None

    def command_now(self, word):
        descriptor = os.open(self.endpoint / "ctl", os.O_WRONLY)
        try:
            os.write(descriptor, f"{word} {self.path.name}\n".encode())
        finally:
            os.close(descriptor)

    def maybe_pause(self):
        if self.arguments.pause and self.choices.randrange(self.arguments.pause) == 0:
            for word in ("suspend", "resume"):
                self.patiently(self.command_now, word)
                self.told[word + "s"] += 1

    def size(self):
        return int(2 ** self.choices.uniform(0, math.log2(self.arguments.largest)))

    def moved_to(self, position):
        self.position = position
        self.progress.set(position)

    # --- writing -----------------------------------------------------------------------------------------------

    def send(self):
        self.open()
        size = self.arguments.bytes
        while (size is None or self.position < size) and not (self.stop and self.stop.get()):
            block = self.stream.at(self.position, min(self.size(), (size or sys.maxsize) - self.position))
            written = self.call(os.write, block)
            if written is None:
                written = self.accepted(len(block))
            self.digest.update(block[:written])
            self.moved_to(self.position + written)
            self.maybe_pause()
        self.patiently(self.command_now, "finish")

    def accepted(self, offered):
        """How much of an interrupted write the daemon has taken: the session's attribute `sent` tells."""
        if not self.position <= self.sent <= self.position + offered:
            raise Wrong(f"{self.position} bytes were written and {offered} more offered when the daemon went away; "
                        f"the session says that {self.sent} were")
        written = self.sent - self.position
        self.told["writes_lost" if written == 0 else "writes_whole" if written == offered else "writes_in_part"] += 1
        return written

    # --- reading -----------------------------------------------------------------------------------------------

    def receive(self):
        self.open()
        while True:
            data = self.call(os.read, self.size())
            if data is None:
                continue
            if not data:
                return
            self.digest.update(data)
            self.take(data)
            self.maybe_pause()

    def take(self, data):
        while data:
            wanted = self.stream.at(self.position, len(data))
            if data == wanted:
                self.moved_to(self.position + len(data))
                return
            right = first_difference(data, wanted)
            self.moved_to(self.position + right)
            data = self.differ(data[right:])

    def differ(self, data):
        """Notes a difference at `position`, and what it is; returns the bytes of which `position` is the place now."""
        began, known = self.position, len(data)
        while len(data) < PATTERN_BYTES:
            more = self.call(os.read, PATTERN_BYTES - len(data))
            if more == b"":
                break
            data += more or b""
        self.digest.update(data[known:])
        start = max(0, began - SEARCH_BYTES)
        place = self.stream.at(start, 2 * SEARCH_BYTES).find(data[:PATTERN_BYTES])
        found = start + place if place >= 0 and len(data) >= PATTERN_BYTES else None
        wanted = self.stream.at(began, 8)
        text = (f"first difference at byte {began} ({began:#x}): {data[:8].hex()} came, not {wanted.hex()}; "
                f"opened again {self.told['opened_again']} times before: ")
        if found is None:
            self.differences.append(text + "what came is nowhere near in the stream")
        elif found > began:
            self.differences.append(text + f"{found - began} bytes, {began} to {found}, are lost")
        else:
            self.differences.append(text + f"{began - found} bytes, {found} to {began}, came twice")
        if found is None or len(self.differences) >= MAX_DIFFERENCES:
            raise Wrong(self.differences[-1])
        self.moved_to(found)
        return data

    def result(self):
        return {"bytes": self.position, "sha256": self.digest.hexdigest(), "told": dict(self.told),
                "errors": dict(self.errors), "differences": self.differences, "announced": self.announced}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["send", "receive"])
    parser.add_argument("path")
    parser.add_argument("--seed", required=True)
    parser.add_argument("--bytes", type=int)
    parser.add_argument("--largest", type=int, default=256 * 1024)
    parser.add_argument("--pause", type=int, default=0)
    parser.add_argument("--progress")
    parser.add_argument("--stop")
    application = Application(parser.parse_args())
    problem = None
    try:
        application.send() if application.arguments.what == "send" else application.receive()
    except (OSError, Wrong) as error:
        problem = f"at byte {application.position}: {error}"
    print(json.dumps({**application.result(), "problem": problem}))
    sys.exit(1 if problem or application.differences else 0)


if __name__ == "__main__":
    main()
