"""``python -m benchmarks [workload ...] [--quick]``: run workloads and print one table."""

import argparse
import asyncio
import importlib
import platform
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Result

WORKLOADS = ("fanout", "publish", "client_events", "connections", "webhooks")


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""

    def number(value: float | None, digits: int = 2) -> str:
        return "" if value is None else f"{value:,.{digits}f}"

    rows = [
        "| workload | subject | units | CPU us/unit | p50 ms | p99 ms | KB/conn | load CPU | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    rows += [
        f"| {r.workload} | {r.subject} | {r.units:,} | {number(r.cpu_us)} | {number(r.p50_ms)} | {number(r.p99_ms)} "
        f"| {number(r.rss_kb)} | {number(r.load_share)} | {r.note} |"
        for r in results
    ]
    return "\n".join(rows)


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("workload", nargs="*", choices=[*WORKLOADS, []], default=[])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a first look")
    arguments = parser.parse_args()
    runner: Callable[[Any], Any] = asyncio.run
    try:
        import uvloop

        runner = uvloop.run
    except ImportError:
        print("without uvloop the load generator may be the bottleneck: look at its CPU column", file=sys.stderr)
    results: list[Result] = []
    for name in arguments.workload or WORKLOADS:
        print(f"{name} ...", file=sys.stderr)
        results += runner(importlib.import_module(f"benchmarks.{name}").run(arguments.quick))
    print(f"Python {platform.python_version()}, {platform.machine()}, Linux {platform.release()}\n")
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
