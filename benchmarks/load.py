"""The load generator: raw WebSocket clients that count bytes instead of parsing frames, and a pipelining HTTP publisher.

It must not be the bottleneck: a client's work per received chunk is one addition, and the table shows its CPU share.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import time
from collections.abc import Callable

import orjson

from benchmarks.harness import Subject
from benchmarks.subjects import APP_ID, APP_KEY, APP_SECRET

MASK = b"\x00\x00\x00\x00"  # a zero mask is legal, and leaves the payload readable


def client_frame(message: dict[str, object] | bytes) -> bytes:
    """Return a masked text frame as clients send it."""
    payload = message if isinstance(message, bytes) else orjson.dumps(message)
    size = len(payload)
    if size < 126:
        return bytes((0x81, 0x80 | size)) + MASK + payload
    return bytes((0x81, 0xFE)) + size.to_bytes(2, "big") + MASK + payload


def handshake(port: int, app_key: str = APP_KEY) -> bytes:
    """Return the upgrade request of one client."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /app/{app_key}?protocol=7&client=js&version=8.6.0&flash=false HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Client(asyncio.Protocol):
    """One WebSocket client. ``ready`` is set after the last expected answer of the set-up has come."""

    def __init__(self, port: int, subscribe: Callable[[str], list[bytes]], marker: bytes) -> None:
        self._port = port
        self._subscribe = subscribe
        self._marker = marker
        self._buffer = b""
        self._asked = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0
        self.on_bytes: Callable[[bytes], None] | None = None
        self.socket_id = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(handshake(self._port))

    def data_received(self, data: bytes) -> None:
        if self.on_bytes is not None:
            self.on_bytes(data)
            return
        self._buffer += data
        if not self._asked and b"connection_established" in self._buffer:
            start = self._buffer.find(b'socket_id\\":\\"') + len(b'socket_id\\":\\"')
            end = self._buffer.find(b'\\"', start)
            if end < 0:
                return
            self._asked = True
            self.socket_id = self._buffer[start:end].decode()
            self.transport.write(b"".join(self._subscribe(self.socket_id)))
        if self._asked and self._marker in self._buffer and not self.ready.done():
            self._buffer = b""
            self.ready.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"closed during set-up: {self._buffer[-200:]!r}"))


def subscribe(channel: str, socket_id: str, channel_data: str | None = None) -> bytes:
    """Return the subscribe frame, signed where the channel needs it."""
    data: dict[str, object] = {"channel": channel}
    if channel.startswith(("private-", "presence-")):
        text = f"{socket_id}:{channel}" + (f":{channel_data}" if channel_data else "")
        data["auth"] = f"{APP_KEY}:{hmac.digest(APP_SECRET.encode(), text.encode(), 'sha256').hex()}"
    if channel_data:
        data["channel_data"] = channel_data
    return client_frame({"event": "pusher:subscribe", "data": data})


async def connect(port: int, channel: str, channel_data: str | None = None) -> Client:
    """Return a client that is connected and subscribed."""
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Client(port, lambda sid: [subscribe(channel, sid, channel_data)], b"subscription_succeeded"),
        "127.0.0.1",
        port,
    )
    await client.ready
    return client


async def connect_many(port: int, channels: list[str], at_once: int = 100) -> list[Client]:
    """Return one subscribed client per channel name, connected ``at_once`` at a time."""
    clients: list[Client] = []
    for start in range(0, len(channels), at_once):
        clients += await asyncio.gather(*(connect(port, channel) for channel in channels[start : start + at_once]))
    return clients


def publish_request(body: dict[str, object], path: str = f"/apps/{APP_ID}/events") -> bytes:
    """Return a signed publish as bytes on the wire."""
    raw = orjson.dumps(body)
    query = (
        f"auth_key={APP_KEY}&auth_timestamp={int(time.time())}&auth_version=1.0"
        f"&body_md5={hashlib.md5(raw, usedforsecurity=False).hexdigest()}"
    )
    signature = hmac.digest(APP_SECRET.encode(), f"POST\n{path}\n{query}".encode(), "sha256").hex()
    head = f"POST {path}?{query}&auth_signature={signature} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw


class Publisher(asyncio.Protocol):
    """A connection to the HTTP API. Where the server closes it after an answer, ``post`` opens one per request."""

    def __init__(self) -> None:
        self.answers = 0
        self.bad: bytes | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._target = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        good = data.count(b"HTTP/1.1 200")
        if good == 0 and data.startswith(b"HTTP/1.1"):
            self.bad = data
            good = 1
        self.answers += good
        if self._waiting is not None and self.answers >= self._target:
            if not self._waiting.done():  # nobody waits any more where a workload was cancelled
                self._waiting.set_result(None)
            self._waiting = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server closed before it answered"))

    async def send(self, request: bytes, count: int = 1) -> None:
        """Send ``count`` requests that are already in ``request``; return when all are answered."""
        self._target = self.answers + count
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self._waiting
        if self.bad is not None:
            raise RuntimeError(self.bad.decode(errors="replace"))


class Poster:
    """Publishes the way that the subject allows: over kept connections, or over a new one each time."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._kept: list[Publisher] = []

    async def post(self, request: bytes, count: int = 1) -> None:
        """Send the request ``count`` times, at once, each over a connection of its own; return when all are answered."""
        if not self._subject.keeps_alive:
            await asyncio.gather(*(self._once(request) for _ in range(count)))
            return
        while len(self._kept) < count:
            self._kept.append(await publisher(self._subject.port))
        if count == 1:
            await self._kept[0].send(request)
        else:
            await asyncio.gather(*(kept.send(request) for kept in self._kept[:count]))

    async def pipeline(self, request: bytes, count: int) -> None:
        """Send the request ``count`` times in one go over one kept connection; return when all are answered."""
        if not self._kept:
            self._kept.append(await publisher(self._subject.port))
        await self._kept[0].send(request * count, count)

    async def _once(self, request: bytes) -> None:
        one = await publisher(self._subject.port)
        await one.send(request)
        one.transport.abort()

    def close(self) -> None:
        """Close what is kept."""
        for kept in self._kept:
            kept.transport.abort()


async def publisher(port: int) -> Publisher:
    """Return a connected publisher."""
    _, protocol = await asyncio.get_running_loop().create_connection(Publisher, "127.0.0.1", port)
    return protocol
