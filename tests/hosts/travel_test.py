"""Endpoints that are saved, copied, moved and loaded while their sessions carry data in both directions."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.travelcase import TravelTestCase, command, error_of_reading  # noqa: E402
from hosts.world import DOMAIN, checked  # noqa: E402
from support import suite  # noqa: E402
from support.keeper import keeper, unmount  # noqa: E402
from support.sticks import Stick, kernel_mounts  # noqa: E402
from support.processes import SOON_S, finish, start, wait_until  # noqa: E402


class Travel(TravelTestCase):
    def test_save_and_load(self):
        traveller = self.traveller()
        report = traveller.at.path / "papers" / "report.txt"
        report.parent.mkdir()
        report.write_text("of the year", encoding="ascii")
        exchanges = [self.connect(traveller), self.answer(traveller)]
        self.goes_on(*exchanges)
        stick = self.folder()
        self.save(traveller, stick)
        self.assertFalse((self.a.daemon.mount.path / traveller.name).exists())
        self.assertEqual(os.listdir(stick), [traveller.name])
        self.assertEqual(sorted(os.listdir(stick / traveller.name)), [".endpoint", "papers"])
        self.load(traveller, stick / traveller.name, self.c)
        self.assertEqual((traveller.at.path / "papers" / "report.txt").read_text(encoding="ascii"), "of the year")
        self.goes_on(*exchanges)
        self.finish(*exchanges)

    def test_save_and_load_at_the_same_host(self):
        traveller = self.traveller()
        exchange = self.connect(traveller)
        stick = self.folder()
        for _ in range(3):
            self.goes_on(exchange)
            self.save(traveller, stick)
            self.load(traveller, stick, self.a)
            stick = self.folder()
        self.goes_on(exchange)
        self.finish(exchange)

    def test_copies_by_common_tools(self):
        # The old host is up: whatever the copy says, the handoff brings the latest.
        tools = ("cp -r -- {here} {there}", "cp -a -- {here} {there}",
                 "tar -C {up} -cf - -- {name} | tar -C {there} --no-same-owner -xf -", "rsync -a -- {here} {there}/")
        for filesystem in ("ext4", "vfat", "exfat"):
            for tool in tools if filesystem != "vfat" or kernel_mounts("vfat") else tools[:1]:
                with self.subTest(tool=tool, filesystem=filesystem), self.stick(filesystem) as stick:
                    traveller = self.traveller()
                    (traveller.at.path / "notes").write_text("kept", encoding="ascii")
                    exchanges = [self.connect(traveller), self.answer(traveller)]
                    self.goes_on(*exchanges)
                    self.copy(tool, traveller, stick)
                    self.assertTrue(traveller.is_here(), "a copy changes nothing")
                    self.goes_on(*exchanges)
                    self.load(traveller, stick / traveller.name, self.c)
                    traveller.wait_gone(self.a)
                    self.assertEqual((traveller.at.path / "notes").read_text(encoding="ascii"), "kept")
                    self.goes_on(*exchanges)
                    self.finish(*exchanges)
                    os.rmdir(self.emptied(traveller))

    @contextlib.contextmanager
    def stick(self, filesystem):
        made = Stick(self.world.folder, filesystem)
        try:
            with made.opened() as folder:
                yield folder
        finally:
            made.remove()

    def emptied(self, traveller):
        """An endpoint without documents: its folder."""
        for name in os.listdir(traveller.at.path):
            if name not in ("ctl", "status", "policy", "access", "services", "sessions", ".endpoint"):
                os.unlink(traveller.at.path / name)
        return traveller.at.path

    def test_moves_and_saves_and_the_old_host_is_down(self):
        for filesystem in ("ext4", "exfat", *(["vfat"] if kernel_mounts("vfat") else [])):
            for way in (lambda traveller, stick: self.copy("mv -- {here} {there}", traveller, stick), self.save):
                with self.subTest(filesystem=filesystem), self.stick(filesystem) as stick:
                    traveller = self.traveller()
                    (traveller.at.path / "notes").write_text("kept", encoding="ascii")
                    exchanges = [self.connect(traveller), self.answer(traveller)]
                    self.goes_on(*exchanges)
                    way(traveller, stick)
                    traveller.wait_gone(self.a)
                    self.a.link_down()
                    try:
                        self.load(traveller, stick / traveller.name, self.c)
                        self.assertEqual((traveller.at.path / "notes").read_text(encoding="ascii"), "kept")
                        self.goes_on(*exchanges)
                        self.finish(*exchanges)
                    finally:
                        self.a.link_up()
                    os.rmdir(self.emptied(traveller))

    def test_an_old_copy_and_the_old_host_is_down(self):
        # What was carried on after the copy is known to nobody else than a host that does not answer.
        traveller = self.traveller()
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        stick = self.folder()
        self.copy("cp -r -- {here} {there}", traveller, stick)
        self.goes_on(exchange)
        self.a.link_down()
        self.addCleanup(self.a.link_up)
        exchange.end()
        self.load(traveller, stick, self.c)
        ours, theirs = traveller.session(exchange.ours), exchange.theirs
        for file in (ours, theirs):
            self.assertEqual(error_of_reading(file), errno.ECONNRESET, file)
        for endpoint in (traveller.at, self.at_b):
            self.assertIn(os.strerror(errno.ECONNRESET), endpoint.status())
        # The former residence learns of it when it is back.
        self.a.link_up()
        traveller.wait_gone(self.a)
        self.assertIn(f"{traveller.name}: superseded", self.a.daemon.mount.status())

    def written(self, traveller, **documents):
        for name, content in documents.items():
            (traveller.at.path / name).write_text(content)

    def documents(self, traveller):
        return {path.relative_to(traveller.at.path).as_posix(): path.read_text()
                for path in traveller.at.path.rglob("*")
                if path.is_file() and path.relative_to(traveller.at.path).parts[0] not in
                ("ctl", "status", "policy", "access", "services", "sessions", ".endpoint")}

    def copied_and_changed(self):
        """A copy, and what has become of its documents at A since."""
        traveller = self.traveller()
        (traveller.at.path / "deep").mkdir()
        self.written(traveller, changed="before", removed="x", same="same", **{"deep/status": "before"})
        stick = self.folder()
        self.copy("cp -r -- {here} {there}", traveller, stick)
        self.written(traveller, changed="after", new="n", **{"deep/status": "after"})
        (traveller.at.path / "removed").unlink()
        (traveller.at.path / "folder").mkdir()
        self.written(traveller, **{"folder/deep": "d"})
        return traveller, stick, self.documents(traveller)

    def test_the_former_host_hands_over_documents(self):
        traveller, stick, documents = self.copied_and_changed()
        self.load(traveller, stick, self.c)
        wait_until(traveller.is_used, "it is loaded at C", SOON_S)
        self.assertEqual(self.documents(traveller), documents)
        self.assertEqual((documents["changed"], documents["deep/status"]), ("after", "after"))
        # Whoever has changed the copy itself finds that beside it.
        replaced = Path(f"{stick}/{traveller.name}.replaced.1")
        self.assertEqual({path.name: path.read_text() for path in replaced.rglob("*") if path.is_file()},
                         {"changed": "before", "removed": "x", "same": "same", "status": "before"})
        wait_until(lambda: not (self.a.daemon.state / "former" / traveller.name).exists(), "A keeps nothing", SOON_S)
        self.assertNotIn(f"{traveller}: documents of a former", self.a.daemon.mount.status())
        # From there on its documents are not C's own; where they are the same they are not kept twice.
        second = self.folder()
        self.copy("cp -r -- {here} {there}", traveller, second)
        (traveller.at.path / "same").chmod(0o600)
        self.load(traveller, second, self.a)
        wait_until(traveller.is_used, "it is loaded at A", SOON_S)
        self.assertEqual(self.documents(traveller), documents)
        self.assertEqual((traveller.at.path / "same").stat().st_mode & 0o777, 0o600)
        wait_until(lambda: os.listdir(second) == [traveller.name], "nothing lies beside it", SOON_S)
        self.written(traveller, changed="again")
        third = self.folder()
        self.copy("cp -r -- {here} {there}", traveller, third)
        self.written(traveller, changed="at last")
        self.load(traveller, third, self.c)
        wait_until(traveller.is_used, "it is loaded at C", SOON_S)
        self.assertEqual(self.documents(traveller), documents | {"changed": "at last"})

    def test_documents_are_asked_for_again_when_their_connection_is_lost(self):
        traveller, stick = self.traveller(), self.folder()
        self.copy("cp -r -- {here} {there}", traveller, stick)
        (traveller.at.path / "film").write_bytes(os.urandom(1 << 20) * 200)
        load = threading.Thread(target=self.load, args=(traveller, stick, self.c))
        load.start()
        try:
            wait_until((stick / f"{traveller.name}.handed.1").exists, "they come", SOON_S)
            self.a.kill_connections(self.c)
        finally:
            load.join()
        wait_until(traveller.is_used, "it is loaded at C", SOON_S)
        self.assertEqual((traveller.at.path / "film").stat().st_size, 200 << 20)

    def test_documents_that_find_no_room_stay_where_they_are(self):
        traveller = self.traveller()
        exchange = self.connect(traveller)
        self.written(traveller, small="before")
        stick = self.small(8 << 10)
        self.copy("cp -r -- {here} {there}", traveller, stick)
        (traveller.at.path / "film").write_bytes(bytes(16 << 20))
        self.written(traveller, small="after")
        self.goes_on(exchange)
        self.load(traveller, stick, self.c)
        wait_until(traveller.is_used, "it is loaded at C", SOON_S)
        self.goes_on(exchange)
        self.assertEqual(self.documents(traveller), {"small": "before"})
        wait_until(lambda: os.listdir(stick) == [traveller.name], "nothing lies beside it", SOON_S)
        for _ in range(2):
            line = next(line for line in self.a.daemon.mount.status().splitlines() if f"{traveller}: documents of a former" in line)
            kept = Path(line.split(" are in ")[1].split(";")[0])
            self.assertEqual((kept / "small").read_text(), "after")
            self.assertEqual((kept / "film").stat().st_size, 16 << 20)
            self.a.daemon.restart()
        self.finish(exchange)

    def test_two_copies_are_loaded(self):
        traveller = self.traveller()
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        sticks = [self.folder(), self.folder()]
        for stick in sticks:
            self.copy("cp -r -- {here} {there}", traveller, stick)
        self.goes_on(exchange)
        self.load(traveller, sticks[0], self.c)
        self.goes_on(exchange)
        # The second one takes over from the first one, which says so.
        self.load(traveller, sticks[1], self.a)
        traveller.wait_gone(self.c)
        self.assertIn(f"{traveller.name}: superseded", self.c.daemon.mount.status())
        self.goes_on(exchange)
        self.finish(exchange)

    def test_the_former_host_is_found_later(self):
        # The record is whole, only the way to the former host is away: it is loaded all the same, and nothing is lost
        # when nothing was carried since.
        traveller = self.traveller()
        exchange = self.connect(traveller, size=1 << 20)
        exchange.finish()
        stick = self.folder()
        self.copy("cp -r -- {here} {there}", traveller, stick)
        self.a.link_down()
        self.load(traveller, stick, self.c)
        self.a.link_up()
        traveller.wait_gone(self.a)
        self.assertTrue(traveller.is_here())

    def test_a_passphrase(self):
        traveller = self.traveller()
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        stick = self.folder()
        self.save(traveller, stick, "correct horse")
        record = (stick / traveller.name / ".endpoint").read_bytes()
        self.assertNotIn(b"PRIVATE KEY", record)
        for wrong, error in ((None, errno.ENOKEY), ("battery staple", errno.EKEYREJECTED)):
            self.assert_errno(error, self.load, traveller, stick, self.c, wrong)
            self.assertIn("passphrase", self.c.daemon.mount.status())
        self.load(traveller, stick, self.c, "correct horse")
        self.goes_on(exchange)
        # It stays sealed wherever it is written.
        copied = self.folder()
        self.copy("cp -r -- {here} {there}", traveller, copied)
        self.assertNotIn(b"PRIVATE KEY", (copied / traveller.name / ".endpoint").read_bytes())
        self.finish(exchange)

    def test_sessionctl(self):
        traveller, stick = self.traveller(), self.folder()
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        record = stick / traveller.name
        self.control(self.a, "save", traveller.name, stick, "--passphrase", typed="open sesame\n")
        self.assertRegex(self.control(self.a, "inspect", record), "a sealed record of .*; add --passphrase")
        shown = self.control(self.a, "inspect", record, "--passphrase", typed="open sesame\n")
        self.assertIn(f"endpoint: {traveller.name}\n  generation: 1\n", shown)
        self.assertRegex(shown, rf"{exchange.ours} +{self.at_b.name} +file +open ")
        self.assertNotIn("PRIVATE", shown)
        for typed, word in (("open barley\n", "does not open with this passphrase"), ("", "holds no passphrase")):
            said = self.control(self.c, "load", record, "--passphrase", typed=typed, status=1)
            self.assertRegex(said, f"^sessionctl: .*{word}.*\n$")
        said = self.control(self.c, "load", record, status=1)
        self.assertRegex(said, "^sessionctl: load: .*: its record is sealed; load it with its passphrase: add --passphrase\n$")
        self.control(self.c, "load", record, "--passphrase", typed="open sesame\n")
        traveller.is_at(self.c)
        self.goes_on(exchange)
        self.control(self.c, "save", traveller.name)
        self.assertRegex(self.control(self.c, "save", traveller.name, status=1), "does not reside on this host")
        self.control(self.c, "load", record, "--passphrase", typed="open sesame\n")
        self.finish(exchange)
        said = self.control(self.c, "eject", "/dev/nowhere", status=1)
        self.assertRegex(said, "^sessionctl: eject: no medium is named .*\n$")
        self.assertRegex(self.control(self.c, "inspect", "/dev/null", status=1), "is no plain file; .*\n$")

    def control(self, host, *words, typed="", status=0):
        """What sessionctl has said; it must end with this status."""
        result = subprocess.run([os.environ["SESSIONCTL_BIN"], "--mount", str(host.daemon.mount.path), *map(str, words)],
                                input=typed, capture_output=True, text=True, timeout=SOON_S, check=False)
        self.assertEqual(result.returncode, status, result)
        return result.stderr if status else result.stdout

    def test_what_is_refused(self):
        traveller = self.traveller()
        stick = self.folder()
        linked = self.folder() / "link"  # to where the daemon would wait for itself
        linked.symlink_to(self.a.daemon.mount.path)
        for line, endpoint, error in (
                (f"save {stick}", self.at_a.name, errno.EBUSY),
                ("save", traveller.name, errno.EINVAL),
                (f"save {stick}/no/where", traveller.name, errno.ENOENT),
                (f"save {self.a.daemon.mount.path}/x", traveller.name, errno.EINVAL),
                (f"load {traveller.at.path}", None, errno.EINVAL),
                (f"load {linked}/{self.at_a.name}", None, errno.EINVAL),
                (f"load {stick}", None, errno.ENOENT),
                (f"load {stick}/nothing", None, errno.ENOENT),
                ("load", None, errno.EINVAL),
                ("load /etc/passwd", None, errno.ENOTDIR)):
            with self.subTest(line=line):
                self.assert_errno(error, command, self.a.daemon.mount, line, endpoint)
                status = self.a.daemon.mount.path / (endpoint or "") / "status"
                self.assertIn(f"last error: {line.split()[0]}: ", status.read_text(encoding="utf-8"))
        self.copy("cp -r -- {here} {there}", traveller, stick)
        self.assert_errno(errno.EEXIST, command, self.a.daemon.mount, f"load {stick}")
        self.assert_errno(errno.EEXIST, command, self.a.daemon.mount, f"save {stick}", traveller.name)
        self.assertTrue(traveller.is_here())

    def test_nothing_can_be_used_while_it_is_saved_but_documents(self):
        # An application that has a session open saves its state, and closes.
        traveller = self.traveller()
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        exchange.end()
        script = ('exec 3< "$1"; while head -c 1 <&3 > "$2/seen" && [[ -s $2/seen ]]; do :; done; '
                  'echo where I was > "$2/.state.reader.1"; exec 3<&-')
        reader = start(["bash", "-c", script, "-", str(traveller.at.sessions / exchange.ours), str(traveller.at.path)],
                       stdout=-1, stderr=-1, text=True)
        wait_until((traveller.at.path / "seen").exists, "the application reads", SOON_S)
        stick = self.folder()
        self.save(traveller, stick)
        finish(reader, SOON_S)
        self.assertEqual((stick / traveller.name / ".state.reader.1").read_text(encoding="ascii"), "where I was\n")

    def test_an_endpoint_on_a_stick_is_saved_to_it(self):
        traveller = self.traveller()
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        stick = self.folder()
        self.save(traveller, stick)
        for host in (self.c, self.a, self.c):
            self.load(traveller, stick, host)
            (traveller.at.path / host.letter).touch()
            self.assertTrue((stick / traveller.name / host.letter).exists(), "its documents stay on the stick")
            self.goes_on(exchange)
            command(host.daemon.mount, "save", traveller.name)
            traveller.wait_gone(host)
        self.load(traveller, stick, self.a)
        self.finish(exchange)

    def test_a_restarted_daemon_goes_on_with_what_was_loaded(self):
        traveller = self.traveller()
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        stick = self.folder()
        self.save(traveller, stick)
        self.load(traveller, stick, self.c)
        self.goes_on(exchange)
        self.c.daemon.kill()
        self.c.daemon.start()
        self.goes_on(exchange)
        self.finish(exchange)

    def small(self, kib):
        """A stick without room."""
        folder = self.folder()
        checked("mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder))
        keeper.add("mount", str(folder))
        self.addCleanup(unmount, str(folder))
        return folder

    def test_a_stick_that_is_full(self):
        traveller = self.traveller()
        exchange = self.connect(traveller)
        (traveller.at.path / "film").write_bytes(bytes(1 << 20))
        for way in (lambda stick: self.assert_errno(errno.EIO, self.save, traveller, stick),
                    lambda stick: self.assertNotEqual(self.shell(f"mv -- {traveller.at.path} {stick}").status, 0)):
            self.goes_on(exchange)
            way(self.small(512))
            self.assertTrue(traveller.is_here())
            self.assertEqual((traveller.at.path / "film").stat().st_size, 1 << 20)
            self.goes_on(exchange)
        self.assertIn("No space left", traveller.at.status())
        self.finish(exchange)

    def shell(self, line):
        return finish(start(["bash", "-c", line], stdout=-1, stderr=-1, text=True), SOON_S)

    def test_a_copy_disturbs_nothing_though_its_tool_waits(self):
        # A program that has read the record and then goes on for long: the sessions are held for a moment only.
        traveller = self.traveller()
        exchange = self.connect(traveller)
        self.goes_on(exchange)
        record = os.open(traveller.at.path / ".endpoint", os.O_RDONLY | os.O_NOFOLLOW)
        try:
            size = os.fstat(record).st_size
            content = b""
            while part := os.read(record, 1 << 20):
                content += part
            self.assertEqual(len(content), size)
            self.goes_on(exchange)
        finally:
            os.close(record)
        # What it removes now it has not copied.
        self.assert_errno(errno.EBUSY, os.unlink, traveller.at.path / ".endpoint")
        self.assertTrue(traveller.is_here())
        self.finish(exchange)

    def test_a_move_that_does_not_end(self):
        # Killed in the midst: what it has not removed goes on here.
        traveller = self.traveller()
        exchange = self.connect(traveller)
        (traveller.at.path / "one").touch()
        self.goes_on(exchange)
        script = ("import os, sys\npath = sys.argv[1]\nfile = os.open(path + '/.endpoint', os.O_RDONLY | os.O_NOFOLLOW)\n"
                  "while os.read(file, 1 << 20): pass\nos.unlink(path + '/ctl')\n")
        result = finish(start([sys.executable, "-c", script, str(traveller.at.path)], stderr=-1, text=True), SOON_S)
        self.assertEqual(result.status, 0, result)
        self.goes_on(exchange)
        self.finish(exchange)

    def test_a_revoked_endpoint_cannot_be_loaded(self):
        traveller = self.traveller()
        stick = self.folder()
        self.save(traveller, stick)
        self.c.run(os.environ["SNSD_BIN"], "revoke", traveller.name, "--domain", DOMAIN, "--state",
                   str(Path(self.world.folder, "sns")))
        self.assert_errno(errno.EKEYREJECTED, self.load, traveller, stick, self.c)
        self.assertIn("revoked", self.c.daemon.mount.status())


if __name__ == "__main__":
    suite.main(hosts=True)
