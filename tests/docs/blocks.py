"""The shell blocks of a page, and the output that it shows for them.

    ```sh      a block. In a comment right before it, `<!-- not run: REASON -->`, it is for reading alone.
    ```text    right behind a block that is run: all that the block prints, without it nothing. There ... is for what
               varies: within a line any text, alone on a line any lines.
"""

import dataclasses
import re
from typing import Optional

NOT_RUN = "<!-- not run: "
FENCED = re.compile(rf"^(?:{NOT_RUN}(?P<reason>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
                    re.MULTILINE | re.DOTALL)


class BadPage(Exception):
    """A page in another form than this one; says where."""


@dataclasses.dataclass
class Block:
    line: int  # its first one, counted from 1
    text: str
    reason: Optional[str]  # why it is not run
    output: str = ""  # what it prints


def blocks_of(page, text):
    """The blocks with the language sh, in their order."""
    if len(re.findall("^```", text, re.MULTILINE)) % 2 != 0:
        raise BadPage(f"{page}: a block has no end")
    blocks, end = [], None
    for found in FENCED.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        if found["language"] == "sh":
            blocks.append(Block(line, found["text"], found["reason"]))
            end = found.end()
        elif found["reason"]:
            raise BadPage(f"{page}:{line}: no block that could be run, and a reason for not running it")
        elif found["language"] == "text" and end and not text[end:found.start()].strip():
            if blocks[-1].reason:
                raise BadPage(f"{page}:{line}: what is printed by a block that is not run")
            blocks[-1].output = found["text"]
    if text.count(NOT_RUN) != sum(block.reason is not None for block in blocks):
        raise BadPage(f"{page}: a reason for not running stands before no block")
    return blocks


def script_of(blocks, mark):
    """A script of the blocks, each at the lines that it has in the page; behind each it prints `mark` and its line."""
    script = ""
    for block in blocks:
        if block.reason is None:
            script += "\n" * (block.line - 1 - script.count("\n"))
            script += f"{block.text}printf '%s\\n' '{mark}{block.line}'\n"
    return script


def prints(shown, printed):
    """Whether `printed` is what a page shows as `shown`."""
    pattern = ""
    for line in shown.splitlines():
        if line == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
    return re.fullmatch(pattern, printed) is not None
