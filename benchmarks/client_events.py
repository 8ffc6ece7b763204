"""Client events: one in, one delivery out, on a private channel with two subscribers."""

import asyncio
import time

from benchmarks.harness import Meter, Result, Subject, quantile
from benchmarks.load import client_frame, connect
from benchmarks.subjects import Options, Starter


async def measure(subject: Subject, scale: float) -> list[Result]:
    """Send events one after the other, then in bursts of 32."""
    rounds = int(20_000 * scale)
    results = []
    frame = client_frame({"event": "client-move", "channel": "private-room", "data": {"x": 1, "y": 2}})
    sender = await connect(subject.port, "private-room")
    receiver = await connect(subject.port, "private-room")
    seen = asyncio.Event()
    total = 0

    def arrived(data: bytes) -> None:
        nonlocal total
        total += data.count(b'"client-move"')
        seen.set()

    receiver.on_bytes = arrived
    sender.on_bytes = lambda data: None
    for burst in (1, 32):
        latencies: list[float] = []
        total, done = 0, 0
        count = rounds // burst
        with Meter(subject) as meter:
            for _ in range(count):
                start = time.perf_counter()
                sender.transport.write(frame * burst)
                done += burst
                while total < done:
                    seen.clear()
                    await asyncio.wait_for(seen.wait(), 10)
                latencies.append((time.perf_counter() - start) * 1e3)
        results.append(
            Result(
                "client event" if burst == 1 else f"client event, bursts of {burst}",
                subject.name,
                done,
                meter.seconds,
                meter.per_unit(done),
                quantile(latencies, 0.5),
                quantile(latencies, 0.99),
                load_share=meter.load_share,
            )
        )
    sender.transport.abort()
    receiver.transport.abort()
    return results


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server."""
    with starter(Options()) as subject:
        return await measure(subject, scale)
