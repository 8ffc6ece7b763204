"""The front and its connections on a transport, a loop and a clock that tests move by hand: no sockets.

The node, the adapter, the sessions and the HTTP API behind it are the real ones.
"""

import asyncio
import base64
import heapq
import itertools
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.caches.memory import MemoryCache
from sockudo_py.clients.wheel import Wheel
from sockudo_py.edge.connection import HttpConnection
from sockudo_py.edge.context import FrontContext, FrontLimits
from sockudo_py.edge.lane import Lane
from sockudo_py.edge.lanes.publish import RequestApi
from sockudo_py.edge.lanes.table import usual_lanes
from sockudo_py.edge.websocket.handshake import Handshakes
from sockudo_py.edge.websocket.lane import WebSocketLane
from sockudo_py.edge.xhr.lanes import xhr_lanes
from sockudo_py.edge.xhr.receive import ReceiveLane
from sockudo_py.http.messages import OK, ApiRequest, ApiResponse
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.protocol.app import App, AppKey
from sockudo_py.protocol.session import Settings
from sockudo_py.relays.base import Relay
from sockudo_py.tap import Tap
from sockudo_py.ws.context import ConnectionContext
from sockudo_py.xhr.context import XhrContext, XhrLimits
from tests.support.changes import Changes

KEY = "278d425bdf160c739803"
SECRET = "7ad3773142a6692b25b8"
APP = App(id="3", keys=(AppKey(KEY, SECRET.encode()),), client_events=True)

XHR_LIMITS = XhrLimits(max_kept_bytes=65_536)

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(
    opcode: int,
    payload: bytes | str,
    *,
    fin: bool = True,
    masked: bool = True,
    rsv: int = 0,
    length_bytes: int | None = None,
) -> bytes:
    """Return a frame as a client sends it, made without the library under test.

    ``length_bytes``: 0, 2 or 8 that the length takes besides the usual byte; None: as few as possible.
    """
    data = payload.encode() if isinstance(payload, str) else payload
    if length_bytes is None:
        length_bytes = 0 if len(data) < 126 else 2 if len(data) < 65536 else 8
    marker = {0: len(data), 2: 126, 8: 127}[length_bytes]
    length = len(data).to_bytes(length_bytes, "big") if length_bytes else b""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode, (0x80 if masked else 0) | marker]) + length
    if not masked:
        return head + data
    mask = b"\x01\x02\x03\x04"
    return head + mask + bytes(byte ^ key for byte, key in zip(data, itertools.cycle(mask), strict=False))


def message(event: str, **rest: Any) -> bytes:
    """Return the frame of a Pusher message."""
    return frame(TEXT, json.dumps({"event": event, **rest}))


def subscribe(channel: str) -> bytes:
    """Return the frame of a subscription to a public channel."""
    return message("pusher:subscribe", data={"channel": channel})


def server_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Return opcode and payload of the frames that a server sent; fails on half a frame or a masked one."""
    frames = []
    while data:
        length, at = data[1], 2
        assert not length & 0x80, "a server must not mask"
        if length == 126:
            length, at = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, at = int.from_bytes(data[2:10], "big"), 10
        assert len(data) >= at + length, f"half a frame: {data!r}"
        frames.append((data[0] & 0x0F, data[at : at + length]))
        data = data[at + length :]
    return frames


def upgrade(path: str = f"/app/{KEY}?protocol=7", *lines: str, drop: str = "", version: str = "1.1") -> bytes:
    """Return a handshake's request: more header lines, without those that begin with ``drop``."""
    usual = [
        "Host: localhost:6001",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    kept = [line for line in usual if not drop or not line.startswith(drop)]
    return "\r\n".join([f"GET {path} HTTP/{version}", *kept, *lines, "", ""]).encode()


def post(body: bytes = b"{}", path: str = "/apps/3/events?x=1", *lines: str, length: int | None = None) -> bytes:
    """Return a publish request."""
    size = len(body) if length is None else length
    head = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {size}"]
    return "\r\n".join([*head, *lines, "", ""]).encode() + body


class Handle:
    """A timer of ``FakeLoop``."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class FakeLoop:
    """A clock that only moves when told to, and timers that run on the way."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.turns = 0
        self._timers: list[tuple[float, int, Handle]] = []
        self._order = itertools.count()

    def clock(self) -> float:
        return self.now

    def call_soon(self, call: Callable[[], None]) -> Handle:
        return self.call_later(0, call)

    def call_later(self, delay: float, call: Callable[[], None]) -> Handle:
        handle = Handle(call)
        heapq.heappush(self._timers, (self.now + delay, next(self._order), handle))
        return handle

    @property
    def pending(self) -> int:
        """How many timers are armed."""
        return sum(handle.call is not None for _, _, handle in self._timers)

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass; what is due runs in order."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, handle = heapq.heappop(self._timers)
            self.now = max(self.now, due)
            if handle.call is not None:
                self.turns += 1
                handle.call()
        self.now = end


class FakeTransport(asyncio.Transport):
    """Remembers what is written. ``unsent`` simulates a client that doesn't read."""

    def __init__(self, peer: str = "192.0.2.1", half_close: bool = True) -> None:
        super().__init__()
        self.protocol: asyncio.Protocol
        self.written = b""
        self.writes = 0
        self.reading = True
        self.closed = False
        self.aborted = False
        self.eof = False
        self.half_close = half_close
        self.high = 65536
        self.stuck = False  # nothing leaves any more
        self.unsent = 0
        self.peer = peer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.eof, "written after the end"
        if self.closed:
            return
        self.written += data
        self.writes += 1
        if self.stuck:
            before, self.unsent = self.unsent, self.unsent + len(data)
            if before <= self.high < self.unsent:
                self.protocol.pause_writing()

    def unstick(self) -> None:
        self.stuck = False
        was, self.unsent = self.unsent, 0
        if was > self.high:
            self.protocol.resume_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.peer, 1234) if name == "peername" and self.peer else default

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return self.half_close

    def write_eof(self) -> None:
        assert self.half_close
        self.eof = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken, self.written = self.written, b""
        return taken


class Apps:
    """An app manager with a fixed list."""

    def __init__(self, *apps: App) -> None:
        self.apps = apps

    async def start(self, on_change: Callable[[AppChanged], None]) -> None:
        pass

    async def stop(self) -> None:
        pass

    def by_id(self, app_id: str) -> App | None:
        return next((app for app in self.apps if app.id == app_id), None)

    def by_key(self, key: str) -> App | None:
        return next((app for app in self.apps if app.secret_of(key) is not None), None)

    def all(self) -> Iterable[AppDefinition]:
        return [AppDefinition(app) for app in self.apps]


class FakeApi:
    """Answers requests with ``answers`` in turn, else ``{}``, and remembers them."""

    def __init__(self) -> None:
        self.requests: list[ApiRequest] = []
        self.answers: list[ApiResponse | Awaitable[ApiResponse]] = []

    def handle(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        self.requests.append(request)
        return self.answers.pop(0) if self.answers else OK


class Fallback(asyncio.Protocol):
    """Stands for aiohttp: remembers what it gets."""

    def __init__(self) -> None:
        self.received = b""
        self.transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data


class Bench:
    """A front context with everything behind it, and clients for it."""

    def __init__(
        self,
        *apps: App,
        limits: FrontLimits | None = None,
        settings: Settings | None = None,
        max_connections: int | None = None,
        max_message_bytes: int = 131_072,
        max_unsent_bytes: int = 65_536,
        compress: bool = False,
        transports: XhrLimits | None = XHR_LIMITS,
        relay: Relay | None = None,
        **options: Any,
    ) -> None:
        self.loop = loop = FakeLoop()
        self.metrics = Metrics()
        self.changes = Changes()
        self.tap = Tap(loop.clock)
        self.adapter = LocalAdapter(0.0, loop.call_later, loop.clock)
        self.node = Node(
            adapter=self.adapter,
            cache=MemoryCache(loop.clock),
            metrics=self.metrics,
            call_soon=loop.call_soon,
            call_later=loop.call_later,
            clock=loop.clock,
            max_connections=max_connections,
            on_change=self.changes,
            tap=self.tap,
        )
        self.wheel = Wheel(loop.clock, loop.call_later)
        self.wheel.start()
        self.connections = ConnectionContext(
            node=self.node,
            wheel=self.wheel,
            clock=loop.clock,
            max_message_bytes=max_message_bytes,
            max_unsent_bytes=max_unsent_bytes,
            compress=compress,
        )
        self.connections.turns.left = sys.maxsize  # no turn of a loop comes by itself; whoever tests them sets it
        self.api = FakeApi()
        self.fallbacks: list[Fallback] = []
        self.context = FrontContext(
            connections=self.connections,
            apps=Apps(*(apps or (APP,))),
            metrics=self.metrics,
            settings=settings or Settings(),
            limits=limits,
            wall_clock=lambda: 1_700_000_000.0,
            call_soon=loop.call_soon,
            **options,
        )
        self.transports: Sequence[Lane] = ()
        if transports is not None:
            self.transports = xhr_lanes(self.context, "/pusher", transports, self.metrics, relay)
        self.serve(self.api)

    def serve(self, api: RequestApi) -> None:
        """Let ``api`` answer the lanes of this server."""
        self.lanes = usual_lanes(self.context, api, self._fallback, self.transports)
        self.context.use(self.lanes)

    @property
    def handshakes(self) -> Handshakes:
        """The handshakes that the server remembers."""
        (lane,) = (lane for lane in self.lanes if isinstance(lane, WebSocketLane))
        return lane.handshakes

    @property
    def xhr(self) -> XhrContext:
        """What the clients of the HTTP transports share."""
        return next(lane for lane in self.transports if isinstance(lane, ReceiveLane)).transports

    def _fallback(self) -> Fallback:
        self.fallbacks.append(Fallback())
        return self.fallbacks[-1]

    def dial(self, *, secure: bool = False, peer: str = "192.0.2.1") -> "Peer":
        """Return a client that is connected and has sent nothing."""
        transport = FakeTransport(peer, half_close=not secure)
        front = HttpConnection(self.context, secure=secure)
        transport.protocol = front
        front.connection_made(transport)
        return Peer(self, transport)

    def websocket(self, path: str = f"/app/{KEY}?protocol=7") -> "Peer":
        """Return an established WebSocket client; its handshake and greeting are read."""
        peer = self.dial()
        peer.send(upgrade(path))
        assert peer.accepted()
        established = peer.messages()[0]
        assert established["event"] == "pusher:connection_established", established
        peer.socket_id = json.loads(established["data"])["socket_id"]
        return peer


class Peer:
    """The client's end of a ``FakeTransport``."""

    def __init__(self, bench: Bench, transport: FakeTransport) -> None:
        self.bench = bench
        self.transport = transport
        self.socket_id = ""
        self._rest = b""

    def send(self, data: bytes) -> None:
        """Deliver ``data`` to whatever protocol the connection has."""
        assert self.transport.reading, "the transport delivers nothing while it is paused"
        self.transport.protocol.data_received(data)

    def lose(self, error: Exception | None = None) -> None:
        """Let the connection be lost."""
        self.transport.closed = True
        self.transport.protocol.connection_lost(error)

    def response(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers (lower-case names) and body of the one response that was written."""
        status, headers, body, rest = parse_response(self._take())
        assert rest == b"", rest
        return status, headers, body

    def responses(self) -> list[tuple[int, dict[str, str], bytes]]:
        """Return all responses that were written."""
        data, found = self._take(), []
        while data:
            status, headers, body, data = parse_response(data)
            found.append((status, headers, body))
        return found

    def accepted(self) -> bool:
        """Take the response to the handshake and return whether it is a right 101."""
        data = self._take()
        status, headers, _, self._rest = parse_response(data)
        return status == 101 and headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    def frames(self) -> list[tuple[int, bytes]]:
        """Return the frames that were written since the last look."""
        return server_frames(self._take())

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages among the frames; all of them must be text."""
        frames = self.frames()
        assert all(opcode == TEXT for opcode, _ in frames), frames
        return [json.loads(payload) for _, payload in frames]

    def closing(self) -> tuple[int, str]:
        """Return code and reason of the close frame, which must be the last of the frames."""
        opcode, payload = self.frames()[-1]
        assert opcode == CLOSE
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def _take(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest + self.transport.take()


def parse_response(data: bytes) -> tuple[int, dict[str, str], bytes, bytes]:
    """Return status, headers, body and what follows."""
    head, separator, rest = data.partition(b"\r\n\r\n")
    assert separator, f"no response: {data!r}"
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(headers) == len(lines), "a header was sent twice"
    length = int(headers.get("content-length", "0"))
    assert len(rest) >= length
    return int(status), headers, rest[:length], rest[length:]


def new_nonce(number: int) -> str:
    """Return a Sec-WebSocket-Key."""
    return base64.b64encode(number.to_bytes(16, "big")).decode()
