"""The daemon's end and a new start on the same state: all is there, and sessions go on at exactly the next byte."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import Daemon, opened, read_exactly, state_word, write_all  # noqa: E402
from support.keeper import remove_folder, temporary_folder  # noqa: E402
from support.local import LISTEN  # noqa: E402
from support.processes import AT_ONCE_S, SOON_S, shell_ok, start, wait_until  # noqa: E402


class Restart(suite.TestCase):
    def setUp(self):
        folder = temporary_folder()
        self.addCleanup(remove_folder, folder)
        self.daemon = Daemon(folder, listen=LISTEN)
        self.addCleanup(self.daemon.stop)
        self.daemon.start()
        self.mount = self.daemon.mount
        self.server = self.mount.endpoint("server@local")
        self.client = self.mount.endpoint("client@local")
        self.server.serve("s")
        self.ours = self.client.dial(self.server, "s")
        self.theirs = self.server.accept("s")

    def describe(self):
        return self.daemon.describe()

    def active(self):
        wait_until(lambda: state_word(self.ours) == "active", "the session is active again", SOON_S)

    def test_all_is_there_again(self):
        shell_ok('cd "$E"; echo text > report; mkdir photos; echo "deny other *" > access; echo stay > policy',
                 E=self.server)
        self.server.serve("second")
        before = sorted(os.listdir(self.mount.path))
        self.daemon.restart()
        self.assertEqual(sorted(os.listdir(self.mount.path)), before)
        self.assertEqual(sorted(os.listdir(self.server.services)), ["s", "second"])
        self.assertEqual(os.listdir(self.server.sessions), [self.theirs.name])
        self.assertEqual(os.listdir(self.client.sessions), [self.ours.name])
        self.assertEqual((self.server.path / "report").read_text(), "text\n")
        self.assertTrue((self.server.path / "photos").is_dir())
        self.assertEqual((self.server.path / "access").read_text(), "deny other *\n")
        self.assertEqual((self.server.path / "policy").read_text(), "stay\n")
        self.client.dial(self.server, "second")

    def test_a_session_goes_on_with_not_a_byte_lost(self):
        wanted = bytes(range(256)) * 8
        sent = got = 0
        for turn in range(4):
            with opened(self.ours, os.O_WRONLY) as out, opened(self.theirs, os.O_RDONLY) as source:
                write_all(out, wanted[sent:sent + 512])
                sent += 512
                part = read_exactly(source, 300)
                self.assertEqual(part, wanted[got:got + 300])
                got += 300
            if turn % 2:
                self.daemon.restart()
            else:  # as a crash
                self.daemon.kill()
                self.daemon.start()
        shell_ok('rm "$F"', F=self.ours)
        self.assertEqual(Path(self.theirs).read_bytes(), wanted[got:])

    def test_what_waits_in_full_buffers_is_not_lost(self):
        wanted = os.urandom(1_000_003)
        with opened(self.ours, os.O_WRONLY | os.O_NONBLOCK) as out:
            taken = 0
            while taken < len(wanted):
                try:
                    taken += os.write(out, wanted[taken:taken + 65536])
                except BlockingIOError:
                    break
        self.daemon.restart()
        with opened(self.theirs, os.O_RDONLY) as source:
            self.assertEqual(read_exactly(source, taken), wanted[:taken])

    def test_suspended_and_finished_stay_so(self):
        self.client.command(f"finish {self.ours.name}")
        self.server.command("suspend")
        self.daemon.restart()
        self.assertEqual(state_word(self.theirs), "suspended")
        self.server.command("resume")
        self.assertEqual(Path(self.theirs).read_bytes(), b"")
        with self.assertRaises(BrokenPipeError), opened(self.ours, os.O_WRONLY) as out:
            os.write(out, b"x")

    def test_closed_before_the_restart_is_delivered_after_it(self):
        self.server.command("suspend")
        shell_ok('echo last > "$F"; rm "$F"', F=self.ours)
        self.daemon.restart()
        self.server.command("resume")
        reader = start(["cat", str(self.theirs)], stdout=subprocess.PIPE)
        self.assertEqual(reader.communicate(timeout=SOON_S)[0], b"last\n")

    def test_a_session_that_waits_to_be_accepted(self):
        self.client.dial(self.server, "s", "waiting")
        self.daemon.restart()
        self.active()
        self.assertEqual(self.server.accept("s").name, "s~client@local~2")

    def test_removed_stays_removed(self):
        os.unlink(self.server.services / "s")
        shell_ok('rmdir "$E"', E=self.client)
        self.daemon.restart()
        self.assertFalse(self.client.path.exists())
        self.assertEqual(os.listdir(self.server.services), [])

    def test_an_endpoint_removed_before_it_has_delivered_delivers_after_it(self):
        self.server.command("suspend")
        shell_ok('echo last > "$F"; rmdir "$E"', F=self.ours, E=self.client)
        self.daemon.restart()
        self.assertFalse(self.client.path.exists())
        self.server.command("resume")
        reader = start(["cat", str(self.theirs)], stdout=subprocess.PIPE)
        self.assertEqual(reader.communicate(timeout=SOON_S)[0], b"last\n")
        shell_ok('rm "$F"', F=self.theirs)
        place = self.daemon.state / "endpoints" / "client@local"
        wait_until(lambda: not place.exists(), f"nothing is left in {place}", SOON_S)

    def test_a_clean_end_is_remembered_after_a_kill(self):
        shell_ok('echo last > "$F"; rm "$F"', F=self.ours)
        shell_ok('cat "$F" > /dev/null; rm "$F"', F=self.theirs)
        wait_until(lambda: not os.listdir(self.daemon.state / "endpoints" / "client@local" / "sessions"),
                   "the session is over", SOON_S)
        self.daemon.kill()
        for name, peer in (("client@local", b"server@local"), ("server@local", b"client@local")):
            ended = (self.daemon.state / "endpoints" / name / "ended").read_bytes()
            self.assertIn(peer, ended, f"{name} remembers its session with {peer}")
        self.daemon.start()

    def test_endpoints_of_another_domain_stay_where_they_are(self):
        shell_ok('echo text > "$E/report"', E=self.server.path)
        self.daemon.stop()
        self.daemon.config.write_text('domain = "verkstad.test"\n')
        self.daemon.start()
        self.assertIn("server@local: not loaded: this host is configured for the domain verkstad.test",
                      self.mount.status())
        self.daemon.stop()
        self.daemon.config.write_text("")
        self.daemon.start()
        self.assertEqual((self.server.path / "report").read_text(), "text\n")
        self.active()

    def test_a_damaged_record_is_set_aside_once_and_the_others_load(self):
        self.daemon.stop()
        endpoints = self.daemon.state / "endpoints"
        record = endpoints / "client@local" / ".endpoint"
        content = bytearray(record.read_bytes())
        content[len(content) // 2] ^= 1
        record.write_bytes(content)
        for _ in range(2):
            self.daemon.start()
            self.assertTrue(self.server.path.exists())
            self.assertFalse(self.client.path.exists())
            self.daemon.stop()
        self.assertEqual([name for name in os.listdir(endpoints) if "damaged" in name], ["client@local.damaged"])

    def test_ten_restarts_in_a_row(self):
        for _ in range(10):
            self.daemon.restart()
        self.active()
        shell_ok('echo x > "$F"', F=self.ours)
        self.assertEqual(shell_ok('head -n 1 "$F"', F=self.theirs, limit_s=AT_ONCE_S), "x\n")


if __name__ == "__main__":
    suite.main()
