"""What bash offers behind sessionctl, sessionfs and snsd: what --help and the mount have."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import SOON_S, Late, run  # noqa: E402

SCRIPT = Path(__file__).resolve().parents[2] / "packaging/bash-completion/sessionfs"
PROGRAMS = Path(os.environ["SESSIONCTL_BIN"]).parent


def commands_of(program):
    text = subprocess.run([PROGRAMS / program, "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  (\S+)", text.partition("Subcommands:")[2], re.MULTILINE))


class Completion(LocalTestCase):
    def environment(self):
        return {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "HOME": str(self.folder),
                "SESSIONFS_MOUNT": str(self.mount.path), "TERM": "dumb"}

    def complete(self, line):
        """What replaces the word at the end of the line."""
        done = run(["bash", "--norc", "-c", f'source {SCRIPT}; COMP_LINE=$1 COMP_POINT=${{#1}}; _sessionfs; '
                    'printf "%s\\n" "${COMPREPLY[@]}"', "-", line], SOON_S, env=self.environment())
        self.assertEqual(done.err, "")
        return set(done.out.split())

    def test_commands(self):
        for program in ("sessionctl", "snsd"):
            self.assertEqual(self.complete(f"{program} "), commands_of(program))
        self.assertEqual(self.complete("sessionctl conn"), {"connect"})
        self.assertEqual(self.complete(f"sessionctl --mount {self.mount.path} res"), {"resume"})
        self.assertEqual(self.complete("sessionctl nonsense "), set())

    def test_options(self):
        self.assertEqual(self.complete("sessionctl load --pass"), {"--passphrase"})
        self.assertEqual(self.complete("sessionctl serve --"), {"--at", "--limit", "--help", "--version", "--mount"})
        self.assertLessEqual({"--config", "--state", "-f", "-o"}, self.complete("sessionfs -"))
        self.assertEqual(self.complete("snsd export --o"), {"--output"})
        self.assertEqual(self.complete("sessionctl serve --limit "), set())

    def test_what_the_mount_has(self):
        client, session, server, _ = self.pair("print")
        a, b = server.name, client.name
        self.assertLessEqual({a, b}, self.complete("sessionctl status "))
        self.assertEqual(self.complete(f"sessionctl save {a[:7]}"), {a})
        self.assertIn(b, self.complete("sessionctl suspend --at "))
        self.assertIn(session.name, self.complete("sessionctl suspend "))
        self.assertEqual(self.complete("sessionctl serve p"), {"print"})
        self.assertEqual(self.complete(f"sessionctl connect --from {b} pr"), {f"print.{a}"})
        self.assertEqual(self.complete("sessionctl forward 8000 pr"), {f"print.{a}"})
        self.assertIn("lo", self.complete("sessionctl rebind "))
        # Behind the @ of a name, which is a word's end to bash.
        self.assertEqual(self.complete(f"sessionctl status {a[:-2]}"), {a.rpartition("@")[2]})

    def test_files(self):
        place = self.scratch("sav")
        os.mkdir(f"{place}ed")
        Path(f"{place}ed.txt").touch()
        self.assertEqual(self.complete(f"sessionctl load {place}"), {f"{place}ed"})
        self.assertEqual(self.complete(f"sessionctl inspect {place}"), {f"{place}ed", f"{place}ed.txt"})
        self.assertEqual(self.complete(f"sessionfs {place}"), {f"{place}ed"})
        self.assertEqual(self.complete(f"snsd --state {place}"), {f"{place}ed"})

    def test_in_a_terminal(self):
        name = self.endpoint("terminal").name
        process, terminal = pty.fork()
        if process == 0:
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], self.environment())
        try:
            os.write(terminal, f"source {SCRIPT}; echo rea''dy\n".encode())
            self.read_until(terminal, "ready\r\n")
            os.write(terminal, b"sessionctl stat\tterm\t; echo said $?\n")
            self.assertIn(f"{name} ; echo", self.read_until(terminal, "said 0"))
        finally:
            os.close(terminal)
            os.waitpid(process, 0)

    def read_until(self, terminal, text):
        seen, end = "", time.monotonic() + SOON_S
        while text not in seen:
            if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
                raise Late(f"{text!r} has not come: {seen!r}")
            seen += os.read(terminal, 4096).decode(errors="replace")
        return seen


if __name__ == "__main__":
    suite.main()
