"""The installed package on a running systemd: the units of users, of the host and of the name server, and the way out."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import built  # noqa: E402
import machine  # noqa: E402
from support import suite  # noqa: E402
from support.processes import SOON_S, wait_until  # noqa: E402

# Exposure to the rest of the system as systemd-analyze counts it, in tenths: below 50 is "OK". What mounts for others
# can hide nothing of the file system from itself, nor give up its capabilities.
MOST_EXPOSED = {"snsd.service": 20, "sessionfs@session.service": 55}


class SystemdTestCase(suite.TestCase):
    limit_s = 240

    @classmethod
    def setUpClass(cls):
        cls.machine = machine.Machine(systemd=True)
        cls.machine.__enter__()
        cls.addClassCleanup(cls.machine.__exit__)
        cls.ok, cls.holds = cls.machine.ok, cls.machine.holds

    @classmethod
    def add_user(cls, name):
        """With a systemd of his own that runs."""
        cls.machine.add_user(name)
        cls.ok('loginctl enable-linger "$1"; systemctl start "user@$(id -u "$1")"', name)
        cls.holds("systemctl --user list-units >/dev/null", user=name)

    def main_process(self, unit, user=None):
        systemctl = "systemctl --user" if user else "systemctl"
        return int(self.ok(f"{systemctl} show --property MainPID --value {unit}", user=user))

    def killed_and_back(self, unit, user=None):
        """Kills the daemon of a unit, and waits until another one runs."""
        before = self.main_process(unit, user)
        self.assertGreater(before, 1)
        self.ok("kill -KILL $1", before)
        systemctl = "systemctl --user" if user else "systemctl"
        wait_until(lambda: self.main_process(unit, user) not in (0, before), f"{unit} is started again", SOON_S)
        self.holds(f"{systemctl} is-active --quiet {unit}", user=user)

    def describe(self):
        return self.machine.run("journalctl --no-pager -n 60").out


class Units(SystemdTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.machine.install(built.package())
        cls.add_user("anna")

    def test_systemd_finds_no_fault(self):
        done = self.machine.run("systemd-analyze verify --recursive-errors=no sessionfs@session.service snsd.service\n"
                                "XDG_RUNTIME_DIR=/run systemd-analyze --user verify --recursive-errors=no "
                                "sessionfs.service")
        self.assertEqual((done.status, done.out, done.err), (0, "", ""))
        for unit, most in MOST_EXPOSED.items():
            self.ok("systemd-analyze security --threshold=$1 $2 >/dev/null", most, unit)

    def test_of_a_user(self):
        def anna(script):
            return self.ok(script, user="anna")
        anna("systemctl --user enable --now sessionfs")
        anna("mkdir session/a@local session/b@local; touch session/a@local/services/s\n"
             "echo one >session/b@local/sessions/s.a@local\n"
             "printf '%s' \"$(head -n 1 session/a@local/services/s)\" >accepted")
        # What was started for an endpoint that has come.
        anna("mkdir -p .config/sessionfs/apps.d\n"
             "printf '#!/bin/sh\\necho $$ >~/app\\nexec sleep 1000\\n' >.config/sessionfs/apps.d/worker\n"
             "chmod 700 .config/sessionfs/apps.d .config/sessionfs/apps.d/worker\n"
             "mkdir session/c@local; echo >session/c@local/.state.worker.1\n"
             "sessionctl save c@local ~/saved; sessionctl load ~/saved")
        self.holds("test -s app", user="anna")
        self.killed_and_back("sessionfs", user="anna")
        anna("kill -0 $(cat app)")
        anna("systemctl --user restart sessionfs; kill -0 $(cat app)")
        anna("echo two >session/b@local/sessions/s.a@local")
        got = anna('timeout 30 head -n 2 "session/a@local/sessions/$(cat accepted)" 2>/dev/null')
        self.assertEqual(got, "one\ntwo\n")
        anna("systemctl --user stop sessionfs; kill -0 $(cat app); kill $(cat app); ! mountpoint -q session")

    def test_of_the_host(self):
        self.ok("systemctl enable --now sessionfs@session")
        self.ok("sessionctl --mount /session status; mkdir /session/a@local; echo text >/session/a@local/document")
        self.assertEqual(self.ok("cat /session/a@local/document", user="anna"), "text\n")
        self.assertEqual(self.ok("stat -c '%a %U' /var/lib/sessionfs"), "700 root\n")
        self.killed_and_back("sessionfs@session")
        self.assertEqual(self.ok("cat /session/a@local/document", user="anna"), "text\n")
        self.ok("systemctl stop sessionfs@session; ! mountpoint -q /session; systemctl disable sessionfs@session")

    def test_bad_configuration_is_given_up(self):
        self.ok("echo 'no_key = 1' >>/etc/sessionfs/config.toml")
        self.assertNotEqual(self.machine.run("systemctl start sessionfs@other").status, 0)
        self.holds("systemctl is-failed --quiet sessionfs@other")
        self.assertIn("no_key is no key", self.ok("journalctl -u sessionfs@other"))
        self.ok("sed -i '$d' /etc/sessionfs/config.toml; systemctl reset-failed sessionfs@other")

    def test_name_server(self):
        self.assertNotEqual(self.machine.run("systemctl start snsd").status, 0, "it has no domain yet")
        self.assertEqual(self.ok("systemctl show -p NRestarts --value snsd"), "0\n")
        self.ok("sed -i 's/^#SNSD/SNSD/' /etc/default/snsd; systemctl enable --now snsd")
        self.assertTrue(self.ok("snsd token").startswith("sns1-"))
        self.killed_and_back("snsd")
        before = self.ok("snsd export")
        # Root restores it for a server that is not root.
        self.ok("snsd export -o /root/names; systemctl stop snsd; rm /var/lib/snsd/*; snsd import /root/names\n"
                "systemctl start snsd; snsd token")
        self.assertEqual(self.ok("snsd export"), before)
        self.ok("mkdir -p .config/sessionfs; "
                "printf 'domain = \"verkstad.net\"\\n[sns]\\n\"verkstad.net\" = \"10.79.0.2:4701\"\\n' "
                ">.config/sessionfs/config.toml", user="anna")
        self.ok("systemctl --user restart sessionfs", user="anna")
        self.ok('sessionctl join "$1"; rm .config/sessionfs/config.toml', self.ok("snsd token").strip(), user="anna")
        self.ok("systemctl --user stop sessionfs", user="anna")
        self.assertIn("member", self.ok("snsd members"))


class Leaving(SystemdTestCase):
    def files(self):
        """All that a package could leave, without what dpkg, systemd and useradd keep of their own."""
        return set(self.ok("find /etc /usr /var /lib/systemd -xdev \\( -path '*/dpkg/*' -o -path '*/cache/*' "
                           "-o -path '/var/log/*' -o -path '/var/tmp/*' -o -path '/etc/*-' -o -path /var/lib/systemd/linger \\) "
                           "-prune -o -print").splitlines())

    def test_nothing_is_left(self):
        package = built.package()
        before = self.files()
        self.machine.install(package)
        self.add_user("anna")
        self.ok("sed -i 's/^#SNSD/SNSD/' /etc/default/snsd; systemctl enable --now snsd sessionfs@session")
        self.ok("systemctl --global enable sessionfs")
        self.ok("systemctl --user daemon-reload; systemctl --user start sessionfs", user="anna")
        self.ok("dpkg --remove sessionfs")
        self.ok("! pgrep -x 'sessionfs|snsd'; ! mountpoint -q /session; ls /var/lib/snsd/ /var/lib/sessionfs/")
        self.machine.install(package)
        self.ok("systemctl start sessionfs@session; dpkg --purge sessionfs; dpkg --purge sessionfs")
        self.ok("userdel -r anna 2>/dev/null || :")
        self.assertEqual(sorted(self.files() - before), [])


if __name__ == "__main__":
    suite.main(also=lambda: built.why_not() or machine.why_not())
