"""Clients of the HTTP transports beside WebSocket clients: what a broadcast costs, and what holding one takes."""

import asyncio
import json
import time
from collections.abc import Callable

from benchmarks.harness import Meter, Result, Subject
from benchmarks.load import Poster, connect_many, publish_request
from benchmarks.subjects import APP_KEY, Options, Starter

CLIENTS = 1_000
MARKER = b"my-event"
AT_ONCE = 100


class XhrClient:
    """A client that asks anew whenever its poll has ended."""

    def __init__(self, port: int, number: int, *, streaming: bool) -> None:
        self.heard = 0
        self._port = port
        self._base = f"/pusher/app/{APP_KEY}/{number % 1000}/bench{number:06d}"
        self._streaming = streaming
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self.writer: asyncio.StreamWriter

    def _request(self, kind: str, body: bytes = b"") -> bytes:
        head = f"POST {self._base}/{kind}?protocol=7&client=js&t=1&n=1 HTTP/1.1\r\nHost: x\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def start(self, channel: str) -> None:
        """Connect and subscribe."""
        reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._task = asyncio.create_task(self._read(reader))
        _, sender = await asyncio.open_connection("127.0.0.1", self._port)
        await self._ready.wait()
        self._ready.clear()
        message = json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}})
        sender.write(self._request("xhr_send", json.dumps([message]).encode()))
        await self._ready.wait()
        sender.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        kind = "xhr_streaming" if self._streaming else "xhr"
        self.writer.write(self._request(kind))
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if not self._streaming:
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                self._count(await reader.readexactly(length))
                self.writer.write(self._request(kind))
                continue
            while True:
                size = int(await reader.readline(), 16)
                self._count((await reader.readexactly(size + 2))[:-2])

    def _count(self, lines: bytes) -> None:
        self.heard += lines.count(MARKER)
        if b"connection_established" in lines or b"subscription_succeeded" in lines:
            self._ready.set()

    def end(self) -> None:
        """Leave."""
        if self._task is not None:
            self._task.cancel()
        self.writer.transport.abort()


async def _broadcasts(subject: Subject, heard: Callable[[], int], rounds: int, name: str, rss_kb: float) -> Result:
    """Publish and wait until every client has it, ``rounds`` times. A unit is one delivery.

    ``heard``: how many deliveries the slowest client has had, or all of them on average.
    """
    poster = Poster(subject)
    request = publish_request({"name": "my-event", "channel": "room", "data": '{"message":"hello world"}'})
    latencies = []
    with Meter(subject) as meter:
        for number in range(1, rounds + 1):
            start = time.perf_counter()
            await poster.post(request)
            async with asyncio.timeout(30):
                while heard() < number:
                    await asyncio.sleep(0.001)
            latencies.append((time.perf_counter() - start) * 1e3)
    poster.close()
    note = "unit: one delivery; RSS of one client"
    return meter.row(name, rounds * CLIENTS, latencies, note=note, rss_kb=rss_kb)


async def _websocket(subject: Subject, rounds: int) -> Result:
    before = subject.rss()
    clients = await connect_many(subject.port, ["room"] * CLIENTS)
    taken = (subject.rss() - before) / CLIENTS / 1024
    deliveries = 0

    def count(data: bytes) -> None:
        nonlocal deliveries
        deliveries += data.count(MARKER)

    for client in clients:
        client.on_bytes = count
    name = f"broadcast, {CLIENTS:,} WebSocket clients"
    row = await _broadcasts(subject, lambda: deliveries // CLIENTS, rounds, name, taken)
    for client in clients:
        client.transport.abort()
    return row


async def _http(subject: Subject, rounds: int, *, streaming: bool) -> Result:
    before = subject.rss()
    clients = [XhrClient(subject.port, number, streaming=streaming) for number in range(CLIENTS)]
    for at in range(0, CLIENTS, AT_ONCE):
        await asyncio.gather(*(client.start("room") for client in clients[at : at + AT_ONCE]))
    taken = (subject.rss() - before) / CLIENTS / 1024
    name = f"broadcast, {CLIENTS:,} {'streaming' if streaming else 'polling'} clients"
    row = await _broadcasts(subject, lambda: min(client.heard for client in clients), rounds, name, taken)
    for client in clients:
        client.end()
    return row


async def run(starter: Starter, scale: float) -> list[Result]:
    """Measure this server; others have no such transports."""
    if not starter.name.startswith("sockudo_py"):
        return []
    rounds = max(20, int(200 * scale))
    rows = []
    with starter(Options()) as subject:
        rows.append(await _websocket(subject, rounds))
    for streaming in (True, False):
        with starter(Options()) as subject:
            rows.append(await _http(subject, rounds, streaming=streaming))
    return rows
