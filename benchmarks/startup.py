"""Start-up: from the command until ``GET /up`` answers. A unit is one start; p50 and p99 are wall-clock time.

What a server does after that is not hidden: the row says what it holds and has used once it is at rest.
"""

import time

from benchmarks.harness import Result, quantile
from benchmarks.subjects import Options, Starter


async def run(starter: Starter, scale: float) -> list[Result]:
    """Start one server some times; its CPU until it is up comes with it. A first start is not counted.

    In that one, modules of a work tree may have to be compiled, which an installed server's are.
    """
    with starter(Options(settled=False)):
        pass
    waits, costs, name, after = [], [], "", ""
    for _ in range(max(2, int(7 * scale))):
        begun = time.perf_counter()
        with starter(Options(settled=False)) as subject:
            waits.append((time.perf_counter() - begun) * 1e3)
            costs.append(subject.cpu() * 1e6)
            subject.settle()
            name, after = (
                subject.name,
                f"{subject.rss() / 1048576:.0f} MB, {subject.cpu() * 1e3:.0f} ms CPU once at rest",
            )
    return [
        Result(
            "start until up",
            name,
            len(waits),
            sum(waits) / 1e3,
            quantile(costs, 0.5),
            quantile(waits, 0.5),
            quantile(waits, 0.99),
            note=f"fastest {min(waits):.0f} ms; {after}",
        )
    ]
