"""Who may change what in the table of a name server: each misuse is refused, and nothing changes."""

import base64
import contextlib
import errno
import hashlib
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import HostsTestCase  # noqa: E402
from hosts.world import DOMAIN  # noqa: E402
from support import suite  # noqa: E402
from support.processes import SOON_S, wait_until  # noqa: E402


TOKEN_PREFIX = "sns1-"
SECRET_BYTES = 16
CHECKSUM_BYTES = 4


def forged(token):
    """The same token, whole, with a secret that nobody has made."""
    text = token.removeprefix(TOKEN_PREFIX)
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-CHECKSUM_BYTES]
    content = content[:-SECRET_BYTES] + os.urandom(SECRET_BYTES)
    checksum = hashlib.sha256(content).digest()[:CHECKSUM_BYTES]
    return TOKEN_PREFIX + base64.urlsafe_b64encode(content + checksum).decode().rstrip("=")


class Misuse(HostsTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.c = cls.world.c
        cls.used_token = cls.world.token()
        daemon = cls.world.start_daemon(cls.c)
        (daemon.mount.path / "ctl").write_text(f"join {cls.used_token}\n", encoding="ascii")
        wait_until((daemon.mount.path / f"c@{DOMAIN}").is_dir, "C has joined", SOON_S)
        daemon.stop()
        cls.joined_state = Path(cls.world.folder, "joined")
        daemon.state.rename(cls.joined_state)

    def tearDown(self):
        self.c.daemon.stop()
        shutil.rmtree(self.c.daemon.state)

    def table(self):
        """All that the name server knows, but for when a lease was renewed."""
        text = self.c.run(os.environ["SNSD_BIN"], "export", "--state", str(Path(self.world.folder, "sns")))
        self.assertIn(f"endpoint {self.at_a.name} ", text)
        return text

    @contextlib.contextmanager
    def unchanged(self):
        before = self.table()
        yield
        self.assertEqual(self.table(), before)

    def start_c(self, joined):
        if joined:
            shutil.copytree(self.joined_state, self.c.daemon.state)
        return self.world.start_daemon(self.c)

    def endpoint_of_c(self, name, create=False):
        return self.c.daemon.mount.endpoint(f"{name}@{DOMAIN}", create=create)

    def wait_refused(self, endpoint, word):
        wait_until(lambda: f"registration: {word}" in endpoint.status(), f"{endpoint.name}: {word}", SOON_S)

    def test_who_has_not_joined(self):
        self.start_c(joined=False)
        with self.unchanged():
            self.assert_errno(errno.EACCES, os.mkdir, self.c.daemon.mount.path / f"mine@{DOMAIN}")

    def test_a_name_of_another_domain(self):
        self.start_c(joined=True)
        with self.unchanged():
            self.assert_errno(errno.EACCES, os.mkdir, self.c.daemon.mount.path / "mine@elsewhere.net")

    def test_a_token_that_was_used(self):
        join = self.start_c(joined=False).mount.path / "ctl"
        with self.unchanged():
            self.assert_errno(errno.EKEYREJECTED, join.write_text, f"join {self.used_token}\n", encoding="ascii")
            self.assertIn("this token has been used; ask for a new one with: snsd token", self.c.daemon.mount.status())

    def test_a_token_that_nobody_has_made(self):
        join = self.start_c(joined=False).mount.path / "ctl"
        with self.unchanged():
            self.assert_errno(errno.EKEYREJECTED, join.write_text, f"join {forged(self.used_token)}\n",
                              encoding="ascii")
            self.assertIn("the name server does not know this token; ask for a new one with: snsd token",
                          self.c.daemon.mount.status())

    def test_a_name_that_another_has(self):
        self.start_c(joined=True)
        with self.unchanged():
            for taken in (self.at_a, self.at_b):
                self.assert_errno(errno.EEXIST, os.mkdir, self.c.daemon.mount.path / taken.name)

    def test_a_former_owner(self):
        """Who has had a name, and has kept the key, cannot claim the name from its new owner."""
        daemon = self.start_c(joined=True)
        self.endpoint_of_c("sold", create=True)
        daemon.stop()
        kept = Path(self.world.folder, "kept")
        shutil.copytree(daemon.state / "endpoints" / f"sold@{DOMAIN}", kept)
        self.addCleanup(shutil.rmtree, kept)
        daemon.start()
        os.rmdir(daemon.mount.path / f"sold@{DOMAIN}")
        new_owner = self.b.daemon.mount.endpoint(f"sold@{DOMAIN}")
        self.addCleanup(os.rmdir, new_owner.path)
        new_owner.serve("file")
        daemon.stop()
        shutil.copytree(kept, daemon.state / "endpoints" / new_owner.name, dirs_exist_ok=True)
        with self.unchanged():
            daemon.start()
            former = self.endpoint_of_c("sold")
            self.wait_refused(former, "the request is not signed by the key that owns this name")
            self.assertNotEqual(self._errno((former.services / "file").touch), 0)
            self.assertNotEqual(self._errno((former.services / "more").touch), 0)
        self.end(self.at_a.dial(new_owner, "file"))

    def test_a_residence_that_is_over(self):
        """Whoever was loaded last has the name; the key that the former residence still has changes nothing."""
        left = self.b.daemon.mount.endpoint(f"moved@{DOMAIN}")
        left.serve("file")
        daemon = self.start_c(joined=True)
        daemon.stop()
        shutil.copytree(self.b.daemon.state / "endpoints" / left.name, daemon.state / "endpoints" / left.name)
        daemon.start()
        wait_until(lambda: "registration: registered" in self.endpoint_of_c("moved").status(), "C has it", SOON_S)
        with self.unchanged():
            self.assert_errno(errno.ESTALE, (left.services / "more").touch)
            wait_until(lambda: not left.path.exists(), "it is gone from B", SOON_S)
            self.assertIn(f"{left.name}: superseded: it resides elsewhere with a higher generation",
                          self.b.daemon.mount.status())

    @staticmethod
    def _errno(function):
        try:
            function()
            return 0
        except OSError as error:
            return error.errno


if __name__ == "__main__":
    suite.main(hosts=True)
