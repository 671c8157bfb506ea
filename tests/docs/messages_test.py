"""docs/TROUBLESHOOTING.md has each message that the programs can print.

A message is a string in the sources in which words stand side by side. What the parts of it that do not vary say must
stand on the page. What is no message for a person stands in not_messages.txt, with the reason.
"""

import re
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "TROUBLESHOOTING.md"
EXCEPTIONS = Path(__file__).with_name("not_messages.txt")
FOLDERS = ("engine", "fs", "sns")

TOKEN = re.compile(
    r"""
      //[^\n]* | /\*.*?\*/ | ^\s*\#[^\n]*                # comments, and lines of the preprocessor
    | R"(?P<mark>\w*)\((?P<raw>.*?)\)(?P=mark)" | "(?P<text>(?:[^"\\\n]|\\.)*)"
    | '(?:[^'\\\n]|\\.)+' | (?P<name>[\w:.>-]*\w)?\( | \) | ;
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
# Calls whose texts --help shows; in snsd_admin.cpp a command is added by `add`.
HELP_CALLS = {"add_option", "add_flag", "add_subcommand", "add_command", "add_place", "add_passphrase", "footer", "App",
              "app"}
HELP_CALLS_OF = {"sns/snsd_admin.cpp": {"add"}, "fs/sessionctl/main.cpp": {"add_stream", "add_service"},
                 "fs/operations_metrics.cpp": {"info", "connections", "made", "lost", "interfaces", "transitions",
                                               "endpoints", "services", "states", "written", "acked", "received",
                                               "read", "resent", "checkpoints", "flowing"}}
SQL = re.compile(r"\s*(?:ALTER|CREATE|DELETE|INSERT|PRAGMA|SELECT|UPDATE) ")
WORDS = re.compile(r"[a-z]{2,}[,;:]? [a-z']|[a-z][,;:]? [a-z]{2,}")
VARIES = re.compile(r"\{[^}]*\}|%[sdzu]+|\\n")


def texts_of(source, help_calls=frozenset(HELP_CALLS)):
    """(line, text) of the strings in a C++ source but for those of --help. Strings side by side are one."""
    calls, texts, end = [], [], 0
    for token in TOKEN.finditer(source):
        text = token["text"] if token["text"] is not None else token["raw"]
        follows = texts and not source[end:token.start()].strip()
        if text is not None and not help_calls.intersection(calls):
            if follows:
                texts[-1][1] += text
            else:
                texts.append([source.count("\n", 0, token.start()) + 1, text])
            end = token.end()
        elif token[0].startswith("/") and follows:
            end = token.end()
        elif token[0].endswith("("):
            calls.append(re.split(r"\.|->|::", token["name"] or "")[-1])
        elif token[0] == ")" and calls:
            calls.pop()
        elif token[0] == ";":
            calls.clear()
    return texts


def parts_of(text):
    """What does not vary of a message: the parts in which words stand side by side."""
    for part in () if SQL.match(text) else VARIES.split(text):
        part = " ".join(part.replace('\\"', '"').split()).strip(" :;,.()'\"#")
        if WORDS.search(part):
            yield part


def plain(page):
    """A page as a reader sees it, in one line."""
    return " ".join(page.replace("`", "").replace("\\|", "|").split())


def exceptions():
    """(file, part) of what is no message: a line with a file's name, then parts, ... for the end of a long one.
    `#` begins a reason."""
    file = None
    for line in EXCEPTIONS.read_text(encoding="utf-8").splitlines():
        if line.endswith((".cpp", ".hpp")):
            file = line
        elif line and not line.startswith("#"):
            yield file, line


def excepts(exception, file, part):
    beginning = exception[1].removesuffix(" ...")
    return exception[0] == file and (part == beginning or beginning != exception[1] and part.startswith(beginning))


def messages():
    """(file, line, part) of each message in the sources."""
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*.[ch]pp")):
            file = str(path.relative_to(REPOSITORY))
            for line, text in texts_of(path.read_text(encoding="utf-8"), HELP_CALLS | HELP_CALLS_OF.get(file, set())):
                for part in parts_of(text):
                    yield file, line, part


class FormTest(unittest.TestCase):
    """The test of the test."""

    def test_strings(self):
        source = '#include "a b c"\nint x = 1;  // "no text"\nthrow Error(path + ": it is " /* "no" */\n  "gone");\n' \
                 'app.add_option("--x", y, "helps you" + name("to see"))->check("not that");\n' \
                 'say("{}: has\\n gone", x);\n'
        self.assertEqual([text for _, text in texts_of(source)], [": it is gone", "not that", "{}: has\\n gone"])

    def test_parts(self):
        self.assertEqual(list(parts_of('; name it \\"{}\\": not here, try {}')), ["name it", "not here, try"])
        self.assertEqual(list(parts_of("SELECT id FROM it;")), [])


class PageTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        page = plain(PAGE.read_text(encoding="utf-8"))
        self.missing = [message for message in messages() if message[2] not in page]
        self.exceptions = list(exceptions())

    def test_each_message_is_on_the_page(self):
        unknown = [f"{file}:{line}: {part}" for file, line, part in self.missing
                   if not any(excepts(exception, file, part) for exception in self.exceptions)]
        self.assertEqual(unknown, [], f"add them to {PAGE}, or to {EXCEPTIONS} what no person meets")

    def test_each_exception_is_needed(self):
        useless = [exception for exception in self.exceptions
                   if not any(excepts(exception, file, part) for file, _, part in self.missing)]
        self.assertEqual(useless, [], f"take them out of {EXCEPTIONS}")

    def test_there_are_messages(self):
        self.assertGreater(len(list(messages())), 300)


if __name__ == "__main__":
    unittest.main()
