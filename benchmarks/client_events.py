"""Client events: one in, one delivery out, on private channels with two subscribers."""

import asyncio
import time

from benchmarks.harness import Meter, Result, Subject
from benchmarks.load import Client, client_frame, connect
from benchmarks.subjects import Options, Starter

SENDERS = 16
WARM_UP = 1_600  # events: Node compiles what is called often


def event(channel: str) -> bytes:
    """Return one event's frame."""
    return client_frame({"event": "client-move", "channel": channel, "data": {"x": 1, "y": 2}})


async def bursts(subject: Subject, rounds: int, burst: int) -> Result:
    """Send ``burst`` events at once, ``rounds`` altogether; the next come when these have arrived."""
    frames = event("private-room") * burst
    sender = await connect(subject.port, "private-room")
    receiver = await connect(subject.port, "private-room")
    seen = asyncio.Event()
    total, done = 0, 0

    def arrived(data: bytes) -> None:
        nonlocal total
        total += data.count(b'"client-move"')
        seen.set()

    receiver.on_bytes = arrived
    sender.on_bytes = lambda data: None
    latencies: list[float] = []
    with Meter(subject) as meter:
        for _ in range(rounds // burst):
            start = time.perf_counter()
            sender.transport.write(frames)
            done += burst
            while total < done:
                seen.clear()
                await asyncio.wait_for(seen.wait(), 10)
            latencies.append((time.perf_counter() - start) * 1e3)
    sender.transport.abort()
    receiver.transport.abort()
    name = "client event" if burst == 1 else f"client event, bursts of {burst}"
    return meter.row(name, done, latencies)


class Pair:
    """A sender and its receiver on a channel of their own; the next event leaves when the last one has arrived."""

    def __init__(self, sender: Client, receiver: Client, frame: bytes, latencies: list[float]) -> None:
        self._sender, self._receiver, self._frame, self._latencies = sender, receiver, frame, latencies
        self._sent_at = 0.0
        self._left = 0
        self._done: asyncio.Future[None] | None = None
        sender.on_bytes = lambda data: None
        receiver.on_bytes = self._arrived

    @classmethod
    async def connected(cls, port: int, channel: str, latencies: list[float]) -> "Pair":
        """Return a pair that is subscribed; it adds its latencies, in ms, to the list."""
        return cls(await connect(port, channel), await connect(port, channel), event(channel), latencies)

    async def exchange(self, count: int) -> None:
        """Send ``count`` events; return when the last has arrived."""
        self._left, self._done = count, asyncio.get_running_loop().create_future()
        self._send()
        await asyncio.wait_for(self._done, 60)

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._sender.transport.write(self._frame)

    def _arrived(self, data: bytes) -> None:
        if b'"client-move"' not in data or self._done is None or self._done.done():
            return
        self._latencies.append((time.perf_counter() - self._sent_at) * 1e3)
        self._left -= 1
        if self._left:
            self._send()
        else:
            self._done.set_result(None)

    def close(self) -> None:
        """Drop both connections."""
        self._sender.transport.abort()
        self._receiver.transport.abort()


async def at_once(subject: Subject, rounds: int) -> Result:
    """Send ``rounds`` events from ``SENDERS`` connections, each of which has one on the way."""
    latencies: list[float] = []
    pairs = [await Pair.connected(subject.port, f"private-room-{index}", latencies) for index in range(SENDERS)]
    with Meter(subject) as meter:
        await asyncio.gather(*(pair.exchange(rounds // SENDERS) for pair in pairs))
    for pair in pairs:
        pair.close()
    return meter.row(f"client event, {SENDERS} senders", len(latencies), latencies)


async def measure(subject: Subject, scale: float) -> list[Result]:
    """Send events one after the other, from several at once, and in bursts of 32."""
    rounds = int(20_000 * scale)
    await bursts(subject, WARM_UP, 1)
    return [await bursts(subject, rounds, 1), await at_once(subject, rounds), await bursts(subject, rounds, 32)]


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure one server."""
    with starter(Options()) as subject:
        return await measure(subject, scale)
