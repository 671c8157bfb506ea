"""The program `sessionctl`: what it shows and does, exit statuses, one line that says why."""

import json
import os
import re
import select
import shutil
import signal
import sys
import termios
import unittest
import unittest.mock
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import Daemon, Program, opened, read_exactly, state_word, write_all  # noqa: E402
from support.keeper import keeper, remove_folder, temporary_folder  # noqa: E402
from support.local import LISTEN, LocalTestCase  # noqa: E402
from support.processes import SOON_S, finish, kill_group, run, start, wait_until  # noqa: E402

DOMAIN = "verkstad.net"
MANUAL = Path(__file__).resolve().parents[2] / "packaging" / "man" / "sessionctl.1.scd"
COLUMNS = ["SESSION", "STATE", "SINCE", "HELD", "WAITING"]
PLACE = r"(127\.0\.0\.1|\[::1\]):[0-9]+"
CONNECTION = re.compile(rf"(\S+): ({PLACE}) to ({PLACE})")
BAD_WORDS = ("", " ", "a b", "a\nabort b", "a\tb", "\x1b[2J")
# As root, in a mount namespace in which $1 is the only mount of sessionfs, whatever else runs on this machine.
ALONE = r"""
while read -r _ _ _ _ place rest; do
  [[ $rest == *' - fuse.sessionfs '* ]] || continue
  place=$(printf %b "${place//\\/\\0}")
  [[ $place == "$1" ]] || umount -l "$place"
done < /proc/self/mountinfo
shift
exec "$@"
"""
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def program():
    return os.environ["SESSIONCTL_BIN"]


def without_mount():
    return {name: value for name, value in os.environ.items() if name != "SESSIONFS_MOUNT"}


class Sessionctl:
    """What the tests ask of the program."""

    def ctl(self, *arguments, mount=None, env=None, enter=()):
        place = ["--mount", str(mount)] if mount else []
        return run([*enter, program(), *place, *map(str, arguments)], env=env or without_mount())

    def succeeds(self, *arguments, **options):
        result = self.ctl(*arguments, **options)
        self.assertEqual((result.status, result.err), (0, ""), result)
        return result.out

    def fails(self, status, words, *arguments, **options):
        result = self.ctl(*arguments, **options)
        self.assertEqual((result.status, result.out), (status, ""), result)
        self.assertEqual(result.err.count("\n"), 1, f"one line says why: {result}")
        self.assertTrue(result.err.startswith("sessionctl: ") and result.err.endswith("\n"), result)
        self.assertTrue(result.err[:-1].isprintable(), f"nothing that a terminal obeys: {result}")
        for word in words:
            self.assertIn(word, result.err)


class Usage(Sessionctl, suite.TestCase):
    def test_help_and_version(self):
        text = self.succeeds("--help")
        for command in ("status", "top", "join", "suspend", "resume", "finish", "rebind", "load", "save", "eject", "inspect"):
            self.assertRegex(text, rf"(?m)^  {command} ")
            self.assertIn(f"sessionctl {command}", self.succeeds(command, "--help"))
        self.assertRegex(self.succeeds("--version"), r"^sessionctl [0-9]+\.[0-9]+")

    def test_bad_usage(self):
        for arguments in ([], ["jump"], ["--no-such-option", "status"], ["status", "a@local", "b@local"], ["join"],
                          ["load"], ["load", "a", "b"], ["save"], ["save", "a@b", "c", "d"], ["eject"], ["inspect"],
                          ["finish"], ["suspend", "a", "b"], ["suspend", "--at"], ["status", "--mount"],
                          ["suspend", "a", "\x1b[2J\n"]):
            with self.subTest(arguments=arguments):
                self.fails(2, ["see sessionctl --help"], *arguments)

    def test_words_that_would_be_another_command(self):
        for word in BAD_WORDS:
            for arguments in (["suspend", word], ["resume", word], ["finish", word], ["rebind", word], ["join", word],
                              ["status", word], ["suspend", "--at", word]):
                with self.subTest(arguments=arguments):
                    self.fails(2, ["see sessionctl --help"], *arguments)
        for path in ("", "a\nload b"):
            for arguments in (["load", path], ["save", "a@b", path], ["eject", path], ["inspect", path]):
                with self.subTest(arguments=arguments):
                    self.fails(2, ["see sessionctl --help"], *arguments)
        self.fails(2, ["--mount", "is empty"], "--mount", "", "status")

    def test_what_is_no_mount(self):
        folder = temporary_folder()
        self.addCleanup(remove_folder, folder)
        for place in (f"{folder}/nowhere", folder, __file__, "/dev/null", f"{folder}/\x1b[2J\n"):
            for arguments in (["status"], ["suspend"], ["join", "x"]):
                with self.subTest(place=place, arguments=arguments):
                    self.fails(1, ["is no mount of sessionfs"], *arguments, mount=place)
                    self.fails(1, ["is no mount of sessionfs"], *arguments,
                               env={**os.environ, "SESSIONFS_MOUNT": place})

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "a mount namespace needs root")
    def test_without_a_mount(self):
        enter = ["unshare", "--mount", "bash", "-c", ALONE, "bash", "/nowhere"]
        self.fails(1, ["sessionfs is not mounted", "sessionfs MOUNTPOINT"], "status", enter=enter)


class Status(Sessionctl, LocalTestCase):
    def status(self, *arguments):
        return self.succeeds("status", *arguments, mount=self.mount.path)

    def rows(self, endpoint):
        """The table of an endpoint: {session: {column: cell}}, and the remarks: {session: [line]}."""
        lines = self.status(endpoint.name).splitlines()
        head = next(at for at, line in enumerate(lines) if line.split() == COLUMNS)
        starts = [lines[head].index(column) for column in COLUMNS] + [None]
        rows, remarks, name = {}, {}, None
        for line in lines[head + 1:]:
            if line.startswith("   "):
                remarks[name].append(line.strip())
                continue
            cells = [line[begin:end].strip() for begin, end in zip(starts, starts[1:])]
            name, remarks[cells[0]] = cells[0], []
            rows[name] = dict(zip(COLUMNS, cells))
        return rows, remarks

    def connection(self, endpoint, session):
        """(interface, local, remote) of a session; None while it has none."""
        found = [CONNECTION.fullmatch(remark) for remark in self.rows(endpoint)[1][session.name]]
        return next(((match[1], match[2], match[4]) for match in found if match), None)

    def json(self, *arguments):
        return json.loads(self.status("--json", *arguments))

    def test_the_host_and_its_endpoints(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("file")
        server.serve("print")
        client.dial(server, "file")
        text = self.status()
        self.assertTrue(text.startswith(f"{self.mount.path}: domain local, name server in this daemon\n"), text)
        self.assertRegex(text, r"\n  interfaces: .*\blo up")
        parts = {part.split(":")[0]: part for part in text.split("\n\n")[1:]}
        self.assertEqual(sorted(parts), self.mount.names())
        self.assertIn("  services: file (1 not accepted yet), print\n", parts[server.name])
        self.assertIn("  no sessions", parts[server.name])
        self.assertTrue(self.status(server.name).startswith(f"{server.name}: registered\n  interface: "))

    def test_a_session_in_words(self):
        client, ours, server, theirs = self.pair()
        with opened(ours, os.O_WRONLY) as out:
            write_all(out, bytes(1536))
            os.fsync(out)
        row = self.rows(client)[0][ours.name]
        self.assertEqual((row["STATE"], row["HELD"], row["WAITING"]), ("active", "0 B", "0 B"))
        interface, local, remote = self.connection(client, ours)
        self.assertEqual(interface, "lo")
        self.assertRegex(row["SINCE"], r"^([0-9]+ min )?[0-9]+ s ago$")
        theirs_row = self.rows(server)[0][theirs.name]
        self.assertEqual(theirs_row["WAITING"], "1.5 KiB")
        self.assertEqual(self.connection(server, theirs), (interface, remote, local))
        with opened(theirs, os.O_RDONLY) as source:
            self.assertEqual(len(read_exactly(source, 1536)), 1536)
        self.assertEqual(self.rows(server)[0][theirs.name]["WAITING"], "0 B")

    def test_a_pause_in_words(self):
        client, ours, server, theirs = self.pair()
        self.assertEqual(len(self.rows(client)[1][ours.name]), 1, "its connection")
        client.command(f"suspend {ours.name}")
        with opened(ours, os.O_WRONLY) as out:
            write_all(out, bytes(2048))
        wait_until(lambda: state_word(theirs) != "active", "the peer has heard of it")
        row = self.rows(client)[0][ours.name]
        self.assertEqual((row["STATE"], row["HELD"]), ("suspended", "2.0 KiB"))
        self.assertIsNone(self.connection(client, ours))
        self.assertIn(self.rows(server)[0][theirs.name]["STATE"], ("interrupted", "resuming"))
        for endpoint, session, why in ((client, ours, "suspended here"), (server, theirs, "suspended by the peer")):
            remarks = self.rows(endpoint)[1][session.name]
            self.assertTrue(any(re.fullmatch(rf"last pause .* ago: {why}", remark) for remark in remarks), remarks)
        client.command(f"resume {ours.name}")
        wait_until(lambda: self.rows(client)[0][ours.name]["STATE"] == "active", "active again", SOON_S)
        self.assertIn("suspended here", "".join(self.rows(client)[1][ours.name]), "the last pause is told afterwards")

    def test_why_a_session_was_lost(self):
        client, ours, server, theirs = self.pair()
        client.command(f"abort {ours.name}")
        wait_until(lambda: self.rows(server)[0][theirs.name]["STATE"] == "closed", "the peer has heard of it", SOON_S)
        why = "it was aborted by the peer"
        self.assertIn(f"Connection reset by peer: {why}", self.rows(server)[1][theirs.name])
        session = self.json(server.name)["sessions"][0]
        self.assertEqual((session["error"], session["ended_by"]), ("Connection reset by peer", why))

    def test_as_json(self):
        client, ours, server, theirs = self.pair("file")
        with opened(ours, os.O_WRONLY) as out:
            write_all(out, bytes(1536))
            os.fsync(out)
        document = self.json()
        self.assertEqual((document["mount"], document["domain"]), (str(self.mount.path), "local"))
        self.assertEqual([each["name"] for each in document["endpoints"]], self.mount.names())
        self.assertEqual(document["totals"]["endpoints"], len(self.mount.names()))
        self.assertTrue(next(each for each in document["interfaces"] if each["name"] == "lo")["up"])
        endpoint = self.json(server.name)
        self.assertEqual(endpoint["services"], [{"name": "file", "waiting": 0}])
        session, = endpoint["sessions"]
        told = {name: session[name] for name in ("name", "state", "received", "read", "waiting", "sent", "interface")}
        self.assertEqual(told, {"name": theirs.name, "state": "active", "received": 1536, "read": 0, "waiting": 1536,
                                "sent": 0, "interface": "lo"})
        self.assertIsInstance(session["seconds_in_state"], int)
        self.assertRegex(session["local"], f"^{PLACE}$")
        self.assertIsNone(session["next_attempt_seconds"])
        client.command(f"suspend {ours.name}")
        session, = self.json(client.name)["sessions"]
        self.assertEqual((session["state"], session["interface"]), ("suspended", None))
        self.assertEqual(session["pause"]["why"], "suspended here")

    def test_the_manual_names_each_key_of_json(self):
        def keys(value):
            parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
            return set(value if isinstance(value, dict) else ()).union(*map(keys, parts))
        self.pair()
        found = re.search(r"\n# JSON\n(.*?)(?=\n# )", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
        told = set(re.findall(r"\*([a-z_]+)\*", found.group(1).replace("\\", "")))
        self.assertLessEqual(keys(self.json()), told)

    def test_errors_are_shown_and_what_a_terminal_would_obey_is_not(self):
        client = self.endpoint()
        with self.assertRaises(OSError):
            client.command("\x1b[2J\x07")
        with self.assertRaises(OSError):
            (self.mount.path / "ctl").write_bytes("jump\u009b2J".encode())
        text = self.status()
        self.assertTrue(all(line.isprintable() for line in text.split("\n")), text)
        self.assertIn("  last error: \\x1b[2J\\x07: no such command", text)
        self.assertIn("  last error: ctl: jump\\xc2\\x9b2J is no command", text)

    def test_upper_case_is_folded(self):
        client = self.endpoint()
        self.assertEqual(self.status(client.name.upper()), self.status(client.name))

    def test_an_endpoint_that_does_not_reside_here(self):
        client = self.endpoint()
        for name in ("nobody@local", "noat", ".", "..", f"{client.name}/", f"{client.name}/../{client.name}", "status",
                     f"../{self.mount.path.name}/{client.name}", "x" * 5000 + "@local"):
            with self.subTest(name=name[:60]):
                self.fails(1, [name, "does not reside on this host"], "status", name, mount=self.mount.path)

    def test_standard_output_that_takes_nothing(self):
        result = run(["bash", "-c", 'exec "$0" "$@" > /dev/full', program(), "--mount", self.mount.path, "status"])
        self.assertEqual((result.status, result.err.count("\n")), (1, 1), result)
        self.assertIn("sessionctl: standard output: No space left on device", result.err)


class Commands(Sessionctl, LocalTestCase):
    def at(self, endpoint, *arguments):
        self.assertEqual(self.succeeds(*arguments, "--at", endpoint.name, mount=self.mount.path), "")

    def test_suspend_and_resume(self):
        client, ours, server, theirs = self.pair()
        second = client.dial(server, "s", "second")
        server.accept("s")
        self.at(client, "suspend", ours.name)
        self.assertEqual((state_word(ours), state_word(second)), ("suspended", "active"))
        self.at(client, "suspend")
        self.assertEqual((state_word(ours), state_word(second)), ("suspended", "suspended"))
        self.at(client, "resume", ours.name)
        wait_until(lambda: state_word(ours) == "active", "the session goes on", SOON_S)
        self.assertEqual(state_word(second), "suspended")
        self.at(client, "resume")
        wait_until(lambda: state_word(second) == "active", "the other one, too", SOON_S)
        with opened(ours, os.O_WRONLY) as out, opened(theirs, os.O_RDONLY) as source:
            os.write(out, b"works")
            self.assertEqual(read_exactly(source, 5), b"works")

    def test_finish(self):
        client, ours, _, theirs = self.pair()
        with opened(ours, os.O_WRONLY) as out:
            os.write(out, b"last")
        self.at(client, "finish", ours.name)
        with opened(theirs, os.O_RDWR) as there, opened(ours, os.O_RDWR) as here:
            self.assertEqual(read_exactly(there, 100), b"last", "and the end of file behind it")
            os.write(there, b"back")
            self.assertEqual(read_exactly(here, 4), b"back")
            with self.assertRaises(BrokenPipeError):
                os.write(here, b"x")

    def test_rebind(self):
        client = self.endpoint()
        client.rules("policy", "prefer loopback\n")
        self.at(client, "rebind", "lo")
        self.assertIn("  interface: lo: asked for by rebind", self.succeeds("status", client.name,
                                                                            mount=self.mount.path))
        self.at(client, "rebind")
        self.assertNotIn("asked for", self.succeeds("status", client.name, mount=self.mount.path))
        self.fails(1, [f"{client.name}: rebind: there is no interface nix0"], "rebind", "nix0", "--at", client.name,
                   mount=self.mount.path)

    def test_the_default_endpoint(self):
        name = re.search(r"(?m)^default endpoint: (.*)$", self.mount.status()).group(1)
        default, server = self.mount.endpoint(name, create=False), self.endpoint("server")
        server.serve("s")
        ours = default.dial(server, "s")
        self.assertEqual(self.succeeds("suspend", ours.name, mount=self.mount.path), "")
        self.assertEqual(state_word(ours), "suspended")
        os.unlink(ours)

    def test_a_session_that_is_not_there(self):
        client, ours, *_ = self.pair()
        for verb in ("suspend", "resume", "finish"):
            for name in ("nothing", "s.nobody@local", "a/b", f"../sessions/{ours.name}", "/", "..", "x" * 300,
                         "ä", "-"):
                with self.subTest(verb=verb, name=name[:20]):
                    self.fails(1, [f"{client.name}: {verb}: there is no session {name} in sessions/",
                                   "sessionctl status"], verb, "--at", client.name, name, mount=self.mount.path)
        self.assertEqual(state_word(ours), "active")

    def test_a_session_of_another_endpoint(self):
        client, ours, server, _ = self.pair()
        for place in (["--at", server.name], []):
            self.fails(1, [f"{client.name} has it: add --at {client.name}"], "suspend", ours.name, *place,
                       mount=self.mount.path)
        self.assertEqual(state_word(ours), "active")

    def test_an_endpoint_that_is_not_there(self):
        for name in ("nobody@local", "../x@local", "noat"):
            for command in (["suspend"], ["finish", "x"], ["rebind", "lo"]):
                with self.subTest(name=name, command=command):
                    self.fails(1, [f"{name} does not reside on this host"], *command, "--at", name,
                               mount=self.mount.path)

    def test_join_of_what_is_no_token(self):
        for token in ("nonsense", "x" * 2000, "sns1-", "ä"):
            with self.subTest(token=token[:20]):
                self.fails(1, ["join: this is no token", "snsd token"], "join", token, mount=self.mount.path)


class Terminal:
    """The program on a terminal of its own, which a test types at."""

    def __init__(self, *arguments):
        self.terminal, self.slave = os.openpty()
        self.seen = b""
        self.was = termios.tcgetattr(self.slave)
        self.process = start([sys.executable, "-c", TAKE_TERMINAL, program(), *map(str, arguments)], stdin=self.slave,
                             stdout=self.slave, stderr=self.slave, env=without_mount())

    def wait_for(self, text):
        """Until the program has said `text`; forgets it and what came before."""
        def has_come():
            if select.select([self.terminal], [], [], 0)[0]:
                self.seen += os.read(self.terminal, 4096)
            return text.encode() in self.seen
        wait_until(has_come, f"{text!r} on the terminal, not only {self.seen!r}", SOON_S)
        before, _, self.seen = self.seen.partition(text.encode())
        return before.decode(errors="replace")

    def type(self, text):
        """When the echo is off, so that nothing of it is seen."""
        wait_until(lambda: not self.echoes(), "the echo is off", SOON_S)
        os.write(self.terminal, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.was

    def end(self):
        """The exit status, and all that was said and not waited for."""
        status = self.process.wait(SOON_S)
        while select.select([self.terminal], [], [], 0)[0]:
            self.seen += os.read(self.terminal, 4096)
        return status, self.seen.decode(errors="replace")

    def close(self):
        kill_group(self.process)
        os.close(self.terminal)
        os.close(self.slave)


class Travel(Sessionctl, LocalTestCase):
    """Endpoints that leave and come."""

    def typed(self, passphrase, *arguments):
        """The arguments of succeeds() and fails(), with a line of standard input."""
        return arguments, {"enter": ["bash", "-c", 'printf "%s\\n" "$0" | "$@"', passphrase], "mount": self.mount.path}

    def traveller(self):
        """An endpoint with a document, and one session with something under way: (endpoint, folder to save it to, its
        session's name, the peer's session file)."""
        client, ours, _, theirs = self.pair()
        (client.path / "report").write_text("of the year", encoding="ascii")
        with opened(theirs, os.O_WRONLY) as out:
            write_all(out, b"not read yet")
            os.fsync(out)
        return client, Path(self.scratch("saved")), ours.name, theirs

    def goes_on(self, endpoint, session, theirs):
        self.assertEqual((endpoint.path / "report").read_text(encoding="ascii"), "of the year")
        with opened(endpoint.sessions / session, os.O_RDWR) as here, opened(theirs, os.O_RDWR) as there:
            self.assertEqual(read_exactly(here, 12), b"not read yet")
            write_all(here, b"here again")
            self.assertEqual(read_exactly(there, 10), b"here again")

    def test_save_and_load(self):
        client, folder, session, theirs = self.traveller()
        self.assertEqual(self.succeeds("save", client.name, folder, mount=self.mount.path), "")
        self.assertFalse(client.path.exists())
        self.assertEqual((folder / "report").read_text(encoding="ascii"), "of the year")
        text = self.succeeds("inspect", folder)
        self.assertIn(f"{folder}/.endpoint: a record of ", text)
        self.assertIn(f"\nendpoint: {client.name}\n  generation: 1\n", text)
        self.assertRegex(text, r"\n  key: SHA256:[0-9a-f]{64}\n")
        self.assertNotIn("PRIVATE", text)
        row = next(line.split() for line in text.splitlines() if line.startswith(f"  {session} "))
        self.assertEqual((row[0], row[2], row[-2:]), (session, "s", ["12", "B"]))
        self.assertEqual(self.succeeds("load", os.path.relpath(folder), mount=self.mount.path), "")
        self.goes_on(client, session, theirs)
        self.assertEqual(self.succeeds("inspect", client.path).splitlines()[1:3],
                         [f"endpoint: {client.name}", "  generation: 2"], "one that is loaded can be looked at, too")

    def test_with_a_passphrase(self):
        client, folder, session, theirs = self.traveller()
        arguments, options = self.typed(" open  sesame ", "save", client.name, folder, "--passphrase")
        self.assertEqual(self.succeeds(*arguments, **options), "")
        self.assertFalse(client.path.exists())
        self.fails(1, ["load: ", str(folder), "sealed", "add --passphrase"], "load", folder, mount=self.mount.path)
        arguments, options = self.typed("open barley", "load", folder, "--passphrase")
        self.fails(1, ["load: ", str(folder), "does not open with this passphrase"], *arguments, **options)
        for passphrase, why in (("", "standard input holds no passphrase"), ("x" * 1025, "is too long")):
            arguments, options = self.typed(passphrase, "load", folder, "--passphrase")
            self.fails(1, [why, "1 to 1024 bytes"], *arguments, **options)
        text = self.succeeds("inspect", folder)
        self.assertRegex(text, rf"^{re.escape(str(folder))}/\.endpoint: a sealed record of [^\n]*--passphrase[^\n]*\n$")
        arguments, options = self.typed("open barley", "inspect", folder, "--passphrase")
        self.fails(1, ["does not open with this passphrase"], *arguments, **options)
        arguments, options = self.typed(" open  sesame ", "inspect", folder, "--passphrase")
        self.assertIn(f"\nendpoint: {client.name}\n", self.succeeds(*arguments, **options))
        arguments, options = self.typed(" open  sesame ", "load", folder, "--passphrase")
        self.assertEqual(self.succeeds(*arguments, **options), "")
        self.goes_on(client, session, theirs)

    def terminal(self, *arguments):
        terminal = Terminal("--mount", self.mount.path, *arguments)
        self.addCleanup(terminal.close)
        return terminal

    def test_on_a_terminal(self):
        client, folder, session, theirs = self.traveller()
        terminal = self.terminal("save", client.name, folder, "--passphrase")
        terminal.wait_for(f"passphrase of {client.name}: ")
        terminal.type("open sesame\n")
        terminal.wait_for(f"passphrase of {client.name}, again: ")
        terminal.type("open sesame\n")
        self.assertNotIn("sesame", terminal.wait_for(f"saving {client.name} to "))
        status, rest = terminal.end()
        self.assertEqual((status, terminal.is_as_before()), (0, True), rest)
        self.assertTrue(rest.endswith(" ...\r\x1b[K"), repr(rest))
        terminal = self.terminal("load", folder)
        terminal.wait_for("loading ")
        terminal.wait_for(f"passphrase of {folder}: ")
        terminal.type("open sesame\n")
        status, rest = terminal.end()
        self.assertEqual((status, terminal.is_as_before()), (0, True), rest)
        self.goes_on(client, session, theirs)

    def test_two_passphrases_that_differ(self):
        client = self.endpoint()
        terminal = self.terminal("save", client.name, self.scratch("saved"), "--passphrase")
        for prompt in (": ", ", again: "):
            terminal.wait_for(f"passphrase of {client.name}{prompt}")
            terminal.type(f"it is {prompt}\n")
        status, rest = terminal.end()
        self.assertEqual((status, terminal.is_as_before(), client.path.exists()), (1, True, True))
        self.assertIn("the two passphrases are not the same", rest)

    def test_a_terminal_is_given_back_on_signals(self):
        client = self.endpoint()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            terminal = self.terminal("save", client.name, self.scratch("saved"), "--passphrase")
            terminal.wait_for("passphrase of ")
            terminal.type("half of it")
            if number == signal.SIGINT:
                terminal.type("\x03")
            else:
                terminal.process.send_signal(number)
            status, rest = terminal.end()
            self.assertEqual((status, terminal.is_as_before()), (-number, True), rest)
            self.assertNotIn("half", rest)
        self.assertTrue(client.path.exists())

    def test_what_cannot_be_saved_or_loaded(self):
        default = re.search(r"(?m)^default endpoint: (.*)$", self.mount.status()).group(1)
        self.fails(1, [f"{default}: save: "], "save", default, self.scratch("saved"), mount=self.mount.path)
        self.fails(1, ["nobody@local does not reside on this host"], "save", "nobody@local", mount=self.mount.path)
        client = self.endpoint()
        self.fails(1, [f"{client.name}: save: "], "save", client.name, mount=self.mount.path)
        self.assertTrue(client.path.exists(), "it lives on no stick")
        folder = self.scratch("empty")
        os.mkdir(folder)
        self.fails(1, [f"load: {folder}: there is no endpoint in it"], "load", folder, mount=self.mount.path)
        self.fails(1, ["load: ", "/nowhere"], "load", "/nowhere", mount=self.mount.path)
        self.fails(1, [f"{folder}: holds no record"], "inspect", folder)
        self.fails(1, ["eject: "], "eject", "nix0", mount=self.mount.path)


# In the place of cp(1): writes a part, and the rest when the file GO is there.
SLOW_COPY = """#!/usr/bin/env python3
import os, sys, time
sys.stdout.buffer.write(b"x" * (1 << 19)) and sys.stdout.flush()
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.02)
os.execv("/bin/cp", ["cp", *sys.argv[1:]])
"""


class Progress(Sessionctl, LocalTestCase):
    """How far it has come is shown on a terminal alone."""

    @classmethod
    def setUpClass(cls):
        programs = temporary_folder()
        cls.addClassCleanup(remove_folder, programs)
        cls.go = f"{programs}/go"
        copy = Path(programs, "cp")
        copy.write_text(SLOW_COPY, encoding="ascii")
        copy.chmod(0o755)
        with unittest.mock.patch.dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}", GO=cls.go):
            super().setUpClass()

    def setUp(self):
        Path(self.go).unlink(missing_ok=True)
        self.client = self.endpoint()
        (self.client.path / "document").write_bytes(b"x" * (1 << 20))
        self.folder = Path(self.scratch("saved"))

    def test_on_a_terminal(self):
        terminal = Terminal("--mount", self.mount.path, "save", self.client.name, self.folder)
        self.addCleanup(terminal.close)
        terminal.wait_for(f"saving {self.client.name} to ")
        terminal.wait_for(": 512 KiB of 1.0 MiB ...")
        self.assertRegex(self.mount.status(), rf"(?m)^saving: {self.client.name} 5\d+ of 1\d+ bytes$")
        Path(self.go).touch()
        status, rest = terminal.end()
        self.assertEqual(status, 0, rest)
        self.assertTrue(rest.endswith("\r\x1b[K"), repr(rest))
        self.assertEqual((self.folder / "document").stat().st_size, 1 << 20)
        self.assertNotIn("saving: ", self.mount.status())

    def test_elsewhere(self):
        saving = start([program(), "--mount", str(self.mount.path), "save", self.client.name, str(self.folder)],
                       stdout=-1, stderr=-1, text=True)
        wait_until(lambda: " bytes" in self.mount.status(), "it is being copied", SOON_S)
        Path(self.go).touch()
        done = finish(saving)
        self.assertEqual((done.status, done.out, done.err), (0, "", ""))


class Mounts(Sessionctl, LocalTestCase):
    """Which mount is meant."""

    def test_by_option_and_by_environment(self):
        head = f"{self.mount.path}: domain local"
        named = {**os.environ, "SESSIONFS_MOUNT": str(self.mount.path)}
        wrong = {**os.environ, "SESSIONFS_MOUNT": "/nowhere"}
        self.assertIn(head, self.succeeds("status", env=named))
        self.assertIn(head, self.succeeds("--mount", self.mount.path, "status", env=wrong))
        self.assertIn(head, self.succeeds("status", "--mount", f"{self.mount.path}/", env=wrong))
        relative = os.path.relpath(self.mount.path)
        self.assertIn(head, self.succeeds("status", "--mount", relative))
        self.fails(1, ["is no mount of sessionfs"], "status", mount=self.endpoint().path)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "a mount namespace needs root")
    def test_the_one_there_is(self):
        enter = ["unshare", "--mount", "bash", "-c", ALONE, "bash", str(self.mount.path)]
        head = f"{self.mount.path}: domain local"
        self.assertIn(head, self.succeeds("status", enter=enter))
        self.assertIn(head, self.succeeds("status", enter=enter, env={**os.environ, "SESSIONFS_MOUNT": ""}))
        bound = ["sh", "-c", 'mount --bind "$0" /mnt && exec "$@"', str(self.mount.path)]
        self.assertIn(": domain local", self.succeeds("status", enter=enter + bound), "still one daemon")

    def test_one_of_several(self):
        folder = temporary_folder()
        self.addCleanup(remove_folder, folder)
        other = Daemon(folder, listen=LISTEN)
        self.addCleanup(other.stop)
        other.start()
        self.fails(1, ["several places", "--mount", str(self.mount.path), str(other.mountpoint)], "status")


class Dead(Sessionctl, suite.TestCase):
    def test_the_mount_of_a_daemon_that_was_killed(self):
        folder = temporary_folder()
        self.addCleanup(remove_folder, folder)
        daemon = Daemon(folder, listen=LISTEN)
        self.addCleanup(daemon.kill)
        daemon.start()
        daemon.process.kill()
        daemon.process.wait()
        for arguments in (["status"], ["status", "a@local"], ["suspend"], ["finish", "x"], ["join", "x"]):
            with self.subTest(arguments=arguments):
                self.fails(1, [f"fusermount3 -u {daemon.mountpoint}"], *arguments, mount=daemon.mountpoint)


class Join(Sessionctl, suite.TestCase):
    def setUp(self):
        if not os.access(os.environ.get("SNSD_BIN", ""), os.X_OK):
            self.skipTest("SNSD_BIN does not name a program")
        folder = Path(temporary_folder())
        self.addCleanup(remove_folder, str(folder))
        self.state = folder / "sns"
        self.sns = Program([os.environ["SNSD_BIN"], "--domain", DOMAIN, "--listen", LISTEN, "--state", str(self.state)],
                           str(folder / "sns.log"))
        self.addCleanup(self.sns.stop)
        self.sns.start()
        serving = wait_until(lambda: re.search(rf"serving {DOMAIN} on (\S+)", self.sns.tail()), "snsd serves")
        self.daemon = Daemon(folder / "host", listen=LISTEN, config=f'domain = "{DOMAIN}"\nendpoint = "desk@{DOMAIN}"\n'
                                                                     f'[sns]\n"{DOMAIN}" = "{serving.group(1)}"\n')
        self.addCleanup(keeper.drop, "mount", str(self.daemon.mountpoint))
        self.addCleanup(self.daemon.stop)
        self.daemon.start()

    def describe(self):
        return self.daemon.describe()

    def test_from_nothing_to_an_endpoint(self):
        mount = self.daemon.mountpoint
        before = self.succeeds("status", mount=mount)
        self.assertIn(f"{mount}: domain {DOMAIN}, name server not joined; ", before)
        self.assertNotIn("@", before.split("\n", 1)[1])
        for arguments in (["suspend"], ["suspend", "x", "--at", "a@b"], ["status", "a@b"], ["rebind", "lo"]):
            with self.subTest(arguments=arguments):
                self.fails(1, ["has no endpoint yet", "not joined", "join TOKEN"], *arguments, mount=mount)
        token = run([os.environ["SNSD_BIN"], "token", "--state", str(self.state)]).out.strip()
        self.assertEqual(self.succeeds("join", token, mount=mount), "")
        wait_until(lambda: f"desk@{DOMAIN}: registered\n" in self.succeeds("status", mount=mount), "it resides here",
                   SOON_S)
        self.assertIn(f"{mount}: domain {DOMAIN}, name server joined\n", self.succeeds("status", mount=mount))
        self.assertEqual(self.succeeds("suspend", mount=mount), "")
        self.fails(1, [f"this host is a member of {DOMAIN} already"], "join", token, mount=mount)

    def test_a_token_that_does_not_let_in(self):
        token = run([os.environ["SNSD_BIN"], "token", "--state", str(self.state)]).out.strip()
        self.fails(1, ["join: "], "join", token[:-1], mount=self.daemon.mountpoint)
        self.sns.stop()
        self.fails(1, ["join: "], "join", token, mount=self.daemon.mountpoint)
        self.assertIn("  last error: join: ", self.succeeds("status", mount=self.daemon.mountpoint))


if __name__ == "__main__":
    if not os.access(os.environ.get("SESSIONCTL_BIN", ""), os.X_OK):
        print("skipped: SESSIONCTL_BIN does not name a program")
        sys.exit(suite.SKIPPED)
    suite.main()
