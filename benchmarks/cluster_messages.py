"""Messages between nodes, as Sockudo's own published benchmark has them.

Three nodes over Redis, 900 subscribers of 100 channels, three of each channel on each node; publishes come to all nodes
in turn, 1,000 and 5,000 a second. A unit is one delivery; its CPU is that of all nodes and of Redis. A latency is the
time from sending the request to the message at one subscriber, of every delivery. All servers and Redis share one core.
"""

import asyncio
import re
import time
from typing import Final

from benchmarks.harness import Result, Subject, quantile
from benchmarks.load import Client, Publisher, connect_many, publish_request, publisher
from benchmarks.nodes import CLUSTERS, Nodes, nodes
from benchmarks.subjects import Starter

NODES: Final = 3
SUBSCRIBERS: Final = 900
CHANNELS: Final = 100
RATES: Final = (1_000, 5_000)
SECONDS: Final = 20.0
WARM_UP: Final = 3.0
PATIENCE: Final = 12.0  # seconds for what is still under way at the end
UNDER_WAY: Final = 2_000  # publishes at most; those that would be more are left out, and counted
_STAMP: Final = re.compile(rb"t=(\d+);")


class Deliveries:
    """Counts what arrives, and how long it took."""

    def __init__(self, clients: list[Client]) -> None:
        self.latencies: list[float] = []
        self.count = 0
        for client in clients:
            client.on_bytes = self._take

    def _take(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        for stamp in _STAMP.findall(data):  # one that is cut in two by a read is missing, and is not waited for
            self.count += 1
            self.latencies.append((now - int(stamp)) / 1e6)


class Door:
    """The HTTP API of a node, over connections that are kept where it keeps them."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._idle: list[Publisher] = []

    async def publish(self, request: bytes) -> None:
        """Publish, and return when it is answered."""
        one = self._idle.pop() if self._idle else await publisher(self._subject.port)
        await one.send(request)
        if self._subject.keeps_alive:
            self._idle.append(one)
        else:
            one.transport.abort()

    def close(self) -> None:
        """Close what is kept."""
        for one in self._idle:
            one.transport.abort()


class Publishers:
    """Publishes at a steady rate, whatever the answers do."""

    def __init__(self, doors: list[Door]) -> None:
        self._doors = doors
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = self.left_out = self.failed = 0

    async def run(self, rate: int, seconds: float) -> None:
        """Publish for so long, and wait for the answers."""
        start, sent, end = time.perf_counter(), 0, int(rate * seconds)
        while sent < end:
            due = min(end, int((time.perf_counter() - start) * rate) + 1)
            for number in range(sent, due):
                self._start(number)
            sent = due
            await asyncio.sleep(0.0005)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE)

    def _start(self, number: int) -> None:
        if len(self._tasks) >= UNDER_WAY:
            self.left_out += 1
            return
        task = asyncio.get_running_loop().create_task(self._publish(number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, number: int) -> None:
        data = f"t={time.perf_counter_ns()};{'x' * 40}"
        request = publish_request({"name": "bench", "channel": f"benchmark-{number % CHANNELS}", "data": data})
        try:
            await self._doors[number % len(self._doors)].publish(request)
            self.accepted += 1
        except (OSError, RuntimeError):
            self.failed += 1


async def subscribers(site: Nodes) -> list[Client]:
    """Return the connected subscribers: the same number of each channel on each node."""
    each = SUBSCRIBERS // len(site.subjects)
    names = [f"benchmark-{number % CHANNELS}" for number in range(each)]
    return [client for subject in site.subjects for client in await connect_many(subject.port, names)]


async def measure(site: Nodes, rate: int, seconds: float) -> Result:
    """Measure one rate."""
    clients = await subscribers(site)
    deliveries = Deliveries(clients)
    doors = [Door(subject) for subject in site.subjects]
    await Publishers(doors).run(rate, min(WARM_UP, seconds))
    await asyncio.sleep(0.5)
    deliveries.latencies, deliveries.count = [], 0
    publishers = Publishers(doors)
    before, redis_before, own, start = site.cpu(), site.redis_cpu(), time.process_time(), time.perf_counter()
    await publishers.run(rate, seconds)
    expected = publishers.accepted * SUBSCRIBERS // CHANNELS
    quiet = time.perf_counter() + PATIENCE
    while deliveries.count < expected * 0.9999 and time.perf_counter() < quiet:
        await asyncio.sleep(0.01)
    took = time.perf_counter() - start
    cpu, redis_cpu = site.cpu() - before, site.redis_cpu() - redis_before
    share = (time.process_time() - own) / took
    for client in clients:
        client.transport.abort()
    for door in doors:
        door.close()
    units = max(1, deliveries.count)
    notes = [
        f"p95 {quantile(deliveries.latencies or [0.0], 0.95):.1f} ms",
        f"{deliveries.count / max(1, expected):.2%} of {expected:,} delivered",
        f"nodes {cpu / units * 1e6:.2f} us, Redis {redis_cpu / units * 1e6:.2f} us",
    ]
    if publishers.left_out or publishers.failed:
        notes.append(f"{publishers.left_out:,} publishes left out, {publishers.failed:,} failed")
    return Result(
        f"3 nodes, {rate:,} publishes/s",
        site.name,
        units,
        took,
        (cpu + redis_cpu) / units * 1e6,
        quantile(deliveries.latencies or [0.0], 0.5),
        quantile(deliveries.latencies or [0.0], 0.99),
        load_share=share,
        note="; ".join(notes),
    )


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server, with fresh nodes for each rate."""
    results: list[Result] = []
    for rate in RATES if starter.name in CLUSTERS else ():
        with nodes(starter, NODES) as site:
            results.append(await measure(site, rate, SECONDS * scale))
    return results
