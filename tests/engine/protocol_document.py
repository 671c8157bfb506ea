#!/usr/bin/env python3
"""The protocol's document says what the engine does.

  protocol_document.py TABLES ENGINE            fails when engine/PROTOCOL.md differs from the table of transitions, or
                                                leaves out a message, a reason, a state, an event or a step
  protocol_document.py TABLES ENGINE --write    writes table and diagram into it anew

TABLES is the program protocol_tables, ENGINE the folder engine/.
"""

import re
import subprocess
import sys
from pathlib import Path


def generated(program):
    text = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    parts = re.split(r"^== (\w+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2]))


def with_generated(text, sections):
    for name, content in sections.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            sys.exit(f"protocol_document: the marks of {name} do not stand once each in the document")
        head, rest = text.split(begin)
        text = head + begin + content + end + rest.split(end)[1]
    return text


def names_of(header, enumeration):
    body = re.search(rf"enum class {enumeration}[^{{]*{{(.*?)}};", header, re.DOTALL)[1]
    return re.findall(r"^\s*(\w+)|,\s*(\w+)", re.sub(r"//.*", "", body), re.MULTILINE)


def must_be_named(engine):
    """Each message, and each reason of a denial."""
    header = (engine / "wire.hpp").read_text(encoding="utf-8")
    for enumeration, form in (("MessageType", str.upper), ("ConnectDenial", str), ("ResumeDenial", str)):
        for first, second in names_of(header, enumeration):
            yield form(first or second)


def main():
    program, engine = sys.argv[1], Path(sys.argv[2])
    document = engine / "PROTOCOL.md"
    text = document.read_text(encoding="utf-8")
    fresh = with_generated(text, generated(program))
    if "--write" in sys.argv[3:]:
        document.write_text(fresh, encoding="utf-8")
        return
    if fresh != text:
        sys.exit(
            f"protocol_document: {document} is not what the table of transitions gives; write it anew with:\n"
            f"  {' '.join(sys.argv[:3])} --write"
        )
    missing = [name for name in must_be_named(engine) if not re.search(rf"`?\b{name}\b", text)]
    if missing:
        sys.exit(f"protocol_document: {document} does not speak of: {' '.join(missing)}")


if __name__ == "__main__":
    main()
