"""stress-ng's stressors of file systems run on an endpoint's documents, and verify what they find.

  --seconds N     how long each of them runs
  --all           all that can be run there; default: a choice of them
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support import suite  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import run  # noqa: E402

parser = argparse.ArgumentParser(add_help=False)
parser.add_argument("--seconds", type=int, default=1)
parser.add_argument("--all", action="store_true")
OPTIONS, sys.argv[1:] = parser.parse_known_args()

CHOICE = ["aio", "dir", "dup", "fallocate", "fcntl", "fpunch", "hdd", "iomix", "link", "lockf", "open", "rename",
          "seek", "symlink", "utime", "xattr"]
OTHERS = ["access", "chattr", "chdir", "chmod", "chown", "copy-file", "dentry", "dirdeep", "dirmany", "fiemap", "filename",
          "flock", "fsize", "fstat", "getdent", "inode-flags", "inotify", "io", "lease", "locka", "lockofd", "mknod",
          "sync-file", "touch"]
ONE_LIMIT_S = 120


class Stress(LocalTestCase):
    limit_s = 60 + (OPTIONS.seconds + ONE_LIMIT_S) * len(CHOICE + OTHERS)

    def test_stressors(self):
        home = self.endpoint("stressed").path
        for name in CHOICE + (OTHERS if OPTIONS.all else []):
            with self.subTest(stressor=name):
                done = run(["stress-ng", "--temp-path", str(home), "--verify", f"--{name}", "2", "--timeout",
                            f"{OPTIONS.seconds}s"], ONE_LIMIT_S + OPTIONS.seconds)
                self.assertEqual(done.status, 0, done)
        self.assertEqual([left for left in home.iterdir() if "stress-ng" in left.name], [])


def why_not():
    return None if shutil.which("stress-ng") else "the program stress-ng is not installed"


if __name__ == "__main__":
    suite.main(also=why_not)
