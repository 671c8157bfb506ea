"""Programs that people have, through sessions whose links are cut, whose hosts move and whose connections are killed:
OpenSSH, scp, rsync, git, curl and psql."""

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.sshcase import SSH_PROGRAMS, SshTestCase, where  # noqa: E402
from support import suite  # noqa: E402
from support.processes import SOON_S, finish, wait_until  # noqa: E402

MIB = 1 << 20
SIZE = 96 * MIB
PROGRAMS = (*SSH_PROGRAMS, "scp", "rsync", "git", "curl", "psql", "runuser")
LIMIT_S = 200
DOWN_S = 0.5


def postgres(name):
    """A program of the database's server; Debian has them in no PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else None


class RealPrograms(SshTestCase):
    limit_s = LIMIT_S

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.left, cls.right = cls.folder / "left", cls.folder / "right"  # of A and of B
        for folder in (cls.left, cls.right):
            folder.mkdir()
        cls.content = cls.right / "big"
        with open(cls.content, "wb") as big:
            for _ in range(SIZE // MIB):
                big.write(os.urandom(MIB))
        cls.digest = digest_of(cls.content)

    # --- what happens in the middle ---------------------------------------------------------------------------------

    def link_is_down(self):
        self.a.link_down()
        time.sleep(DOWN_S)
        self.a.link_up()

    def cable_is_pulled(self):
        self.b.unplug()
        time.sleep(DOWN_S)
        self.b.plug()

    def connections_are_killed(self):
        self.a.kill_connections(self.b)

    def daemon_is_started_again(self):
        self.a.daemon.restart()

    def is_suspended(self):
        self.at_a.command("suspend")
        self.at_a.command("resume")

    def breaks(self):
        return (self.link_is_down, self.a.replace_address, self.connections_are_killed, self.b.replace_address,
                self.daemon_is_started_again, self.cable_is_pulled, self.is_suspended)

    def goes_through(self, process, arrived, size=SIZE):
        """The program ends well, though each break comes in the middle of what it moves."""
        breaks = self.breaks()
        for number, cut in enumerate(breaks, 1):
            mark = size * number // (len(breaks) + 1)
            wait_until(lambda m=mark: arrived() >= m or process.poll() is not None, f"{mark} bytes have arrived", SOON_S,
                       interval_s=0.002)
            self.assertIsNone(process.poll(), f"before break {number}: {process.poll() and process.communicate()}")
            self.assertLess(arrived(), size, f"break {number} came after the end")
            cut()
        result = finish(process, LIMIT_S)
        self.assertEqual(result.status, 0, result)
        return result

    # --- programs -----------------------------------------------------------------------------------------------------

    def test_ssh_shell(self):
        ssh = self.serve_ssh()
        shell = self.run_at(self.a, *ssh, "b", 'while read -r line; do echo "$line"; done', stdin=subprocess.PIPE)

        def say(line):
            shell.stdin.write(line + "\n")
            shell.stdin.flush()
        say("first")
        self.assertEqual(shell.stdout.readline(), "first\n")
        expected = []
        for number, cut in enumerate(self.breaks()):
            say(f"before {number}")
            cut()
            say(f"after {number}")
            expected += [f"before {number}\n", f"after {number}\n"]
        shell.stdin.close()
        self.assertEqual(shell.stdout.readlines(), expected)
        self.assertEqual(shell.wait(SOON_S), 0)
        shell.stdout.close()
        shell.stderr.close()

    def test_ssh_control_master(self):
        ssh, control = self.serve_ssh(), self.folder / "master"
        master = self.run_at(self.a, *ssh, "-M", "-N", "-S", control, "b")
        wait_until(control.exists, "the master is connected", SOON_S)
        for number, cut in enumerate(self.breaks()):
            cut()
            done = finish(self.run_at(self.a, *ssh, "-S", control, "b", f"echo {number}"), SOON_S)
            self.assertEqual((done.status, done.out), (0, f"{number}\n"), done)
        done = finish(self.run_at(self.a, *ssh, "-S", control, "-O", "exit", "b"), SOON_S)
        self.assertEqual(done.status, 0, done)
        finish(master, SOON_S)

    def test_scp(self):
        ssh, copy = self.serve_ssh(), self.left / "scp"
        program = self.run_at(self.a, "scp", "-q", *ssh[1:], f"b:{self.content}", copy)
        self.goes_through(program, lambda: size_of(copy))
        self.assertEqual(digest_of(copy), self.digest)

    def test_rsync(self):
        ssh, target = self.serve_ssh(), self.left / "rsync"
        target.mkdir()
        program = self.run_at(self.a, "rsync", "-a", "--whole-file", "-e", " ".join(ssh), f"b:{self.content}", f"{target}/")
        self.goes_through(program, lambda: sum(size_of(file) for file in target.iterdir()))
        self.assertEqual(digest_of(target / "big"), self.digest)

    def test_git_clone(self):
        ssh, origin, clone = self.serve_ssh(), self.right / "origin", self.left / "clone"
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "core.compression=0", "-C", origin]
        subprocess.run(["git", "init", "-q", origin], check=True)
        shutil.copy(self.content, origin / "big")
        subprocess.run([*git, "add", "big"], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "big"], check=True)
        program = self.run_at(self.a, "env", f"GIT_SSH_COMMAND={' '.join(ssh)}", "git", "-c", "core.compression=0",
                              "clone", "-q", f"b:{origin}", clone)
        pack = clone / ".git/objects/pack"
        self.goes_through(program, lambda: sum(size_of(file) for file in pack.iterdir()) if pack.exists() else 0)
        self.assertEqual(digest_of(clone / "big"), self.digest)

    def bridged(self, service, target, port):
        """A server of B's, at a port of A's."""
        self.offered(service, "expose", service, target, "--at", self.at_b.name)
        self.run_at(self.a, *self.control_words(self.a, "forward", port, f"{service}.{self.at_b.name}", "--from",
                                                self.at_a.name))

        def listens():
            return finish(self.run_at(self.a, "ss", "-Hltn", f"sport = :{port}"), SOON_S).out
        wait_until(listens, f"something listens at {port}", SOON_S)

    def test_curl(self):
        copy = self.left / "curl"
        self.run_at(self.b, sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", self.right, "8000")
        self.bridged("web", "127.0.0.1:8000", 8001)
        program = self.run_at(self.a, "curl", "-sS", "--fail", "--retry", "20", "--retry-all-errors", "--retry-delay", "1",
                              "-o", copy, "http://127.0.0.1:8001/big")
        self.goes_through(program, lambda: size_of(copy))
        self.assertEqual(digest_of(copy), self.digest)

    def test_psql(self):
        data, log = self.right / "data", self.folder / "postgres.log"
        data.mkdir()
        user = pwd.getpwnam("nobody")
        os.chmod(self.folder, 0o755)
        os.chown(data, user.pw_uid, user.pw_gid)
        as_nobody = ["runuser", "-u", "nobody", "--"]
        subprocess.run([*as_nobody, postgres("initdb"), "-D", data, "-A", "trust", "-N", "-U", "postgres"], check=True,
                       cwd=data, stdout=subprocess.DEVNULL)
        with open(log, "wb") as file:
            server = self.run_at(self.b, *as_nobody, postgres("postgres"), "-D", data, "-k", data, "-h", "",
                                 stdout=file, stderr=file)
        wait_until((data / ".s.PGSQL.5432").exists, "the database runs", SOON_S)
        self.bridged("sql", data / ".s.PGSQL.5432", 5433)
        rows, out = 300_000, self.left / "psql"
        query = f"copy (select i, repeat(md5(i::text), 8) from generate_series(1, {rows}) i) to stdout"
        expected = sum(len(str(i)) + 1 + 256 + 1 for i in range(1, rows + 1))

        def asks():
            return finish(self.run_at(self.a, "psql", "-h", "127.0.0.1", "-p", "5433", "-U", "postgres", "-Atc",
                                      "select 'ready'"), SOON_S).out == "ready\n"
        wait_until(asks, "the database answers", SOON_S)
        with open(out, "wb") as file:
            program = self.run_at(self.a, "psql", "-h", "127.0.0.1", "-p", "5433", "-U", "postgres", "-c", query,
                                  stdout=file)
        self.goes_through(program, lambda: size_of(out), expected)
        self.assertEqual(size_of(out), expected)
        with open(out, encoding="ascii") as lines:
            for number, line in enumerate(lines, 1):
                self.assertEqual(line, f"{number}\t{hashlib.md5(str(number).encode()).hexdigest() * 8}\n")
        server.terminate()
        finish(server, SOON_S)


def size_of(path):
    try:
        return path.stat().st_size
    except OSError:
        return 0


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def why_not():
    for name in PROGRAMS:
        if where(name) is None:
            return f"the program {name} is not installed"
    return None if postgres("initdb") else "the server of PostgreSQL is not installed"


if __name__ == "__main__":
    suite.main(hosts=True, also=why_not)
