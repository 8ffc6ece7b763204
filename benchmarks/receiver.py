"""A receiver of webhooks: an HTTP server that counts requests and events, and answers 200 with nothing."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.harness import free_port

STAMP = b"t=([0-9]+);"  # where an event says when it was caused: ``time.perf_counter_ns`` of the load generator


@dataclass(slots=True)
class Received:
    """What came so far. ``latencies``, in ms, are those of the first event of each request that has a stamp."""

    port: int
    names: Sequence[bytes]  # of the events that count
    stamp: re.Pattern[bytes]
    requests: int = 0
    events: int = 0
    latencies: list[float] = field(default_factory=list)

    def take(self, body: bytes) -> None:
        """Count the events of a request."""
        self.requests += 1
        self.events += sum(map(body.count, self.names))
        found = self.stamp.search(body)
        if found is not None:
            self.latencies.append(time.perf_counter() * 1e3 - int(found[1]) / 1e6)

    def reset(self) -> None:
        """Begin anew."""
        self.requests = self.events = 0
        self.latencies = []

    async def wait(self, events: int, patience: float) -> int:
        """Wait until so many events have come, or none for ``patience`` seconds. Return how many are missing."""
        seen, quiet = self.events, time.perf_counter()
        while self.events < events and time.perf_counter() < quiet + patience:
            await asyncio.sleep(0.005)
            if self.events != seen:
                seen, quiet = self.events, time.perf_counter()
        return events - self.events


class _Connection(asyncio.Protocol):
    def __init__(self, received: Received) -> None:
        self._received = received

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            start = head.find(b"content-length:") + 15
            size = int(head[start : head.find(b"\r\n", start) if b"\r\n" in head[start:] else None])
            if len(self._buffer) < end + 4 + size:
                return
            self._received.take(self._buffer[end + 4 : end + 4 + size])
            self._buffer = self._buffer[end + 4 + size :]
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@asynccontextmanager
async def receiving(*names: bytes, stamp: bytes = STAMP) -> AsyncIterator[Received]:
    """Give a receiver on a free port that counts events of these names."""
    received = Received(free_port(), [b'"%b"' % name for name in names], re.compile(stamp))
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(received), "127.0.0.1", received.port)
    try:
        yield received
    finally:
        server.close()
