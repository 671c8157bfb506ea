"""A DNS server for the hosts of a world: dnsmasq in one host's namespace, and programs that ask it alone.

The resolver of the C library and c-ares read /etc/resolv.conf, which network namespaces share. A program that is to see
one of its own runs in a mount namespace where another file lies over it. The FUSE mounts that it makes are still seen
by everybody: the folder that they are in is a shared mount (mount_namespaces(7)).
"""

import shutil
import subprocess
from pathlib import Path

from hosts.world import checked
from support.daemon import Program
from support.keeper import keeper, mounted, unmount
from support.processes import SOON_S, Late, wait_until

DNS_PORT = 53
# The mount in which the file lies (it may be a link to elsewhere) is made private first: what lies over it must be seen
# in this namespace alone. It goes with the last program in it.
IN_OWN_RESOLVER = """
file=$(realpath /etc/resolv.conf) && mount --make-private "$(stat -c %m "$file")" && mount --bind "$0" "$file" &&
exec "$@"
"""


def why_not():
    """One line that says why there can be no DNS server here; None when there can."""
    for program in ("dnsmasq", "unshare", "mount"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    return None


class Dns:
    """A DNS server at `host` of a world, for `zones`: names below them that are not told of do not exist. A context
    manager. Records are set before it starts; restart() tells it of others."""

    def __init__(self, host, *zones):
        self.host, self.world = host, host.world
        self.zones = zones
        self.records = []
        self.folder = Path(self.world.folder, f"dns-{host.letter}")
        self.folder.mkdir()
        self.resolv_conf = self.folder / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {host.address}\n", encoding="ascii")
        self.program = None
        self.shared = None

    # --- its records -------------------------------------------------------------------------------------------

    def forget(self):
        """All records."""
        self.records.clear()
        return self

    def host_record(self, name, *addresses, ttl_s=5):
        """The addresses of a name, at most one of each family."""
        self.records.append(f"--host-record={','.join((name, *addresses, str(ttl_s)))}")
        return self

    def srv(self, domain, target, port, priority=0, weight=0):
        """The name server of `domain` is at `target`."""
        self.records.append(f"--srv-host=_sns._tcp.{domain},{target},{port},{priority},{weight}")
        return self

    def no_srv(self, domain):
        """`domain` says that it has no name server."""
        self.records.append(f"--srv-host=_sns._tcp.{domain}")
        return self

    # --- while it runs -----------------------------------------------------------------------------------------

    def __enter__(self):
        try:
            self.share()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        command = ["dnsmasq", "--keep-in-foreground", "--user=root", "--pid-file", "--conf-file=/dev/null",
                   "--no-resolv", "--no-hosts", "--bind-interfaces", f"--port={DNS_PORT}",
                   "--except-interface=lo", "--local-ttl=5",
                   *(f"--local=/{zone}/" for zone in self.zones), *self.records]
        self.program = Program(command, str(self.folder / "log"), self.host.enter()).start()

        def listening():
            if not self.program.running():
                raise AssertionError(f"dnsmasq has ended with {self.program.process.returncode}:\n"
                                     f"{self.program.tail()}")
            return f"{self.host.address}:{DNS_PORT}" in self.host.run("ss", "-Htln")
        wait_until(listening, "dnsmasq listens", SOON_S)

    def stop(self):
        """From now on nobody answers."""
        if self.program:
            self.program.stop()
            self.program = None

    def restart(self):
        """Its records have changed."""
        self.stop()
        self.start()

    def close(self):
        """The server ends. Who uses its resolver must have ended before."""
        problem = None
        try:
            self.stop()
        except Late as late:
            problem = late
        if self.shared:
            # Mounts inside are of the programs, which have ended; what is left of them goes first.
            for path in sorted(_mounts_in(self.shared), reverse=True):
                unmount(path)
                keeper.drop("mount", path)
            unmount(self.shared)
            keeper.drop("mount", self.shared)
            self.shared = None
        if problem:
            raise problem

    # --- programs that ask it ----------------------------------------------------------------------------------

    def share(self):
        """Makes the world's folder a shared mount. Once for a world: other servers of it do nothing here."""
        folder = self.world.folder
        if mounted(folder):
            return
        checked("mount", "--bind", folder, folder)
        keeper.add("mount", folder)
        self.shared = folder
        checked("mount", "--make-private", folder)
        checked("mount", "--make-shared", folder)

    def enter(self, host):
        """What runs a program at `host` with this server as its resolver: as Host.enter(), for Program and Daemon."""
        return host.enter("unshare", "--mount", "--propagation", "unchanged", "sh", "-c", IN_OWN_RESOLVER,
                          str(self.resolv_conf))

    def run(self, host, *command):
        """Runs a program at `host` with this resolver; returns what it has printed."""
        return checked(*self.enter(host), *command)

    def lookup(self, host, name):
        """What the C library at `host` finds: the addresses of `name`, sorted; none when there is no such name."""
        result = subprocess.run([*self.enter(host), "getent", "ahosts", name], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=SOON_S, check=False)
        if result.returncode not in (0, 2):  # getent(1): 2 is: not found
            raise RuntimeError(f"getent ahosts {name}: {result.stderr.strip() or result.returncode}")
        return sorted({line.split()[0] for line in result.stdout.splitlines()})


def _mounts_in(folder):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return [path for path in (line.split()[4] for line in lines) if path.startswith(folder + "/")]
