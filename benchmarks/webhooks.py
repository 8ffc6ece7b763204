"""Webhooks end to end: a client event in, a signed request at a receiver out, batched and single."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import Meter, Result, free_port
from benchmarks.load import client_frame, connect
from benchmarks.subjects import Options, Starter


class Receiver(asyncio.Protocol):
    """An HTTP server that counts requests and events and answers 200 with nothing."""

    requests = 0
    events = 0
    latencies: list[float] = []  # noqa: RUF012 - one benchmark process, reset between runs

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
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            Receiver.requests += 1
            Receiver.events += body.count(b'"client_event"')
            at = body.find(b"t=")
            if at >= 0:
                Receiver.latencies.append(time.perf_counter() - int(body[at + 2 : body.find(b";", at)]) / 1e9)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


NAMES = {"memory": "webhook events", "sqlite": "webhook events over SQLite"}  # by queue driver


async def measure(starter: Starter, batched: bool, events: int, rate: float, driver: str) -> Result:
    """Send ``events`` client events at ``rate`` per second (0: as fast as they are taken)."""
    with tempfile.TemporaryDirectory() as folder:  # for the queue's file
        queue = {"driver": driver, "sqlite": {"path": str(Path(folder) / "queue.sqlite3")}}
        return await _measure(starter, batched, events, rate, queue)


async def _measure(starter: Starter, batched: bool, events: int, rate: float, queue: dict[str, Any]) -> Result:
    Receiver.requests = Receiver.events = 0
    Receiver.latencies = []
    port = free_port()
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port)
    endpoint = {"url": f"http://127.0.0.1:{port}/", "event_types": ["client_event"]}
    batching = {"enabled": batched, "duration": 50}
    server_options = {"webhooks": {"batching": batching}, "queue": queue}
    with starter(Options(app={"webhooks": [endpoint]}, server=server_options)) as subject:
        sender = await connect(subject.port, "private-room")
        sender.on_bytes = lambda data: None
        with Meter(subject) as meter:
            start = time.perf_counter()
            step = 32 if rate == 0 else max(1, int(rate / 100))
            for sent in range(0, events, step):
                frames = [
                    client_frame(
                        {"event": "client-m", "channel": "private-room", "data": f"t={time.perf_counter_ns()};"}
                    )
                    for _ in range(min(step, events - sent))
                ]
                sender.transport.write(b"".join(frames))
                if rate:
                    await asyncio.sleep(max(0.0, start + (sent + step) / rate - time.perf_counter()))
                else:
                    while Receiver.events < sent - 5_000:
                        await asyncio.sleep(0.001)
            deadline = time.perf_counter() + 60
            while Receiver.events < events and time.perf_counter() < deadline:
                await asyncio.sleep(0.005)
        sender.transport.abort()
    server.close()
    waits = [value * 1e3 for value in Receiver.latencies] or [float("nan")]
    kind = "batched" if batched else "single"
    offered = f"{rate:.0f}/s offered" if rate else "flat out"
    return meter.row(
        f"{NAMES[queue['driver']]}, {kind}, {offered}",
        max(1, Receiver.events),
        waits,
        note=f"{Receiver.events / meter.seconds:,.0f} events/s in {Receiver.requests:,} requests"
        + ("" if Receiver.events >= events else f"; LOST OR LATE: {events - Receiver.events}"),
    )


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure sockudo_py with each queue that needs no server (the others' webhooks promise less, and are left out)."""
    if starter.name != "sockudo_py":
        return []
    flows = ((False, 8_000, 0), (False, 2_000, 500), (True, 60_000, 0), (True, 10_000, 2_500))
    return [
        await measure(starter, batched, int(events * scale), rate, driver)
        for driver in NAMES
        for batched, events, rate in flows
    ]
