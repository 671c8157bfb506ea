"""What is in the Debian package works from where it is unpacked: the programs, the helper of mount(8), the configuration."""

import os
import re
import shutil
import stat
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import built  # noqa: E402
from support import suite  # noqa: E402
from support.keeper import keeper, mounted, remove_folder, temporary_folder, unmount  # noqa: E402
from support.processes import SOON_S, finish, run, start, wait_until  # noqa: E402

FILES = """
etc/default/snsd etc/profile.d/sessionfs.sh etc/sessionfs/config.toml
usr/bin/sessionctl usr/bin/sessionfs usr/bin/snsd usr/sbin/mount.fuse.sessionfs
usr/lib/sessionfs/sessionfs-medium usr/lib/udev/rules.d/70-sessionfs.rules
usr/lib/systemd/system/sessionfs-medium@.service usr/lib/systemd/system/sessionfs@.service
usr/lib/systemd/system/snsd.service usr/lib/systemd/user/sessionfs.service
usr/share/bash-completion/completions/sessionctl usr/share/bash-completion/completions/sessionfs
usr/share/bash-completion/completions/snsd
usr/share/man/man1/sessionctl.1.gz usr/share/man/man1/sessionfs.1.gz
usr/share/man/man5/sessionfs-tree.5.gz usr/share/man/man5/sessionfs.toml.5.gz
usr/share/man/man8/mount.fuse.sessionfs.8.gz usr/share/man/man8/snsd.8.gz
""".split()
DOC = "usr/share/doc/sessionfs"  # with the pages of the sources

NOBODY = 65534


def may_mount():
    """Whether users who are not root can."""
    helper = shutil.which("fusermount3")
    return helper and os.stat(helper).st_mode & stat.S_ISUID and os.stat("/dev/fuse").st_mode & stat.S_IWOTH


AS_USER = (["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
           if os.geteuid() == 0 and may_mount() else [])


def checked(*command, **options):
    return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, check=True, **options).stdout


class Package(suite.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(temporary_folder())
        cls.addClassCleanup(remove_folder, str(cls.folder))
        cls.package = built.package()
        cls.root = cls.folder / "root"
        checked("dpkg-deb", "--extract", cls.package, cls.root)
        os.chmod(cls.folder, 0o755)
        cls.mountpoint, cls.home = cls.folder / "session", cls.folder / "home"
        for folder in (cls.mountpoint, cls.home):
            folder.mkdir()
            if AS_USER:
                os.chown(folder, NOBODY, NOBODY)
        cls.environment = {"PATH": f"{cls.root}/usr/bin:{os.environ['PATH']}", "HOME": str(cls.home)}

    def in_package(self, script, *words):
        """A shell script with the package's programs in its PATH, of a user: root's state is the machine's own."""
        return run([*AS_USER, "sh", "-ec", script, "-", *map(str, words)], SOON_S, env=self.environment)

    def test_its_files(self):
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()}
        of_pages = {path for path in found if path.startswith(DOC)}
        self.assertEqual(sorted(found - of_pages), sorted(FILES))
        for page in ("README.md", "docs/OPERATING.md", "docs/TROUBLESHOOTING.md", "changelog.gz", "changelog.Debian.gz",
                     "copyright"):
            self.assertIn(f"{DOC}/{page}", of_pages)
        for path in self.root.rglob("*"):
            self.assertNotIn(str(Path(os.environ["CPACK_CONFIG"]).parent).encode(),
                             path.read_bytes() if path.is_file() and path.suffix == ".service" else b"")

    def test_what_it_needs(self):
        depends = checked("dpkg-deb", "--field", self.package, "Depends")
        for library in ("fuse3", "libfuse3-3", "libssl3", "libudev1", "libnl-3-200", "libncursesw6"):
            self.assertRegex(depends, rf"(^|, ){library}\b")

    def test_the_configuration_with_all_its_keys(self):
        text = (self.root / "etc/sessionfs/config.toml").read_text(encoding="ascii")
        keys = re.sub(r"(?m)^#(?=[\[\"a-z])", "", text)
        self.assertGreater(len(re.findall(r"(?m)^[a-z_]+ = ", keys)), 7)
        config, state = self.folder / "all.toml", self.home / "state-all"
        config.write_text(keys.replace("[::]:4700", "127.0.0.1:0"), encoding="ascii")
        self.mounts(f'sessionfs "$1" --config {config} --state {state}')

    def test_mount_helper(self):
        helper = self.root / "usr/sbin/mount.fuse.sessionfs"
        self.mounts(f'{helper} sessionfs "$1" -s -o rw,nosuid,nodev,_netdev,x-systemd.automount,noauto -t fuse.sessionfs')

    def test_logins(self):
        # As if there were no systemd.
        script = self.folder / "sessionfs.sh"
        script.write_text((self.root / "etc/profile.d/sessionfs.sh").read_text(encoding="ascii")
                          .replace("/run/systemd/system", "/no/systemd"), encoding="ascii")
        log_in = [*AS_USER, "sh", "-ec", f". {script}; echo logged in"]

        def logins(count):
            started = [start(log_in, env=self.environment, stdout=-1, stderr=-1, text=True) for _ in range(count)]
            for each in started:
                done = finish(each, SOON_S)
                self.assertEqual((done.status, done.out, done.err), (0, "logged in\n", ""), done)
        mountpoint = str(self.home / "session")
        logins(1)
        self.assertFalse(mounted(mountpoint), "nobody has asked for it")
        done = self.in_package("mkdir -p ~/.config/sessionfs; touch ~/.config/sessionfs/login")
        self.assertEqual(done.status, 0, done)
        keeper.add("mount", mountpoint)
        try:
            logins(4)
            logins(1)
            wait_until(lambda: mounted(mountpoint), "it is mounted", SOON_S)
            with open("/proc/self/mountinfo", encoding="utf-8") as table:
                self.assertEqual(sum(f" {mountpoint} " in line for line in table), 1)
        finally:
            done = self.in_package('fusermount3 -u "$1"', mountpoint)
            unmount(mountpoint)
            keeper.drop("mount", mountpoint)
        self.assertEqual(done.status, 0, done)

    def mounts(self, script):
        """It mounts, and a file crosses from one endpoint to another."""
        keeper.add("mount", str(self.mountpoint))
        try:
            done = self.in_package(script, self.mountpoint)
            self.assertEqual(done.status, 0, done)
            wait_until(lambda: mounted(str(self.mountpoint)), "it is mounted")
            done = self.in_package(
                'mkdir "$1/a@local" "$1/b@local"; touch "$1/a@local/services/s"\n'
                'sessionctl --mount "$1" serve s --at a@local -- cat > /dev/null & serving=$!\n'
                'echo crossed | sessionctl --mount "$1" connect s.a@local --from b@local\n'
                'kill $serving; wait $serving || true\nrmdir "$1/a@local" "$1/b@local"', self.mountpoint)
            self.assertEqual((done.status, done.out), (0, "crossed\n"), done)
        finally:
            done = self.in_package('fusermount3 -u "$1"', self.mountpoint)
            unmount(str(self.mountpoint))
            keeper.drop("mount", str(self.mountpoint))
        self.assertEqual(done.status, 0, done)

    @unittest.skipUnless(shutil.which("lintian"), "lintian is needed")
    def test_lintian_finds_no_error(self):
        done = run(["lintian", "--allow-root", "--fail-on", "error", str(self.package)], SOON_S)
        self.assertEqual(done.status, 0, done)


if __name__ == "__main__":
    suite.main(also=built.why_not)
