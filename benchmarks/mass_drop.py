"""Mass drop with probes: many clients are reset at once, and others connect and publish meanwhile.

What counts is the worst wait of the probes: how long one turn of the server's loop keeps everybody waiting. The clients
live in a process of their own, which is killed: the kernel resets all of its connections then.
"""

import asyncio
import contextlib
import os
import resource
import socket
import struct
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from benchmarks.harness import LOAD_CORE, Meter, Result, Subject, quantile
from benchmarks.load import connect, connect_many, publish_request, publisher
from benchmarks.subjects import ROOT, Options, Starter

CLIENTS: Final = 5_000
PROBE_EVERY: Final = 0.002  # seconds
WATCHED: Final = 8.0  # seconds after the drop: also the vacates come, 3 s after the clients went
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: whoever closes, resets


async def hold(port: int, count: int) -> None:
    """Be ``count`` clients, each on a channel of its own, until somebody ends this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = await connect_many(port, [f"drop-{number}" for number in range(count)])
    for client in clients:
        found: socket.socket = client.transport.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    print("ready", flush=True)
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def crowd(port: int, count: int) -> AsyncIterator[Process]:
    """Give a process that has ``count`` clients connected; it is killed at the end if it is not by then."""
    command = [sys.executable, "-m", "benchmarks.mass_drop", str(port), str(count)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=ROOT)
    try:
        os.sched_setaffinity(process.pid, {LOAD_CORE})
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 120)
        if line.strip() != b"ready":
            raise RuntimeError("the clients did not get connected")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def probe(step: Callable[[], Awaitable[object]], waits: list[float], until: float) -> None:
    """Make a step every 2 ms, and note how many milliseconds each took."""
    while time.perf_counter() < until:
        begun = time.perf_counter()
        await step()
        waits.append((time.perf_counter() - begun) * 1e3)
        await asyncio.sleep(max(0.0, PROBE_EVERY - (time.perf_counter() - begun)))


async def drop(subject: Subject, count: int, watched: float = WATCHED) -> list[Result]:
    """Drop ``count`` clients; return the waits of those who connect and of those who publish meanwhile."""
    poster = await publisher(subject.port)
    request = publish_request({"name": "probe", "channel": "nobody", "data": "{}"})
    accepts: list[float] = []
    publishes: list[float] = []

    async def come() -> None:
        (await connect(subject.port, "probe")).transport.abort()

    async with crowd(subject.port, count) as process:
        with Meter(subject) as meter:
            until = time.perf_counter() + watched
            probes = asyncio.gather(probe(come, accepts, until), probe(lambda: poster.send(request), publishes, until))
            await asyncio.sleep(0.2)
            process.kill()
            await probes
    poster.transport.abort()
    return [
        meter.row(
            f"{name} while {count:,} clients are reset", len(waits), waits, f"worst {quantile(waits, 1.0):.1f} ms"
        )
        for name, waits in (("connect", accepts), ("publish", publishes))
    ]


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server."""
    with starter(Options()) as subject:
        return await drop(subject, int(CLIENTS * min(1.0, scale)))


if __name__ == "__main__":
    asyncio.run(hold(int(sys.argv[1]), int(sys.argv[2])))
