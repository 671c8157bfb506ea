"""The pages hang together: links lead somewhere, and the operator's page has each key of the configuration."""

import re
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def pages():
    return sorted(path for path in REPOSITORY.rglob("*.md")
                  if not {"build", ".git"}.intersection(path.relative_to(REPOSITORY).parts))


def titles(page):
    return re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def anchor(title):
    """What a link has behind `#`."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


class PagesTest(unittest.TestCase):
    def test_links_lead_somewhere(self):
        for page in pages():
            for link in LINK.findall(page.read_text(encoding="utf-8")):
                if link.startswith("https://"):
                    continue
                with self.subTest(page=str(page.relative_to(REPOSITORY)), link=link):
                    file, _, name = link.partition("#")
                    target = (page.parent / file).resolve() if file else page
                    self.assertTrue(target.exists(), "there is no such file")
                    if name:
                        self.assertIn(name, map(anchor, titles(target)))

    def test_titles_that_are_named_are_there(self):
        """`[PAGE.md](PAGE.md), "Title"`"""
        for page in pages():
            for link, title in re.findall(r'\]\(([^)\s]+\.md)\), "([^"]+)"', page.read_text(encoding="utf-8")):
                with self.subTest(page=str(page.relative_to(REPOSITORY)), link=link, title=title):
                    self.assertIn(title, titles(page.parent / link))

    def test_each_page_is_listed(self):
        listed = LINK.findall((REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8"))
        there = {path.name for path in (REPOSITORY / "docs").glob("*.md")} - {"README.md"}
        self.assertLessEqual(there, set(listed))

    def test_keys_of_the_configuration(self):
        keys = re.findall(r'\bname == "(\w+)"', (REPOSITORY / "fs" / "config.cpp").read_text(encoding="utf-8"))
        self.assertGreater(len(keys), 5)
        page = (REPOSITORY / "docs" / "OPERATING.md").read_text(encoding="utf-8")
        self.assertEqual([key for key in keys if f"\n| `{key}` |" not in page], [])


if __name__ == "__main__":
    unittest.main()
