"""The listening server in this process, on real sockets: the edge, the node, the HTTP API and aiohttp behind it."""

import asyncio
import contextlib
import functools
import inspect
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast

import pytest
import uvloop

from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.caches.memory import MemoryCache
from sockudo_py.caches.memory_keys import MemoryKeys
from sockudo_py.clients.wheel import Wheel
from sockudo_py.edge.context import FrontContext, FrontLimits
from sockudo_py.edge.fallback.behind import Behind
from sockudo_py.edge.fallback.unread import Unread
from sockudo_py.edge.lanes.publish import RequestApi
from sockudo_py.edge.lanes.table import usual_lanes
from sockudo_py.edge.server import EdgeServer
from sockudo_py.edge.xhr.lanes import xhr_lanes
from sockudo_py.http.api import Api
from sockudo_py.http.app import build_app, make_runner
from sockudo_py.http.handlers.health import Health
from sockudo_py.http.operators import OperatorAccess
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.protocol.session import Settings
from sockudo_py.ws.context import ConnectionContext
from sockudo_py.xhr.context import XhrLimits
from tests.support.api import auth_pairs, encode, signature
from tests.support.changes import Changes
from tests.support.edge_bench import APP, Apps, parse_response, server_frames, upgrade
from tests.support.server import TestApp

DEADLINE = 60.0
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
P = ParamSpec("P")


class Stage:
    """A running server. ``errors`` holds what the event loop complained of; it must be empty in the end."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        unix_path: Path | None = None,
        limits: FrontLimits | None = None,
        max_unsent_bytes: int = 262_144,
        tick: float = 0.05,
        held_bytes: int = 1 << 20,
        transports: XhrLimits | None = None,
        **server: Any,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.errors: list[Mapping[str, Any]] = []
        loop.set_exception_handler(lambda _, problem: self.errors.append(problem))
        self.metrics = Metrics()
        self.node = Node(
            adapter=LocalAdapter(0.0, loop.call_later, loop.time),
            cache=MemoryCache(loop.time),
            metrics=self.metrics,
            call_soon=loop.call_soon,
            call_later=loop.call_later,
            clock=loop.time,
            max_connections=None,
            on_change=Changes(),
        )
        self.wheel = Wheel(loop.time, loop.call_later, tick)
        self.connections = ConnectionContext(
            node=self.node,
            wheel=self.wheel,
            clock=loop.time,
            max_unsent_bytes=max_unsent_bytes,
            close_timeout=1.0,
            slow_timeout=0.2,
        )
        apps = Apps(APP)
        health = Health(node=self.node, apps=apps, metrics=self.metrics)
        self.api = Api(
            node=self.node,
            apps=apps,
            metrics=self.metrics,
            keys=MemoryKeys(loop.time),
            health=health,
            operators=OperatorAccess(),
        )
        self.runner = make_runner(build_app(self.api, max_held_bytes=held_bytes))
        self.context = FrontContext(
            connections=self.connections,
            apps=apps,
            metrics=self.metrics,
            settings=Settings(),
            limits=limits,
        )
        self.transports = xhr_lanes(self.context, "/pusher", transports or XhrLimits(), self.metrics)
        self.serve(self.api)
        self.tls = tls
        self.server = EdgeServer(self.context, host="127.0.0.1", port=0, tls=tls, unix_path=unix_path, **server)
        self._peers: list[Peer] = []

    def serve(self, api: RequestApi) -> None:
        """Let ``api`` answer publishes and health checks."""
        self.context.use(usual_lanes(self.context, api, self._fallback, self.transports))

    def _fallback(self) -> asyncio.Protocol:
        assert self.runner.server is not None
        return Unread(Behind(self.runner.server()), self.context.unread, self.context.clock)

    async def start(self) -> None:
        await self.runner.setup()
        self.wheel.start()
        await self.server.start()

    async def stop(self, grace: float = 0.5) -> None:
        for peer in self._peers:
            peer.writer.transport.abort()
        await self.server.close(grace)
        await self.runner.cleanup()
        self.wheel.stop()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                await peer.writer.wait_closed()

    async def dial(self, client_tls: ssl.SSLContext | None = None, unix_path: Path | None = None) -> "Peer":
        """Connect and send nothing."""
        if unix_path is not None:
            reader, writer = await asyncio.open_unix_connection(unix_path)
        else:
            name = None if client_tls is None else "localhost"
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.server.port, ssl=client_tls, server_hostname=name, limit=1 << 24
            )
        self._peers.append(Peer(reader, writer))
        return self._peers[-1]

    async def websocket(self, **options: Any) -> "Peer":
        """Connect a WebSocket client and take the greeting."""
        peer = await self.dial(**options)
        await peer.send(upgrade())
        assert (await peer.head())[0] == 101
        assert (await peer.message())["event"] == "pusher:connection_established"
        return peer


class Peer:
    """A raw client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, bytes]:
        """Return the status of the next response, and its head."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), head

    async def response(self) -> tuple[int, bytes]:
        """Return status and body of the next response, which must have a Content-Length."""
        status, head = await self.head()
        _, headers, _, _ = parse_response(head.replace(b"Content-Length", b"X-Length"))
        return status, await self.reader.readexactly(int(headers["x-length"]))

    async def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        head = await self.reader.readexactly(2)
        more = {126: 2, 127: 8}.get(head[1], 0)
        head += await self.reader.readexactly(more)
        length = int.from_bytes(head[2:], "big") if more else head[1]
        return server_frames(head + await self.reader.readexactly(length))[0]

    async def message(self) -> dict[str, Any]:
        """Return the next message."""
        opcode, payload = await self.frame()
        assert opcode == 1, (opcode, payload)
        message: dict[str, Any] = json.loads(payload)
        return message

    async def ended(self) -> bytes:
        """Wait until the server has closed and return what came before; a reset fails."""
        return await self.reader.read()


def signed(body: bytes, route: str = "events", *lines: str, app: TestApp | None = None) -> bytes:
    """Return a signed publish request."""
    app = app or TestApp()
    path = f"/apps/{app.id}/{route}"
    pairs = auth_pairs(app, body)
    query = encode([*pairs, ("auth_signature", signature(app.secret, "POST", path, pairs))])
    head = [f"POST {path}?{query} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


@contextlib.asynccontextmanager
async def stage(**settings: Any) -> AsyncIterator[Stage]:
    """Run a server; the event loop must have had nothing to complain of."""
    running = Stage(**settings)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()
    assert running.errors == []
    assert running.connections.open.count == 0


def on_stage(
    **settings: Any,
) -> Callable[[Callable[Concatenate[Stage, P], Awaitable[None]]], Callable[Concatenate[str, P], None]]:
    """Run the test against a running server, with asyncio's event loop and with uvloop."""

    def decorate(test: Callable[Concatenate[Stage, P], Awaitable[None]]) -> Callable[Concatenate[str, P], None]:
        async def main(*args: P.args, **kwargs: P.kwargs) -> None:
            async with asyncio.timeout(DEADLINE), stage(**settings) as running:
                await test(running, *args, **kwargs)

        @functools.wraps(test)
        def run(loop_name: str, *args: P.args, **kwargs: P.kwargs) -> None:
            with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
                runner.run(main(*args, **kwargs))

        _, *parameters = inspect.signature(test).parameters.values()
        name = inspect.Parameter("loop_name", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        run.__signature__ = inspect.Signature([name, *parameters])  # type: ignore[attr-defined]
        return cast("Callable[Concatenate[str, P], None]", pytest.mark.parametrize("loop_name", list(LOOPS))(run))

    return decorate
