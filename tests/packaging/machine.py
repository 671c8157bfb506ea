"""Machines to install on: this system once more, with processes, a network and users of its own, and with all that is
changed gone at the end. Made of namespaces and an overlay; the kernel is the same."""

import os
import shutil
import subprocess
from pathlib import Path

from support.keeper import clear_cgroup, keeper, quietly, remove_folder, temporary_folder
from support.processes import SOON_S, finish, start, wait_until

SYSTEMD = ["/lib/systemd/systemd", "--system", "--unit=basic.target", "--show-status=0", "--log-target=null"]
# Ends its children's children.
NO_SYSTEMD = ["sh", "-c", "while :; do sleep 1; done"]


def cgroups():
    """Where the second version of cgroups is mounted, or None."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        for line in table:
            if " - cgroup2 " in line:
                return Path(line.split()[4])
    return None


def why_not():
    """One line that says why there can be no machine here; None when there can."""
    if os.geteuid() != 0:
        return "a machine of its own needs root"
    for program in ("ip", "nsenter", "unshare", "dpkg", "/lib/systemd/systemd", "systemd-analyze"):
        if shutil.which(program) is None:
            return f"the program {program} is not there"
    if cgroups() is None or not os.access(cgroups(), os.W_OK):
        return "cgroups of the second version cannot be made"
    if not quietly("unshare", "--mount", "--pid", "--fork", "--net", "--cgroup", "--propagation", "private", "sh", "-c",
                   "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w && "
                   "mount -t overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w none /mnt"):
        return "namespaces or overlays cannot be made"
    return None


class Machine:
    """Up from __enter__ on; with or without systemd as its first process."""

    def __init__(self, systemd):
        self.systemd = systemd
        self.folder = Path(temporary_folder())  # its /mnt
        self.group = cgroups() / self.folder.name
        self.process = self.first = None

    def __enter__(self):
        keeper.add("cgroup", str(self.group))
        self.group.mkdir()
        command = ["unshare", "--pid", "--mount", "--cgroup", "--uts", "--ipc", "--net", "--fork", "--kill-child",
                   "--propagation", "private", str(Path(__file__).with_name("boot")), str(self.folder),
                   *(SYSTEMD if self.systemd else NO_SYSTEMD)]
        self.process = start(["sh", "-ec", f'echo $$ > {self.group}/cgroup.procs; exec "$@"', "-", *command],
                             stdout=subprocess.DEVNULL)
        self.first = wait_until(self._first, "the first process runs", SOON_S)
        os.chmod(self.folder, 0o755)
        if self.systemd:
            self.ok("timeout 50 systemctl is-system-running --wait || [ $? = 1 ]")
        return self

    def _first(self):
        """The process number of what boot has become."""
        if self.process.poll() is not None:
            raise AssertionError(f"the machine has ended with {self.process.returncode}")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").split()
        if not children:
            return None
        name = Path(f"/proc/{children[0]}/comm").read_text(encoding="ascii").strip()
        up = name == ("systemd" if self.systemd else "sh") and \
            b"boot" not in Path(f"/proc/{children[0]}/cmdline").read_bytes()
        return int(children[0]) if up else None

    def __exit__(self, *_):
        clear_cgroup(str(self.group))
        self.process.wait()
        if not self.group.exists():
            keeper.drop("cgroup", str(self.group))
        remove_folder(str(self.folder))

    def start(self, script, *words, user=None):
        """Starts a shell script in it, as root or as in a login of a user."""
        within = ["nsenter", f"--target={self.first}", "--all", "--"]
        shell = ["sh", "-ec", script, "-", *map(str, words)]
        if user:
            number = self.ok('id -u "$1"', user).strip()
            within += ["runuser", "-u", user, "--", "env", "-C", f"/home/{user}", f"HOME=/home/{user}", f"USER={user}",
                       f"XDG_RUNTIME_DIR=/run/user/{number}"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C",
                       "DEBIAN_FRONTEND": "noninteractive"}
        return start(within + shell, env=environment, cwd="/", text=True, stdout=subprocess.PIPE,
                     stderr=subprocess.PIPE)

    def run(self, script, *words, user=None, limit_s=SOON_S):
        return finish(self.start(script, *words, user=user), limit_s, script)

    def ok(self, script, *words, user=None, limit_s=SOON_S):
        """As run(), but it must succeed; what it has printed."""
        done = self.run(script, *words, user=user, limit_s=limit_s)
        if done.status != 0:
            raise AssertionError(f"failed: {done}")
        return done.out

    def into_network(self, command):
        """Runs a command in its network, as a process of this system."""
        subprocess.run(["nsenter", f"--net=/proc/{self.first}/ns/net", "--", *command.split()], check=True, timeout=SOON_S)

    def holds(self, script, *words, user=None):
        """Waits until the script succeeds."""
        wait_until(lambda: self.run(script, *words, user=user).status == 0, script, SOON_S, interval_s=0.2)

    def install(self, package):
        shutil.copy(package, self.folder / "sessionfs.deb")
        self.ok("dpkg -i /mnt/sessionfs.deb")

    def add_user(self, name):
        self.ok('useradd --create-home --shell /bin/sh "$1"', name)
