"""HTTP publish: one channel, pipelined, a batch of ten, a hundred channels; nobody subscribed.

Over one kept connection where the server keeps it. soketi closes after each answer, so its figures hold an accept.
"""

import time

from benchmarks.harness import Meter, Result, Subject, quantile
from benchmarks.load import Poster, publish_request
from benchmarks.subjects import Options, Starter

DATA = '{"message":"hello world"}'


async def measure(subject: Subject, name: str, request: bytes, rounds: int, pipelined: int = 1) -> Result:
    """Send ``rounds`` requests one after the other (or ``pipelined`` at a time)."""
    poster = Poster(subject)
    for _ in range(200):
        await poster.post(request)
    latencies = []
    with Meter(subject) as meter:
        for _ in range(rounds // pipelined):
            start = time.perf_counter()
            await poster.post(request, pipelined)
            latencies.append((time.perf_counter() - start) * 1e3)
    poster.close()
    return Result(
        name,
        subject.name,
        rounds,
        meter.seconds,
        meter.per_unit(rounds),
        quantile(latencies, 0.5),
        quantile(latencies, 0.99),
        load_share=meter.load_share,
    )


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
        results = [await measure(subject, "publish, one channel", one, rounds)]
        if subject.keeps_alive:
            results.append(await measure(subject, "publish, 16 pipelined", one, rounds // 16 * 16, 16))
        results += [
            await measure(subject, "publish, batch of 10", batch, rounds // 5),
            await measure(subject, "publish, 100 channels", many, rounds // 10),
        ]
        return results
