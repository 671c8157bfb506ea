"""Tests of sticks: every host has a udevd of its own, and a place where sticks are plugged in."""

from pathlib import Path

from hosts.travelcase import TravelTestCase, command
from hosts.world import World
from support.processes import SOON_S, wait_until
from support.sticks import Port, Stick, share


class UsbWorld(World):
    """A world whose hosts have udevd."""

    def __enter__(self):
        super().__enter__()
        try:
            share(self.folder)
            for host in self.hosts:
                host.usb = Port(host, self.folder)
        except BaseException:
            self.close()
            raise
        return self


def medium_root(stick, host):
    """Where a stick is mounted at a host; None: nowhere."""
    for line in host.daemon.mount.status().splitlines():
        if line.startswith(f"medium: {stick.device} ") and " mounted at " in line:
            return Path(line.partition(" mounted at ")[2])
    return None


class StickTestCase(TravelTestCase):
    world_class = UsbWorld

    def stick(self, filesystem="ext4", **options):
        made = Stick(self.world.folder, filesystem, **options)
        self.addCleanup(self.take_away, made)
        return made

    def take_away(self, stick):
        stick.pull()
        stick.remove()

    def mounts_of(self, host):
        """Where the daemon of a host has mounted sticks."""
        media = str(host.daemon.state / "media") + "/"
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            return [line.split()[4] for line in mounts if line.split()[4].startswith(media)]

    def root_of(self, stick, host):
        return medium_root(stick, host)

    def plug(self, stick, host):
        stick.plug(host.usb)
        return wait_until(lambda: self.root_of(stick, host), f"{stick.device} is mounted at {host.letter}", SOON_S)

    def eject(self, stick, host):
        command(host.daemon.mount, f"eject {stick.device}")
        self.assertEqual(self.mounts_of(host), [mount for mount in self.mounts_of(host) if stick.number not in mount])
        stick.pull()

    def on_a_stick(self, host):
        """An endpoint that lives on a stick, at this host."""
        traveller, stick = self.traveller(host), self.stick()
        self.save(traveller, self.plug(stick, host))
        self.eject(stick, host)
        self.plug(stick, host)
        wait_until(traveller.is_here, f"{traveller} is loaded", SOON_S)
        return traveller, stick
