"""Two applications at each end of a session, which carry on whatever happens (carry.py): data in both directions."""

import collections
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from support.processes import AT_ONCE_S, Late, kill_group, start
from support.pump import Counter

CARRY = str(Path(__file__).with_name("carry.py"))
# After the last disturbance something must arrive within this time.
PROGRESS_LIMIT_S = 60
POLL_S = 0.005

_numbers = itertools.count(1)


class Carrier:
    """carry.py at work."""

    def __init__(self, what, path, folder, seed, size=None, pause=0):
        number = next(_numbers)
        progress, stop = (os.path.join(folder, f"{name}-{number}") for name in ("carried", "stop"))
        self.progress, self._stop = Counter(progress), Counter(stop)
        self.name = f"{what} {path}"
        command = [sys.executable, CARRY, what, str(path), "--seed", seed, "--progress", progress, "--stop", stop,
                   "--pause", str(pause)]
        if size is not None:
            command += ["--bytes", str(size)]
        self.process = start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def carried(self):
        return self.progress.get()

    def stop(self):
        self._stop.set(1)

    def running(self):
        return self.process.poll() is None

    def end(self):
        if self.running():
            kill_group(self.process)

    def result(self):
        """What it has printed; it must have ended."""
        out, err = self.process.communicate(timeout=AT_ONCE_S)
        self.progress.close()
        self._stop.close()
        try:
            return json.loads(out)
        except ValueError:
            raise AssertionError(f"{self.name} has ended with {self.process.returncode}: {out}{err}") from None


class Exchange:
    """Both directions of the session with the files `ours` and `theirs`. Without a size until stop()."""

    def __init__(self, folder, ours, theirs, seed, size=None, pause=0):
        self.pairs = []
        for direction, (source, sink) in (("forth", (ours, theirs)), ("back", (theirs, ours))):
            content = f"{seed}-{direction}"
            self.pairs.append((Carrier("send", source, folder, content, size, pause),
                               Carrier("receive", sink, folder, content, None, pause)))
        self.carriers = [carrier for pair in self.pairs for carrier in pair]
        self.progress, self.progress_at = self.where(), time.monotonic()

    def arrived(self):
        """Bytes that have arrived, in each direction."""
        return tuple(receiver.carried() for _, receiver in self.pairs)

    def where(self):
        return tuple(carrier.carried() for carrier in self.carriers)

    def running(self):
        return any(carrier.running() for carrier in self.carriers)

    def stop(self):
        for carrier in self.carriers:
            carrier.stop()

    def watch(self):
        """To be called all the time: fails when an application has failed, or when nothing goes on."""
        for carrier in self.carriers:
            if not carrier.running() and carrier.process.returncode != 0:
                out, err = carrier.process.communicate(timeout=AT_ONCE_S)
                raise AssertionError(f"{carrier.name} has failed: {out}{err}")
        where = self.where()
        if where != self.progress:
            self.progress, self.progress_at = where, time.monotonic()
        elif time.monotonic() > self.progress_at + PROGRESS_LIMIT_S:
            raise Late(f"nothing was carried for {PROGRESS_LIMIT_S} s: {self.tell()}")

    def tell(self):
        return ", ".join(f"{carrier.name} is at {carrier.carried()}{'' if carrier.running() else ' and has ended'}"
                         for carrier in self.carriers)

    def finish(self):
        """Waits for the ends of both streams and compares them; returns (bytes in each direction, what was seen)."""
        self.progress_at = time.monotonic()
        while self.running():
            self.watch()
            time.sleep(POLL_S)
        self.watch()
        seen, sizes = collections.Counter(), []
        for pair in self.pairs:
            sent, received = (carrier.result() for carrier in pair)
            for result in (sent, received):
                seen.update(result["told"])
                seen.update(result["errors"])
                seen["announced"] += len(result["announced"])
            if sent["bytes"] != received["bytes"] or sent["sha256"] != received["sha256"]:
                raise AssertionError(f"{pair[0].name} and {pair[1].name}: sent {sent}, received {received}")
            sizes.append(sent["bytes"])
        return sizes, seen

    def end(self):
        """Ends the applications, whatever they do."""
        for carrier in self.carriers:
            carrier.end()
