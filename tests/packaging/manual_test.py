"""The manual pages name the same commands and options as the programs' --help, and are as man(1) and readers want them."""

import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "packaging" / "man"
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|-[a-zA-Z])(?![\w-])")
HELP = {"-h", "--help"}  # of every command, told once
OF_PROGRAMS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]
OF_FILES = ["NAME", "DESCRIPTION", "FILES", "EXAMPLES", "SEE ALSO"]


def output(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True)


def help_of(program, *words):
    return output(program, *words, "--help").stdout


def part(text, heading):
    found = re.search(rf"^{heading}:\n(.*?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def options_in(text):
    return set(OPTION.findall(text))


def options_of(program, *command):
    return options_in(part(help_of(program, *command), "Options"))


def commands_of(program):
    return re.findall(r"^  (\S+)", part(help_of(program), "Subcommands"), re.MULTILINE)


def page(name):
    """As a reader sees it: without marks and comments on them."""
    return re.sub(r"\\(.)", r"\1", (PAGES / f"{name}.scd").read_text(encoding="utf-8").replace("*", ""))


def sections(text):
    """What stands below each heading."""
    return {found[1]: found[2] for found in re.finditer(r"^# ([^\n]+)\n(.*?)(?=^# |\Z)", text, re.MULTILINE | re.DOTALL)}


def entries(section):
    """(usage, text) of the commands in a section, by name: several usages may share one text."""
    found = {}
    for usages, text in re.findall(r"^((?:\S.*\n)+)((?:\t.*\n)+)", section, re.MULTILINE):
        for usage in usages.splitlines():
            found[usage.split()[0]] = (usage, text)
    return found


class Manual(unittest.TestCase):
    maxDiff = None

    def compare(self, program, name):
        told = sections(page(name))
        self.assertEqual(options_in(told["OPTIONS"]), options_of(program))
        commands = entries(told.get("COMMANDS", ""))
        self.assertEqual(set(commands), set(commands_of(program)))
        for command, (usage, text) in commands.items():
            with self.subTest(command=command):
                offered = options_of(program, command) - HELP
                # What stands behind a -- is another program's.
                self.assertLessEqual(options_in(usage), offered, "an option that there is not")
                self.assertLessEqual(offered, options_in(usage + text), "an option that is not told of")

    def test_sessionfs(self):
        self.compare(os.environ["SESSIONFS_BIN"], "sessionfs.1")

    def test_sessionctl(self):
        self.compare(os.environ["SESSIONCTL_BIN"], "sessionctl.1")

    def test_snsd(self):
        self.compare(os.environ["SNSD_BIN"], "snsd.8")

    def test_sections(self):
        for path in PAGES.glob("*.scd"):
            with self.subTest(page=path.name):
                found = list(sections(path.read_text(encoding="utf-8")))
                wanted = OF_FILES if path.stem.endswith("5") else OF_PROGRAMS
                self.assertEqual([each for each in found if each in wanted], wanted)
                self.assertEqual(found[-1], "SEE ALSO")

    def test_they_name_each_other(self):
        ours = {re.sub(r"(.*)\.(\d)", r"\1(\2)", path.stem) for path in PAGES.glob("*.scd")}
        for path in PAGES.glob("*.scd"):
            with self.subTest(page=path.name):
                named = set(re.findall(r"(?:sessionfs|sessionctl|snsd|mount\.fuse\.sessionfs)[\w.-]*\(\d\)",
                                       path.read_text(encoding="utf-8").split("\n", 1)[1].replace("*", "")))
                self.assertLessEqual(named, ours)
                self.assertTrue(named)

    @unittest.skipUnless(shutil.which("man") and shutil.which("scdoc"), "man and scdoc are needed")
    def test_man_has_nothing_to_complain_of(self):
        for path in PAGES.glob("*.scd"):
            with self.subTest(page=path.name):
                with open(path, "rb") as source:
                    made = subprocess.run(["scdoc"], stdin=source, capture_output=True, timeout=20, check=True).stdout
                shown = subprocess.run(["man", "-E", "UTF-8", "-l", "--warnings", "-"], input=made, capture_output=True,
                                       timeout=20, check=True, env={**os.environ, "MANWIDTH": "80"})
                self.assertEqual(shown.stderr.decode(), "")
                self.assertIn("SEE ALSO", shown.stdout.decode())


if __name__ == "__main__":
    sys.exit(unittest.main())
