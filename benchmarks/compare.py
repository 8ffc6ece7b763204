"""``python -m benchmarks.compare BASE HEAD [workload ...]``: two revisions of sockudo_py, their runs interleaved.

Each revision is checked out into a git worktree of its own; the load generator is the present one for both. Either
may be ``.`` for the work tree as it is: ``compare . . --head-python PYTHON`` compares two interpreters.
"""

import argparse
import contextlib
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Result
from benchmarks.machine import interpreter
from benchmarks.subjects import ROOT, own
from benchmarks.workloads import WORKLOADS as WORKLOADS


@contextlib.contextmanager
def tree(revision: str) -> Iterator[Path]:
    """Give the folder of a revision."""
    if revision == ".":
        yield ROOT
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tree"
        subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "--quiet", "--detach", str(path), revision], check=True
        )
        try:
            yield path
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(path)], check=True)


def main() -> int:
    """Run both and print one line per row."""
    parser = argparse.ArgumentParser(prog="benchmarks.compare", description=__doc__)
    parser.add_argument("base")
    parser.add_argument("head")
    parser.add_argument("workload", nargs="*", choices=[*WORKLOADS, []], default=[])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.2, help="share of the full amount of work (default 0.2)")
    for side in ("base", "head"):
        parser.add_argument(f"--{side}-python", default=sys.executable, help="an interpreter with the packages needed")
    arguments = parser.parse_intermixed_args()
    import uvloop

    pythons = {"base": arguments.base_python, "head": arguments.head_python}
    for side, python in pythons.items():
        print(f"{side}: {interpreter(python)}")

    rows: dict[str, dict[str, list[Result]]] = {}
    with tree(arguments.base) as base, tree(arguments.head) as head:
        for round_number in range(arguments.repeat):
            for name in arguments.workload or WORKLOADS:
                module: Any = importlib.import_module(f"benchmarks.{name}")
                for side, root in (("base", base), ("head", head)):
                    print(f"{name}, {side}, {round_number + 1} of {arguments.repeat} ...", file=sys.stderr)
                    for result in uvloop.run(module.run(own(root, pythons[side]), arguments.scale)):
                        rows.setdefault(result.workload, {}).setdefault(side, []).append(result)
    print("| workload | base us | head us | median ratio | lowest | highest |\n|---|---:|---:|---:|---:|---:|")
    for workload, sides in rows.items():
        pairs = zip(sides["base"], sides["head"], strict=True)
        ratios = sorted(after.cpu_us / before.cpu_us for before, after in pairs)
        before, after = (median(result.cpu_us for result in sides[side]) for side in ("base", "head"))
        print(
            f"| {workload} | {before:.2f} | {after:.2f} | {median(ratios):.2f} | {ratios[0]:.2f} | {ratios[-1]:.2f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
