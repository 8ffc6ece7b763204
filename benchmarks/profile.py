"""``python -m benchmarks.profile``: where the server's time goes in each workload, by library and by function.

Needs Linux ``perf`` and the right to use it. The shares are of samples of the CPU clock: Python's interpreter is
``libpython`` (or ``python3``), uvloop ``loop.*.so``, the kernel ``[kernel.kallsyms]``.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import client_events, connections, fanout, publish
from benchmarks.harness import Result, Subject
from benchmarks.subjects import Options, own

Work = Callable[[Subject], Awaitable[object]]


async def _client_events(subject: Subject) -> list[Result]:
    return await client_events.measure(subject, 1.0)


async def _publish(subject: Subject) -> Result:
    return await publish.measure(subject, "publish", publish.one_channel(), 20_000)


WORK: dict[str, Work] = {
    "fan-out 1 x 1000": lambda subject: fanout.paced(subject, 1, 1000, 40, 200),
    "saturated fan-out 1 x 1000": lambda subject: fanout.saturated(subject, 1000, 1000, 2),
    "publish, one channel": _publish,
    "client events": _client_events,
    "connect + subscribe": lambda subject: connections.storm(subject, 5_000, True),
}


async def profiled(perf: str, name: str, work: Work, data: Path) -> None:
    """Run one workload under perf and print the two lists."""
    with own()(Options()) as subject:
        command = [perf, "record", "-e", "cpu-clock", "-F", "4999", "-o", str(data), "-p", str(subject.pid)]
        recorder = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
        await asyncio.sleep(0.5)
        await work(subject)
        recorder.terminate()
        await recorder.wait()
    print(f"\n### {name}\n")
    for by, count in (("dso", 6), ("symbol", 12)):
        command = [perf, "report", "-i", str(data), "--no-children", "--stdio", "--sort", by]
        reporter = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
        report, _ = await reporter.communicate()
        lines = [
            " ".join(line.split()) for line in report.decode().splitlines() if line.strip() and not line.startswith("#")
        ]
        print(f"{by}: " + "; ".join(lines[:count]))


def main() -> int:
    """Run."""
    argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__).parse_args()
    perf = shutil.which("perf")
    if perf is None:
        print("perf is not installed", file=sys.stderr)
        return 1
    import uvloop

    with tempfile.TemporaryDirectory() as folder:
        for name, work in WORK.items():
            uvloop.run(profiled(perf, name, work, Path(folder) / "perf.data"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
