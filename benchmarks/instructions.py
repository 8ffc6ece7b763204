"""``python -m benchmarks.instructions BASE HEAD [path ...]``: what a round of each hot path costs two revisions.

It counts instructions with valgrind, without sockets: the same revision gives the same figure within a percent, and the
machine may be busy. Either revision may be ``.`` for the work tree as it is. It takes some minutes.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.compare import tree
from benchmarks.paths import PATHS

WARM, MANY = 200, 1200


def counted(command: list[str], folder: Path | None = None) -> int:
    """Return the instructions that a command executes; ``folder`` holds the packages that it imports."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    if folder is not None:
        environment["PYTHONPATH"] = str(folder)
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run(
        [*valgrind, *command], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(done.stderr)
    return int(found[1])


def _round(folder: Path, path: str) -> float:
    program = str(Path(__file__).with_name("paths.py"))
    few, many = (counted([sys.executable, "-P", program, path, str(number)], folder) for number in (WARM, MANY))
    return (many - few) / (MANY - WARM)


def main() -> None:
    """Print a line for each path."""
    parser = argparse.ArgumentParser(prog="benchmarks.instructions", description=__doc__)
    parser.add_argument("base")
    parser.add_argument("head")
    parser.add_argument("path", nargs="*", choices=[*PATHS, []], default=[])
    arguments = parser.parse_intermixed_args()
    print("| path | base | head | ratio |\n|---|---:|---:|---:|")
    with tree(arguments.base) as base, tree(arguments.head) as head:
        for path in arguments.path or PATHS:
            before, now = _round(base, path), _round(head, path)
            print(f"| {path} | {before:.0f} | {now:.0f} | {now / before:.3f} |", flush=True)


if __name__ == "__main__":
    main()
