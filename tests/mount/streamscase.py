"""Tests of the programs that carry other programs' bytes: sessionctl connect, serve, forward and expose."""

import os
import signal
import subprocess

from support.local import LocalTestCase
from support.processes import SOON_S, kill_group, start, wait_until

MIB = 1 << 20
SIZE = 24 * MIB


class StreamsTestCase(LocalTestCase):
    """Each test has endpoints of its own, a client and a server, whose service is `s`."""

    def setUp(self):
        self.client, self.server = self.endpoint("client"), self.endpoint("server")
        self.running = []
        self.addCleanup(lambda: [kill_group(process) for process in self.running])
        self.target = f"s.{self.server.name}"

    def control_words(self, *words):
        return [os.environ["SESSIONCTL_BIN"], "--mount", str(self.mount.path), *map(str, words)]

    def program(self, command, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        process = start(command, **options)
        self.running.append(process)
        return process

    def control(self, *words, **options):
        return self.program(self.control_words(*words), **options)

    def connect(self, service=None, **options):
        return self.control("connect", service or self.target, "--from", self.client.name,
                            **{"stdin": subprocess.PIPE} | options)

    def serve(self, *command, options=(), service="s"):
        serving = self.control("serve", service, "--at", self.server.name, *options, "--", *map(str, command))
        self.offered(service)
        return serving

    def expose(self, target, *options, service="s"):
        exposing = self.control("expose", service, target, "--at", self.server.name, *options)
        self.offered(service)
        return exposing

    def offered(self, service="s"):
        wait_until((self.server.services / service).exists, f"the service {service} is there", SOON_S)

    def forward(self, place="127.0.0.1:0", *options):
        """Returns it and the first of the places at which it listens."""
        forwarding = self.control("forward", place, self.target, "--from", self.client.name, *options)
        return forwarding, forwarding.stdout.readline().decode().rstrip("\n")

    def say(self, process, line):
        process.stdin.write(line)
        process.stdin.flush()

    def echoes(self, process, line):
        """What is said to a program comes back from it."""
        self.say(process, line)
        self.assertEqual(process.stdout.read(len(line)), line)

    def ended(self, process, status=0, given=None):
        """(output, errors) of a program that has ended with this status."""
        out, errors = process.communicate(given, SOON_S)
        self.assertEqual(process.returncode, status, errors)
        return out, errors.decode() if errors else ""

    def stopped(self, process, status=0, number=signal.SIGTERM):
        process.send_signal(number)
        process.wait(SOON_S)  # before its input is closed
        return self.ended(process, status)

    def gone(self, endpoint):
        wait_until(lambda: not os.listdir(endpoint.sessions), f"{endpoint.name} has no sessions", SOON_S)

    def the_session(self, endpoint):
        """The file of the only session there is."""
        [name] = wait_until(lambda: os.listdir(endpoint.sessions), f"{endpoint.name} has a session", SOON_S)
        return endpoint.sessions / name
