"""Hot channels: 10,000 subscribers at 1 to 50 publishes a second, and 1,000 subscribers at 1,000 to 10,000."""

import asyncio
import time

from benchmarks.fanout import end, request, saturated
from benchmarks.harness import Meter, Result, Subject
from benchmarks.load import Client, Poster, connect_many
from benchmarks.subjects import Options, Starter

CROWD = 10_000
READERS = 50  # of the crowd; what the others are sent waits in the kernel, so that the load generator can take the time
CROWD_RATES = (1, 5, 20, 50)
RATES = (1_000, 2_500, 5_000, 10_000)


async def crowded(subject: Subject, clients: list[Client], rate: float, seconds: float) -> Result:
    """Publish to the channel ``rate`` times a second; a latency ends when the last of the readers has the message."""
    poster, one = Poster(subject), request("crowd")
    arrived: asyncio.Queue[float] = asyncio.Queue()

    def note_time(data: bytes) -> None:
        for _ in range(data.count(b'"bench"')):
            arrived.put_nowait(time.perf_counter())

    for client in clients[:READERS]:
        client.on_bytes = note_time
    latencies: list[float] = []
    count = max(2, int(rate * seconds))
    start = time.perf_counter()
    with Meter(subject) as meter:
        for index in range(count):
            await asyncio.sleep(max(0.0, start + index / rate - time.perf_counter()))
            begun = time.perf_counter()
            await poster.post(one)
            times = [await asyncio.wait_for(arrived.get(), 30) for _ in range(READERS)]
            latencies.append((max(times) - begun) * 1e3)
    poster.close()
    units = count * len(clients)
    title = f"hot channel of {CROWD:,}, {rate:g}/s"
    return meter.row(title, units, latencies, note=f"{units / meter.seconds:,.0f} deliveries/s")


async def crowd(starter: Starter, scale: float) -> list[Result]:
    """Measure all rates over one crowd."""
    with starter(Options()) as subject:
        clients = await connect_many(subject.port, ["crowd"] * CROWD)
        for client in clients:
            client.on_bytes = lambda data: None
        await asyncio.sleep(0.5)  # the last answers of the subscriptions arrive
        for client in clients[READERS:]:
            client.transport.pause_reading()
        rows = [await crowded(subject, clients, rate, 3 * scale) for rate in CROWD_RATES]
        end(clients, Poster(subject))
    return rows


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server: the crowd, then a fresh process for each of the higher rates."""
    rows = await crowd(starter, scale)
    for rate in RATES:
        with starter(Options()) as subject:
            rows.append(await saturated(subject, 1_000, rate, 2 * scale, f"{rate:,}/s,"))
    return rows
