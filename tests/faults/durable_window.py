"""How much a kill -9 of the server costs: ``python -m tests.faults.durable_window [--kills 20] [--rate 1000]``.

A client triggers numbered events on a real server, another one hears them; the server is killed at a random moment and
started again. An event that was heard but never comes as a webhook is lost; its age at the kill is the window.
"""

import argparse
import asyncio
import contextlib
import random
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from websockets.exceptions import ConnectionClosed

from tests.faults.harness import number_of
from tests.support import server as servers
from tests.support.client import Client, connected
from tests.support.ports import free_ports
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.server import TestApp, app_config, server_config

CHANNEL = "private-durable"
EVERY = 0.001  # seconds between bursts


@dataclass(slots=True)
class Window:
    """What the kills cost. ``ages``: seconds from hearing the oldest lost event to the kill, 0 where none was lost."""

    kills: int = 0
    heard: int = 0
    lost: int = 0
    ages: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        worst = max(self.ages, default=0.0) * 1000
        hit = sum(age > 0 for age in self.ages)
        return (
            f"{self.kills} kills, {self.heard} events heard, {self.lost} lost in {hit} kills; "
            f"oldest lost event {worst:.1f} ms before its kill"
        )


def _config(receiver: Receiver, queue: dict[str, Any]) -> dict[str, Any]:
    webhook = {"url": receiver.url(), "event_types": ["client_event"], "retry": {"schedule_ms": [200] * 50}}
    app = app_config(TestApp(), webhooks=[webhook], enable_client_messages=True, max_client_events_per_second=1_000_000)
    reliability = {"lease_duration_ms": 1000, "lease_renew_interval_ms": 300}
    return server_config(
        app,
        queue={**queue, "reliability": reliability},
        webhooks={"batching": {"enabled": True, "duration": 50, "size": 100}},
    )


async def measure(queue: dict[str, Any], folder: Path, *, kills: int, rate: int, seed: int) -> Window:
    """Kill a server with this ``queue`` section ``kills`` times under ``rate`` events a second."""
    dice = random.Random(seed)
    window = Window()
    delivered: set[int] = set()
    async with Receiver() as receiver:
        config, ports = _config(receiver, queue), free_ports(2)
        server = await asyncio.to_thread(servers.start, config, folder / "0", None, ports)
        first = 0
        try:
            for turn in range(1, kills + 1):
                heard, killed = await _burden(server, first, rate, dice.uniform(0.3, 0.8))
                server = await asyncio.to_thread(servers.start, config, folder / str(turn), None, ports)
                missing = await _missing(receiver, delivered, heard)
                window.kills += 1
                window.heard += len(heard)
                window.lost += len(missing)
                window.ages.append(max((killed - heard[number] for number in missing), default=0.0))
                first += 1_000_000
        finally:
            server.kill()
    return window


async def _burden(server: servers.Server, first: int, rate: int, seconds: float) -> tuple[dict[int, float], float]:
    """Send events for so long, kill the server, and return when each event was heard, and when the kill was.

    The kill comes from a thread, so that it falls anywhere between two events.
    """
    heard: dict[int, float] = {}
    killed: list[float] = []

    def kill() -> None:
        killed.append(time.monotonic())
        server.process.kill()

    async with connected(server, TestApp()) as sender, connected(server, TestApp()) as listener:
        await sender.subscribe(CHANNEL)
        await listener.subscribe(CHANNEL)
        hearing = asyncio.create_task(_hear(listener, heard))
        threading.Timer(seconds, kill).start()
        begun = time.monotonic()
        number = first
        with contextlib.suppress(ConnectionClosed):
            while True:
                while number - first < (time.monotonic() - begun) * rate:
                    await sender.send({"event": "client-e", "channel": CHANNEL, "data": str(number)})
                    number += 1
                await asyncio.sleep(EVERY)
        with contextlib.suppress(ConnectionClosed):
            await hearing
        await asyncio.to_thread(server.process.wait)
    return heard, killed[0]


async def _hear(listener: Client, heard: dict[int, float]) -> None:
    async for message in listener.connection:
        frame = orjson.loads(message)
        if frame.get("event") == "client-e":
            heard[int(frame["data"])] = time.monotonic()


async def _missing(receiver: Receiver, delivered: set[int], heard: dict[int, float]) -> set[int]:
    """Wait until all that was heard has arrived, or nothing has come for longer than any lease; return what is lost."""
    done = 0
    quiet = time.monotonic()
    while True:
        for request in receiver.received[done:]:
            delivered.update(number_of(fields) for fields in request.json()["events"])
            quiet = time.monotonic()
        done = len(receiver.received)
        missing = set(heard) - delivered
        if not missing or time.monotonic() > quiet + 2.5:
            receiver.received.clear()
            return missing
        await asyncio.sleep(0.02)


async def _main(kills: int, rate: int, seed: int) -> None:
    print(f"seed {seed}, {rate} events a second")  # noqa: T201
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sqlite = {"driver": "sqlite", "sqlite": {"path": str(folder / "queue.sqlite3")}}
        print("sqlite:", await measure(sqlite, folder / "s", kills=kills, rate=rate, seed=seed), flush=True)  # noqa: T201
        redis = RedisServer(folder / "redis", aof=True, options=("--appendfsync", "everysec"))
        redis.start()
        try:
            queue = {"driver": "redis", "redis": {"url_override": redis.url}}
            print("redis:", await measure(queue, folder / "r", kills=kills, rate=rate, seed=seed), flush=True)  # noqa: T201
        finally:
            redis.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    given = parser.parse_args()
    asyncio.run(_main(given.kills, given.rate, given.seed))
