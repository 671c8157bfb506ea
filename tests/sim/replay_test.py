#!/usr/bin/env python3
"""A world that goes wrong goes wrong again, byte for byte: replay_test.py SIM, built with one of the mutations."""

import re
import subprocess
import sys


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main():
    sim = sys.argv[1]
    found = re.search(r"sim --seed (\d+)", run(sim).stdout)
    if not found:
        sys.exit("replay_test: no world went wrong")
    first, second = (run(sim, "--seed", found[1]) for _ in range(2))
    if first.returncode == 0 or "Failure" not in first.stdout:
        sys.exit(f"replay_test: seed {found[1]} alone goes right")
    if first.stdout != second.stdout:
        sys.exit(f"replay_test: seed {found[1]} gives two different traces")
    print(f"seed {found[1]}: {len(first.stdout.splitlines())} lines, twice the same; its end:")
    print("\n".join(first.stdout.splitlines()[-15:]))


if __name__ == "__main__":
    main()
