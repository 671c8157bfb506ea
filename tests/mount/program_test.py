"""The program `sessionfs` itself: options, exit statuses, one line that says why; the background; configuration."""

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import Daemon  # noqa: E402
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
        self.assertEqual(len(lines), 1, f"one line says why: {result}")
        self.assertTrue(lines[0].startswith("sessionfs: "), result)
        for word in words:
            self.assertIn(word, result.err)
        self.assertFalse(mounted(str(self.mountpoint)))

    def test_help_and_version(self):
        for option, word in (("--help", "MOUNTPOINT"), ("--version", "sessionfs")):
            result = run([os.environ["SESSIONFS_BIN"], option])
            self.assertEqual((result.status, result.err), (0, ""))
            self.assertIn(word, result.out)

    def test_bad_usage(self):
        for arguments in (["--no-such-option", self.mountpoint], [], ["a", "b", "c"]):
            with self.subTest(arguments=arguments):
                self.fails(2, ["see sessionfs --help"], *arguments)
        result = run([os.environ["SESSIONFS_BIN"], "x", "-o"])
        self.assertEqual((result.status, len(result.err.splitlines())), (2, 1), result)
        for listen in ("[::1", "x:99999"):
            result = run([os.environ["SESSIONFS_BIN"], "x", "--config", "/dev/null", "--listen", listen])
            self.assertEqual((result.status, len(result.err.splitlines())), (2, 1), result)
            self.assertIn(f"--listen {listen}", result.err)
        self.fails(1, ["unknown option", "no_such_option"], self.mountpoint, "-f", "-o", "no_such_option")

    def mount_line(self):
        """(options of the mount, source, options of the file system), as the kernel has them."""
        with open("/proc/self/mountinfo", encoding="utf-8") as lines:
            for line in lines:
                fields, _, rest = line.partition(" - ")
                if fields.split()[4] == str(self.mountpoint):
                    return fields.split()[5].split(","), rest.split()[1], rest.split()[2].split(",")
        return self.fail("not mounted")

    def test_a_source_before_the_mountpoint(self):
        # As mount(8) starts it for a line of fstab with the type fuse.sessionfs.
        for arguments, source in ((["a,name", self.mountpoint, "-o", "rw,dev,suid"], "a,name"),
                                  (["-o", "dev", "-o", "suid", "other", self.mountpoint], "other"),
                                  (["-o", "dev,suid", self.mountpoint], "sessionfs")):
            with self.subTest(arguments=arguments):
                result = self.sessionfs(*arguments)
                self.assertEqual(result.status, 0, result)
                options, shown, system = self.mount_line()
                self.assertEqual(shown, source)
                self.assertIn("nosuid", options)
                self.assertIn("nodev", options)
                self.assertIn("default_permissions", system)
                shell_ok('fusermount3 -u "$M"', M=self.mountpoint)
                wait_until(lambda: not mounted(str(self.mountpoint)), "unmounted")

    def test_mount_fuse(self):
        helper = shutil.which("mount.fuse3", path="/usr/sbin:/sbin:/usr/bin")
        if helper is None:
            self.skipTest("there is no mount.fuse3")
        (self.folder / "bin").mkdir()
        starter = self.folder / "bin/sessionfs"
        starter.write_text(f'#!/bin/sh\nexec "{os.environ["SESSIONFS_BIN"]}" "$@" --config /dev/null --state '
                           f'"{self.folder}/state" --listen {LISTEN}\n', encoding="utf-8")
        starter.chmod(0o755)
        result = run([helper, "source", str(self.mountpoint), "-t", "fuse.sessionfs", "-o", "defaults,rw,nofail"],
                     env={**os.environ, "PATH": f"{starter.parent}:{os.environ['PATH']}"})
        self.assertEqual(result.status, 0, result)
        options, source, _ = self.mount_line()
        self.assertEqual(source, "source")
        self.assertLessEqual({"nosuid", "nodev"}, set(options))
        shell_ok('fusermount3 -u "$M"', M=self.mountpoint)

    def test_what_a_killed_daemon_leaves(self):
        daemon = Daemon(self.folder, listen=LISTEN).start()
        daemon.process.kill()
        daemon.process.wait()
        result = self.sessionfs(daemon.mountpoint)
        self.assertEqual((result.status, len(result.err.splitlines())), (1, 1), result)
        self.assertIn(f"fusermount3 -u {daemon.mountpoint}", result.err)
        shell_ok('fusermount3 -u "$M"', M=daemon.mountpoint)
        self.assertEqual(self.sessionfs(daemon.mountpoint).status, 0)
        shell_ok('fusermount3 -u "$M"', M=daemon.mountpoint)

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
