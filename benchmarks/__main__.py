"""``python -m benchmarks [workload ...]``: run workloads against all servers that can be had, and print one table.

The repetitions of a row are interleaved over the servers, so that what else the machine does hits all of them alike.
"""

import argparse
import asyncio
import importlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import budgets, fanout
from benchmarks.harness import Result, merged
from benchmarks.machine import environment
from benchmarks.subjects import Starter, own, peers
from benchmarks.tables import busy_generator, table, write_json
from benchmarks.workloads import ON_REQUEST as ON_REQUEST
from benchmarks.workloads import WORKLOADS as WORKLOADS


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("workload", nargs="*", choices=[*WORKLOADS, *ON_REQUEST, []], default=[])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, once: for a first look")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of each row, interleaved (default 3)")
    parser.add_argument("--no-peers", action="store_true", help="sockudo_py and the floor only")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--json", type=Path, help="also write the rows there, for benchmarks.report")
    parser.add_argument(
        "--python", default=sys.executable, help="the interpreter that runs sockudo_py, with its packages"
    )
    arguments = parser.parse_intermixed_args()
    scale, repeat = (0.1, 1) if arguments.quick else (1.0, arguments.repeat)
    runner: Callable[[Any], Any] = asyncio.run
    try:
        import uvloop

        runner = uvloop.run
    except ImportError:
        print("without uvloop the load generator may be the bottleneck: look at its CPU column", file=sys.stderr)
    machine = environment(arguments.python)
    starters: list[Starter] = [own(python=arguments.python), *([] if arguments.no_peers else peers())]
    load_before, begun = os.getloadavg(), time.time()
    rows: dict[tuple[str, str], list[Result]] = {}
    for name in arguments.workload or WORKLOADS:
        module = importlib.import_module(f"benchmarks.{name}")
        for round_number in range(repeat):
            runs: list[tuple[str, Any]] = [(starter.name, module.run(starter, scale)) for starter in starters]
            if module is fanout:
                runs.insert(0, ("send() floor", fanout.run_floor(scale)))
            for subject, run in runs:
                print(f"{name}, {subject}, {round_number + 1} of {repeat} ...", file=sys.stderr)
                for result in runner(run):
                    rows.setdefault((result.workload, result.subject), []).append(result)
    order = list(dict.fromkeys(workload for workload, _ in rows))
    results = [merged(found) for _, found in sorted(rows.items(), key=lambda row: order.index(row[0][0]))]
    machine += (
        f"\nload average before {load_before[0]:.1f}, after {os.getloadavg()[0]:.1f}; "
        f"{time.time() - begun:.0f} s, {repeat} repetitions"
    )
    targets, missed = budgets.targets(results, quick=arguments.quick)
    print(f"{machine}\n\n{table(results)}\n\n{busy_generator(results)}\n\n{targets}")
    if arguments.json:
        write_json(arguments.json, machine, results)
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
