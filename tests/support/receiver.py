"""A webhook receiver on a raw socket that does what its script says, and remembers the exact bytes that it got."""

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

BACKLOG = 4096  # beyond it the kernel drops connections, and they are tried again a second later


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came over the wire."""

    request_line: bytes
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    at: float  # monotonic seconds
    connection: int

    @property
    def path(self) -> str:
        return self.request_line.split(b" ")[1].decode()

    @property
    def headers(self) -> dict[str, str]:
        """Headers by lower-case name; fails when one came twice."""
        names = [name.lower() for name, _ in self.raw_headers]
        assert len(names) == len(set(names)), f"a header came twice: {names}"
        return {name.lower().decode(): value.decode("latin-1") for name, value in self.raw_headers}

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a header whose name is spelled exactly like this."""
        return [value for seen, value in self.raw_headers if seen == name]

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer. ``huge``: then so many bytes in chunks, as long as the other side reads them.

    ``after``: not before this event is set.
    """

    status: int = 200
    body: bytes = b"OK"
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    after: asyncio.Event | None = None
    close: bool = False
    huge: int = 0


@dataclass(frozen=True, slots=True)
class Raw:
    """These bytes as they are; ``pause``: seconds between single bytes; then the connection is closed."""

    data: bytes = b"not http at all\r\n\r\n"
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Reset:
    """A TCP RST instead of an answer."""


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer, ever."""


Behaviour = Answer | Raw | Reset | Hang
OK = Answer()


@dataclass(slots=True)
class Receiver:
    """``async with Receiver() as receiver``. Behaviours are used up per path, request by request; then ``default``."""

    default: Behaviour = OK
    ssl_context: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    huge_sent: int = 0
    port: int = 0
    _scripts: dict[str, deque[Behaviour]] = field(default_factory=dict)
    _defaults: dict[str, Behaviour] = field(default_factory=dict)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0, ssl=self.ssl_context, backlog=BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str = "/hook", host: str | None = None) -> str:
        scheme = "https" if self.ssl_context is not None else "http"
        return f"{scheme}://{host or self.host}:{self.port}{path}"

    def script(self, *behaviours: Behaviour, path: str = "/hook", then: Behaviour | None = None) -> None:
        """Do this on the next requests to ``path``, one after the other; ``then`` afterwards."""
        self._scripts[path] = deque(behaviours)
        if then is not None:
            self._defaults[path] = then

    @property
    def open(self) -> int:
        """How many connections are open now, as seen from here."""
        return len(self._tasks)

    def at(self, path: str) -> list[Received]:
        return [request for request in self.received if request.path == path]

    def events(self, path: str | None = None) -> list[dict[str, Any]]:
        """All events of all Pusher envelopes."""
        requests = self.received if path is None else self.at(path)
        return [event for request in requests for event in request.json()["events"]]

    async def wait_for(self, count: int, path: str | None = None, timeout: float = 60.0) -> list[Received]:
        """Return the requests as soon as there are ``count`` of them; fail after ``timeout`` seconds."""

        def found() -> list[Received]:
            return self.received if path is None else self.at(path)

        await self.until(lambda: len(found()) >= count, f"{count} requests, got {len(found())}", timeout)
        return found()

    async def until(self, condition: Callable[[], bool], what: str = "a condition", timeout: float = 60.0) -> None:
        """Wait until ``condition`` holds; it is asked after every request."""
        deadline = time.monotonic() + timeout
        while not condition():
            self._news.clear()
            left = deadline - time.monotonic()
            assert left > 0, f"waited {timeout} s for {what}; received {len(self.received)}"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._converse(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            request = await _read_request(reader, connection)
            if request is None:
                return
            self.received.append(request)
            script = self._scripts.get(request.path)
            behaviour = script.popleft() if script else self._defaults.get(request.path, self.default)
            self._news.set()
            if not await self._behave(behaviour, writer):
                return

    async def _behave(self, behaviour: Behaviour, writer: asyncio.StreamWriter) -> bool:
        """Answer; return whether the connection stays."""
        if isinstance(behaviour, Hang):
            await asyncio.Event().wait()
        if isinstance(behaviour, Reset):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if isinstance(behaviour, Raw):
            step = len(behaviour.data) if not behaviour.pause else 1
            for start in range(0, len(behaviour.data), max(1, step)):
                writer.write(behaviour.data[start : start + step])
                await writer.drain()
                await asyncio.sleep(behaviour.pause)
            return False
        assert isinstance(behaviour, Answer)
        if behaviour.after is not None:
            await behaviour.after.wait()
        if behaviour.delay:
            await asyncio.sleep(behaviour.delay)
        writer.write(_answer_head(behaviour))
        if behaviour.huge:
            await self._flood(writer, behaviour.huge)
            return False
        await writer.drain()
        return not behaviour.close

    async def _flood(self, writer: asyncio.StreamWriter, size: int) -> None:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        while self.huge_sent < size:
            writer.write(chunk)
            await writer.drain()
            self.huge_sent += 0x10000


def _answer_head(answer: Answer) -> bytes:
    headers: Iterable[tuple[str, str]] = answer.headers
    lines = [f"HTTP/1.1 {answer.status} Whatever", *(f"{name}: {value}" for name, value in headers)]
    if answer.close:
        lines.append("Connection: close")
    if answer.huge:
        return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()
    if answer.status in (204, 304):
        return "\r\n".join([*lines, "", ""]).encode()
    return "\r\n".join([*lines, f"Content-Length: {len(answer.body)}", "", ""]).encode() + answer.body


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head[:-4].split(b"\r\n")
    raw = tuple((name, value.strip()) for name, _, value in (line.partition(b":") for line in lines))
    length = next((int(value) for name, value in raw if name.lower() == b"content-length"), 0)
    return Received(request_line, raw, await reader.readexactly(length), time.monotonic(), connection)
