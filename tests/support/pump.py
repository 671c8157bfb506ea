"""Carries bytes into and out of session files, in a process of its own, and tells their number and SHA-256.

pump.py send PATH --bytes N [--source usr|SEED] [--block BYTES] [--gate FILE]
pump.py receive PATH [--bytes N] [--block BYTES]
  --progress FILE   where the number of bytes carried so far is kept, for others to look at
  --gate FILE       where others keep the number of bytes that may be sent so far
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import time

MIB = 1 << 20
GATE_POLL_S = 0.002


def generated(seed, block):
    source = random.Random(seed)
    while True:
        yield source.randbytes(block)


def real_files(block):
    """A tar of /usr, again and again: real files without an end."""
    while True:
        with subprocess.Popen(["tar", "-c", "--ignore-failed-read", "-C", "/", "usr"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:
            try:
                while data := tar.stdout.read(block):
                    yield data
            finally:
                tar.kill()


class Counter:
    """A number in a file, which one process sets and another one reads at any time."""

    def __init__(self, path):
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def set(self, count):
        os.pwrite(self._file, count.to_bytes(8, "little"), 0)

    def get(self):
        return int.from_bytes(os.pread(self._file, 8, 0), "little")

    def close(self):
        os.close(self._file)


def send(arguments):
    blocks = real_files(arguments.block) if arguments.source == "usr" else generated(arguments.source, arguments.block)
    gate = Counter(arguments.gate) if arguments.gate else None
    descriptor = os.open(arguments.path, os.O_WRONLY)
    progress, digest, count = Counter(arguments.progress or os.devnull), hashlib.sha256(), 0
    for block in blocks:
        block = block[:arguments.bytes - count]
        digest.update(block)
        while gate and gate.get() < count + len(block):
            time.sleep(GATE_POLL_S)
        view = memoryview(block)
        while view:
            written = os.write(descriptor, view)
            view = view[written:]
            count += written
            progress.set(count)
        if count == arguments.bytes:
            break
    os.close(descriptor)
    return count, digest


def receive(arguments):
    descriptor = os.open(arguments.path, os.O_RDONLY)
    progress, digest, count = Counter(arguments.progress or os.devnull), hashlib.sha256(), 0
    while arguments.bytes is None or count < arguments.bytes:
        size = arguments.block if arguments.bytes is None else min(arguments.block, arguments.bytes - count)
        data = os.read(descriptor, size)
        if not data:
            break
        digest.update(data)
        count += len(data)
        progress.set(count)
    os.close(descriptor)
    return count, digest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["send", "receive"])
    parser.add_argument("path")
    parser.add_argument("--bytes", type=int)
    parser.add_argument("--source", default="1")
    parser.add_argument("--block", type=int, default=MIB)
    parser.add_argument("--progress")
    parser.add_argument("--gate")
    arguments = parser.parse_args()
    try:
        count, digest = send(arguments) if arguments.what == "send" else receive(arguments)
    except OSError as error:
        print(json.dumps({"error": error.errno, "words": str(error)}))
        sys.exit(1)
    print(json.dumps({"bytes": count, "sha256": digest.hexdigest()}))


if __name__ == "__main__":
    main()
