"""Tests of sticks: every host has a udevd of its own, and a place where sticks are plugged in."""

from pathlib import Path

from hosts.travelcase import TravelTestCase, command
from hosts.world import World
from support.processes import SOON_S, wait_until
from support.sticks import Stick, Udevd, share

MEDIA = "/run/sessionfs/media/"  # of each host its own


class UsbWorld(World):
    """A world whose hosts have udevd."""

    def __enter__(self):
        super().__enter__()
        try:
            share(self.folder)
            for host in self.hosts:
                host.usb = Udevd(self.folder, host.namespace)
                host.usb.__enter__()
        except BaseException:
            self.close()
            raise
        return self


def medium_root(stick, host):
    """Where a stick is mounted, as its host sees it; None: nowhere."""
    for line in host.daemon.mount.status().splitlines():
        if line.startswith(f"medium: {stick.device()} ") and line.endswith(" mounted"):
            return Path(line.split()[-2])
    return None


class StickTestCase(TravelTestCase):
    world_class = UsbWorld

    def stick(self, kind="ext4", **options):
        made = Stick(self.world.folder, kind, **options)
        self.addCleanup(self.take_away, made)
        return made

    def take_away(self, stick):
        stick.close()
        wait_until(stick.is_free, f"nobody uses {stick.pulled}", SOON_S)
        stick.remove()

    def mounts_of(self, host):
        """Where the daemon of a host has mounted sticks."""
        mounts = Path(f"/proc/{host.usb.process.pid}/mountinfo").read_text(encoding="utf-8")
        return [line.split()[4] for line in mounts.splitlines() if line.split()[4].startswith(MEDIA)]

    def root_of(self, stick, host):
        return medium_root(stick, host)

    def seen_from_outside(self, path, host):
        return Path(f"/proc/{host.usb.process.pid}/root{path}")

    def plug(self, stick, host):
        stick.plug(host.usb)
        return wait_until(lambda: self.root_of(stick, host), f"{stick.device()} is mounted at {host.letter}", SOON_S)

    def eject(self, stick, host):
        root = str(self.root_of(stick, host))
        command(host.daemon.mount, f"eject {stick.device()}")
        self.assertNotIn(root, self.mounts_of(host))
        stick.pull()

    def on_a_stick(self, host):
        """An endpoint that lives on a stick, at this host."""
        traveller, stick = self.traveller(host), self.stick()
        self.save(traveller, self.plug(stick, host))
        self.eject(stick, host)
        self.plug(stick, host)
        wait_until(traveller.is_here, f"{traveller} is loaded", SOON_S)
        return traveller, stick
