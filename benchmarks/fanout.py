"""Fan-out: one publish to many subscribers, at a pace and saturated; and what a bystander notices of it.

The floor is a C program that does nothing but ``send()``, once per delivery.
"""

import asyncio
import time

from benchmarks.harness import Meter, Result, Subject
from benchmarks.load import Client, Poster, connect, connect_many, publish_request
from benchmarks.subjects import Options, Starter, floor

DATA = "x" * 64
PAYLOAD = b'{"event":"bench","data":"' + DATA.encode() + b'","channel":"fan-0"}'
FLOOR_FRAME = len(PAYLOAD) + 2


class Receiver:
    """Counts received bytes of all clients together."""

    def __init__(self, clients: list[Client]) -> None:
        self.bytes = 0
        for client in clients:
            client.on_bytes = self._add

    def _add(self, data: bytes) -> None:
        self.bytes += len(data)

    async def until(self, total: int, seconds: float) -> None:
        """Return when ``total`` bytes have come, or raise after ``seconds``."""
        deadline = time.perf_counter() + seconds
        while self.bytes < total:
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{self.bytes} of {total} bytes arrived")
            await asyncio.sleep(0.001)

    async def settled(self) -> int:
        """Return the bytes received when nothing more has come for a while."""
        before = -1
        while self.bytes != before:
            before = self.bytes
            await asyncio.sleep(0.1)
        return before


def request(channel: str) -> bytes:
    """Return one publish to the channel."""
    return publish_request({"name": "bench", "channel": channel, "data": DATA})


async def frame_size(poster: Poster, receiver: Receiver, subscribers: int) -> int:
    """Return the bytes in which this server delivers a message, by looking at one."""
    before = await receiver.settled()
    await poster.post(request("fan-0"))
    return (await receiver.settled() - before) // subscribers


async def paced(subject: Subject, channels: int, subscribers: int, rate: float, rounds: int) -> Result:
    """Publish ``rounds`` messages at ``rate`` per second, round robin over the channels."""
    names = [f"fan-{index:x}" for index in range(channels) for _ in range(subscribers)]
    clients = await connect_many(subject.port, names)
    receiver, poster = Receiver(clients), Poster(subject)
    size = await frame_size(poster, receiver, subscribers)
    requests = [request(f"fan-{index:x}") for index in range(channels)]
    sizes = [(size + len(f"fan-{index:x}") - len("fan-0")) * subscribers for index in range(channels)]
    latencies: list[float] = []
    expected = receiver.bytes
    with Meter(subject) as meter:
        for index in range(rounds):
            start = time.perf_counter()
            expected += sizes[index % channels]
            await poster.post(requests[index % channels])
            await receiver.until(expected, 30)
            latencies.append((time.perf_counter() - start) * 1e3)
            await asyncio.sleep(max(0.0, 1 / rate - (time.perf_counter() - start)))
    end(clients, poster)
    units = rounds * subscribers
    return meter.row(
        f"fan-out {channels} x {subscribers}", units, latencies, note="latency: until the last subscriber has it"
    )


async def saturated(subject: Subject, subscribers: int, rate: int, seconds: float, title: str = "saturated") -> Result:
    """Offer ``rate`` publishes per second to one channel for ``seconds``, and count what arrives.

    A server that falls behind is offered less, since the next publishes wait for the answers to the last ones.
    """
    clients = await connect_many(subject.port, ["fan-0"] * subscribers)
    receiver, poster = Receiver(clients), Poster(subject)
    size = await frame_size(poster, receiver, subscribers)
    one = request("fan-0")
    step = max(1, rate // 100)  # offered every 10 ms
    before, sent = receiver.bytes, 0
    with Meter(subject) as meter:
        start = time.perf_counter()
        while sent < rate * seconds and time.perf_counter() < start + seconds:
            pause = start + sent / rate - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            await poster.post(one, step)
            sent += step
        await receiver.until(before + sent * subscribers * size, 120)
    end(clients, poster)
    units = sent * subscribers
    offered = f", {rate * subscribers:,} offered"
    return meter.row(
        f"{title} fan-out 1 x {subscribers}", units, note=f"{units / meter.seconds:,.0f} deliveries/s{offered}"
    )


async def bystander(subject: Subject, crowd: int, rounds: int) -> Result:
    """Time publishes to one subscriber while a channel of ``crowd`` subscribers gets ten messages a second.

    The crowd doesn't read: what it is sent waits in the kernel, so that the load generator is free to take the time.
    """
    clients = await connect_many(subject.port, ["crowd"] * crowd)
    for client in clients:
        client.transport.pause_reading()
    lone = await connect(subject.port, "fan-0")
    arrived = asyncio.Event()
    lone.on_bytes = lambda data: arrived.set()
    poster, crowd_poster = Poster(subject), Poster(subject)
    one, many = request("fan-0"), request("crowd")
    await poster.post(one)
    latencies: list[float] = []

    async def keep_crowd_busy() -> None:
        while True:
            await crowd_poster.post(many)
            await asyncio.sleep(0.1)

    with Meter(subject) as meter:
        busy = asyncio.create_task(keep_crowd_busy())
        for index in range(rounds):
            arrived.clear()
            start = time.perf_counter()
            await poster.post(one)
            await arrived.wait()
            latencies.append((time.perf_counter() - start) * 1e3)
            await asyncio.sleep(0.003 + index % 7 / 1000)  # no multiple of the crowd's pace
        busy.cancel()
    end([*clients, lone], poster)
    crowd_poster.close()
    return meter.row(
        f"bystander of {crowd:,} subscribers",
        rounds,
        latencies,
        note=f"slowest {max(latencies):.1f} ms; CPU includes the crowd's messages",
    )


def end(clients: list[Client], poster: Poster) -> None:
    """Drop all connections."""
    poster.close()
    for client in clients:
        client.transport.abort()


class FloorClient(asyncio.Protocol):
    """A subscriber or the publisher of ``floor.c``."""

    def __init__(self, kind: bytes) -> None:
        self.kind = kind
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.receiver: list[int] = [0]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(self.kind)

    def data_received(self, data: bytes) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
        else:
            self.receiver[0] += len(data)


async def floor_paced(subject: Subject, subscribers: int, rate: float, rounds: int, burst: int = 1) -> Result:
    """The same rounds against the floor; ``burst`` publishes are asked for at once."""
    total = [0]
    loop = asyncio.get_running_loop()
    clients = []
    for kind in [b"S"] * subscribers + [b"P"]:
        _, client = await loop.create_connection(lambda kind=kind: FloorClient(kind), "127.0.0.1", subject.port)  # type: ignore[misc]
        await client.ready
        client.receiver = total
        clients.append(client)
    size = FLOOR_FRAME
    latencies: list[float] = []
    with Meter(subject) as meter:
        for index in range(rounds):
            start = time.perf_counter()
            clients[-1].transport.write(b"p" * burst)
            while total[0] < (index + 1) * burst * subscribers * size:
                await asyncio.sleep(0.001)
            latencies.append((time.perf_counter() - start) * 1e3)
            await asyncio.sleep(max(0.0, burst / rate - (time.perf_counter() - start)))
    for client in clients:
        client.transport.abort()
    units = rounds * burst * subscribers
    name = f"fan-out 1 x {subscribers}" if burst == 1 else f"saturated fan-out 1 x {subscribers}"
    return meter.row(name, units, latencies, note="" if burst == 1 else f"{units / meter.seconds:,.0f} deliveries/s")


async def run_floor(scale: float) -> list[Result]:
    """Measure the floor: paced, then saturated."""
    results = []
    rounds = int(300 * scale)
    for rate, burst, count in ((40, 1, rounds), (1000, 10, rounds // 3)):
        with floor(FLOOR_FRAME) as bare:
            if bare is not None:
                results.append(await floor_paced(bare, 1000, rate, count, burst))
    return results


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server, a fresh process for each workload."""
    rounds = int(300 * scale)
    results = []
    with starter(Options()) as subject:
        results.append(await paced(subject, 1, 1000, 40, rounds))
    with starter(Options()) as subject:
        results.append(await paced(subject, 100, 10, 400, rounds * 5))
    with starter(Options()) as subject:
        results.append(await saturated(subject, 1000, 1000, 3 * scale if subject.keeps_alive else 1 * scale))
    if scale >= 1:
        with starter(Options()) as subject:
            results.append(await bystander(subject, 10_000, 400))
    return results
