"""Fan-out: one publish to many subscribers, at a pace and saturated, against a C program that does nothing but send()."""

import asyncio
import time

from benchmarks.harness import Meter, Result, Subject, floor, quantile, sockudo
from benchmarks.load import Client, connect_many, publish_request, publisher

FRAME_DATA = "x" * 64


class Receiver:
    """Counts received messages by bytes; remembers when the last byte of each round came."""

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


def frame_size(channel: str) -> int:
    """Return the bytes of one delivered message with its WebSocket header."""
    payload = len('{"event":"bench","data":"","channel":""}') + len(FRAME_DATA) + len(channel)
    return payload + (2 if payload < 126 else 4)


def request(channel: str) -> bytes:
    """Return one publish to the channel."""
    return publish_request({"name": "bench", "channel": channel, "data": FRAME_DATA})


async def paced(subject: Subject, channels: int, subscribers: int, rate: float, rounds: int) -> Result:
    """Publish ``rounds`` messages at ``rate`` per second, round robin over the channels."""
    names = [f"fan-{index}" for index in range(channels) for _ in range(subscribers)]
    clients = await connect_many(subject.port, names)
    receiver = Receiver(clients)
    requests = [request(f"fan-{index}") for index in range(channels)]
    sizes = [frame_size(f"fan-{index}") * subscribers for index in range(channels)]
    post = await publisher(subject.port)
    latencies: list[float] = []
    expected = 0
    with Meter(subject) as meter:
        for index in range(rounds):
            start = time.perf_counter()
            expected += sizes[index % channels]
            await post.send(requests[index % channels])
            await receiver.until(expected, 30)
            latencies.append((time.perf_counter() - start) * 1e3)
            await asyncio.sleep(max(0.0, 1 / rate - (time.perf_counter() - start)))
    for client in clients:
        client.transport.abort()
    units = rounds * subscribers
    return Result(
        f"fan-out {channels} x {subscribers}",
        subject.name,
        units,
        meter.seconds,
        meter.per_unit(units),
        quantile(latencies, 0.5),
        quantile(latencies, 0.99),
        load_share=meter.load_share,
        note="latency: until the last subscriber has it",
    )


async def saturated(subject: Subject, subscribers: int, rate: int, seconds: float) -> Result:
    """Offer ``rate`` publishes per second to one channel and count what arrives."""
    clients = await connect_many(subject.port, ["fan-0"] * subscribers)
    receiver = Receiver(clients)
    post = await publisher(subject.port)
    one = request("fan-0")
    count = int(rate * seconds)
    step = max(1, rate // 100)  # offered every 10 ms
    with Meter(subject) as meter:
        start = time.perf_counter()
        pending: set[asyncio.Task[None]] = set()
        for sent in range(0, count, step):
            pause = start + sent / rate - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            await post.send(one * step, step)
        await asyncio.gather(*pending)
        await receiver.until(count * subscribers * frame_size("fan-0"), 60)
    for client in clients:
        client.transport.abort()
    units = count * subscribers
    return Result(
        f"saturated fan-out 1 x {subscribers}, {rate}/s offered",
        subject.name,
        units,
        meter.seconds,
        meter.per_unit(units),
        load_share=meter.load_share,
        note=f"{units / meter.seconds:,.0f} deliveries/s",
    )


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
    size = frame_size("fan-0")
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
    name = f"fan-out 1 x {subscribers}" if burst == 1 else f"saturated fan-out 1 x {subscribers}, {rate:.0f}/s offered"
    return Result(
        name,
        subject.name,
        units,
        meter.seconds,
        meter.per_unit(units),
        quantile(latencies, 0.5),
        quantile(latencies, 0.99),
        load_share=meter.load_share,
        note="" if burst == 1 else f"{units / meter.seconds:,.0f} deliveries/s",
    )


async def run(quick: bool) -> list[Result]:
    """Run all fan-out workloads."""
    rounds = 100 if quick else 400
    results = []
    for rate, burst, count in ((40, 1, rounds), (1000, 10, rounds // 4)):
        with floor(frame_size("fan-0")) as bare:
            if bare is not None:
                results.append(await floor_paced(bare, 1000, rate, count, burst))
    with sockudo() as subject:
        results.append(await paced(subject, 1, 1000, 40, rounds))
    with sockudo() as subject:
        results.append(await paced(subject, 100, 10, 400, rounds * 5))
    with sockudo() as subject:
        results.append(await saturated(subject, 1000, 1000, 2 if quick else 5))
    return results
