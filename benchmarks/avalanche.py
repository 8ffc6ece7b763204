"""Avalanche: a lone server is ended and started again; how long until its clients are back and subscribed.

A unit is one client that is back. The server's CPU is that of the one that takes them; latencies count from the signal.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import orjson

from benchmarks.crowd import PATIENCE, Returned
from benchmarks.harness import Result, free_port
from benchmarks.subjects import Options, Starter

SIGNALS = (signal.SIGKILL, signal.SIGTERM)


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server, once for each signal."""
    return [_avalanche(starter, number, int(10_000 * scale)) for number in SIGNALS]


@contextmanager
def crowd(count: int, *ports: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``benchmarks.crowd``; all its clients are there in the block."""
    command = [sys.executable, "-m", "benchmarks.crowd", ",".join(map(str, ports)), str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError("the crowd did not come")
        yield process
    finally:
        process.kill()
        process.communicate()


def outcome(process: subprocess.Popen[bytes]) -> Returned:
    """Return how the crowd came back; it waits for that."""
    said, _ = process.communicate(timeout=3 * PATIENCE)
    return Returned(**orjson.loads(said))


def _avalanche(starter: Starter, number: signal.Signals, count: int) -> Result:
    port = free_port()
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        subject = first.enter_context(starter(Options(port=port)))
        clients = stack.enter_context(crowd(count, port))
        begun = time.monotonic()
        os.kill(subject.pid, number)
        first.close()  # returns when it is gone
        gone = time.monotonic() - begun
        successor = stack.enter_context(starter(Options(port=port, settled=False)))
        returned = outcome(clients)
        cpu = successor.cpu()
    seconds = returned.until(0.99) - begun
    return Result(
        f"avalanche, {number.name}",
        subject.name,
        len(returned.back_at),
        seconds,
        cpu / count * 1e6,
        (returned.until(0.5) - begun) * 1e3,
        seconds * 1e3,
        load_share=min(1.0, returned.load_cpu / seconds),
        note=f"gone after {gone:.2f} s; {returned.told:,} closed with a code, {returned.lost:,} lost; "
        f"refused {returned.refused:,} times, one client at most {returned.most_refused}",
    )
