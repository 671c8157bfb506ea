"""The program `sessionfs` itself: options, exit statuses, one line that says why; the background; configuration."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.keeper import keeper, mounted, remove_folder, temporary_folder  # noqa: E402
from support.local import LISTEN  # noqa: E402
from support.processes import run, shell_ok, wait_until  # noqa: E402


class ProgramTest(suite.TestCase):
    def setUp(self):
        self.folder = Path(temporary_folder())
        self.addCleanup(remove_folder, str(self.folder))
        self.mountpoint = self.folder / "session"
        self.mountpoint.mkdir()
        keeper.add("mount", str(self.mountpoint))

    def sessionfs(self, *arguments, config=None):
        file = self.folder / "config.toml"
        file.write_text(config or "", encoding="utf-8")
        return run([os.environ["SESSIONFS_BIN"], *map(str, arguments), "--config", str(file), "--state",
                    str(self.folder / "state"), "--listen", LISTEN])

    def fails(self, status, words, *arguments, config=None):
        result = self.sessionfs(*arguments, config=config)
        self.assertEqual(result.status, status, result)
        lines = [line for line in result.err.splitlines() if line.strip()]
        if status == 1:
            self.assertEqual(len(lines), 1, f"one line says why: {result}")
        for word in words:
            self.assertIn(word, result.err)
        self.assertFalse(mounted(str(self.mountpoint)))

    def test_help_and_version(self):
        for option, word in (("--help", "MOUNTPOINT"), ("--version", "sessionfs")):
            result = run([os.environ["SESSIONFS_BIN"], option])
            self.assertEqual((result.status, result.err), (0, ""))
            self.assertIn(word, result.out)

    def test_bad_usage(self):
        self.fails(2, [], "--no-such-option", self.mountpoint)
        self.assertEqual(run([os.environ["SESSIONFS_BIN"]]).status, 2)

    def test_it_goes_to_the_background_when_the_mount_is_ready(self):
        result = self.sessionfs(self.mountpoint)
        self.assertEqual(result.status, 0, result)
        self.assertTrue(mounted(str(self.mountpoint)))
        self.assertIn("status", os.listdir(self.mountpoint))
        shell_ok('mkdir "$M/a@local"; fusermount3 -u "$M"', M=self.mountpoint)
        wait_until(lambda: not mounted(str(self.mountpoint)), "unmounted")
        # The state can be used again at once by the next one.
        result = self.sessionfs(self.mountpoint)
        self.assertEqual(result.status, 0, result)
        self.assertIn("a@local", os.listdir(self.mountpoint))
        shell_ok('fusermount3 -u "$M"', M=self.mountpoint)

    def test_a_mountpoint_that_is_not_there(self):
        self.fails(1, [str(self.folder / "nowhere")], self.folder / "nowhere", "-f")

    def test_configuration_errors_name_the_key_and_the_line(self):
        for config, words in (('domain = "local"\ncolour = "red"\n', ["colour", "2"]),
                              ('\n\nbuffer = "much"\n', ["buffer", "3"]),
                              ('domain = 5\n', ["domain", "1"]),
                              ('durability = "maybe"\n', ["durability", "1"]),
                              ('domain = "a b"\n', ["domain", "1"]),
                              ('endpoint = "noat"\n', ["endpoint", "1"]),
                              ('[sns]\n"verkstad.net" = 7\n', ["verkstad.net", "2"]),
                              ('domain = \n', ["1"])):
            with self.subTest(config=config):
                self.fails(1, words, self.mountpoint, "-f", config=config)

    def test_the_configured_endpoint_and_buffer(self):
        result = self.sessionfs(self.mountpoint, config='endpoint = "Desk@local"\nbuffer = "64KiB"\n')
        self.assertEqual(result.status, 0, result)
        wait_until(lambda: [name for name in os.listdir(self.mountpoint) if "@" in name] == ["desk@local"],
                   "desk@local is there")
        shell_ok('fusermount3 -u "$M"', M=self.mountpoint)


if __name__ == "__main__":
    suite.main()
