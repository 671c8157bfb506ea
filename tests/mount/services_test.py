"""Accepting sessions: the file of a service."""

import errno
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.daemon import opened  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import (AT_ONCE_S, finish, raw_read, shell_ok, start, start_shell, wait_blocked,  # noqa: E402
                               wait_until)

BACKLOG = 128

SERVER_LOOP = """
cat "$E/services/file" | while read -r s; do
  read -r line < "$E/sessions/$s"
  echo "answer to $line" > "$E/sessions/$s"
  rm "$E/sessions/$s"
  echo "$s"
done
"""
CLIENT_LOOP = """
for i in $(seq 100); do
  exec 3<> "$F" || exit 1
  echo "$i" >&3
  read -r line <&3 || exit 2
  exec 3>&-
  rm "$F" || exit 3
  [[ $line == "answer to $i" ]] || { echo "got: $line" >&2; exit 4; }
done
"""


class Services(LocalTestCase):
    def test_a_loop_serves_100_clients_in_a_row(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        shell_ok('touch "$E/services/file"', E=server)
        loop = start_shell(SERVER_LOOP, E=server)
        shell_ok(CLIENT_LOOP, F=client.sessions / server.target("file"))
        shell_ok('rm "$E/services/file"', E=server)  # the loop ends with its service
        served = finish(loop).out.split()
        self.assertEqual(len(served), 100)
        self.assertEqual(os.listdir(server.sessions), [])

    def test_two_clients_at_once_get_two_sessions(self):
        first, second, server = self.endpoint("first"), self.endpoint("second"), self.endpoint("server")
        server.serve("s")
        for turn in range(10):
            reader = start_shell('head -n 2 "$E/services/s"', E=server)
            shell_ok('touch "$A" & a=$!; touch "$B" & b=$!; wait $a && wait $b',
                     A=first.sessions / server.target("s", f"t{turn}"),
                     B=second.sessions / server.target("s", f"t{turn}"))
            names = finish(reader).out.split()
            self.assertEqual(sorted(names), sorted([f"s~{first.name}~{turn + 1}", f"s~{second.name}~{turn + 1}"]))
            for name in names:  # and they are two streams
                shell_ok('echo "$N" > "$F"', N=name, F=server.sessions / name)
            for client in (first, second):
                heard = shell_ok('head -n 1 "$F"', F=client.sessions / server.target("s", f"t{turn}"))
                self.assertEqual(heard, f"s~{client.name}~{turn + 1}\n")

    def test_two_readers_never_get_the_same_session(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        readers = [start_shell('head -n 5 "$E/services/s"', E=server) for _ in range(2)]
        for number in range(10):
            client.dial(server, "s", f"n{number}")
        names = [name for reader in readers for name in finish(reader).out.split()]
        self.assertEqual(len(names), 10)
        self.assertEqual(len(set(names)), 10)

    def test_bash_read_loses_no_name(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        for number in range(5):  # all wait in the backlog before the first is read
            client.dial(server, "s", f"n{number}")
        got = [shell_ok('read -r s < "$E/services/s"; echo "$s"', E=server).strip() for _ in range(5)]
        self.assertEqual(got, [f"s~{client.name}~{number}" for number in range(1, 6)])

    def test_one_read_gives_one_name(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        file = server.serve("s")
        for number in range(3):
            client.dial(server, "s", f"n{number}")
        with opened(file, os.O_RDONLY) as descriptor:
            for number in range(1, 4):
                self.assertEqual(os.read(descriptor, 65536), f"s~{client.name}~{number}\n".encode())

    def test_a_name_can_be_read_byte_by_byte(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        file = server.serve("s")
        for number in range(2):
            client.dial(server, "s", f"n{number}")
        wanted = f"s~{client.name}~1\ns~{client.name}~2\n".encode()
        with opened(file, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            self.assertEqual(b"".join(os.read(descriptor, 1) for _ in wanted), wanted)
            self.assert_errno(errno.EAGAIN, os.read, descriptor, 1)

    def test_a_name_read_in_part_is_not_lost(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        file = server.serve("s")
        client.dial(server, "s")
        with opened(file, os.O_RDONLY) as descriptor:
            self.assertEqual(os.read(descriptor, 3), f"s~{client.name}"[:3].encode())
        self.assertEqual(server.accept("s").name.partition("~")[0], "s", "the next reader gets the session")

    def test_a_killed_reader_loses_no_session(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        file = server.serve("s")
        for number in range(10):
            reader = start(["cat", str(file)], stdout=subprocess.DEVNULL)
            wait_blocked(reader.pid, "cat of a service")
            reader.send_signal(signal.SIGKILL)
            client.dial(server, "s", f"n{number}")
            reader.wait(AT_ONCE_S)
        # Each session was given to a reader that had ended before or after it; none of them is accepted by nobody.
        names = {server.accept("s").name for _ in range(10 - len(os.listdir(server.sessions)))}
        names |= set(os.listdir(server.sessions))
        self.assertEqual(len(names), 10)

    def test_nonblocking_read_of_nothing_is_eagain(self):
        server = self.endpoint("server")
        with opened(server.serve("s"), os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            self.assert_errno(errno.EAGAIN, os.read, descriptor, 100)

    def test_a_signal_interrupts_a_read_with_eintr(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        file = server.serve("s")
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        sender = start_shell("for i in $(seq 100); do sleep 0.1; kill -USR1 $P || exit 0; done", P=os.getpid())
        with opened(file, os.O_RDONLY) as descriptor:
            data, number = raw_read(descriptor, 100)
        os.killpg(sender.pid, signal.SIGKILL)
        sender.communicate()
        self.assertEqual((data, number), (None, errno.EINTR))
        client.dial(server, "s")
        self.assertEqual(server.accept("s").name, f"s~{client.name}~1", "the interrupted read took nothing")

    def test_poll_tells_of_a_session(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        with opened(server.serve("s"), os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            self.assertEqual(poller.poll(100), [])
            client.dial(server, "s")
            self.assertEqual(poller.poll(AT_ONCE_S * 1000), [(descriptor, select.POLLIN)])
            os.read(descriptor, 1000)
            self.assertEqual(poller.poll(0), [])

    def test_a_full_backlog_refuses(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        for number in range(BACKLOG):
            client.dial(server, "s", f"n{number}")
        self.assert_errno(errno.ECONNREFUSED, os.open, client.sessions / server.target("s", "over"), os.O_RDWR)
        server.accept("s")
        client.dial(server, "s", "over")
        self.assertEqual(len(os.listdir(client.sessions)), BACKLOG + 1)

    def test_what_was_sent_before_the_accept_arrives(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        session = client.dial(server, "s")
        shell_ok('echo early > "$F"; rm "$F"', F=session)
        self.assertEqual(shell_ok('cat "$F"', F=server.accept("s")), "early\n")

    def test_removing_a_service_ends_its_readers(self):
        server = self.endpoint("server")
        reader = start(["cat", str(server.serve("s"))])
        wait_blocked(reader.pid, "cat of a service")
        os.unlink(server.services / "s")
        reader.wait(AT_ONCE_S)

    def test_removing_a_service_closes_what_nobody_has_accepted(self):
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve("s")
        session = client.dial(server, "s")
        os.unlink(server.services / "s")
        with opened(session, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            def ended():
                try:
                    return os.read(descriptor, 1) == b""
                except BlockingIOError:
                    return False
                except ConnectionResetError:
                    return True
            wait_until(ended, "the client learns that nobody will accept")


if __name__ == "__main__":
    suite.main()
