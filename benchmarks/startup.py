"""Start-up: from the command until ``GET /up`` answers. A unit is one start; p50 and p99 are wall-clock time."""

import time

from benchmarks.harness import Result, quantile
from benchmarks.subjects import Options, Starter


async def run(starter: Starter, scale: float) -> list[Result]:
    """Start one server some times; its CPU until it is up comes with it."""
    waits, costs, name, resident = [], [], "", 0
    for _ in range(max(2, int(7 * scale))):
        begun = time.perf_counter()
        with starter(Options(settled=False)) as subject:
            waits.append((time.perf_counter() - begun) * 1e3)
            costs.append(subject.cpu() * 1e6)
            name, resident = subject.name, subject.rss()
    return [
        Result(
            "start until up",
            name,
            len(waits),
            sum(waits) / 1e3,
            quantile(costs, 0.5),
            quantile(waits, 0.5),
            quantile(waits, 0.99),
            note=f"fastest {min(waits):.0f} ms; {resident / 1048576:.0f} MB resident",
        )
    ]
