"""The pictures of the pages are what docs/pictures/draw makes."""

import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


class PicturesTest(unittest.TestCase):
    def test_they_are_as_they_are_drawn(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, PICTURES / "draw", folder], check=True)
            drawn = {path.name: path.read_text(encoding="utf-8") for path in Path(folder).iterdir()}
        kept = {path.name: path.read_text(encoding="utf-8") for path in PICTURES.glob("*.svg")}
        self.assertEqual(kept, drawn, f"draw them anew with: {PICTURES / 'draw'}")

    def test_they_are_readable(self):
        for path in PICTURES.glob("*.svg"):
            with self.subTest(picture=path.name):
                self.assertIn("prefers-color-scheme: dark", path.read_text(encoding="utf-8"))
                width = float(xml.etree.ElementTree.parse(path).getroot().get("width"))
                self.assertLessEqual(width, 880, "wider than a page")


if __name__ == "__main__":
    unittest.main()
