"""Client events: one in, one delivery out, on a private channel with two subscribers."""

import asyncio
import time

from benchmarks.harness import Meter, Result, quantile, sockudo
from benchmarks.load import client_frame, connect


async def run(quick: bool) -> list[Result]:
    """Send events one after the other, then in bursts of 32."""
    rounds = 4_000 if quick else 20_000
    results = []
    frame = client_frame({"event": "client-move", "channel": "private-room", "data": {"x": 1, "y": 2}})
    with sockudo() as subject:
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
            latencies, total = [], 0
            count = rounds // burst
            with Meter(subject) as meter:
                for index in range(count):
                    start = time.perf_counter()
                    sender.transport.write(frame * burst)
                    while total < (index + 1) * burst:
                        seen.clear()
                        await asyncio.wait_for(seen.wait(), 10)
                    latencies.append((time.perf_counter() - start) * 1e3)
            units = count * burst
            results.append(
                Result(
                    "client event, one at a time" if burst == 1 else f"client event, bursts of {burst}",
                    subject.name,
                    units,
                    meter.seconds,
                    meter.per_unit(units),
                    quantile(latencies, 0.5),
                    quantile(latencies, 0.99),
                    load_share=meter.load_share,
                )
            )
        sender.transport.abort()
        receiver.transport.abort()
    return results
