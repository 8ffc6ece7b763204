"""``python -m benchmarks [workload ...]``: run workloads against all servers that can be had, and print one table.

The repetitions of a row are interleaved over the servers, so that what else the machine does hits all of them alike.
"""

import argparse
import asyncio
import importlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import budgets, fanout
from benchmarks.harness import Result, merged
from benchmarks.subjects import Starter, peers, sockudo_py
from benchmarks.tables import table, to_json

LOOP = 2_000
WORKLOADS = ("fanout", "publish", "client_events", "connections", "webhooks", "startup")


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("workload", nargs="*", choices=[*WORKLOADS, []], default=[])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, once: for a first look")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of each row, interleaved (default 3)")
    parser.add_argument("--no-peers", action="store_true", help="sockudo_py and the floor only")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    arguments = parser.parse_args()
    scale, repeat = (0.1, 1) if arguments.quick else (1.0, arguments.repeat)
    runner: Callable[[Any], Any] = asyncio.run
    try:
        import uvloop

        runner = uvloop.run
    except ImportError:
        print("without uvloop the load generator may be the bottleneck: look at its CPU column", file=sys.stderr)
    starters: list[Starter] = [sockudo_py, *([] if arguments.no_peers else peers())]
    load_before, begun = os.getloadavg(), time.time()
    rows: dict[tuple[str, str], list[Result]] = {}
    for name in arguments.workload or WORKLOADS:
        module = importlib.import_module(f"benchmarks.{name}")
        for round_number in range(repeat):
            runs: list[tuple[str, Any]] = [(starter.__name__, module.run(starter, scale)) for starter in starters]
            if module is fanout:
                runs.insert(0, ("send() floor", fanout.run_floor(scale)))
            for subject, run in runs:
                print(f"{name}, {subject}, {round_number + 1} of {repeat} ...", file=sys.stderr)
                for result in runner(run):
                    rows.setdefault((result.workload, result.subject), []).append(result)
    order = list(dict.fromkeys(workload for workload, _ in rows))
    results = [merged(found) for _, found in sorted(rows.items(), key=lambda row: order.index(row[0][0]))]
    print(f"{environment()}\nload average before {load_before[0]:.1f}, after {os.getloadavg()[0]:.1f}; ", end="")
    print(f"{time.time() - begun:.0f} s, {repeat} repetitions\n")
    print(table(results), end="\n\n")
    missed = budgets.report(results)
    if arguments.json:
        arguments.json.write_bytes(to_json(results))
    return 1 if missed and arguments.check else 0


def calibration() -> float:
    """Return the microseconds of a fixed piece of work: how fast this machine was when the table was made."""
    best = float("inf")
    for _ in range(200):
        begun = time.perf_counter()
        text = {number: str(number) for number in range(LOOP)}
        best = min(best, time.perf_counter() - begun)
        assert len(text) == LOOP
    return best * 1e6


def environment() -> str:
    """Return machine and versions in two lines."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"{calibration():.0f} us for {LOOP} turns of a plain Python loop, best of 200\n"
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}\n"
        f"Python {platform.python_version()}, Node {node or 'none'}"
    )


if __name__ == "__main__":
    sys.exit(main())
