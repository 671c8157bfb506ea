"""What the test files share: when they are skipped, their time limits, and what is told of a failure."""

import os
import shutil
import signal
import sys
import traceback
import unittest

from support.keeper import keeper
from support.processes import within

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
TEST_LIMIT_S = 120
# Before ctest ends the tests, so that a hanging call fails with a reason.
FILE_LIMIT_S = float(os.environ.get("SESSIONFS_TEST_LIMIT_S", "840"))


def why_not(hosts):
    """One line that says why the tests cannot run here; None when they can."""
    needed = ["SESSIONFS_BIN"] + (["SNSD_BIN"] if hosts else [])
    for variable in needed:
        if not os.access(os.environ.get(variable, ""), os.X_OK):
            return f"{variable} does not name a program"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is not there for this user"
    if os.geteuid() != 0:
        if hosts:
            return "network namespaces need root"
        if shutil.which("fusermount3") is None:
            return "a mount without root needs fusermount3"
    if hosts:
        for program in ("ip", "nsenter", "ss", "nft"):
            if shutil.which(program) is None:
                return f"the program {program} is not installed"
        if os.system("unshare --net true 2>/dev/null") != 0:
            return "network namespaces cannot be made"
    return None


class TestCase(unittest.TestCase):
    """A test with a time limit. What describe() says is printed when it fails."""

    limit_s = TEST_LIMIT_S

    def run(self, result=None):
        with within(self.limit_s, f"the test {self.id()}"):
            return super().run(result)

    def describe(self):
        return ""

    def assert_errno(self, number, function, *arguments, **named):
        """The call must fail with exactly this errno."""
        try:
            value = function(*arguments, **named)
        except OSError as error:
            self.assertEqual(os.strerror(number), os.strerror(error.errno), f"of {function} {arguments}")
            return
        self.fail(f"{function} {arguments} gave {value!r}, not the error {os.strerror(number)}")


class _Result(unittest.TextTestResult):
    def _describe(self, test):
        if not isinstance(test, TestCase):
            return
        try:
            text = test.describe()
        except Exception:  # what is told must not hide the failure itself
            text = traceback.format_exc()
        if text:
            self.stream.writeln(f"\n--- state at the failure of {test}\n{text}\n---")
            self.stream.flush()

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._describe(test)

    def addError(self, test, err):
        super().addError(test, err)
        self._describe(test)


def main(hosts=False, limit_s=None, also=None, instead=None):
    """Runs the tests of the calling file. Exits with 77 and a reason where they cannot run. `also` says why not, too;
    `instead` for tests that use no program of the project's."""
    reason = instead() if instead else why_not(hosts) or (also() if also else None)
    if reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    keeper.limit(limit_s or FILE_LIMIT_S)
    status = 1
    try:
        runner = unittest.TextTestRunner(verbosity=2, resultclass=_Result)
        program = unittest.main(module="__main__", testRunner=runner, exit=False)
        status = 0 if program.result.wasSuccessful() else 1
    finally:
        said = keeper.finish()
        for line in said:
            print(f"keeper: {line}", file=sys.stderr)
        sys.stderr.flush()
    sys.exit(1 if said else status)
