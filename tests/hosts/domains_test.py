"""Two domains, each with a name server of its own, that know nothing of each other but what DNS says (thesis 3.3.4).

A belongs to example.com, which has an SRV record; B to verkstad.net, which has addresses alone. C runs both name servers
and the DNS server. No host has a name server in its configuration.
"""

import errno
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts import dns  # noqa: E402
from hosts.hostscase import wait_gone  # noqa: E402
from hosts.world import World  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import Daemon, Program, attribute  # noqa: E402
from support.processes import AT_ONCE_S, SOON_S, finish, shell_ok, start_shell, wait_until  # noqa: E402

SRV_PORT = 4801
PLAIN_PORT = 4701


class NameServer:
    """snsd of one domain at C."""

    def __init__(self, world, domain, port):
        self.world, self.domain, self.port = world, domain, port
        self.state = Path(world.folder, f"sns-{domain}")
        self.program = None

    def start(self):
        command = [os.environ["SNSD_BIN"], "--domain", self.domain, "--state", str(self.state), "--listen",
                   f"[::]:{self.port}"]
        self.program = Program(command, str(Path(self.world.folder, f"{self.domain}.log")), self.world.c.enter())
        self.program.start()
        wait_until(lambda: f":{self.port}" in self.world.c.run("ss", "-Htln"), f"the snsd of {self.domain} listens",
                   SOON_S)
        return self

    def stop(self):
        self.program.stop()

    def token(self, address):
        return self.world.c.run(os.environ["SNSD_BIN"], "token", "--state", str(self.state), "--address",
                                f"{address}:{self.port}").strip()


class DomainsTestCase(suite.TestCase):
    limit_s = 240
    ipv6 = False

    def setUp(self):
        reason = dns.why_not()
        if reason:
            self.skipTest(reason)
        self.world = World()
        self.world.__enter__()
        self.addCleanup(self.world.close)
        self.dns = dns.Dns(self.world.c, "example.com", "verkstad.net")
        self.address = self.world.c.addresses()[1 if self.ipv6 else 0]
        self.dns.srv("example.com", "ns.example.com", SRV_PORT).host_record("ns.example.com", self.address)
        self.dns.host_record("verkstad.net", self.address)
        self.dns.__enter__()
        self.addCleanup(self.dns.close)
        self.servers = {domain: NameServer(self.world, domain, port).start()
                        for domain, port in (("example.com", SRV_PORT), ("verkstad.net", PLAIN_PORT))}
        for server in self.servers.values():
            self.addCleanup(server.stop)
        self.a = self.member(self.world.a, "example.com")
        self.b = self.member(self.world.b, "verkstad.net")

    def member(self, host, domain):
        """A daemon that has joined; its endpoint."""
        name = f"{host.letter}@{domain}"
        own = host.addresses()[1 if self.ipv6 else 0]
        listen = f"[{own}]:4700" if self.ipv6 else "0.0.0.0:4700"
        config = f'domain = "{domain}"\nendpoint = "{name}"\nlisten = "{listen}"\n'
        host.daemon = Daemon(Path(self.world.folder, host.letter), config=config, enter=self.dns.enter(host)).start()
        self.addCleanup(host.daemon.stop)
        address = f"[{self.address}]" if self.ipv6 else self.address
        (host.daemon.mount.path / "ctl").write_text(f"join {self.servers[domain].token(address)}\n", encoding="ascii")
        wait_until((host.daemon.mount.path / name).is_dir, f"{name} appears", SOON_S)
        return host.daemon.mount.endpoint(name, create=False)

    def describe(self):
        return self.world.describe()

    def exchange(self, dialler, acceptor, label):
        """A word in each direction, by cat and echo; the dialler's session."""
        session = dialler.sessions / acceptor.target("greet", label)
        host = start_shell('read -r s < "$E/services/greet" && read -r word < "$E/sessions/$s" && '
                           'echo "welcome, $word" > "$E/sessions/$s"', E=acceptor)
        self.assertEqual(shell_ok('exec 3<>"$S"; echo "guest of $L" >&3; read -r word <&3; echo "$word"', S=session,
                                  L=label), f"welcome, guest of {label}\n")
        self.assertEqual(finish(host).status, 0)
        return session

    def remote(self, endpoint, session):
        for line in endpoint.status().splitlines():
            if line.startswith(f"session: {session.name} "):
                return line.partition(" remote=")[2].split()[0]
        return ""

    def family_is_right(self, session):
        self.assertEqual(self.remote(self.a, session).count(":") > 1, self.ipv6, self.a.status())


class OverIPv4(DomainsTestCase):
    def test_endpoints_of_both_talk(self):
        for endpoint in (self.a, self.b):
            endpoint.serve("greet")
        session = self.exchange(self.a, self.b, "one")
        self.family_is_right(session)
        self.exchange(self.b, self.a, "two")
        self.assertEqual(attribute(session, "peer"), self.b.name)
        # What one sends the other gets, with cat; and the session goes on over a new connection.
        receiver = start_shell('read -r s < "$E/services/greet" && cat "$E/sessions/$s" | sha256sum', E=self.b)
        sent = shell_ok('head -c 4M /dev/urandom > "$D/big"; sha256sum < "$D/big"; cat "$D/big" > "$S"; rm "$S"',
                        D=self.world.folder, S=self.a.sessions / self.b.target("greet", "big"))
        self.assertEqual(finish(receiver).out, sent)
        killed = self.world.a.kill_connections(self.world.b)
        self.assertTrue(killed)
        wait_gone(self.world, killed)
        shell_ok('echo again > "$S"', S=session)
        wait_until(lambda: attribute(session, "state") == "ACTIVE", "it is resumed", SOON_S)


class OverIPv6(OverIPv4):
    ipv6 = True


class Trusted(DomainsTestCase):
    def test_the_name_server_moves(self):
        self.b.serve("greet")
        self.exchange(self.a, self.b, "before")
        moved = self.servers["verkstad.net"]
        moved.stop()
        moved.port = 4901
        moved.start()
        self.dns.srv("verkstad.net", "new.verkstad.net", moved.port).host_record("new.verkstad.net", self.address)
        self.dns.restart()
        # B itself has known it by its token.
        wait_until(lambda: "registration: registered" in self.b.status(), "B has found it", SOON_S)
        self.b.serve("later")
        self.exchange(self.a, self.b, "after")

    def test_another_authority_is_not_believed(self):
        self.b.serve("greet")
        self.exchange(self.a, self.b, "before")
        known = self.world.a.daemon.state / "authorities" / "verkstad.net.pem"
        self.assertIn("BEGIN CERTIFICATE", known.read_text(encoding="ascii"))
        impostor = self.servers["verkstad.net"]
        impostor.stop()
        shutil.rmtree(impostor.state)
        impostor.start()
        dialled = self.a.sessions / self.b.target("greet", "after")
        wait_until(lambda: _errno(dialled) == errno.EKEYREJECTED, "A does not believe the new one", AT_ONCE_S)
        # Who decides to believe it says so by removing what was kept.
        known.unlink()
        self.assertEqual(_errno(dialled), errno.ENOENT)  # B has not joined this one
        self.assertTrue(known.exists())


def _errno(path):
    try:
        os.close(os.open(path, os.O_RDWR))
        return 0
    except OSError as error:
        return error.errno


if __name__ == "__main__":
    suite.main(hosts=True)
