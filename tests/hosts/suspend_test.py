"""The user's suspend and resume, on either side and on both at once, during a transfer between hosts."""

import itertools
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hosts.hostscase import MIB, HostsTestCase, Transfer, at_marks, not_active  # noqa: E402
from support import suite  # noqa: E402
from support.daemon import attribute, state_word  # noqa: E402
from support.processes import SOON_S, shell_ok, start, wait_blocked, wait_until  # noqa: E402

SIZE = 64 * MIB


class Suspend(HostsTestCase):
    def during(self, turns, turn):
        """`turn(number)` at marks of a transfer in both directions, which must come out exact."""
        ours, theirs = self.session()
        forth = Transfer(self.world, ours, theirs, SIZE)
        back = Transfer(self.world, theirs, ours, SIZE, files="5")
        for number in at_marks([forth, back], turns):
            turn(number, ours, theirs)
        forth.result()
        back.result()
        self.end(ours, theirs)

    def test_here(self):
        self.during(6, lambda _, ours, theirs: self.pause(self.at_a, ours, theirs))

    def test_there(self):
        self.during(6, lambda _, ours, theirs: self.pause(self.at_b, theirs, ours))

    def pause(self, endpoint, session, other):
        endpoint.command(f"suspend {session.name}")
        self.assertEqual(state_word(session), "suspended")
        not_active(other)
        endpoint.command(f"resume {session.name}")

    def test_both_in_every_order(self):
        orders = list(itertools.product(((0, 1), (1, 0)), repeat=2))

        def turn(number, ours, theirs):
            sides = ((self.at_a, ours), (self.at_b, theirs))
            suspend_order, resume_order = orders[number % len(orders)]
            for side in suspend_order:
                sides[side][0].command(f"suspend {sides[side][1].name}")
            for side in resume_order:
                sides[side][0].command(f"resume {sides[side][1].name}")
        self.during(8, turn)

    def test_both_at_the_same_instant(self):
        def turn(_, ours, theirs):
            for word in ("suspend", "resume"):
                barrier = threading.Barrier(2)

                def command(endpoint, session, line=word, meet=barrier):
                    meet.wait()
                    endpoint.command(f"{line} {session.name}")
                threads = [threading.Thread(target=command, args=side)
                           for side in ((self.at_a, ours), (self.at_b, theirs))]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(SOON_S)
        self.during(8, turn)

    def test_a_suspended_session_resumes_by_its_user_alone(self):
        ours, theirs = self.session()
        self.at_a.command(f"suspend {ours.name}")
        not_active(theirs)
        self.at_b.command(f"resume {theirs.name}")
        # Neither the peer's wish, nor a network event, nor a restart resumes it.
        self.a.link_down()
        self.a.link_up()
        self.a.daemon.restart()
        self.assertEqual(state_word(ours), "suspended")
        reader = start(["head", "-c", "4", str(theirs)], stdout=subprocess.PIPE)
        wait_blocked(reader.pid, "a reader of a suspended session")
        shell_ok('printf done > "$F"', F=ours)
        self.assertEqual(attribute(theirs, "received"), "0")
        self.at_a.command(f"resume {ours.name}")
        self.assertEqual(reader.communicate(timeout=SOON_S)[0], b"done")
        self.end(ours, theirs)

    def test_suspended_here_while_the_network_is_away(self):
        ours, theirs = self.session()
        self.a.unplug()
        try:
            self.at_a.command(f"suspend {ours.name}")
            self.at_b.command(f"suspend {theirs.name}")
            self.at_a.command(f"resume {ours.name}")
        finally:
            self.a.plug()
        self.at_b.command(f"resume {theirs.name}")
        wait_until(lambda: state_word(ours) == state_word(theirs) == "active", "active again", SOON_S)
        self.carries(ours, theirs)
        self.end(ours, theirs)


if __name__ == "__main__":
    suite.main(hosts=True)
