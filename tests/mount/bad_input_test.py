"""Bad input to the listening port costs the connection that it came on, and nothing else."""

import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import strangers, suite  # noqa: E402
from support.daemon import Pump, state_word  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import shell_ok  # noqa: E402

HELD_CONNECTIONS = 200
SILENCE_LIMIT_S = 60
MIB = 1 << 20


class BadInput(LocalTestCase):
    def setUp(self):
        self.addresses = [("127.0.0.1", port) for port in self.daemon.ports()]
        self.assertTrue(self.addresses, "the daemon listens")
        self.client, self.ours, self.server, self.theirs = self.pair()

    def tearDown(self):
        """The session that stood before works, and a new one can be made."""
        self.assertTrue(self.daemon.running(), self.daemon.tail())
        shell_ok('echo works > "$F"', F=self.ours)
        self.assertEqual(shell_ok('head -n 1 "$F"', F=self.theirs), "works\n")
        self.client.dial(self.server, "s", "another")
        self.server.accept("s")

    def test_each(self):
        before = state_word(self.ours)
        for address in self.addresses:
            for what, data in strangers.messages():
                for linger in (True, False):
                    with self.subTest(what=what, port=address[1], linger=linger):
                        strangers.send(address, data, linger)
                        self.assertEqual(state_word(self.ours), before, "no other connection is touched")

    def test_during_a_transfer(self):
        receiver = Pump("receive", self.theirs, self.folder, size=64 * MIB)
        sender = Pump("send", self.ours, self.folder, size=64 * MIB)

        def disturb(seed):
            while sender.running():
                for _, data in strangers.messages(seed):
                    strangers.send(self.addresses[0], data)
        disturbers = [threading.Thread(target=disturb, args=(seed,), daemon=True) for seed in (1, 2)]
        for thread in disturbers:
            thread.start()
        self.assertEqual(receiver.result(), sender.result())
        for thread in disturbers:
            thread.join(30)

    def test_many_half_open_connections(self):
        held = []
        self.addCleanup(lambda: [connection.close() for connection in held])
        for data in (b"", strangers.HALF_HELLO):
            held += strangers.hold(self.addresses[0], data, HELD_CONNECTIONS)
        # While they are held, others are served.
        self.client.dial(self.server, "s", "meanwhile")
        self.assertIn("~2", self.server.accept("s").name)
        # The daemon lets go of them by itself.
        self.assertTrue(strangers.closed_by_peer(held[0], SILENCE_LIMIT_S), "a silent connection is closed")
        self.assertTrue(strangers.closed_by_peer(held[-1], SILENCE_LIMIT_S), "half a handshake is given up")

    def test_no_plain_answer(self):
        with socket.create_connection(self.addresses[0], 5) as connection:
            connection.sendall(strangers.HTTP)
            connection.settimeout(SILENCE_LIMIT_S)
            try:
                answer = connection.recv(4096)
            except OSError:
                answer = b""
        self.assertFalse(answer.startswith(b"HTTP"))
        self.assertNotIn(b"@local", answer)


if __name__ == "__main__":
    suite.main()
