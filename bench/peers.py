"""What the benchmarks share: the programs under test, the peers' servers, processor time, tables."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
sys.dont_write_bytecode = True

from support.keeper import keeper  # noqa: E402
from support.processes import wait_until  # noqa: E402

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
QUIET_SHARE = 0.1  # of all processors
QUIET_FOR_S = 0.5
SSH_PORT = 4822
TLS_CIPHER = "TLS_AES_128_GCM_SHA256"


def add_options(parser, rounds=5):
    parser.add_argument("--rounds", type=int, default=rounds, help=f"how often each is measured, in turn; default {rounds}")
    parser.add_argument("--without", action="append", default=[], metavar="KEY", help="leave one out; may be repeated")
    parser.add_argument("--only", action="append", default=[], metavar="KEY", help="measure this one; may be repeated")
    parser.add_argument("--patience", type=float, default=0, metavar="SECONDS",
                        help="before each measurement wait at most so long until nothing else runs; default 0")
    add_programs(parser)


def add_programs(parser):
    parser.add_argument("--bin-dir", type=Path, help="where sessionfs, snsd and pingpong_echo are; default "
                        "build/release/bin, or $SESSIONFS_BIN and $SNSD_BIN")


def use_programs(folder):
    """Says to the hosts which programs they run. Returns their folder."""
    for variable, name in (("SESSIONFS_BIN", "sessionfs"), ("SNSD_BIN", "snsd")):
        if folder or variable not in os.environ:
            os.environ[variable] = str((folder or ROOT / "build/release/bin").resolve() / name)
    return Path(os.environ["SESSIONFS_BIN"]).parent


def chosen(contestants, options):
    """Those of {key: ...} that the options leave in."""
    for key in (*options.without, *options.only):
        if key not in contestants:
            sys.exit(f"there is no '{key}' to measure; there are: {', '.join(contestants)}")
    return [key for key in contestants if key not in options.without and (not options.only or key in options.only)]


def needs(*programs):
    missing = [program for program in programs if subprocess.run(["which", program], capture_output=True).returncode != 0]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        sys.exit("the two hosts are network namespaces, which only root can make; run it with sudo")


# --- processor time ---------------------------------------------------------------------------------------------------

def cpu_of(pid, with_children=False):
    """User and system seconds that a running process has used; on request with its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15 if with_children else 13])) / TICKS_PER_S


def busy():
    """Seconds of all processors together that were not idle since the start of the machine."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _waiting, *rest = map(int, file.readline().split()[1:9])
    return (user + nice + system + sum(rest)) / TICKS_PER_S


def others_share(since, begin, ours=0.0):
    """The part of all processors that everything but us has used since busy() was `since`, at the time `begin`."""
    whole = (time.monotonic() - begin) * os.cpu_count()
    return max(0.0, busy() - since - ours) / whole


def await_quiet(patience_s):
    """Waits until next to nothing runs on this machine, but not for ever."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        since, begin = busy(), time.monotonic()
        time.sleep(QUIET_FOR_S)
        if others_share(since, begin) < QUIET_SHARE:
            return


class Timed:
    """A process whose processor time, with that of its ended children, is known when it has ended."""

    def __init__(self, command, env=None, **named):
        named.setdefault("stdin", subprocess.DEVNULL)
        self.process = subprocess.Popen(command, env={**os.environ, **(env or {})}, **named)
        keeper.add_process(self.process.pid)

    def wait(self):
        """User and system seconds; it must succeed."""
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            raise RuntimeError(f"{' '.join(self.process.args)}: exit status {self.process.returncode}")
        return usage.ru_utime + usage.ru_stime


# --- the peers' servers -----------------------------------------------------------------------------------------------

def openssl(folder, *command):
    subprocess.run(["openssl", *command], check=True, cwd=folder, capture_output=True)


class Keys:
    """Certificates for socat, and keys for ssh, in one folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self._certificates()
        self._ssh()

    def _certificates(self):
        openssl(self.folder, "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=authority", "-days", "2",
                "-keyout", "ca.key", "-out", "ca.crt")
        for side in ("a", "b"):
            openssl(self.folder, "req", "-newkey", "ed25519", "-nodes", "-subj", f"/CN={side}", "-keyout", f"{side}.key",
                    "-out", f"{side}.csr")
            openssl(self.folder, "x509", "-req", "-in", f"{side}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "2", "-out", f"{side}.crt")
            parts = [(self.folder / f"{side}.{part}").read_text(encoding="ascii") for part in ("key", "crt")]
            (self.folder / f"{side}.pem").write_text("".join(parts), encoding="ascii")
        # socat has no option for the ciphers of TLS 1.3.
        (self.folder / "openssl.cnf").write_text(
            "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = suites\n[suites]\n"
            f"MinProtocol = TLSv1.3\nCiphersuites = {TLS_CIPHER}\n", encoding="ascii")

    def _ssh(self):
        for key in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, cwd=self.folder)
        (self.folder / "authorized").write_bytes((self.folder / "client.pub").read_bytes())
        (self.folder / "sshd_config").write_text(
            f"Port {SSH_PORT}\nHostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/authorized\nStrictModes no\n"
            "UsePAM no\nPermitRootLogin yes\nPidFile none\nUseDNS no\nCompression no\n", encoding="ascii")
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it

    @property
    def socat_env(self):
        return {"OPENSSL_CONF": str(self.folder / "openssl.cnf")}

    def tls(self, side, peer=None):
        """socat's options: a certificate, and who must have signed the other's (verification is its default)."""
        words = f"cert={self.folder}/{side}.pem,cafile={self.folder}/ca.crt,verify=1"
        return words + (f",commonname={peer}" if peer else "")

    def sshd(self, host):
        """A running server; everything that it starts ends before spent_by_sshd() tells."""
        server = Timed(host.enter("/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_listening(host, SSH_PORT)
        return server.process.pid

    def ssh(self, host, to, command):
        return host.enter("ssh", *self.ssh_options, f"root@{to.address}", command)

    @property
    def ssh_options(self):
        return ["-F", "none", "-T", "-p", str(SSH_PORT), "-i", str(self.folder / "client"), "-c", "aes128-gcm@openssh.com",
                "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o",
                "Compression=no", "-o", "IdentityAgent=none"]


def spent_by_sshd(pid):
    """User and system seconds of a server and of its connections, once the last of them is over."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    wait_until(lambda: not children.read_text(encoding="ascii"), "sshd has ended its connections", interval_s=0.005)
    return cpu_of(pid, with_children=True)


def wait_listening(host, port):
    wait_until(lambda: host.run("ss", "-Htln", f"sport = :{port}"), f"port {port} of {host.letter} listens", interval_s=0.01)


# --- what is printed --------------------------------------------------------------------------------------------------

def note(text):
    print(text, file=sys.stderr, flush=True)


def machine():
    return f"{os.cpu_count()} cores, Linux {os.uname().release.split('-')[0]}"


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def ratio(ours, theirs):
    """The median of the ratios round by round, which a drifting machine disturbs least."""
    return statistics.median(a / b for a, b in zip(ours, theirs))


def table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("| --- |" + " ---: |" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
