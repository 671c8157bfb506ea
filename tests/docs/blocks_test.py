"""The shell blocks of the pages for users do what the pages say.

Each page is one script, at a daemon of its own that serves the domain `local`, in an empty folder. Where a page says
/session, the mount of the test is meant.
"""

import os
import re
import shutil
import sys
import unittest
from pathlib import Path
from subprocess import PIPE, STDOUT

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(Path(__file__).parent)]
from blocks import BadPage, blocks_of, prints, script_of  # noqa: E402
from support import suite  # noqa: E402
from support.local import LocalTestCase  # noqa: E402
from support.processes import finish, start  # noqa: E402

PAGES = ("README.md", "docs/TUTORIAL.md")
MOUNT = re.compile(r"(?<![\w/.~])/session\b")
MARK = "\x01end of block at line "
PAGE_LIMIT_S = 100
PROGRAMS = ("SESSIONFS_BIN", "SNSD_BIN", "SESSIONCTL_BIN")


def why_not():
    """One line that says why the pages cannot be tried; None when they can."""
    missing = [name for name in PROGRAMS if not os.access(os.environ.get(name, ""), os.X_OK)]
    if missing:
        return f"{missing[0]} does not name a program"
    return None if shutil.which("getfattr") else "getfattr is not installed"


class FormTest(unittest.TestCase):
    """The test of the test."""

    def test_blocks(self):
        text = "a\n```sh\nls\n```\n\n```text\nx\n```\n<!-- not run: root -->\n```sh\nno\n```\n```toml\nx = 1\n```\n"
        first, second = blocks_of("page", text)
        self.assertEqual((first.line, first.text, first.reason, first.output), (3, "ls\n", None, "x\n"))
        self.assertEqual((second.line, second.text, second.reason, second.output), (11, "no\n", "root", ""))
        self.assertEqual(script_of([first, second], "M"), "\n\nls\nprintf '%s\\n' 'M3'\n")

    def test_pages_of_another_form(self):
        for text in ("```sh\n", "<!-- not run: x -->\ntext\n```sh\n```\n",
                     "<!-- not run: x -->\n```sh\n```\n```text\ny\n```\n"):
            with self.subTest(text=text), self.assertRaises(BadPage):
                blocks_of("page", text)

    def test_what_varies(self):
        for shown, printed, same in (("a ... c\n", "a b c\n", True), ("a ... c\n", "a b\nc\n", False),
                                     ("a\n...\nd\n", "a\nb\nc\nd\n", True), ("a\n...\n", "a\n", True),
                                     ("a\n", "a\nb\n", False), ("a.\n", "ab\n", False)):
            with self.subTest(shown=shown, printed=printed):
                self.assertEqual(prints(shown, printed), same)


class PagesTest(LocalTestCase):
    def run_page(self, page):
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        blocks = blocks_of(page, text)
        script = Path(self.scratch(page.replace("/", "-")))
        script.write_text(MOUNT.sub(str(self.mount.path), script_of(blocks, MARK)), encoding="utf-8")
        place = Path(self.scratch("place"))
        place.mkdir()
        programs = {os.path.dirname(os.environ[name]) for name in PROGRAMS}
        result = finish(start(["bash", "-e", str(script)], cwd=place, text=True, stdout=PIPE, stderr=STDOUT, env={
            **os.environ, "LC_ALL": "C", "HOME": str(place), "SESSIONFS_MOUNT": str(self.mount.path),
            "PATH": ":".join([*sorted(programs), os.environ["PATH"]])}), PAGE_LIMIT_S)
        said = result.out.replace(str(self.mount.path), "/session")
        for block in blocks:
            if block.reason:
                continue
            printed, mark, said = said.partition(f"{MARK}{block.line}\n")
            self.assertTrue(mark, f"{page}:{block.line}: this block fails, and says:\n{printed}")
            self.assertTrue(prints(block.output, printed),
                            f"{page}:{block.line}: shown is\n{block.output}printed was\n{printed}")
        self.assertEqual((result.status, said), (0, ""), page)
        self.assertEqual(self.mount.names(), self.names, f"{page}: leaves endpoints behind")

    def setUp(self):
        self.names = self.mount.names()

    def test_pages(self):
        for page in PAGES:
            with self.subTest(page=page):
                self.run_page(page)

    def test_a_block_that_fails_is_found(self):
        for text in ("```sh\nfalse\n```\n", "```sh\necho x\n```\n```text\ny\n```\n", "```sh\necho x >&2\n```\n"):
            with self.subTest(text=text), self.assertRaises(AssertionError):
                page = Path(self.scratch("page.md"))
                page.write_text(text, encoding="utf-8")
                self.run_page(str(page))


if __name__ == "__main__":
    suite.main(also=why_not)
