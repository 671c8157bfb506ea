"""The manual pages name the same commands and options as the programs' --help."""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "packaging" / "man"
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|-[a-zA-Z])(?![\w-])")


def help_of(program, *words):
    return subprocess.run([program, *words, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=20, check=True).stdout


def part(text, heading):
    found = re.search(rf"^{heading}:\n(.*?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def options_in(text):
    return set(OPTION.findall(text))


def commands_of(program):
    return re.findall(r"^  (\S+)", part(help_of(program), "Subcommands"), re.MULTILINE)


def page(name):
    """As a reader sees it: without marks and comments on them."""
    return re.sub(r"\\(.)", r"\1", (PAGES / f"{name}.scd").read_text(encoding="utf-8").replace("*", ""))


class Manual(unittest.TestCase):
    def compare(self, program, name):
        text = page(name)
        helps = [help_of(program)] + [help_of(program, command) for command in commands_of(program)]
        offered = set().union(*(options_in(part(each, "Options")) for each in helps))
        # What stands behind a -- is another program's, as are options of the examples.
        told = options_in(re.sub(r"\n# EXAMPLES\n.*?(?=\n# )", "", text, flags=re.DOTALL).replace("fusermount3 -u", ""))
        self.assertEqual(offered, told)
        for command in commands_of(program):
            self.assertRegex(text, rf"(?m)^{command}(\s|\+|$)", f"{name} tells nothing of {command}")

    def test_sessionfs(self):
        self.compare(os.environ["SESSIONFS_BIN"], "sessionfs.1")

    def test_sessionctl(self):
        self.compare(os.environ["SESSIONCTL_BIN"], "sessionctl.1")

    def test_snsd(self):
        self.compare(os.environ["SNSD_BIN"], "snsd.8")


if __name__ == "__main__":
    sys.exit(unittest.main())
