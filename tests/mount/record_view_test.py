"""Tools that walk trees see records: they take no data, accept nothing and never hang. And what status files tell."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import attribute, opened  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import AT_ONCE_S, shell, shell_ok  # noqa: E402

ATTRIBUTES = ("state", "peer", "id", "sent", "received", "acked", "interface")


class RecordView(LocalTestCase):
    def setUp(self):
        """An endpoint with documents, a session with bytes to be read, and another that waits to be accepted."""
        self.client, self.ours, self.server, self.theirs = self.pair()
        shell_ok('echo "some bytes" > "$F"', F=self.ours)
        self.client.dial(self.server, "s", "waiting")
        shell_ok('mkdir "$E/photos" && echo needle > "$E/photos/a" && echo hay > "$E/report"', E=self.server)
        self.copy = self.scratch("copy")

    def tearDown(self):
        """Nothing was taken: the bytes are still to be read, the session still to be accepted."""
        self.assertEqual(shell_ok('head -n 1 "$F"', F=self.theirs, limit_s=AT_ONCE_S), "some bytes\n")
        self.assertEqual(self.server.accept("s").name, f"s~{self.client.name}~2")

    def copied(self, folder):
        self.assertEqual(Path(folder, "photos/a").read_text(), "needle\n")
        self.assertEqual(Path(folder, "report").read_text(), "hay\n")

    def test_cp_r(self):
        for option in ("-r", "-a", "-dR"):
            with self.subTest(option=option):
                copy = self.scratch("copy")
                shell_ok('cp "$O" "$E" "$C"', O=option, E=self.server, C=copy)
                self.copied(copy)
                self.assertTrue(Path(copy, ".endpoint").exists())
                self.assertEqual(Path(copy, ".endpoint").stat().st_mode & 0o077, 0, "it holds the endpoint's key")

    def test_tar(self):
        shell_ok('mkdir "$C" && tar -c -C "$E" . | tar -x -C "$C"', E=self.server, C=self.copy)
        self.copied(self.copy)

    def test_rsync(self):
        shell_ok('rsync -a "$E/" "$C"', E=self.server, C=self.copy)
        self.copied(self.copy)

    def test_grep_r(self):
        found = shell('grep -r needle "$E"', E=self.server)
        self.assertEqual(found.status, 0, found)
        self.assertEqual(found.out, f"{self.server}/photos/a:needle\n")

    def test_find_and_ls_l(self):
        shell_ok('find "$E" -ls > /dev/null; ls -lR "$E"; stat "$E"/*/* > /dev/null; du -s "$E"', E=self.server)

    def test_nofollow_gives_a_few_lines_and_an_end(self):
        for file in (self.theirs, self.server.services / "s"):
            with opened(file, os.O_RDONLY | os.O_NOFOLLOW) as descriptor:
                text = b""
                while data := os.read(descriptor, 5):
                    text += data
            self.assertIn(self.server.name if "services" in str(file) else self.client.name, text.decode())
            self.assertLess(len(text.splitlines()), 30)

    def test_nofollow_nonblock_too(self):
        with opened(self.theirs, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as descriptor:
            self.assertNotIn(b"some bytes", os.read(descriptor, 65536))


class Attributes(LocalTestCase):
    def test_getfattr(self):
        _, ours, server, theirs = self.pair()
        shell_ok('printf 12345 > "$F"; sync "$F"', F=ours)
        out = shell_ok('getfattr -d "$F" 2> /dev/null', F=ours)
        for name in ATTRIBUTES:
            self.assertIn(f"user.session.{name}=", out)
        self.assertEqual(attribute(ours, "peer"), server.name)
        self.assertEqual(attribute(ours, "sent"), "5")
        self.assertEqual(attribute(ours, "acked"), "5")
        self.assertEqual(attribute(theirs, "received"), "5")
        self.assertEqual(attribute(ours, "id"), attribute(theirs, "id"))
        self.assertEqual(attribute(ours, "state").lower(), "active")

    def test_other_files_have_none(self):
        endpoint = self.endpoint()
        self.assertEqual(shell_ok('getfattr -d "$E/ctl" "$E/status" 2> /dev/null', E=endpoint), "")

    def test_getfattr_of_a_name_that_is_not_connected_does_not_dial(self):
        client, server = self.endpoint(), self.endpoint()
        server.serve("s")
        shell('getfattr -d "$F"; ls -l "$F"; stat "$F"; test -e "$F"', F=client.sessions / server.target("s"))
        self.assertEqual(os.listdir(client.sessions), [])


class StatusFiles(LocalTestCase):
    def test_status_of_an_endpoint(self):
        client, ours, server, theirs = self.pair()
        text = server.status()
        self.assertIn(server.name, text)
        self.assertTrue(any("s" in line.split() for line in text.splitlines()), "its service")
        self.assertEqual(sum(theirs.name in line for line in text.splitlines()), 1, "its session, one a line")
        self.assertEqual(sum(ours.name in line for line in client.status().splitlines()), 1)

    def test_status_of_the_host(self):
        endpoint = self.endpoint()
        text = self.mount.status()
        for word in (str(self.mount.path), "local", endpoint.name):
            self.assertIn(word, text)

    def test_reading_ctl_lists_the_commands(self):
        endpoint = self.endpoint()
        text = shell_ok('cat "$E/ctl"', E=endpoint)
        for word in ("suspend", "resume", "finish", "abort"):
            self.assertIn(word, text)
        self.assertIn("join", shell_ok('cat "$M/ctl"', M=self.mount.path))

    def test_rules_are_files(self):
        endpoint = self.endpoint()
        shell_ok('echo "allow file *@local" > "$E/access"; echo "deny * *" >> "$E/access"', E=endpoint)
        self.assertEqual(shell_ok('cat "$E/access"', E=endpoint), "allow file *@local\ndeny * *\n")
        self.assertEqual(os.stat(endpoint.path / "access").st_size, len("allow file *@local\ndeny * *\n"))
        shell_ok('printf "prefer eth*\\nstay\\n" > "$E/policy"', E=endpoint)
        self.assertEqual(shell_ok('cat "$E/policy"', E=endpoint), "prefer eth*\nstay\n")
        shell_ok(': > "$E/access"', E=endpoint)
        self.assertEqual(shell_ok('cat "$E/access"', E=endpoint), "")

    def test_the_record(self):
        endpoint = self.endpoint()
        status = os.stat(endpoint.path / ".endpoint")
        self.assertEqual(status.st_mode & 0o777, 0o600)
        first = (endpoint.path / ".endpoint").read_bytes()
        self.assertEqual(len(first), status.st_size, "its size is its true size")
        self.assertGreater(len(first), 0)


if __name__ == "__main__":
    suite.main()
