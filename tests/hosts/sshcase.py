"""Tests in which hosts offer OpenSSH: a server at B, started for each session, and a client at A."""

import os
import shutil
import subprocess
from pathlib import Path

from hosts.hostscase import HostsTestCase
from support.processes import SOON_S, kill_group, start, wait_until

SSH_PROGRAMS = ("sshd", "ssh", "ssh-keygen")


def where(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


class SshTestCase(HostsTestCase):
    """A user of A, who knows B's host key and whose key B knows."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(cls.world.folder)
        cls.make_ssh()

    @classmethod
    def make_ssh(cls):
        os.makedirs("/run/sshd", exist_ok=True)
        for key in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", cls.folder / key], check=True)
        shutil.copy(cls.folder / "user_key.pub", cls.folder / "authorized_keys")
        public = " ".join((cls.folder / "host_key.pub").read_text(encoding="ascii").split()[:2])
        (cls.folder / "known_hosts").write_text(f"b {public}\n", encoding="ascii")
        (cls.folder / "sshd_config").write_text(
            f"HostKey {cls.folder}/host_key\nAuthorizedKeysFile {cls.folder}/authorized_keys\nStrictModes no\n"
            "UsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n", encoding="ascii")
        proxy = " ".join(cls.control_words(cls.a, "connect", f"ssh.{cls.at_b.name}", "--from", cls.at_a.name))
        (cls.folder / "ssh_config").write_text(
            f"Host b\n  ProxyCommand {proxy}\n  User root\n  IdentityFile {cls.folder}/user_key\n"
            f"  UserKnownHostsFile {cls.folder}/known_hosts\n  StrictHostKeyChecking yes\n  BatchMode yes\n"
            "  ServerAliveInterval 0\n", encoding="ascii")

    @classmethod
    def control_words(cls, host, *words):
        return [os.environ["SESSIONCTL_BIN"], "--mount", str(host.daemon.mount.path), *map(str, words)]

    def setUp(self):
        self.running = []
        self.addCleanup(lambda: [kill_group(process) for process in self.running])

    def run_at(self, host, *words, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        process = start(host.enter(*words), **options)
        self.running.append(process)
        return process

    def offered(self, service, *words):
        """Something of B's that is a service of b@ from now on."""
        self.run_at(self.b, *self.control_words(self.b, *words))
        wait_until((self.at_b.services / service).exists, f"{service} is offered", SOON_S)

    def serve_ssh(self):
        # sshd starts itself anew, and wants its whole path.
        self.offered("ssh", "serve", "ssh", "--at", self.at_b.name, "--", where("sshd"), "-i", "-f",
                     self.folder / "sshd_config")
        return ["ssh", "-F", str(self.folder / "ssh_config")]
