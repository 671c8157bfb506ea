"""Session files as streams: sizes, readiness, fsync, finish, suspend; and that closing means nothing."""

import errno
import hashlib
import os
import random
import select
import stat
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import Pump, attribute, opened, read_exactly, state_word, write_all  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import AT_ONCE_S, run, shell_ok, start, wait_blocked, wait_until  # noqa: E402

MIB = 1 << 20


class Streams(LocalTestCase):
    def transfer(self, size, write_block, read_block):
        _, ours, _, theirs = self.pair()
        receiver = Pump("receive", theirs, self.folder, block=read_block)
        sender = Pump("send", ours, self.folder, size=size, block=write_block)
        sent = sender.result()
        os.unlink(ours)
        self.assertEqual(receiver.result(), sent)
        self.assertEqual(sent["bytes"], size)
        return theirs

    def test_odd_sizes_give_the_exact_stream(self):
        for write_block, read_block, size in ((1, 4096, 20_011), (7, 1, 20_011), (4096, 7, 200_003),
                                              (65_537, 4096, 9 * MIB + 5), (MIB, MIB, 9 * MIB + 5),
                                              (3 * MIB + 1, 1_000_003, 9 * MIB + 5)):
            with self.subTest(write=write_block, read=read_block):
                self.transfer(size, write_block, read_block)

    def test_a_large_transfer(self):
        theirs = self.transfer(64 * MIB, MIB, MIB)
        self.assertEqual(attribute(theirs, "received"), str(64 * MIB))

    def test_both_directions_at_once(self):
        _, ours, _, theirs = self.pair()
        size = 24 * MIB
        receivers = [Pump("receive", file, self.folder, size=size) for file in (ours, theirs)]
        senders = [Pump("send", file, self.folder, size=size, source=seed) for seed, file in ((1, theirs), (2, ours))]
        for sender, receiver in zip(senders, receivers):
            self.assertEqual(receiver.result(), sender.result())

    def test_two_sides_that_only_write_do_not_lock_each_other(self):
        _, ours, _, theirs = self.pair()
        senders = [Pump("send", file, self.folder, size=8 * MIB, source=seed)
                   for seed, file in ((1, ours), (2, theirs))]
        for sender in senders:
            wait_blocked(sender.process.pid, "a writer whose peer writes too")
        receivers = [Pump("receive", file, self.folder, size=8 * MIB) for file in (theirs, ours)]
        for sender, receiver in zip(senders, receivers):
            self.assertEqual(receiver.result(), sender.result())

    def test_many_small_messages_answered(self):
        _, ours, _, theirs = self.pair()
        here, there = self.open(ours), self.open(theirs)
        for number in range(300):
            message = b"%d\n" % number
            os.write(here, message)
            self.assertEqual(read_exactly(there, len(message)), message)
            os.write(there, message[::-1])
            self.assertEqual(read_exactly(here, len(message)), message[::-1])

    def test_sessions_do_not_mix(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        pairs = []
        for number in range(20):
            ours = client.dial(server, "s", f"n{number}")
            pairs.append((self.open(ours), self.open(server.accept("s"))))
        data = [random.Random(number).randbytes(100_000) for number in range(20)]
        for (here, _), block in zip(pairs, data):
            write_all(here, block)
        for (_, there), block in reversed(list(zip(pairs, data))):
            self.assertEqual(read_exactly(there, len(block)), block)

    def test_two_readers_share_one_stream(self):
        _, ours, _, theirs = self.pair()
        out, first, second = self.open(ours), self.open(theirs), self.open(theirs)
        os.write(out, b"abcd")
        self.assertEqual(read_exactly(first, 2), b"ab")
        self.assertEqual(read_exactly(second, 2), b"cd", "each byte goes to one reader")

    def test_an_endpoint_connects_to_itself(self):
        endpoint = self.endpoint()
        endpoint.serve("s")
        ours = endpoint.dial(endpoint, "s")
        theirs = endpoint.accept("s")
        shell_ok('echo to > "$A"; echo fro > "$B"', A=ours, B=theirs)
        self.assertEqual(shell_ok('head -n 1 "$B"; head -n 1 "$A"', A=ours, B=theirs), "to\nfro\n")


class Descriptors(LocalTestCase):
    def test_closing_descriptors_does_nothing(self):
        _, ours, _, theirs = self.pair()
        for number in range(50):
            shell_ok('echo "$N" > "$A"', A=ours, N=number)
        with opened(theirs, os.O_RDONLY) as descriptor:
            got = read_exactly(descriptor, 3)
        shell_ok(': < "$B"; : > "$B"; : > "$A"', A=ours, B=theirs)
        with opened(theirs, os.O_RDONLY) as descriptor:
            got += read_exactly(descriptor, 137)
        self.assertEqual(got, "".join(f"{number}\n" for number in range(50)).encode())
        self.assertEqual(state_word(ours), "active")

    def test_accepted_without_effect(self):
        _, ours, _, theirs = self.pair()
        os.truncate(ours, 0)
        os.truncate(ours, 1000)
        os.utime(ours, (1, 1))
        for flags in (os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            with opened(ours, flags) as descriptor:
                os.write(descriptor, b"x")
                os.ftruncate(descriptor, 0)
        shell_ok('truncate -s 0 "$F"; touch "$F"; echo y >> "$F"; echo z | tee -a "$F" > /dev/null', F=ours)
        with opened(theirs, os.O_RDONLY) as descriptor:
            self.assertEqual(read_exactly(descriptor, 7), b"xxxy\nz\n")

    def test_sizes_are_0(self):
        _, ours, server, theirs = self.pair()
        shell_ok('echo data > "$F"', F=ours)
        for file in (ours, theirs, server.services / "s"):
            status = os.stat(file)
            self.assertEqual(status.st_size, 0)
            self.assertTrue(stat.S_ISREG(status.st_mode))

    def test_nonblocking_reads_and_writes(self):
        _, ours, _, theirs = self.pair()
        out, data = self.open(ours, os.O_WRONLY | os.O_NONBLOCK), self.open(theirs, os.O_RDONLY | os.O_NONBLOCK)
        self.assert_errno(errno.EAGAIN, os.read, data, 10)
        wanted, taken = random.Random(3).randbytes(8 * MIB), 0
        while True:
            try:
                taken += os.write(out, wanted[taken:taken + 300_007])
            except BlockingIOError:
                if not select.select([], [out], [], 1)[1]:
                    break  # full: the reader has not begun
        self.assertLess(taken, len(wanted))
        got = bytearray()
        while len(got) < len(wanted):
            readable, writable, _ = select.select([data], [out] if taken < len(wanted) else [], [], AT_ONCE_S)
            self.assertTrue(readable or writable, f"nothing happens at {len(got)} of {taken} bytes")
            if writable:
                try:
                    taken += os.write(out, wanted[taken:taken + 300_007])
                except BlockingIOError:
                    pass
            if readable:
                try:
                    got += os.read(data, 100_003)
                except BlockingIOError:
                    pass
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(wanted).digest())

    def test_fcntl_can_switch_to_nonblocking(self):
        _, _, _, theirs = self.pair()
        descriptor = self.open(theirs, os.O_RDONLY)
        os.set_blocking(descriptor, False)
        self.assert_errno(errno.EAGAIN, os.read, descriptor, 10)


class Readiness(LocalTestCase):
    def test_poll(self):
        client, ours, _, theirs = self.pair()
        here, there = self.open(ours), self.open(theirs)
        poller = select.poll()
        poller.register(there, select.POLLIN | select.POLLOUT)
        self.assertEqual(poller.poll(0), [(there, select.POLLOUT)])
        poller.modify(there, select.POLLIN)
        self.assertEqual(poller.poll(100), [])
        os.write(here, b"x")
        self.assertEqual(poller.poll(AT_ONCE_S * 1000), [(there, select.POLLIN)])
        os.read(there, 1)
        self.assertEqual(poller.poll(0), [])
        client.command(f"finish {ours.name}")
        [(_, events)] = poller.poll(AT_ONCE_S * 1000)
        self.assertTrue(events & select.POLLIN, "the end can be read")
        self.assertEqual(os.read(there, 1), b"")

    def test_poll_tells_of_a_session_that_is_closed_here(self):
        client, ours, server, theirs = self.pair()
        server.command(f"suspend {theirs.name}")  # else the peer's end could come first
        here = self.open(ours, os.O_RDWR | os.O_NONBLOCK)
        poller = select.poll()
        poller.register(here, select.POLLIN)
        self.assertEqual(poller.poll(0), [])
        os.unlink(ours)
        [(_, events)] = poller.poll(AT_ONCE_S * 1000)
        self.assertTrue(events & select.POLLIN, "the error can be read")
        self.assert_errno(errno.ESTALE, os.read, here, 1)

    def test_select_wakes_a_waiter(self):
        _, ours, _, theirs = self.pair()
        waiter = start([sys.executable, "-c", "import os, select, sys; f = os.open(sys.argv[1], os.O_RDONLY); "
                        "print(bool(select.select([f], [], [], 60)[0]), os.read(f, 10))", str(theirs)],
                       stdout=subprocess.PIPE, text=True)
        wait_until(lambda: "poll" in Path(f"/proc/{waiter.pid}/wchan").read_text(), "the waiter waits in select")
        shell_ok('printf hello > "$F"', F=ours)
        self.assertEqual(waiter.communicate(timeout=AT_ONCE_S)[0], "True b'hello'\n")

    def test_epoll_level_and_edge(self):
        _, ours, _, theirs = self.pair()
        here, there = self.open(ours), self.open(theirs, os.O_RDONLY | os.O_NONBLOCK)
        for edge in (0, select.EPOLLET):
            with self.subTest(edge=bool(edge)), select.epoll() as poller:
                poller.register(there, select.EPOLLIN | edge)
                for _ in range(3):
                    self.assertEqual(poller.poll(0.05), [])
                    os.write(here, b"xyz")
                    self.assertEqual(poller.poll(AT_ONCE_S), [(there, select.EPOLLIN)])
                    self.assertEqual(read_exactly(there, 3), b"xyz")

    def test_poll_for_writing_waits_until_there_is_room(self):
        _, ours, _, theirs = self.pair()
        here, there = self.open(ours, os.O_WRONLY | os.O_NONBLOCK), self.open(theirs, os.O_RDONLY)
        poller = select.poll()
        poller.register(here, select.POLLOUT)
        sent = 0
        while poller.poll(1000):
            try:
                sent += os.write(here, bytes(MIB))
            except BlockingIOError:
                pass
        read_exactly(there, sent)
        self.assertEqual(poller.poll(AT_ONCE_S * 1000), [(here, select.POLLOUT)])


class Delivery(LocalTestCase):
    def test_fsync_returns_when_the_peer_holds_all(self):
        _, ours, _, theirs = self.pair()
        with opened(ours, os.O_WRONLY) as descriptor:
            write_all(descriptor, bytes(300_000))
            os.fsync(descriptor)
            self.assertEqual(attribute(ours, "acked"), "300000")
            self.assertEqual(attribute(theirs, "received"), "300000")
        run(["sync", str(ours)])
        shell_ok('dd if=/dev/zero of="$F" bs=1000 count=1 conv=fsync 2> /dev/null', F=ours)

    def test_fsync_waits_while_suspended(self):
        client, ours, _, _ = self.pair()
        client.command("suspend")
        shell_ok('echo x > "$F"', F=ours)
        waiter = start(["sync", str(ours)])
        wait_blocked(waiter.pid, "sync of a suspended session")
        client.command("resume")
        self.assertEqual(waiter.wait(AT_ONCE_S), 0)

    def test_finish_closes_one_direction(self):
        client, ours, server, theirs = self.pair()
        here, there = self.open(ours), self.open(theirs)
        write_all(here, b"question")
        client.command(f"finish {ours.name}")
        self.assertEqual(read_exactly(there, 100), b"question")
        write_all(there, b"answer")
        self.assertEqual(read_exactly(here, 6), b"answer", "reading goes on after finish")
        server.command(f"finish {theirs.name}")
        self.assertEqual(os.read(here, 1), b"")
        os.unlink(ours)
        os.unlink(theirs)

    def test_sort_and_its_answer_through_one_session(self):
        # A filter that answers only after its input has ended needs finish.
        client, ours, server, theirs = self.pair()
        filter_ = start(["bash", "-c", 'exec 3<> "$0"; sort <&3 >&3; rm "$0"', str(theirs)])
        shell_ok('printf "c\\na\\nb\\n" > "$F"; echo "finish ${F##*/}" > "$E/ctl"', F=ours, E=client)
        self.assertEqual(shell_ok('cat "$F"', F=ours), "a\nb\nc\n")
        self.assertEqual(filter_.wait(AT_ONCE_S), 0)
        self.assertEqual(os.listdir(server.sessions), [])

    def test_suspend_in_the_midst_of_a_transfer(self):
        client, ours, server, theirs = self.pair()
        size = 64 * MIB
        receiver, sender = Pump("receive", theirs, self.folder, size=size), Pump("send", ours, self.folder, size=size)
        for number, mark in enumerate(range(size // 9, size, size // 9)):
            wait_until(lambda m=mark: receiver.carried() >= m or not receiver.running(), f"{mark} bytes")
            sides = ((client,), (server,), (client, server))[number % 3]
            for side in sides:
                side.command("suspend")
            for side in reversed(sides):
                side.command("resume")
        self.assertEqual(receiver.result(), sender.result())

    def test_suspended_sessions_carry_nothing(self):
        client, ours, server, theirs = self.pair()
        size = 16 * MIB
        receiver, sender = Pump("receive", theirs, self.folder, size=size), Pump("send", ours, self.folder, size=size)
        wait_until(lambda: receiver.carried() > MIB, "it flows")
        server.command(f"suspend {theirs.name}")
        settled = wait_until(lambda: (attribute(theirs, "received"),), "suspended")[0]
        shell_ok("sleep 0.5")
        self.assertEqual(attribute(theirs, "received"), settled)
        self.assertIn(state_word(theirs), ("suspended",))
        server.command(f"resume {theirs.name}")
        self.assertEqual(receiver.result(), sender.result())


if __name__ == "__main__":
    suite.main()
