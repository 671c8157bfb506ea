#!/usr/bin/env python3
"""The protocol's document says what the engine does.

  protocol_document.py TABLES ENGINE            fails when engine/PROTOCOL.md differs from the table of transitions,
                                                leaves out a message, a reason, a state or a named time or limit, or
                                                names a test or a mutation that there is not
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


def values_of(header, enumeration):
    """{name: value}; the values that are not written follow the one before."""
    body = re.search(rf"enum class {enumeration}[^{{]*{{(.*?)}};", header, re.DOTALL)[1]
    values, last = {}, -1
    for entry in re.sub(r"//.*", "", body).split(","):
        if entry.strip():
            name, _, value = (part.strip() for part in entry.partition("="))
            last = values[name] = int(value) if value else last + 1
    return values


def constants_of(header):
    """The times, and the limits of what is counted in bytes, sessions and so on."""
    name = r"\w*(?:timeout|delay|interval|limit|wait|max_\w+)"
    return re.findall(rf"constexpr (?:Duration|std::size_t) ({name})\b", header)


def missing_of(engine, text):
    """What the document must have a row for, or must name."""
    def header(name):
        return (engine / name).read_text(encoding="utf-8")

    for name, number in values_of(header("wire.hpp"), "MessageType").items():
        if f"\n| {number} | {name.upper()} | " not in text:
            yield f"message {number}, {name.upper()}"
    for enumeration in ("ConnectDenial", "ResumeDenial", "HandoffDenial"):
        for name in values_of(header("wire.hpp"), enumeration):
            first = enumeration != "ResumeDenial"
            row = rf"^\| `{name}` \|" if first else rf"^\|.*\|.*\| `{name}` \|"
            if not re.search(row, text, re.MULTILINE):
                yield f"{enumeration} {name}"
    for name in values_of(header("transitions.hpp"), "State"):
        if f"\n| {name.upper()} | " not in text:
            yield f"state {name.upper()}"
    for name in constants_of(header("session.hpp") + header("host.hpp") + header("endpoint.hpp")):
        if f"`{name}`" not in text:
            yield f"constant {name}"


def unknown_of(tests, text):
    """Tests and mutations that the document names and that are not there."""
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(tests.glob("*/*_test.cpp")))
    there = set(re.findall(r"^(?:TEST|TEST_F|TEST_P|RC_GTEST_PROP)\((\w+),\s*(\w+)", sources, re.MULTILINE))
    suites = {suite for suite, _ in there}
    for suite, name in re.findall(r"`([A-Z]\w+)\.([A-Z]\w+|\*)`", text):
        if (suite, name) not in there and (name != "*" or suite not in suites):
            yield f"test {suite}.{name}"
    mutations = (tests / "sim" / "mutations.py").read_text(encoding="utf-8")
    for name in re.findall(r"mutation `([\w-]+)`", text):
        if f'Mutation("{name}"' not in mutations:
            yield f"mutation {name}"


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
    wrong = [f"does not speak of {what}" for what in missing_of(engine, text)]
    wrong += [f"names what is not there: {what}" for what in unknown_of(engine.parent / "tests", text)]
    if wrong:
        sys.exit("\n".join(f"protocol_document: {document} {what}" for what in wrong))


if __name__ == "__main__":
    main()
