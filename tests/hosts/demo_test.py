"""scripts/demo goes through all its steps."""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import sticks, suite  # noqa: E402
from support.processes import run  # noqa: E402

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/demo"
LIMIT_S = 400


class Demo(suite.TestCase):
    limit_s = LIMIT_S + 60

    def test_all_steps(self):
        self.goes_through()

    def test_all_steps_in_cpp(self):
        self.goes_through("--programs", os.environ["EXAMPLES"])

    def goes_through(self, *options):
        done = run([str(SCRIPT), *options], LIMIT_S)
        self.assertEqual(done.status, 0, done)
        steps = [int(number) for number in re.findall(r"^ ?(\d+)\. ", done.out, re.MULTILINE)]
        self.assertEqual(steps, list(range(1, 11)), done)
        self.assertRegex(done.out, r"sha256sum of the file: ([0-9a-f]{64})\n +sha256sum of the copy: \1\n")


if __name__ == "__main__":
    suite.main(hosts=True, also=sticks.why_not)
