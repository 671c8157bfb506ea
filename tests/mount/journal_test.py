"""The daemon's log in the journal: one of our own, in a mount namespace of our own."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import Daemon  # noqa: E402
from support.keeper import remove_folder, temporary_folder  # noqa: E402
from support.local import LISTEN  # noqa: E402
from support.processes import SOON_S  # noqa: E402

# Where libsystemd looks for it.
JOURNAL = "/run/systemd/journal/socket"
# Set in that namespace alone.
INSIDE = "SESSIONFS_TEST_OWN_MOUNTS"
MAX_LINE_BYTES = 65536


class Journal(suite.TestCase):
    def setUp(self):
        folder = temporary_folder()
        self.addCleanup(remove_folder, folder)
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", "/run"], check=True)
        os.makedirs(os.path.dirname(JOURNAL))
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.journal.close)
        self.journal.bind(JOURNAL)
        self.journal.settimeout(SOON_S)
        self.daemon = Daemon(folder, listen=LISTEN)
        self.addCleanup(self.daemon.stop)
        self.log = Path(self.daemon.log)
        self.log.touch()

    def describe(self):
        return self.daemon.describe()

    def connect_standard_error(self, to_journal):
        file = self.log.stat()
        os.environ["JOURNAL_STREAM"] = f"{file.st_dev}:{file.st_ino if to_journal else file.st_ino + 1}"
        self.addCleanup(os.environ.pop, "JOURNAL_STREAM")

    def suspend_a_session(self):
        """(its endpoint, its name)"""
        self.daemon.start()
        client, server = self.daemon.mount.endpoint("client@local"), self.daemon.mount.endpoint("server@local")
        server.serve("s")
        session = client.dial(server, "s")
        client.command("suspend")
        return client.name, session.name

    def line_of(self, **fields):
        """The next line that has these fields."""
        while True:
            text = self.journal.recv(MAX_LINE_BYTES).decode()
            found = dict(line.split("=", 1) for line in text.splitlines())
            if fields.items() <= found.items():
                return found

    def test_lines_have_fields(self):
        self.connect_standard_error(to_journal=True)
        endpoint, session = self.suspend_a_session()
        self.assertEqual(self.line_of(SESSIONFS_TRANSITION="T2"), {
            "MESSAGE": f"{endpoint}: {session}: T2:user_suspend: ACTIVE -> SUSPENDED",
            "PRIORITY": "6",
            "SYSLOG_IDENTIFIER": "sessionfs",
            "SESSIONFS_ENDPOINT": endpoint,
            "SESSIONFS_SESSION": session,
            "SESSIONFS_TRANSITION": "T2"})
        self.assertEqual(self.log.read_text(encoding="utf-8"), "", "the journal has it")

    def test_standard_error_that_is_something_else(self):
        self.connect_standard_error(to_journal=False)
        endpoint, session = self.suspend_a_session()
        self.assertRegex(self.log.read_text(encoding="utf-8"),
                         rf"(?m)^sessionfs: {re.escape(endpoint)}: {re.escape(session)}: T2:user_suspend: ")
        self.journal.setblocking(False)
        self.assert_errno(11, self.journal.recv, MAX_LINE_BYTES)


if __name__ == "__main__":
    if INSIDE in os.environ:
        suite.main()
    elif subprocess.run(["unshare", "--mount", "true"], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        print("skipped: a mount namespace cannot be made; it needs root")
        sys.exit(suite.SKIPPED)
    else:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
