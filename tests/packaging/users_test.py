"""The installed package without systemd: users who log in, and mount(8)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import built  # noqa: E402
import machine  # noqa: E402
from support import suite  # noqa: E402
from support.processes import SOON_S, finish  # noqa: E402

LOGIN = ". /etc/profile; echo logged in"


class PlainTestCase(suite.TestCase):
    """A machine with the package."""

    limit_s = 240

    @classmethod
    def setUpClass(cls):
        cls.machine = machine.Machine(systemd=False)
        cls.machine.__enter__()
        cls.addClassCleanup(cls.machine.__exit__)
        cls.machine.install(built.package())
        cls.ok = cls.machine.ok


class TwoUsers(PlainTestCase):
    """Of one host, in one domain."""

    USERS = ("anna", "bert")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.machine.start("exec snsd --domain verkstad.net")
        for user in cls.USERS:
            cls.machine.add_user(user)
            # What is his must be his own by itself, not by his home.
            cls.ok('chmod 755 ~; mkdir -p ~/.config/sessionfs; touch ~/.config/sessionfs/login\n'
                   'printf \'domain = "verkstad.net"\\nendpoint = "%s-desk@verkstad.net"\\n[sns]\\n'
                   '"verkstad.net" = "10.79.0.2:4701"\\n\' $USER >~/.config/sessionfs/config.toml', user=user)

    def log_in(self, count):
        """So many logins of each user at once."""
        started = [self.machine.start(LOGIN, user=user) for user in self.USERS for _ in range(count)]
        for each in started:
            done = finish(each, SOON_S)
            self.assertEqual((done.status, done.out, done.err), (0, "logged in\n", ""), done)
        for user in self.USERS:
            self.machine.holds("mountpoint -q ~/session", user=user)

    def daemons(self):
        """(user, process number) of each."""
        return {tuple(line.split()) for line in self.ok("ps -C sessionfs -o user=,pid=").splitlines()}

    def test_each_has_a_host_of_his_own(self):
        self.log_in(4)
        daemons = self.daemons()
        self.assertEqual(sorted(user for user, _ in daemons), list(self.USERS))
        self.assertEqual(self.ok("grep -c ' - fuse.sessionfs ' /proc/self/mountinfo"), "2\n")
        for user in self.USERS:
            self.ok('sessionctl join "$1"', self.ok("snsd token").strip(), user=user)
            self.machine.holds("grep -q \"^endpoint: $USER-desk@verkstad.net registered\" ~/session/status", user=user)
        ports = self.ok("ss -Hltnp 'sport != :4701' | sed -n 's/.*:\\([0-9]*\\) .*\"sessionfs\".*/\\1/p'").split()
        self.assertEqual(len(set(ports)), 2, ports)
        self.assertIn("4700", ports)
        self.neither_sees_the_other()
        self.session_between_them()
        self.log_in(2)
        self.assertEqual(self.daemons(), daemons)
        self.session_between_them()

    def neither_sees_the_other(self):
        for user, other in (self.USERS, reversed(self.USERS)):
            for place in (f"/home/{other}/session", f"/home/{other}/session/status",
                          f"/home/{other}/.local/state/sessionfs"):
                self.assertNotEqual(self.machine.run('ls "$1"', place, user=user).status, 0, place)
            self.assertEqual(self.ok("stat -c %a ~/.local/state/sessionfs", user=other), "700\n")

    def session_between_them(self):
        serving = self.machine.start("exec sessionctl serve upper -- tr a-z A-Z", user="anna")
        try:
            self.machine.holds("test -e ~/session/anna-desk@verkstad.net/services/upper", user="anna")
            self.assertEqual(self.ok("echo text | sessionctl connect upper.anna-desk@verkstad.net", user="bert"),
                             "TEXT\n")
        finally:
            self.ok("pkill -u anna -x sessionctl")
            finish(serving)

    def test_what_a_killed_daemon_has_left_is_mounted_again(self):
        self.log_in(1)
        self.ok("pkill -KILL -u anna -x sessionfs")
        self.machine.holds("! ls ~/session", user="anna")
        self.log_in(3)
        self.machine.holds("test -e ~/session/status", user="anna")
        self.assertEqual(sorted(user for user, _ in self.daemons()), list(self.USERS))


class MountHelper(PlainTestCase):
    def test_mount_and_umount(self):
        self.ok("mkdir -p /srv/one; mount -t fuse.sessionfs none /srv/one -o rw,nofail,_netdev,allow_other\n"
                "mkdir /srv/one/a@local; sessionctl status\n"
                "findmnt -n -o SOURCE,FSTYPE /srv/one")
        self.ok("umount /srv/one; ! mountpoint -q /srv/one")
        self.machine.holds("! pgrep -x sessionfs")

    def test_fstab(self):
        self.ok("mkdir -p '/srv/two words' '/srv/state of two'\n"
                "echo 'endpoint = \"two@local\"' >/srv/two.toml\n"
                "printf '%s\\n' 'two /srv/two\\040words fuse.sessionfs noauto,x-systemd.automount,"
                "config=/srv/two.toml,state=/srv/state\\040of\\040two,listen=127.0.0.1:4777 0 0' >/etc/fstab\n"
                "mount '/srv/two words'; ls -d '/srv/two words/two@local' '/srv/state of two/endpoints'\n"
                "ss -Hltn 'sport = :4777' | grep -q .")
        self.assertEqual(self.ok("findmnt -n -o SOURCE '/srv/two words'"), "two\n")
        self.ok("umount '/srv/two words'")

    def test_a_user_mounts_what_fstab_lets_him(self):
        self.machine.add_user("carl")
        self.ok("echo 'none /home/carl/session fuse.sessionfs noauto,user 0 0' >/etc/fstab; mkdir ~carl/session\n"
                "chown carl: ~carl/session")
        self.ok("mount ~/session; ls ~/session/status; fusermount3 -u ~/session", user="carl")

    def test_errors(self):
        self.ok("mkdir -p /srv/three")
        for options, said in (
                ("colour=red", "sessionfs: /srv/three cannot be mounted: fuse: unknown option(s): `-o colour=red'"),
                ("nonsense", "sessionfs: /srv/three cannot be mounted: fuse: unknown option(s): `-o nonsense'"),
                ("state=", "mount.fuse.sessionfs: the option state needs a value: state=..."),
                ("config", "mount.fuse.sessionfs: the option config needs a value: config=..."),
                ("listen=here", "sessionfs: here is no address to listen on; use for example [::]:4700"),
                ("config=/no/file", "sessionfs: /no/file")):
            done = self.machine.run('mount -t fuse.sessionfs none /srv/three -o "$1"', options)
            with self.subTest(options=options):
                self.assertNotEqual(done.status, 0)
                self.assertIn(said, done.err)
                self.assertEqual(len(done.err.splitlines()), 1, done.err)
        self.ok("! mountpoint -q /srv/three")


if __name__ == "__main__":
    suite.main(also=lambda: built.why_not() or machine.why_not())
