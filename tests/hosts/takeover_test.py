"""A session belongs to the two names that made it. Nobody else, whatever he can prove, takes it over or disturbs it."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import MIB, HostsTestCase, Transfer, at_marks, connected, not_active  # noqa: E402
from hosts.world import DOMAIN  # noqa: E402
from support import peer, suite  # noqa: E402
from support.daemon import attribute, opened, read_exactly, state_word  # noqa: E402
from support.processes import SOON_S, finish, start, wait_until  # noqa: E402

PEER = peer.__file__
PORT = 4700
OWN_SESSION = bytes(range(16))


class Takeover(HostsTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # A member of the domain with a name, a key and a valid certificate of his own, and no daemon.
        cls.world.start_daemon(cls.world.c)
        cls.mallory = cls.world.join(cls.world.c)
        record = (cls.mallory.path / ".endpoint").read_bytes()
        cls.world.c.daemon.stop()
        cls.valid = peer.Credentials.of_record(record, cls.world.folder).file
        cls.forged = peer.Credentials.self_signed(f"a@{DOMAIN}", cls.world.folder).file

    def setUp(self):
        self.ours, self.theirs = self.session()
        self.carries(self.ours, self.theirs)
        self.id = bytes.fromhex(attribute(self.ours, "id"))

    def untouched(self):
        """The session stands, has lost nothing and has got nothing."""
        self.assertEqual((state_word(self.ours), state_word(self.theirs)), ("active", "active"))
        self.assertEqual((attribute(self.theirs, "received"), attribute(self.theirs, "sent")), ("5", "5"))
        self.carries(self.ours, self.theirs)
        self.end(self.ours, self.theirs)

    def ask(self, frames, credentials=None, endpoint=None, *more):
        """What the daemon of B answers to somebody on C."""
        with tempfile.TemporaryFile() as content:
            content.write(frames)
            content.seek(0)
            program = start(self.world.c.enter(sys.executable, PEER, "ask", self.b.address, str(PORT),
                                               endpoint or self.at_b.name, credentials or "", *more),
                            stdin=content, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        result = finish(program, SOON_S)
        self.assertEqual(result.status, 0, result)
        return json.loads(result.out)

    def test_these_credentials_are_good_for_what_is_his(self):
        # The other tests are worth something only if this peer speaks the protocol.
        kind, _ = self.ask(peer.connect(OWN_SESSION, "file"), self.valid)
        self.assertEqual(kind, peer.CONNECT_OK)
        name = self.at_b.accept("file").name
        self.assertEqual(name, f"file~{self.mallory.name}~1")
        kind, _ = self.ask(peer.resume(OWN_SESSION, 1, True), self.valid)
        self.assertEqual(kind, peer.RESUME_OK)
        self.at_b.command(f"abort {name}")
        self.untouched()

    def test_resume_of_a_session_of_others(self):
        before = connected(self.world)
        for from_creator in (True, False):
            for attempt in (1, 2**40, 2**63):
                with self.subTest(from_creator=from_creator, attempt=attempt):
                    answer = self.ask(peer.resume(self.id, attempt, from_creator, held=2), self.valid)
                    if answer != "closed":
                        self.assertEqual(answer[0], peer.RESUME_DENIED)
        self.assertTrue(before & self.a.connections(self.b), "the connection of the session stands")
        self.untouched()

    def test_connect_with_the_id_of_a_session_of_others(self):
        answer = self.ask(peer.connect(self.id, "file"), self.valid)
        if answer != "closed" and answer[0] == peer.CONNECT_OK:
            name = self.at_b.accept("file").name  # a session of its own, under its own name
            self.assertIn(self.mallory.name, name)
            self.at_b.command(f"abort {name}")
        self.untouched()

    def test_other_messages_first(self):
        for frames in (peer.data(5, b"forged"), peer.frame(peer.CHECKPOINT, peer.progress(100, 2**40)),
                       peer.frame(peer.CLOSE, bytes(8)), peer.frame(peer.SUSPEND), peer.frame(peer.ABORT),
                       peer.frame(peer.RESUME_OK, bytes(8) + peer.progress()), peer.frame(0),
                       peer.frame(77, b"x" * 200),
                       peer.frame(peer.CONNECT, b"short"), peer.frame(peer.PING) * 1000, b"\xff" * 100_000,
                       peer.resume(self.id, 1, True)[:20] + b"\xff" * 300):
            with self.subTest(frames=frames[:20].hex()):
                self.assertIn(self.ask(frames, self.valid), ("closed", "refused"))
        self.untouched()

    def test_without_a_certificate_or_with_a_forged_one(self):
        for credentials in (None, self.forged):
            for frames in (peer.resume(self.id, 2**40, True), peer.connect(OWN_SESSION, "file")):
                with self.subTest(credentials=credentials):
                    self.assertIn(self.ask(frames, credentials), ("closed", "refused"))
        self.untouched()

    def test_an_older_tls(self):
        frames = peer.resume(self.id, 2**40, True)
        self.assertEqual(self.ask(frames, self.valid, None, "TLS1.2"), "refused")
        self.untouched()

    def test_an_endpoint_that_is_not_here(self):
        answer = self.ask(peer.connect(OWN_SESSION, "file"), self.valid, f"nobody@{DOMAIN}")
        self.assertIn(answer, ("closed", "refused"))
        self.untouched()

    def test_during_a_transfer(self):
        transfer = Transfer(self.world, self.ours, self.theirs, 64 * MIB)
        for number in at_marks([transfer], 5):
            answer = self.ask(peer.resume(self.id, 2**40 + number, bool(number % 2)), self.valid)
            self.assertTrue(answer == "closed" or answer[0] == peer.RESUME_DENIED, answer)
        transfer.result()
        self.end(self.ours, self.theirs)


class Impostor(HostsTestCase):
    """Somebody answers at the address of B, while B's daemon is away."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mallory = cls.a.daemon.mount.endpoint(f"mallory@{DOMAIN}")
        record = (cls.mallory.path / ".endpoint").read_bytes()
        cls.credentials = {"valid, for another name": peer.Credentials.of_record(record, cls.world.folder).file,
                           "forged": peer.Credentials.self_signed(f"b@{DOMAIN}", cls.world.folder).file}

    def test_the_peer_cannot_prove_its_name(self):
        for what, credentials in self.credentials.items():
            with self.subTest(credentials=what):
                self.impostor_gets_nothing(credentials)

    def impostor_gets_nothing(self, credentials):
        ours, theirs = self.session()
        self.carries(ours, theirs)
        self.assertEqual(self.b.daemon.stop(), 0)
        not_active(ours)
        with opened(ours, os.O_WRONLY) as out:
            os.write(out, b"secret words")
        impostors = [start(self.b.enter(sys.executable, PEER, "pretend", address, str(PORT), credentials),
                           stdout=subprocess.PIPE, text=True) for address in self.b.addresses()]
        for impostor in impostors:
            self.assertEqual(impostor.stdout.readline(), '"listens"\n')
        # A new session is refused, by a clear error.
        self.assert_errno(errno.EKEYREJECTED, os.open, self.at_a.sessions / f"file.b@{DOMAIN}~impostor", os.O_RDWR)
        # The one that stood goes on trying, and tells the impostor nothing.
        wait_until(lambda: state_word(ours) != "active", "it waits")
        for impostor in impostors:
            impostor.kill()
            said = [json.loads(line) for line in impostor.communicate()[0].splitlines()]
            for word, *rest in said:
                self.assertTrue(word == "refused" or rest == [""], f"the impostor got something: {said}")
        self.b.daemon.start()
        with opened(theirs, os.O_RDONLY) as source:
            self.assertEqual(read_exactly(source, 12), b"secret words")
        self.end(ours, theirs)


if __name__ == "__main__":
    suite.main(hosts=True)
