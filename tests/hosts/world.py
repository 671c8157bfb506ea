"""Three hosts A, B and C in network namespaces, joined by a bridge in a fourth; and the ways in which a network breaks.

    A 10.77.0.1 fd77::1  --\
    B 10.77.0.2 fd77::2  ---+-- bridge
    C 10.77.0.3 fd77::3  --/     C runs the name server of verkstad.net

Each host has a second address in each family (10.77.0.11 and so on) to which it can move. Programs run with nsenter,
which leaves them in the mount namespace of everybody: `ip netns exec` would hide their mounts.
"""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

from support.daemon import Daemon, Program
from support.keeper import keeper, mounts_below, remove_folder, temporary_folder, unmount
from support.processes import SOON_S, Late, run, wait_until

DOMAIN = "verkstad.net"
SNS_ADDRESS = "10.77.0.3:4701"
SNS_PORT = 4701

# Connects to a port at which nobody listens: the refusal is the answer.
PROBE = """
import errno, socket, sys
probe = socket.socket()
probe.settimeout(2)
sys.exit(probe.connect_ex((sys.argv[1], 9)) != errno.ECONNREFUSED)
"""

_worlds = itertools.count(1)


def checked(*command):
    """Runs a command of the harness; it must succeed. Returns what it has printed."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SOON_S,
                            check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr.strip() or result.returncode}")
    return result.stdout


def end_applications(mountpoint):
    """Ends what the daemon of a host has started for endpoints that came (apps.d): it outlives the daemon, and would hold
    the host's mounts."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"SESSIONFS_MOUNT={mountpoint}".encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


class Host:
    """A network namespace with one link, eth0, and what runs there."""

    def __init__(self, world, letter, number):
        self.world, self.letter, self.number = world, letter, number
        self.namespace = f"{world.prefix}-{letter}"
        self.port = f"port-{letter}"  # the bridge's end of the link
        self._ports = {"eth0": self.port}
        self.moved = False
        self.daemon = self.usb = None

    # --- where it is -------------------------------------------------------------------------------------------

    def addresses(self, moved=None):
        number = self.number + (10 if (self.moved if moved is None else moved) else 0)
        return f"10.77.0.{number}", f"fd77::{number:x}"

    @property
    def address(self):
        return self.addresses()[0]

    def enter(self, *command):
        if self.usb:
            return [*self.usb.enter(), *command]
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *command]

    def run(self, *command):
        """Runs a program of the harness here; returns what it has printed."""
        return checked(*self.enter(*command))

    def ip(self, *arguments):
        return checked("ip", "-n", self.namespace, *arguments)

    def ip_batch(self, lines):
        """Many commands of ip(8)."""
        commands = Path(self.world.folder, f"ip-{self.letter}")
        commands.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        self.ip("-batch", str(commands))

    def make(self):
        checked("ip", "netns", "add", self.namespace)
        keeper.add("netns", self.namespace)
        self.ip("link", "set", "lo", "up")
        checked("ip", "link", "add", self.port, "netns", self.world.switch, "type", "veth", "peer", "name", "eth0",
                "netns", self.namespace)
        checked("ip", "-n", self.world.switch, "link", "set", self.port, "master", "br0", "up")
        # A host's own addresses stay when its link goes down, as an administrator would have it.
        self.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/keep_addr_on_down && "
                 "echo 1 > /proc/sys/net/ipv6/conf/eth0/keep_addr_on_down && "
                 "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad")
        self.ip("link", "set", "eth0", "up")
        self.add_addresses(False)

    def add_addresses(self, moved):
        ipv4, ipv6 = self.addresses(moved)
        self.ip("addr", "add", f"{ipv4}/24", "dev", "eth0")
        if self.world.ipv6:
            self.ip("addr", "add", f"{ipv6}/64", "dev", "eth0", "nodad")

    def reaches(self, other):
        """Whether a TCP port of `other` answers, be it by a refusal."""
        return run(self.enter(sys.executable, "-c", PROBE, other.address)).status == 0

    # --- how its network breaks --------------------------------------------------------------------------------

    def link_down(self):
        self.ip("link", "set", "eth0", "down")

    def link_up(self):
        self.ip("link", "set", "eth0", "up")

    def unplug(self, link="eth0"):
        """The cable is pulled: the link has no carrier."""
        checked("ip", "-n", self.world.switch, "link", "set", self._ports[link], "down")

    def plug(self, link="eth0"):
        checked("ip", "-n", self.world.switch, "link", "set", self._ports[link], "up")

    def add_second_link(self, bridge):
        """eth1, 10.78.0.N and fd78::N, by which the name server's host is reached when eth0 is away."""
        port = self._ports["eth1"] = f"port-{self.letter}1"
        checked("ip", "link", "add", port, "netns", self.world.switch, "type", "veth", "peer", "name", "eth1", "netns",
                self.namespace)
        checked("ip", "-n", self.world.switch, "link", "set", port, "master", bridge, "up")
        self.run("sh", "-c", "cd /proc/sys/net && for link in eth0 eth1; do "
                 "echo 1 > ipv4/conf/$link/arp_ignore; echo 1 > ipv4/conf/$link/ignore_routes_with_linkdown; "
                 "echo 1 > ipv6/conf/$link/ignore_routes_with_linkdown; echo 1 > ipv6/conf/$link/keep_addr_on_down; "
                 "done")
        self.ip("link", "set", "eth1", "up")
        self.ip("addr", "add", f"10.78.0.{self.number}/24", "dev", "eth1")
        self.ip("addr", "add", f"fd78::{self.number:x}/64", "dev", "eth1", "nodad")
        if self is not self.world.c:
            self.ip("route", "add", "10.77.0.0/24", "via", "10.78.0.3", "metric", "1000")

    def replace_address(self):
        """The host's addresses go, others come."""
        ipv4, ipv6 = self.addresses()
        self.ip("addr", "del", f"{ipv4}/24", "dev", "eth0")
        if self.world.ipv6:
            self.ip("addr", "del", f"{ipv6}/64", "dev", "eth0")
        self.moved = not self.moved
        self.add_addresses(self.moved)

    def silence(self):
        """Everything to and from this host is lost on the way, and no one is told."""
        table = f"silence_{self.letter}"
        rules = (f'add table bridge {table}; '
                 f'add chain bridge {table} c {{ type filter hook forward priority 0; }}; '
                 f'add rule bridge {table} c iifname "{self.port}" drop; '
                 f'add rule bridge {table} c oifname "{self.port}" drop')
        checked(*self.world.in_switch("nft", rules))

    def speak(self):
        """Undoes silence()."""
        checked(*self.world.in_switch("nft", f"delete table bridge silence_{self.letter}"))

    def connections(self, peer):
        """The established TCP connections between this host and `peer`: {(local, port, remote, port)}."""
        found = set()
        theirs = {*peer.addresses(False), *peer.addresses(True)}
        for line in self.run("ss", "-Htn", "state", "established").splitlines():
            local, remote = (_split(field) for field in line.split()[2:4])
            if remote[0] in theirs:
                found.add((*local, *remote))
        return found

    def kill_connections(self, peer):
        """Every connection to `peer` is reset by the kernel, on both sides. Returns those it has killed."""
        killed = self.connections(peer)
        for _, port, _, remote_port in killed:
            self.run("ss", "-K", "sport", "=", f":{port}", "and", "dport", "=", f":{remote_port}")
        return killed


def _split(field):
    """`[::ffff:10.77.0.1]:4700` and `10.77.0.1:4700` are one address."""
    address, _, port = field.rpartition(":")
    address = address.strip("[]").partition("%")[0]
    return (address[len("::ffff:"):] if address.startswith("::ffff:") else address), int(port)


class World:
    """A context manager; inside it the hosts are there, and nothing runs on them yet."""

    def __init__(self, ipv6=True):
        self.ipv6 = ipv6
        self.prefix = f"sfs{os.getpid()}x{next(_worlds)}"
        self.switch = f"{self.prefix}-switch"
        self.a, self.b, self.c = (Host(self, letter, number) for number, letter in enumerate("abc", start=1))
        self.hosts = (self.a, self.b, self.c)
        self.sns = None
        self.folder = None

    def in_switch(self, *command):
        return ["nsenter", f"--net=/run/netns/{self.switch}", "--", *command]

    def __enter__(self):
        self.folder = temporary_folder("sessionfs-hosts-")
        try:
            checked("ip", "netns", "add", self.switch)
            keeper.add("netns", self.switch)
            checked("ip", "-n", self.switch, "link", "add", "br0", "type", "bridge")
            checked("ip", "-n", self.switch, "link", "set", "br0", "up")
            for host in self.hosts:
                host.make()
            for one, other in itertools.permutations(self.hosts, 2):
                wait_until(lambda x=one, y=other: x.reaches(y), f"{one.letter} reaches {other.letter}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends what runs and takes everything away. The first thing that went wrong on the way is raised at the end."""
        problems = []
        programs = [host.daemon for host in self.hosts if host.daemon] + ([self.sns] if self.sns else [])
        for program in programs:
            try:
                program.stop()
            except Late as late:
                problems.append(late)
        for host in self.hosts:
            if host.daemon:
                keeper.drop("mount", str(host.daemon.mountpoint))
                end_applications(host.daemon.mountpoint)
        for host in self.hosts:
            if host.usb:
                host.usb.close()
        for mount in reversed(mounts_below(self.folder)):
            unmount(mount)
        unmount(self.folder)
        keeper.drop("mount", self.folder)
        for namespace in [host.namespace for host in self.hosts] + [self.switch]:
            if os.path.exists(f"/run/netns/{namespace}"):
                with contextlib.suppress(RuntimeError):
                    checked("ip", "netns", "del", namespace)
                    keeper.drop("netns", namespace)
        remove_folder(self.folder)
        if problems:
            raise problems[0]

    def add_second_network(self, routed=False):
        """`routed`: C routes between the two."""
        checked("ip", "-n", self.switch, "link", "add", "br1", "type", "bridge")
        checked("ip", "-n", self.switch, "link", "set", "br1", "up")
        for host in self.hosts:
            host.add_second_link("br1")
        if routed:
            self.c.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward && "
                       "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
            for host in (self.a, self.b):
                host.ip("route", "add", "10.78.0.0/24", "via", "10.77.0.3", "metric", "1000")
                host.ip("route", "add", "fd78::/64", "via", "fd77::3", "metric", "2000")
                host.ip("route", "add", "fd77::/64", "via", "fd78::3", "metric", "2000")

    # --- what runs ---------------------------------------------------------------------------------------------

    def start_sns(self, *options):
        """The name server of the domain on C."""
        state = Path(self.folder, "sns")
        state.mkdir(exist_ok=True)
        self.sns = Program([os.environ["SNSD_BIN"], "--domain", DOMAIN, "--state", str(state), *options],
                           str(Path(self.folder, "sns.log")), self.c.enter())
        self.sns.start()
        self.wait_for_sns()

    def wait_for_sns(self):
        def listening():
            if not self.sns.running():
                raise AssertionError(f"snsd has ended with {self.sns.process.returncode}:\n{self.sns.tail()}")
            return f":{SNS_PORT}" in self.c.run("ss", "-Htln")
        wait_until(listening, "snsd listens", SOON_S)

    def token(self):
        return self.c.run(os.environ["SNSD_BIN"], "token", "--domain", DOMAIN, "--state", str(Path(self.folder, "sns")),
                          "--address", SNS_ADDRESS).strip()

    def start_daemon(self, host, config=""):
        """The daemon of a host; its endpoint is a@verkstad.net on A, and so on. Not joined yet."""
        text = (f'domain = "{DOMAIN}"\nendpoint = "{host.letter}@{DOMAIN}"\n{config}'
                f'[sns]\n"{DOMAIN}" = "{SNS_ADDRESS}"\n')
        host.daemon = Daemon(Path(self.folder, host.letter), config=text, enter=host.enter())
        host.daemon.start()
        return host.daemon

    def join(self, host):
        mount = host.daemon.mount
        (mount.path / "ctl").write_text(f"join {self.token()}\n", encoding="ascii")
        name = f"{host.letter}@{DOMAIN}"
        wait_until((mount.path / name).is_dir, f"{name} appears", SOON_S)
        return mount.endpoint(name, create=False)

    def start(self, config="", sns_options=()):
        """All of it: the name server, and daemons on A and B that have joined. Returns the endpoints of A and B."""
        self.start_sns(*sns_options)
        endpoints = []
        for host in (self.a, self.b):
            self.start_daemon(host, config)
            endpoints.append(self.join(host))
        return endpoints

    def describe(self):
        parts = [host.daemon.describe() for host in self.hosts if host.daemon]
        if self.sns:
            parts.append(f"== log of snsd\n{self.sns.tail()}")
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            parts += [f"== connections at {host.letter}\n{host.run('ss', '-Htnpo')}" for host in self.hosts]
        return "\n".join(parts)

