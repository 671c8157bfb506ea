"""A steady stream of bytes for `failover`, and when they arrive.

flow.py send TARGET              writes 16 KiB every 2 ms (8 MB/s), for as long as it can
flow.py receive TARGET           prints the time (CLOCK_MONOTONIC, s) of each arrival
flow.py tick                     prints another line every 2 ms
flow.py delay ONE OTHER SECONDS  carries frames between two interfaces, each that much later

TARGET is a file, or mptcp:ADDRESS:PORT, which the receiver listens on.
"""

import collections
import contextlib
import os
import select
import socket
import sys
import time

BLOCK_BYTES = 16384
INTERVAL_S = 0.002
FRAME_BYTES = 1 << 17
RECEIVE_BUFFER_BYTES = 8 << 20
IPPROTO_MPTCP = 262
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_VNET_HDR, ETH_P_ALL = 263, 15, 3  # packet(7)


def opened(target, sends):
    """A descriptor."""
    if not target.startswith("mptcp:"):
        return os.open(target, os.O_WRONLY if sends else os.O_RDONLY)
    _, address, port = target.split(":")
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    if sends:
        end.connect((address, int(port)))
        return end.detach()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.bind(("", int(port)))
    end.listen()
    return end.accept()[0].detach()


def paced():
    at = time.monotonic()
    while True:
        yield
        at = max(at + INTERVAL_S, time.monotonic() - INTERVAL_S)  # what a pause has cost is not caught up with
        time.sleep(max(0.0, at - time.monotonic()))


def send(target):
    descriptor, block = opened(target, True), bytes(BLOCK_BYTES)
    for _ in paced():
        os.write(descriptor, block)


def receive(target):
    descriptor = opened(target, False)
    while os.read(descriptor, 1 << 20):
        print(time.monotonic(), flush=True)


def tick():
    for number, _ in enumerate(paced()):
        print(f"tick {number}", flush=True)


def delay(*arguments):
    """There is no netem in every kernel."""
    names, later = arguments[:2], float(arguments[2])
    ends = []
    for name in names:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)  # checksums and segments that are still to be made stay so
        end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        end.bind((name, 0))
        end.setblocking(False)
        ends.append(end)
    waiting = collections.deque()
    print("ready", flush=True)
    while True:
        limit = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, [], [], limit)[0]:
            with contextlib.suppress(BlockingIOError, OSError):
                while True:
                    frame, (_, _, kind, _, _) = end.recvfrom(FRAME_BYTES)
                    if kind != socket.PACKET_OUTGOING:
                        waiting.append((time.monotonic() + later, ends[1 - ends.index(end)], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            with contextlib.suppress(OSError):
                waiting[0][1].send(waiting[0][2])
            waiting.popleft()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        {"send": send, "receive": receive, "tick": tick, "delay": delay}[sys.argv[1]](*sys.argv[2:])
