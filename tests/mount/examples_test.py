"""The programs of examples/, while the daemon is started again."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import state_word  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import SOON_S, finish, kill_group, start, wait_until  # noqa: E402

SHELL = Path(__file__).resolve().parents[2] / "examples"
SIZE = 96 << 20


class Examples(LocalTestCase):
    def fetch(self, programs):
        """A document on its way from a server to its client: (what it is, where it comes to, the client)."""
        storage, client = self.endpoint("storage"), self.endpoint("client")
        document, copy = storage.path / "document", client.path / "copy"
        document.write_bytes(os.urandom(SIZE))
        server = self.run_example(programs / "file-server", "--ep", storage.name)
        wait_until((storage.services / "file").exists, "the service is there", SOON_S)
        self.addCleanup(kill_group, server)
        program = self.run_example(programs / "file-client", "--ep", client.name, storage.target("file"), "document", "copy")
        self.addCleanup(kill_group, program)
        return document, copy, client, program

    def run_example(self, *words):
        return start([str(word) for word in words], env={**os.environ, "SESSIONFS_MOUNT": str(self.mount.path)},
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def arrives(self, copy, size):
        wait_until(lambda: copy.exists() and copy.stat().st_size >= size, f"{size} bytes have arrived", SOON_S, 0.002)

    def has_arrived(self, document, copy, program):
        done = finish(program, SOON_S)
        self.assertEqual(done.status, 0, done)
        self.assertTrue(copy.read_bytes() == document.read_bytes())

    def restart(self):
        self.daemon.stop()
        self.daemon.start()

    def test_in_full_flow(self):
        document, copy, _, program = self.fetch(Path(os.environ["EXAMPLES"]))
        for part in (8, 4, 2):
            self.arrives(copy, SIZE // part)
            self.restart()
        self.has_arrived(document, copy, program)

    def test_killed_while_nothing_flows(self):
        """Nobody knows then how much of a read was done that the daemon was killed in."""
        for programs in (Path(os.environ["EXAMPLES"]), SHELL):
            with self.subTest(programs=programs):
                document, copy, client, program = self.fetch(programs)
                self.arrives(copy, SIZE // 4)
                client.command("suspend")
                [name] = os.listdir(client.sessions)
                self.assertEqual(state_word(client.sessions / name), "suspended")
                self.stands_still(copy)
                self.daemon.kill()
                self.daemon.start()
                client.command("resume")
                self.has_arrived(document, copy, program)

    def stands_still(self, copy):
        """What was on its way when it was suspended has been read and written."""
        seen = []

        def still():
            seen.append(copy.stat().st_size)
            return len(seen) > 10 and len(set(seen[-10:])) == 1
        wait_until(still, "nothing more arrives", SOON_S, 0.05)


if __name__ == "__main__":
    suite.main()
