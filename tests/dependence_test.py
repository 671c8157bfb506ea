#!/usr/bin/env python3
"""Who may depend on what, as a test.

  dependence_test.py sources REPO       the source text of engine/, sns/ and what sns/table.* includes
  dependence_test.py symbols LIBRARY    what the built engine library asks of others (by nm)
  dependence_test.py self-test          planted violations must be found

The rules:
  engine/       includes standard C++ headers without clocks, randomness, threads and I/O, and engine/ headers;
                names nothing that reads a clock, makes a random number or talks to the world.
  sns/table.*   the same, with every project header that it includes, directly or not; and a container of Boost's.
  sns/          of engine/ only name.hpp; nothing of fs/.
  fs/sessionctl/  of the project only itself: it talks to the daemon through the mount; and what reads the record of an
                endpoint that is not loaded: engine/record.hpp, fs/sealed.hpp.
  engine/, sns/, fs/  start no thread: ThreadSanitizer watches only the tests that start some (label unit_threads).
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PURE_STANDARD_HEADERS = set(
    """
    algorithm any array bit bitset cassert cctype charconv chrono cinttypes climits compare concepts cstddef cstdint
    cstring deque exception forward_list functional initializer_list iterator limits list map memory memory_resource
    new numbers numeric optional queue ranges ratio set source_location span stack stdexcept string string_view tuple
    type_traits typeindex typeinfo unordered_map unordered_set utility variant vector version
    """.split()
)

# <chrono> is there for durations; a clock is an argument.
# Containers alone, for the table of names.
PURE_CONTAINER_HEADERS = {"boost/unordered/unordered_flat_set.hpp"}
IMPURE_NAMES = [
    (r"\w*_clock\b", "a clock"),
    (r"(?<![\w.>])(?:std::|::)?(?:time|clock|clock_gettime|gettimeofday|localtime|gmtime|ftime)\s*\(", "a clock"),
    (r"\b__DATE__\b|\b__TIME__\b|\b__TIMESTAMP__\b", "a clock"),
    (r"(?<![\w.>])(?:std::|::)?(?:rand|srand|random|drand48|arc4random|getrandom|getentropy)\s*\(", "randomness"),
    (r"\brandom_device\b|\bmt19937\w*|\bdefault_random_engine\b", "randomness"),
    (r"(?<!\w)(?:::)\s*(?:open|close|read|write|socket|connect|send|recv|poll|fork|ioctl|mmap)\s*\(", "I/O"),
    (r"\b(?:printf|fprintf|puts|fopen|getenv|setenv|system|popen|usleep|nanosleep)\s*\(", "I/O"),
    (r"\bstd::(?:cout|cerr|clog|cin|[io]?fstream|filesystem|locale)\b", "I/O"),
    (r"\bstd::(?:j?thread|mutex|shared_mutex|recursive_mutex|condition_variable|atomic\w*|this_thread)\b", "threads"),
]

THREAD = re.compile(r"\bstd::(?:j?thread\b(?!::)|async\b)|\bpthread_create\b|\bthread_pool\b")

ENGINE_HEADERS_FOR_SNS = {"engine/name.hpp"}
RECORD_HEADERS = {"engine/record.hpp", "fs/sealed.hpp"}
SOURCE_SUFFIXES = {".hpp", ".cpp", ".h", ".cc", ".ipp"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT_OR_LITERAL = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(?P<mark>[^(\s]{0,16})\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""",
    re.DOTALL,
)


def without_comments(text, literals_too):
    """The text with comments (and literals) blanked, lines kept. A quote mark between digits is no literal."""

    def blank(match):
        kept = match.group(0)
        if not literals_too and not kept.startswith(("//", "/*")):
            return kept
        return " " + "\n" * kept.count("\n")

    return COMMENT_OR_LITERAL.sub(blank, re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "", text))


class Source:
    def __init__(self, repo, path):
        self.name = path.relative_to(repo).as_posix()
        text = path.read_text(encoding="utf-8")
        commentless = without_comments(text, literals_too=False)
        self.code = without_comments(text, literals_too=True)
        self.includes = [
            (commentless.count("\n", 0, m.start(2)) + 1, m.group(1) == "<", m.group(2))
            for m in INCLUDE.finditer(commentless)
        ]

    def at(self, line, message):
        return f"{self.name}:{line}: {message}"


def sources_of(repo, folder):
    root = repo / folder
    return [Source(repo, p) for p in sorted(root.rglob("*")) if p.is_file() and p.suffix in SOURCE_SUFFIXES]


def impure_headers(source, also=()):
    for line, is_system, header in source.includes:
        if is_system and header not in PURE_STANDARD_HEADERS and header not in also:
            yield source.at(line, f"<{header}> is no header that pure code may include")


def impure_names(source):
    for pattern, what in IMPURE_NAMES:
        for match in re.finditer(pattern, source.code):
            line = source.code.count("\n", 0, match.start()) + 1
            yield source.at(line, f"'{match.group(0).strip()}': {what} must come in as an argument")


def engine_violations(repo):
    for source in sources_of(repo, "engine"):
        yield from impure_headers(source)
        yield from impure_names(source)
        for line, is_system, header in source.includes:
            if not is_system and not header.startswith("engine/"):
                yield source.at(line, f'"{header}": engine/ includes engine/ alone')


def sns_violations(repo):
    for source in sources_of(repo, "sns"):
        for line, _, header in source.includes:
            folder = header.split("/")[0]
            if folder == "fs":
                yield source.at(line, f'"{header}": sns/ includes nothing of fs/')
            if folder == "engine" and header not in ENGINE_HEADERS_FOR_SNS:
                yield source.at(line, f'"{header}": of engine/, sns/ includes name.hpp alone')


def sessionctl_violations(repo):
    for source in sources_of(repo, "fs/sessionctl"):
        for line, is_system, header in source.includes:
            ours = not is_system or header.split("/")[0] in ("engine", "sns", "fs")
            if ours and not header.startswith("fs/sessionctl/") and (is_system or header not in RECORD_HEADERS):
                yield source.at(line, f'"{header}": fs/sessionctl/ includes fs/sessionctl/ and what reads records alone')


def table_violations(repo):
    """sns/table.* and every header of sns/ that it includes, directly or not (engine/ is checked as a whole)."""
    left = [p for p in sorted((repo / "sns").glob("table*")) if p.suffix in SOURCE_SUFFIXES]
    seen = set()
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        source = Source(repo, path)
        yield from impure_headers(source, PURE_CONTAINER_HEADERS)
        yield from impure_names(source)
        for line, is_system, header in source.includes:
            if is_system or header.startswith("engine/"):
                continue
            if header.startswith("sns/") and (repo / header).is_file():
                left.append(repo / header)
            else:
                yield source.at(line, f'"{header}": the table includes sns/ and engine/name.hpp alone')


def thread_violations(repo):
    for folder in ("engine", "sns", "fs"):
        for source in sources_of(repo, folder):
            for match in THREAD.finditer(source.code):
                line = source.code.count("\n", 0, match.start()) + 1
                yield source.at(line, f"'{match.group(0)}': one thread does everything; ThreadSanitizer would not see it")


def source_violations(repo):
    yield from thread_violations(repo)
    yield from engine_violations(repo)
    yield from sns_violations(repo)
    yield from sessionctl_violations(repo)
    yield from table_violations(repo)


# What a library of pure C++ may ask of its surroundings, as mangled names.
ALLOWED_SYMBOLS = re.compile(
    r"""
      _Z(?:N|NK)?S[tabsiod].*            # std::
    | _Z[TG][VTISR](?:N?K?S[tabsiod]|N10__cxxabiv1).*   # tables and type information of std:: and of the ABI
    | _Z(?:nw|na|dl|da)\w*               # operator new and delete
    | _ZN9__gnu_cxx.* | _ZTIN9__gnu_cxx.* | _ZN10__cxxabiv1.*
    | __cxa_\w+ | __gxx_personality_v0 | _Unwind_\w+ | __dso_handle | _GLOBAL_OFFSET_TABLE_ | __tls_get_addr
    | (?:__)?(?:mem(?:cpy|move|set|cmp|chr|rchr)|strlen|strcmp|strncmp|bcmp|v?snprintf)(?:_chk)?
    | __stack_chk_fail | __assert_fail | abort | __libc_single_threaded
    | __(?:asan|ubsan|tsan|lsan|sanitizer|sancov)_\w+ | __(?:start|stop)___sancov_\w+
    """,
    re.VERBOSE,
)
IMPURE_SYMBOLS = re.compile(
    r"_clock|random_device|6thread|7jthread|5mutex|condition_variable|13basic_\w*filebuf|14basic_[io]fstream|"
    r"13basic_fstream|10filesystem|_ZSt[34](?:cout|cin|cerr|clog)|8ios_base4Init|6locale"
)


def symbol_violations(undefined, defined):
    for name in sorted(set(undefined) - set(defined)):
        if IMPURE_SYMBOLS.search(name) or not ALLOWED_SYMBOLS.fullmatch(name):
            yield f"the engine asks for the symbol {name}"


def library_violations(library):
    undefined, defined = [], []
    output = subprocess.run(["nm", "-P", str(library)], check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        fields = line.split()
        if len(fields) >= 2 and len(fields[1]) == 1:
            # Weak references (v, w with no value) that nobody fills are asked for, too.
            asked = fields[1] == "U" or (fields[1] in "vw" and len(fields) == 2)
            (undefined if asked else defined).append(fields[0])
    if not defined:
        yield f"{library} defines no symbol at all"
    yield from symbol_violations(undefined, defined)


# --- The test of the test ------------------------------------------------------------------------------------------

CLEAN_TREE = {
    "engine/name.hpp": "#pragma once\n#include <string>\n",
    "engine/session.cpp": '#include "engine/name.hpp"\n#include <chrono>\n'
    "// time(nullptr), std::chrono::steady_clock and <random> only in a comment\n"
    'const char* words = "rand() and ::open(";\nint big = 1\'000\'000; char quote = \'"\';\n'
    "std::chrono::nanoseconds retry_time(int); int y = object.time(3); void read(int); int z = stream_.read(1);\n",
    "sns/wire.hpp": '#pragma once\n#include "engine/name.hpp"\n#include <vector>\n',
    "sns/table.hpp": '#pragma once\n#include "sns/wire.hpp"\n',
    "sns/server.cpp": '#include "sns/table.hpp"\n#include <chrono>\n#include <random>\n'
    "auto now = std::chrono::steady_clock::now();\n",
    "fs/sessionctl/tree.cpp": '#include "fs/sessionctl/tree.hpp"\n#include <CLI/CLI.hpp>\n#include <unistd.h>\n',
    "fs/sessionctl/inspect.cpp": '#include "engine/record.hpp"\n#include "fs/sealed.hpp"\n#include <openssl/evp.h>\n',
    "fs/daemon.cpp": '#include "engine/name.hpp"\n#include "sns/table.hpp"\n#include <thread>\nstd::thread::id id;\n',
}
PLANTED = [  # file, text, what the finding must name
    ("engine/bad.cpp", "#include <random>\n", "<random>"),
    ("engine/bad.cpp", "#include <ctime>\n", "<ctime>"),
    ("engine/bad.cpp", "#include <iostream>\n", "<iostream>"),
    ("engine/bad.cpp", "#include <unistd.h>\n", "<unistd.h>"),
    ("engine/bad.cpp", "  #  include <boost/asio.hpp>\n", "<boost/asio.hpp>"),
    ("engine/sub/bad.hpp", "#include <mutex>\n", "<mutex>"),
    ("engine/bad.hpp", '#include "fs/daemon.hpp"\n', '"fs/daemon.hpp"'),
    ("engine/bad.hpp", '#include "sns/table.hpp"\n', '"sns/table.hpp"'),
    ("engine/bad.hpp", '#include "name.hpp"\n', '"name.hpp"'),
    ("engine/bad.cpp", "\n\nauto t = std::chrono::steady_clock::now();\n", "engine/bad.cpp:3: 'steady_clock'"),
    ("engine/bad.cpp", "auto t = time(nullptr);\n", "'time('"),
    ("engine/bad.cpp", "int x = ::gettimeofday(&a, 0);\n", "'::gettimeofday('"),
    ("engine/bad.cpp", "int x = std::rand();\n", "'std::rand('"),
    ("engine/bad.cpp", "int f = ::open(path, 0);\n", "'::open('"),
    ("sns/bad.cpp", '#include "engine/session.hpp"\n', '"engine/session.hpp"'),
    ("sns/bad.cpp", '#include "fs/daemon.hpp"\n', '"fs/daemon.hpp"'),
    ("sns/table.cpp", '#include "sns/table.hpp"\nauto t = std::time(nullptr);\n', "'std::time('"),
    ("sns/table.cpp", "#include <sqlite3.h>\n", "<sqlite3.h>"),
    ("sns/table.cpp", "#include <boost/asio.hpp>\n", "<boost/asio.hpp>"),
    ("engine/bad.cpp", "#include <boost/unordered/unordered_flat_set.hpp>\n", "<boost/unordered/unordered_flat_set.hpp>"),
    ("fs/sessionctl/bad.cpp", '#include "fs/config.hpp"\n', '"fs/config.hpp"'),
    ("fs/sessionctl/bad.cpp", "#include <engine/name.hpp>\n", '"engine/name.hpp"'),
    ("fs/sessionctl/bad.cpp", '#include "engine/session.hpp"\n', '"engine/session.hpp"'),
    ("fs/sessionctl/bad.cpp", '#include "fs/stick.hpp"\n', '"fs/stick.hpp"'),
    ("fs/sessionctl/bad.hpp", '#include "tree.hpp"\n', '"tree.hpp"'),
    ("fs/bad.cpp", "std::thread worker(run);\n", "'std::thread'"),
    ("sns/wire.hpp", "#include <openssl/ssl.h>\n", "<openssl/ssl.h>"),  # by way of table.hpp
]
PURE_SYMBOLS = [
    "_Znwm", "_ZdlPvm", "memcpy", "__cxa_throw", "_ZTVN10__cxxabiv117__class_type_infoE", "_ZTISt9exception",
    "_ZSt20__throw_length_errorPKc", "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE9_M_createERmm",
    "_ZNKSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE7compareEPKc", "__asan_report_load8",
]
IMPURE_SYMBOL_SAMPLES = [
    "time", "clock_gettime", "getrandom", "rand", "read", "socket", "pthread_create", "SSL_new",
    "_ZNSt6chrono3_V212steady_clock3nowEv", "_ZNSt13random_device9_M_getvalEv", "_ZSt4cout",
    "_ZNSt8ios_base4InitC1Ev", "_ZNSt6thread15_M_start_threadE", "_ZN9sessionfs2fs6DaemonC1Ev",
]


def write_tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def planted_source_failures():
    for name, text, expected in [(None, None, None)] + PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_tree(root, CLEAN_TREE)
            if name is None:
                yield from (f"found in a clean tree: {v}" for v in source_violations(root))
                continue
            write_tree(root, {name: text})
            found = list(source_violations(root))
            if not any(expected in v and v.startswith(name) for v in found):
                yield f"planted in {name}, not found: {text.strip()!r}; found instead: {found}"


def planted_symbol_failures(compiler):
    yield from (f"held for impure: {v}" for v in symbol_violations(PURE_SYMBOLS, []))
    for name in IMPURE_SYMBOL_SAMPLES:
        if not list(symbol_violations([name], [])):
            yield f"held for pure: {name}"
    if list(symbol_violations(["_ZN9sessionfs4helpEv"], ["_ZN9sessionfs4helpEv"])):
        yield "a symbol that the library itself defines was reported"
    if compiler is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_tree(root, {"bad.cpp": 'extern "C" long time(long*);\nlong now() { return time(nullptr); }\n'})
        subprocess.run([compiler, "-c", "bad.cpp", "-o", "bad.o"], cwd=root, check=True)
        subprocess.run(["ar", "rc", "libbad.a", "bad.o"], cwd=root, check=True)
        found = list(library_violations(root / "libbad.a"))
        if found != ["the engine asks for the symbol time"]:
            yield f"a library that asks for time() was reported as: {found}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    modes.add_parser("sources").add_argument("repo", type=Path)
    modes.add_parser("symbols").add_argument("library", type=Path)
    modes.add_parser("self-test").add_argument("--compiler")
    arguments = parser.parse_args()
    if arguments.mode == "sources":
        if not sources_of(arguments.repo, "engine"):
            sys.exit(f"{arguments.repo}/engine holds no sources: give the root of the repository")
        violations = list(source_violations(arguments.repo))
    elif arguments.mode == "symbols":
        violations = list(library_violations(arguments.library))
    else:
        violations = list(planted_source_failures()) + list(planted_symbol_failures(arguments.compiler))
    for violation in violations:
        print(violation)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
