"""Webhooks end to end: a client event in, a signed request at a receiver out, batched and single."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import LOST, Meter, Result
from benchmarks.load import client_frame, connect
from benchmarks.receiver import receiving
from benchmarks.subjects import Options, Starter

NAMES = {"memory": "webhook events", "sqlite": "webhook events over SQLite"}  # by queue driver


async def measure(
    starter: Starter, batched: bool, events: int, rate: float, driver: str, history: int = 1000
) -> Result:
    """Send ``events`` client events at ``rate`` per second (0: as fast as they are taken).

    ``history``: attempts of the endpoint that are kept; 0: there is no history.
    """
    with tempfile.TemporaryDirectory() as folder:  # for the queue's file
        queue = {"driver": driver, "sqlite": {"path": str(Path(folder) / "queue.sqlite3")}}
        return await _measure(starter, batched, events, rate, queue, history)


async def _measure(
    starter: Starter, batched: bool, events: int, rate: float, queue: dict[str, Any], history: int
) -> Result:
    batching = {"enabled": batched, "duration": 50}
    async with receiving(b"client_event") as received:
        endpoint = {"url": f"http://127.0.0.1:{received.port}/", "event_types": ["client_event"]}
        server_options = {"webhooks": {"batching": batching, "delivery": {"history": history}}, "queue": queue}
        with starter(Options(app={"webhooks": [endpoint]}, server=server_options)) as subject:
            sender = await connect(subject.port, "private-room")
            sender.on_bytes = lambda data: None
            with Meter(subject) as meter:
                start = time.perf_counter()
                step = 32 if rate == 0 else max(1, int(rate / 100))
                for sent in range(0, events, step):
                    frames = [
                        client_frame(
                            {"event": "client-m", "channel": "private-room", "data": f"t={time.perf_counter_ns()};"}
                        )
                        for _ in range(min(step, events - sent))
                    ]
                    sender.transport.write(b"".join(frames))
                    if rate:
                        await asyncio.sleep(max(0.0, start + (sent + step) / rate - time.perf_counter()))
                    else:
                        while received.events < sent - 5_000:
                            await asyncio.sleep(0.001)
                missing = await received.wait(events, 60)
            sender.transport.abort()
    kind = "batched" if batched else "single"
    offered = f"{rate:.0f}/s offered" if rate else "flat out"
    return meter.row(
        f"{NAMES[queue['driver']]}, {kind}, {offered}",
        max(1, received.events),
        received.latencies or [float("nan")],
        note=f"{received.events / meter.seconds:,.0f} events/s in {received.requests:,} requests"
        + (f"; {LOST}: {missing}" if missing > 0 else ""),
    )


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure sockudo_py with each queue that needs no server (the others' webhooks promise less, and are left out)."""
    if starter.name != "sockudo_py":
        return []
    flows = ((False, 8_000, 0), (False, 2_000, 500), (True, 60_000, 0), (True, 10_000, 2_500))
    return [
        await measure(starter, batched, int(events * scale), rate, driver)
        for driver in NAMES
        for batched, events, rate in flows
    ]
