"""The use cases 5 to 12 of the thesis (3.2.2), with the tools of an ordinary shell."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import state_word  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import finish, shell, shell_ok, start_shell, wait_blocked, wait_until  # noqa: E402

SELECT_ECHO = """
import os, select, sys
session = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)
said, heard, wanted = 0, b"", 100
while heard.count(b"\\n") < wanted:
    readable, writable, _ = select.select([session], [session] if said < wanted else [], [], 30)
    if not readable and not writable:
        sys.exit("select: nothing within 30 s")
    if writable:
        try:
            os.write(session, b"line %d\\n" % said)
            said += 1
        except BlockingIOError:
            pass
    if readable:
        try:
            heard += os.read(session, 7)
        except BlockingIOError:
            pass
sys.stdout.buffer.write(heard)
"""


class UseCases(LocalTestCase):
    def test_05_application_performs_suspend(self):
        client, ours, server, theirs = self.pair()
        reader = start_shell('head -c 6 "$F"', F=theirs)
        wait_blocked_child(reader)
        shell_ok('echo "suspend $X" > "$E/ctl"', E=client, X=ours.name)
        self.assertEqual(state_word(ours), "suspended")
        self.assertIn(ours.name, shell_ok('grep -i suspend "$E/status"', E=client))
        writer = start_shell('printf "after\\n" > "$F"', F=ours)  # waits, or is kept in the buffer
        wait_until(lambda: state_word(theirs) != "active", "the peer's side leaves ACTIVE")
        # A suspended session resumes by its user's command alone: the peer's does not do it.
        shell_ok('echo resume > "$E/ctl"', E=server)
        shell_ok("sleep 1")
        self.assertEqual(state_word(ours), "suspended")
        self.assertIsNone(reader.poll(), "a reader got something through a suspended session")
        shell_ok('echo "resume $X" > "$E/ctl"', E=client, X=ours.name)
        self.assertEqual(finish(reader).out, "after\n")
        self.assertEqual(finish(writer).status, 0)

    def test_06_application_performs_resume(self):
        client, ours, _, theirs = self.pair()
        shell_ok('echo one > "$F"; echo suspend > "$E/ctl"', E=client, F=ours)
        reader = start_shell('head -n 2 "$F"', F=theirs)
        answers = start_shell('exec 3<> "$F"; echo back >&3; read -r line <&3; echo "$line"', F=ours)
        wait_until(lambda: state_word(ours) == "suspended", "SUSPENDED")
        shell_ok('echo resume > "$E/ctl"', E=client)
        wait_until(lambda: state_word(ours) == "active" and state_word(theirs) == "active", "ACTIVE on both sides")
        self.assertEqual(finish(reader).out, "one\nback\n")
        shell_ok('echo two > "$F"', F=theirs)
        self.assertEqual(finish(answers).out, "two\n")

    def test_06_resume_by_both_sides_at_once(self):
        client, ours, server, theirs = self.pair()
        for turn in range(5):
            shell_ok('echo suspend > "$A/ctl" & echo suspend > "$B/ctl" & wait', A=client, B=server)
            shell_ok('echo resume > "$A/ctl" & echo resume > "$B/ctl" & wait', A=client, B=server)
            shell_ok('echo "$T" > "$A"; echo "$T" > "$B"', A=ours, B=theirs, T=turn)
            self.assertEqual(shell_ok('head -n 1 "$A"; head -n 1 "$B"', A=ours, B=theirs), f"{turn}\n{turn}\n")

    def test_07_create_endpoint(self):
        name = self.name("created")
        shell_ok('mkdir "$M/$E"', M=self.mount.path, E=name)
        self.assertIn(name, shell_ok('ls "$M"', M=self.mount.path).split())
        listed = shell_ok('ls -A "$M/$E"', M=self.mount.path, E=name).split()
        self.assertEqual(sorted(listed), sorted([".endpoint", "access", "ctl", "policy", "services", "sessions",
                                                 "status"]))
        again = shell('mkdir "$M/$E"', M=self.mount.path, E=name)
        self.assertEqual(again.status, 1)
        self.assertIn("File exists", again.err)

    def test_08_close_endpoint(self):
        client, ours, server, theirs = self.pair()
        server.serve("other")
        shell_ok('echo last > "$F"', F=theirs)
        shell_ok('rmdir "$E"', E=server)
        self.assertFalse(os.path.exists(server.path))
        self.assertNotIn(server.name, self.mount.names())
        self.assertEqual(shell_ok('cat "$F"', F=ours), "last\n", "what was written is still delivered, then it ends")
        gone = shell('echo hello > "$E/sessions/$S"', E=client, S=server.target("other"))
        self.assertNotEqual(gone.status, 0)
        self.assertIn("No such file or directory", gone.err)
        again = shell('rmdir "$E"', E=server)
        self.assertIn("No such file or directory", again.err)
        shell_ok('mkdir "$E"', E=server)  # the name is free again

    def test_08_rm_r_removes_documents_too(self):
        _, _, server, _ = self.pair()
        shell_ok('cd "$E" && mkdir -p photos/2006 && echo x > photos/2006/a && echo y > report', E=server)
        refused = shell('rmdir "$E"', E=server)
        self.assertIn("Directory not empty", refused.err)
        self.assertTrue((server.path / "services/s").exists(), "a refused rmdir must not touch services")
        shell_ok('rm -r "$E"', E=server)
        self.assertFalse(os.path.exists(server.path))

    def test_09_create_session(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        shell_ok('touch "$F"', F=client.sessions / server.target("s"))
        self.assertEqual(shell_ok('ls "$E/sessions"', E=client), server.target("s") + "\n")
        self.assertEqual(state_word(client.sessions / server.target("s")), "active")
        # `<`, `>`, `<>` and `>>` dial too; a label makes another session.
        ways = (': < "$F"', ': > "$F"', ': <> "$F"', ': >> "$F"', 'dd if=/dev/null of="$F" 2> /dev/null')
        for label, use in enumerate(ways):
            shell_ok(use, F=client.sessions / server.target("s", f"l{label}"))
        self.assertEqual(len(os.listdir(client.sessions)), 6)
        # Opened again, it is the same session.
        before = os.getxattr(client.sessions / server.target("s"), "user.session.id")
        shell_ok('touch "$F"; : > "$F"', F=client.sessions / server.target("s"))
        self.assertEqual(os.getxattr(client.sessions / server.target("s"), "user.session.id"), before)

    def test_10_create_service(self):
        server = self.endpoint("server")
        shell_ok('touch "$E/services/print"', E=server)
        self.assertEqual(shell_ok('ls "$E/services"', E=server), "print\n")
        self.assertIn("print", shell_ok('cat "$E/status"', E=server))
        again = shell('set -o noclobber; : > "$E/services/print"', E=server)
        self.assertNotEqual(again.status, 0, "noclobber asks for a new file")
        shell_ok('touch "$E/services/print"', E=server)  # there already: no error without O_EXCL
        shell_ok('rm "$E/services/print"', E=server)
        self.assertEqual(shell_ok('ls "$E/services"', E=server), "")

    def test_10_destroying_a_service_leaves_its_sessions(self):
        _, ours, server, theirs = self.pair()
        shell_ok('rm "$E/services/s"', E=server)
        shell_ok('echo still > "$F"', F=ours)
        self.assertEqual(shell_ok('head -n 1 "$F"', F=theirs), "still\n")

    def test_11_accept_incoming_session(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        reader = start_shell('head -n 1 "$E/services/s"', E=server)
        wait_blocked_child(reader)
        shell_ok('touch "$F"', F=client.sessions / server.target("s"))
        self.assertEqual(finish(reader).out, f"s~{client.name}~1\n")
        self.assertEqual(shell_ok('ls "$E/sessions"', E=server), f"s~{client.name}~1\n")
        shell_ok('touch "$F"', F=client.sessions / server.target("s", "again"))
        self.assertEqual(shell_ok('head -n 1 "$E/services/s"', E=server), f"s~{client.name}~2\n")

    def test_12_close_session(self):
        client, ours, server, theirs = self.pair()
        shell_ok('head -c 300000 /dev/zero > "$F"; rm "$F"', F=ours)
        self.assertEqual(shell_ok('ls "$E/sessions"', E=client), "")
        self.assertEqual(shell_ok('cat "$F" | wc -c', F=theirs).strip(), "300000", "all is delivered, then it ends")
        shell_ok('rm "$F"', F=theirs)
        self.assertEqual(shell_ok('ls "$E/sessions"', E=server), "")
        again = shell('rm "$F"', F=theirs)
        self.assertIn("No such file or directory", again.err)
        # The name is free for a new session.
        shell_ok('touch "$F"', F=ours)
        self.assertEqual(shell_ok('head -n 1 "$E/services/s"', E=server).count("\n"), 1)

    def test_a_script_with_select(self):
        _, ours, _, theirs = self.pair()
        echo = start_shell('exec 3<> "$F"; cat <&3 | cat >&3', F=theirs)
        talk = start_shell('exec "$PYTHON" -c "$SCRIPT" "$F"', PYTHON=sys.executable, SCRIPT=SELECT_ECHO, F=ours)
        heard = finish(talk)
        self.assertEqual(heard.out, "".join(f"line {n}\n" for n in range(100)), heard.err)
        os.unlink(ours)
        self.assertEqual(finish(echo).status, 0)

    def test_bash_with_both_directions_on_one_descriptor(self):
        _, ours, _, theirs = self.pair()
        server = start_shell('exec 3<> "$F"; while read -r line <&3; do echo "<$line>" >&3; done', F=theirs)
        out = shell_ok('exec 3<> "$F"; for i in 1 2 3; do echo "q$i" >&3; read -r a <&3; echo "$a"; done; rm "$F"',
                       F=ours)
        self.assertEqual(out, "<q1>\n<q2>\n<q3>\n")
        self.assertEqual(finish(server).status, 0)

    def test_dd_carries_a_file(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("file")
        folder = self.scratch("dd")
        os.mkdir(folder)
        receiver = start_shell('cd "$E" && read -r s < services/file && dd if="sessions/$s" of="$D/got" bs=64k',
                               E=server, D=folder)
        shell_ok('head -c 3000001 /dev/urandom > "$D/big" && dd if="$D/big" of="$F" bs=10007 2> /dev/null && rm "$F"',
                 D=folder, F=client.sessions / server.target("file"))
        self.assertEqual(finish(receiver).status, 0)
        shell_ok('cmp "$D/big" "$D/got"', D=folder)


def wait_blocked_child(process):
    """Waits until the program that the shell runs, or has become, waits in the mount."""
    def child():
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as children:
            found = children.read().split()
        return int(found[0]) if found else process.pid
    wait_blocked(wait_until(child, "a program of the shell"), "the reader")


if __name__ == "__main__":
    suite.main()
