"""What the pages show for several hosts, as it stands there: typed by users of three machines on which the package is
installed, joined by a network. Where a page speaks of a stick, a folder is carried."""

import re
import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests/docs")]
import built  # noqa: E402
import machine  # noqa: E402
from blocks import blocks_of  # noqa: E402
from support import suite  # noqa: E402
from support.processes import finish  # noqa: E402

USER = "anna"


def block(page, before):
    """The lines of the first block behind the text `before`, in parts that blank lines divide."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    line = text.count("\n", 0, text.index(before)) + 1
    found = next(each for each in blocks_of(page, text) if each.line > line)
    return [[re.sub(r"\s+#.*", "", line) for line in part.splitlines()] for part in found.text.strip().split("\n\n")]


class Pages(suite.TestCase):
    limit_s = 240

    @classmethod
    def setUpClass(cls):
        package = built.package()
        for number, name in enumerate(("laptop", "host", "names"), start=1):
            made = machine.Machine(systemd=False)
            made.__enter__()
            cls.addClassCleanup(made.__exit__)
            made.ok('hostname "$1"; echo "127.0.0.1 localhost $1" >/etc/hosts', name)
            made.ok("ip link delete eth0")
            made.install(package)
            made.add_user(USER)
            made.ok(f"mkdir /session /media/stick /mnt/stick; mount --bind /mnt/stick /media/stick\n"
                    f"chown {USER}: /session /media/stick")
            setattr(cls, name, made)
            made.address = f"10.77.0.{number}"
        cls.join_by_a_network()

    @classmethod
    def join_by_a_network(cls):
        cls.names.ok("ip link add lan type bridge; ip link set lan up; ip address add 10.77.0.3/24 dev lan")
        for number, made in enumerate((cls.laptop, cls.host)):
            cls.names.into_network(f"ip link add port{number} type veth peer name eth0 netns {made.first}")
            cls.names.ok(f"ip link set port{number} master lan up")
            made.ok(f"ip address add {made.address}/24 dev eth0; ip link set eth0 up")

    def typed(self, made, line, *words):
        return made.ok(line, *words, user=USER)

    def stays(self, made, line, until):
        """A program that goes on."""
        running = made.start(line.removesuffix("&"), user=USER)
        self.addCleanup(finish, running)
        name = line.split()[0]
        self.addCleanup(made.run, f"pkill -x {name}")
        made.holds(until, user=USER)

    def test_two_hosts_a_stick_and_programs(self):
        self.two_hosts()
        self.an_endpoint_travels()
        self.ssh()
        self.web()
        self.the_disk_of_a_host_is_lost()
        self.the_name_server_moves()

    def two_hosts(self):
        (serve, token), joining = block("README.md", "## On two hosts")
        self.stays(self.names, serve, "snsd token")
        for line in block("docs/OPERATING.md", "### The name server")[0][1:]:
            self.typed(self.names, line)
        for made in (self.laptop, self.host):
            printed = self.typed(self.names, token).strip()
            self.typed(made, "\n".join(joining).replace("TOKEN", printed))
            made.holds("sessionctl status | grep -q 'on time\\|registered'", user=USER)
        self.typed(self.laptop, "mkdir /session/bob@verkstad.net")
        self.typed(self.host, "mkdir /session/alice@verkstad.net; touch /session/alice@verkstad.net/services/greet")
        self.typed(self.laptop, "echo Hello >/session/bob@verkstad.net/sessions/greet.alice@verkstad.net")

    def an_endpoint_travels(self):
        save, load = block("README.md", "## An endpoint travels")[0]
        self.typed(self.laptop, save)
        shutil.move(self.laptop.folder / "stick/bob@verkstad.net", self.host.folder / "stick")
        self.typed(self.host, load)
        self.typed(self.host, "cd /session/bob@verkstad.net/sessions; echo again >greet.alice@verkstad.net\n"
                   "read -r s </session/alice@verkstad.net/services/greet\n"
                   'exec 3<"/session/alice@verkstad.net/sessions/$s"; read -r a <&3; read -r b <&3; [ "$a $b" = "Hello again" ]')

    def ssh(self):
        serve, connect = block("README.md", "## Programs that you already have")[0]
        self.host.ok("mkdir -p /run/sshd; ssh-keygen -A; /usr/sbin/sshd")
        key = self.typed(self.laptop, "ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519; cat ~/.ssh/id_ed25519.pub")
        self.typed(self.host, 'mkdir -p -m 700 ~/.ssh; echo "$1" >~/.ssh/authorized_keys', key)
        self.typed(self.laptop, "echo 'StrictHostKeyChecking accept-new' >~/.ssh/config")
        self.stays(self.host, serve, "test -e /session/host@verkstad.net/services/ssh")
        self.assertEqual(self.typed(self.laptop, f"echo hostname | {connect} -T").splitlines()[-1], "host")

    def web(self):
        expose, forward = block("README.md", "## Programs that you already have")[1]
        self.host.ok("mkdir /srv/web; echo a page >/srv/web/page")
        web = self.host.start("exec python3 -m http.server --bind localhost --directory /srv/web 80")
        self.addCleanup(finish, web)
        self.addCleanup(self.host.run, "pkill -f http.server")
        self.host.holds("ss -Hltn 'sport = :80' | grep -q .")
        self.stays(self.host, expose, "test -e /session/host@verkstad.net/services/web")
        self.stays(self.laptop, forward, "ss -Hltn 'sport = :8080' | grep -q .")
        self.assertEqual(self.typed(self.laptop, "curl -s http://localhost:8080/page"), "a page\n")

    def the_disk_of_a_host_is_lost(self):
        self.typed(self.laptop, "mkdir /session/carol@verkstad.net; echo dear >/session/carol@verkstad.net/diary")
        self.laptop.ok("mkdir /backup; chmod 777 /backup /srv; mkdir -m 777 /backup/endpoints")
        self.typed(self.laptop, "cp -r /session/carol@verkstad.net /session/laptop@verkstad.net /backup/endpoints\n"
                   "fusermount3 -u /session; while pgrep -x sessionfs; do sleep 0.1; done\n"
                   "rm -r ~/.local/state/sessionfs; sessionfs /session")
        token = self.typed(self.names, "snsd token").strip()
        join, copy, load = block("docs/OPERATING.md", "After the loss of a host's disk")[0]
        # A default endpoint of this name cannot be made: its copy comes.
        self.typed(self.laptop, join.replace("TOKEN", token))
        self.typed(self.laptop, f"{copy}\n{load}")
        self.assertEqual(self.typed(self.laptop, "cat /session/carol@verkstad.net/diary; ls -d /session/laptop@*"),
                         "dear\n/session/laptop@verkstad.net\n")

    def the_name_server_moves(self):
        export, restore, serve = block("docs/OPERATING.md", "The name server:\n")[0]
        self.names.ok("chmod 777 /srv")
        self.typed(self.names, f"cd; {export}; {restore}")
        self.names.ok("pkill -x snsd")
        self.stays(self.names, serve, "snsd token --state /srv/sns")
        self.typed(self.laptop, "mkdir /session/dave@verkstad.net")


if __name__ == "__main__":
    suite.main(also=lambda: built.why_not() or machine.why_not())
