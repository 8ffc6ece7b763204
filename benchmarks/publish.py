"""HTTP publish: one channel, from sixteen at once, pipelined, a batch of ten, a hundred channels; nobody subscribed.

Over kept connections where the server keeps them. soketi closes after each answer, so its figures hold an accept.
"""

import asyncio
import time

from benchmarks.harness import Meter, Result, Subject
from benchmarks.load import Poster, publish_request
from benchmarks.subjects import Options, Starter

DATA = '{"message":"hello world"}'
BACKENDS = 16
WARM_UP = 1_600  # requests: Node compiles what is called often


async def measure(subject: Subject, name: str, request: bytes, rounds: int, pipelined: int = 1) -> Result:
    """Send ``rounds`` requests one after the other (or ``pipelined`` at a time)."""
    poster = Poster(subject)
    for _ in range(WARM_UP):
        await poster.post(request)
    latencies = []
    with Meter(subject) as meter:
        for _ in range(rounds // pipelined):
            start = time.perf_counter()
            if pipelined == 1:
                await poster.post(request)
            else:
                await poster.pipeline(request, pipelined)
            latencies.append((time.perf_counter() - start) * 1e3)
    poster.close()
    return meter.row(name, rounds, latencies)


async def at_once(subject: Subject, request: bytes, rounds: int) -> Result:
    """Send ``rounds`` requests from ``BACKENDS`` connections, each of which waits for its own answer only."""
    posters = [Poster(subject) for _ in range(BACKENDS)]
    latencies: list[float] = []

    async def backend(poster: Poster, count: int) -> None:
        for _ in range(count):
            start = time.perf_counter()
            await poster.post(request)
            latencies.append((time.perf_counter() - start) * 1e3)

    await asyncio.gather(*(backend(poster, WARM_UP // BACKENDS) for poster in posters))
    latencies.clear()
    with Meter(subject) as meter:
        await asyncio.gather(*(backend(poster, rounds // BACKENDS) for poster in posters))
    for poster in posters:
        poster.close()
    return meter.row(f"publish, {BACKENDS} connections", len(latencies), latencies)


def one_channel() -> bytes:
    """Return the plainest publish."""
    return publish_request({"name": "bench", "channel": "c", "data": DATA})


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server."""
    rounds = int(20_000 * scale)
    one = one_channel()
    many = publish_request({"name": "bench", "channels": [f"c{index}" for index in range(100)], "data": DATA})
    events = [{"name": "bench", "channel": f"c{index}", "data": DATA} for index in range(10)]
    batch = publish_request({"batch": events}, "/apps/1/batch_events")
    with starter(Options()) as subject:
        results = [
            await measure(subject, "publish, one channel", one, rounds),
            await at_once(subject, one, rounds),
        ]
        if subject.keeps_alive:
            results.append(await measure(subject, "publish, 16 pipelined", one, rounds // 16 * 16, 16))
        results += [
            await measure(subject, "publish, batch of 10", batch, rounds // 5),
            await measure(subject, "publish, 100 channels", many, rounds // 10),
        ]
        return results
