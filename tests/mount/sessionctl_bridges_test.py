"""sessionctl forward and expose: connections of programs that know nothing of sessions."""

import contextlib
import os
import shutil
import signal
import socket
import struct
import sys
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mount.streamscase import MIB, SIZE, StreamsTestCase  # noqa: E402
from support import suite  # noqa: E402
from support.processes import AT_ONCE_S, SOON_S, wait_until  # noqa: E402

MANY = 100
EACH_BYTES = 64 << 10
# More than both sides and all sockets on the way hold.
FILLS_ALL = 16 * MIB


class BridgesTestCase(StreamsTestCase):
    def listen(self, address=("127.0.0.1", 0), family=socket.AF_INET):
        target = socket.create_server(address, family=family, backlog=MANY)
        self.addCleanup(target.close)
        target.settimeout(SOON_S)
        return target

    def bridge(self, place="127.0.0.1:0", target=None, options=()):
        """forward and expose between two sockets; returns where forward listens, and the socket that is the target."""
        target = target or self.listen()
        self.exposing = self.expose(place_of(target), *options)
        self.forwarding, place = self.forward(place, *options)
        return place, target

    def join(self, place, target):
        """Both ends of a connection through the bridge."""
        client = connected_to(place)
        self.addCleanup(client.close)
        peer, _ = target.accept()
        self.addCleanup(peer.close)
        for end in (client, peer):
            end.settimeout(SOON_S)
        return client, peer

    def all_gone(self):
        self.gone(self.client)
        self.gone(self.server)

    def says(self, program, words):
        """A program that is asked to end has said this alone, a line."""
        self.assertRegex(self.stopped(program)[1], f"^sessionctl: {words}\n$")


class Carried(BridgesTestCase):
    def both_ways(self, place, target):
        data = os.urandom(SIZE)
        for turned in (False, True):
            first, second = self.join(place, target)
            if turned:
                first, second = second, first
            feeding = threading.Thread(target=lambda f=first: (f.sendall(data), f.shutdown(socket.SHUT_WR)))
            feeding.start()
            self.assertTrue(everything(second) == data)
            feeding.join()
            second.sendall(b"thanks")
            second.shutdown(socket.SHUT_WR)
            self.assertEqual(everything(first), b"thanks")
            self.all_gone()

    def test_ipv4(self):
        self.both_ways(*self.bridge())

    def test_ipv6(self):
        place, target = self.bridge("[::1]:0", self.listen(("::1", 0), socket.AF_INET6))
        self.assertRegex(place, r"^\[::1\]:\d+$")
        self.both_ways(place, target)

    def test_unix(self):
        target, near = Path(self.scratch("far")), Path(self.scratch("near"))
        self.both_ways(*self.bridge(near, self.listen(str(target), socket.AF_UNIX)))
        self.assertEqual(near.stat().st_mode & 0o777, 0o600)
        self.stopped(self.forwarding)
        self.assertFalse(near.exists())

    def test_a_unix_client_that_closes(self):
        """It can be told nothing any more: the session ends, though the target has not finished."""
        place, target = self.bridge(self.scratch("near"))
        client, peer = self.join(place, target)
        client.sendall(b"x" * MIB)
        client.close()
        self.assertEqual(everything(peer), b"x" * MIB)
        self.all_gone()

    def test_the_last_bytes_are_not_cut(self):
        """The other side ends the session while the client, which reads slowly, still says what nobody hears."""
        content = Path(self.scratch("content"))
        content.write_bytes(os.urandom(FILLS_ALL))
        self.serve("head", "-c", FILLS_ALL, content)
        _, place = self.forward()
        with connected_to(place) as client:
            got = client.recv(1)
            talking = threading.Thread(target=lambda: talk(client))
            talking.start()
            while os.listdir(self.server.sessions) or os.listdir(self.client.sessions):
                got += client.recv(16 << 10)
            got += everything(client)  # what lies in the sockets
            self.assertTrue(got == content.read_bytes(), f"{len(got)} of {FILLS_ALL} bytes")
            client.close()
            talking.join()

    def test_many_at_once(self):
        place, target = self.bridge()
        echoing = threading.Thread(target=lambda: [Echo(target.accept()[0]).start() for _ in range(MANY)])
        echoing.start()
        clients = [Asking(place, os.urandom(EACH_BYTES)) for _ in range(MANY)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(SOON_S)
        self.assertEqual(sum(client.got == client.data for client in clients), MANY)
        echoing.join()
        self.all_gone()

    def test_over_a_restart_of_the_daemon(self):
        place, target = self.bridge()
        client, peer = self.join(place, target)
        data = os.urandom(SIZE)
        feeding = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        feeding.start()
        got = exactly(peer, MIB)
        for end in (self.daemon.kill, self.daemon.stop):
            end()
            self.daemon.start()
            got += exactly(peer, MIB)
        got += everything(peer)
        feeding.join()
        self.assertTrue(got == data)
        peer.close()
        self.assertEqual(everything(client), b"")
        again, peer = self.join(place, target)
        again.sendall(b"x")
        self.assertEqual(peer.recv(1), b"x")

    def test_a_connection_that_comes_while_there_is_no_daemon(self):
        place, target = self.bridge()
        self.daemon.kill()
        with connected_to(place) as client:
            client.sendall(b"x")
            self.assertIn(b"waiting", self.forwarding.stderr.readline())
            self.daemon.start()
            with target.accept()[0] as peer:
                self.assertEqual(peer.recv(1), b"x")


class CutOff(BridgesTestCase):
    """What is cut off is no end on the other side."""

    def reset_by_one(self, turned):
        ends = self.join(*self.bridge())
        one, other = reversed(ends) if turned else ends
        one.sendall(b"half")
        self.assertEqual(exactly(other, 4), b"half")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
        self.assertRaises(ConnectionResetError, other.recv, 1)
        self.all_gone()

    def test_by_the_client(self):
        self.reset_by_one(False)
        self.says(self.forwarding, rf"{self.client.name}: {self.target}~\w+: (in|out)put: Connection reset by peer")
        self.says(self.exposing, rf"{self.server.name}: s~{self.client.name}~1: the session was lost for good.*")

    def test_by_the_target(self):
        self.reset_by_one(True)
        self.says(self.exposing, rf"{self.server.name}: s~{self.client.name}~1: (in|out)put: Connection reset by peer")

    def test_by_who_ends_the_bridge(self):
        client, peer = self.join(*self.bridge())
        self.forwarding.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(place_of(client, peer=True)), "it takes no more", SOON_S)
        client.sendall(b"x")
        self.assertEqual(peer.recv(1), b"x")
        self.stopped(self.forwarding)
        self.assertRaises(ConnectionResetError, peer.recv, 1)
        self.assertRaises(ConnectionResetError, client.recv, 1)

    def test_there_is_no_such_service(self):
        forwarding, place = self.forward()
        with connected_to(place) as client:
            client.settimeout(AT_ONCE_S)
            self.assertRaises(ConnectionResetError, client.recv, 1)
        self.says(forwarding, rf"{self.client.name}: {self.target}~\w+: there is no such endpoint or service")

    def test_nothing_listens_at_the_target(self):
        target = self.listen()
        place, _ = self.bridge(target=target)
        at = place_of(target)
        target.close()
        with connected_to(place) as client:
            client.settimeout(AT_ONCE_S)
            self.assertRaises(ConnectionResetError, client.recv, 1)
        self.says(self.exposing, rf"{self.server.name}: s~{self.client.name}~1: {at}: Connection refused")
        self.says(self.forwarding, rf"{self.client.name}: {self.target}~\w+: the session was lost for good")
        self.all_gone()


class Listening(BridgesTestCase):
    def test_at_a_free_port_of_both_families(self):
        forwarding = self.control("forward", "0", self.target, "--from", self.client.name)
        lines = [forwarding.stdout.readline().decode().rstrip("\n") for _ in range(2 if socket.has_ipv6 else 1)]
        self.assertEqual(len({line.rpartition(":")[2] for line in lines}), 1, lines)
        self.assertEqual({line.rpartition(":")[0] for line in lines} - {"127.0.0.1", "[::1]"}, set())

    def test_a_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            at = place_of(taken)
            _, errors = self.ended(self.control("forward", at, self.target, "--from", self.client.name), 1)
            self.assertEqual(errors, f"sessionctl: {at}: Address already in use; another program listens there, use "
                             "another port\n")

    @unittest.skipIf(os.geteuid() != 0 or not shutil.which("setpriv"), "takes the right to use such ports away from root")
    def test_a_port_of_the_administrators(self):
        words = self.control_words("forward", "127.0.0.1:80", self.target, "--from", self.client.name)
        if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii")) <= 80:
            self.skipTest("every user may use such ports here")
        _, errors = self.ended(self.program(["setpriv", "--bounding-set", "-net_bind_service", *words]), 1)
        self.assertEqual(errors, "sessionctl: 127.0.0.1:80: Permission denied; below 1024 they are the administrator's, "
                         "use another port\n")

    def test_sockets_that_are_there(self):
        path = self.scratch("socket")
        with socket.socket(socket.AF_UNIX) as live:
            live.bind(path)
            live.listen()
            words = "is there already; another program uses it, or remove it"
            self.assertEqual(self.ended(self.control("forward", path, self.target), 1)[1], f"sessionctl: {path}: {words}\n")
        forwarding, place = self.forward(path)  # nobody listens there any more
        self.assertEqual(place, path)
        self.stopped(forwarding)
        Path(path).write_text("no socket", encoding="ascii")
        self.assertEqual(self.ended(self.control("forward", path, self.target), 1)[1], f"sessionctl: {path}: {words}\n")
        self.assertEqual(Path(path).read_text(encoding="ascii"), "no socket")

    def test_a_connection_that_goes_on_keeps_no_port(self):
        place, target = self.bridge()
        client, peer = self.join(place, target)
        self.forwarding.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(place), "it takes no more", SOON_S)
        _, again = self.forward(place)
        self.assertEqual(again, place)
        client.sendall(b"x")
        self.assertEqual(peer.recv(1), b"x")

    def test_it_is_killed_and_started_again(self):
        place, target = self.bridge(self.scratch("near"))
        client, _ = self.join(place, target)
        self.forwarding.kill()
        self.assertEqual(self.forward(place)[1], place)
        self.join(place, target)


class Echo(threading.Thread):
    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection = connection

    def run(self):
        with self.connection:
            self.connection.sendall(everything(self.connection))


class Asking(threading.Thread):
    def __init__(self, place, data):
        super().__init__(daemon=True)
        self.place, self.data, self.got = place, data, None

    def run(self):
        with connected_to(self.place) as connection:
            connection.sendall(self.data)
            connection.shutdown(socket.SHUT_WR)
            self.got = everything(connection)


def talk(connection):
    """Says something until that fails."""
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b"x" * MIB)


def place_of(end, peer=False):
    """As sessionctl names it."""
    address = end.getpeername() if peer else end.getsockname()
    if isinstance(address, str):
        return address
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def connected_to(place):
    if "/" not in place:
        host, _, port = place.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)))
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(place)
    except OSError:
        client.close()
        raise
    return client


def refused(place):
    try:
        connected_to(place).close()
    except ConnectionRefusedError:
        return True
    return False


def exactly(connection, size):
    content = bytearray()
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise AssertionError(f"the end after {len(content)} of {size} bytes")
        content += part
    return bytes(content)


def everything(connection):
    content = bytearray()
    while part := connection.recv(MIB):
        content += part
    return bytes(content)


if __name__ == "__main__":
    suite.main()
