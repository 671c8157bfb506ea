"""Tests of one daemon that serves the domain `local`."""

import itertools
import os

from support.daemon import Daemon
from support.keeper import keeper, remove_folder, temporary_folder
from support.suite import TestCase

# Connections of a daemon to itself; any free port.
LISTEN = "127.0.0.1:0"


class LocalTestCase(TestCase):
    """One daemon for all tests of a class; each test makes endpoints of its own."""

    @classmethod
    def setUpClass(cls):
        cls.folder = temporary_folder()
        cls.addClassCleanup(remove_folder, cls.folder)
        cls.daemon = Daemon(cls.folder, listen=LISTEN)
        cls.addClassCleanup(cls.end)
        cls.daemon.start()
        cls.mount = cls.daemon.mount
        cls.numbers = itertools.count(1)

    @classmethod
    def end(cls):
        cls.daemon.stop()
        keeper.drop("mount", str(cls.daemon.mountpoint))

    def describe(self):
        return self.daemon.describe()

    def name(self, word="e"):
        """The name of an endpoint that no other test has used."""
        return f"{word}{next(self.numbers)}@local"

    def endpoint(self, word="e"):
        return self.mount.endpoint(self.name(word))

    def pair(self, service="s"):
        """Two connected endpoints: (client, its session's file, server, its session's file)."""
        client, server = self.endpoint("client"), self.endpoint("server")
        server.serve(service)
        ours = client.dial(server, service)
        return client, ours, server, server.accept(service)

    def open(self, path, flags=os.O_RDWR):
        """A descriptor that goes with the test."""
        descriptor = os.open(path, flags)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def scratch(self, name):
        """A path outside of the mount."""
        return os.path.join(self.folder, f"{next(self.numbers)}-{name}")
