"""HTTP publish over keep-alive: one channel, a batch of ten, a hundred channels; nobody subscribed."""

import time

from benchmarks.harness import Meter, Result, Subject, quantile, sockudo
from benchmarks.load import publish_request, publisher


async def measure(subject: Subject, name: str, request: bytes, rounds: int, pipelined: int = 1) -> Result:
    """Send ``rounds`` requests one after the other (or ``pipelined`` at a time)."""
    post = await publisher(subject.port)
    await post.send(request)
    latencies = []
    with Meter(subject) as meter:
        for _ in range(rounds // pipelined):
            start = time.perf_counter()
            await post.send(request * pipelined, pipelined)
            latencies.append((time.perf_counter() - start) * 1e3)
    post.transport.abort()
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


async def run(quick: bool) -> list[Result]:
    """Run all publish workloads."""
    rounds = 5_000 if quick else 30_000
    data = '{"message":"hello world"}'
    one = publish_request({"name": "bench", "channel": "c", "data": data})
    many = publish_request({"name": "bench", "channels": [f"c{index}" for index in range(100)], "data": data})
    events = [{"name": "bench", "channel": f"c{index}", "data": data} for index in range(10)]
    batch = publish_request({"batch": events}, "/apps/1/batch_events")
    with sockudo() as subject:
        return [
            await measure(subject, "publish, one channel", one, rounds),
            await measure(subject, "publish, one channel, 16 pipelined", one, rounds // 16 * 16, 16),
            await measure(subject, "publish, batch of 10", batch, rounds // 5),
            await measure(subject, "publish, 100 channels", many, rounds // 10),
        ]
