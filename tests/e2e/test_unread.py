"""Clients that don't read their answers, on real sockets: in every lane they are gone after a bounded time."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from sockudo_py.config import load
from sockudo_py.edge.context import FrontLimits
from sockudo_py.http.api import Api
from sockudo_py.http.messages import ApiRequest, ApiResponse
from sockudo_py.wiring.server import Server
from sockudo_py.ws.connection import WebSocketConnection
from tests.e2e.test_edge_server import client_tls, server_tls
from tests.support.api import auth_pairs, encode, signature
from tests.support.client import eventually
from tests.support.edge_bench import APP, CLOSE, frame, post, subscribe
from tests.support.edge_stage import Peer, Stage, on_stage, signed
from tests.support.server import TestApp

SECONDS = 0.5
LIMITS = FrontLimits(write_timeout=SECONDS, idle_timeout=600.0, body_timeout=600.0, head_timeout=600.0)
LARGE = 16 << 20  # bytes: more than two sockets hold

GET = b"GET /apps/3/channels HTTP/1.1\r\nHost: x\r\n\r\n"
ASKED = {
    "publish lane": post(),
    "publish lane, the last answer": post(b"{}", "/apps/3/events", "Connection: close"),
    "aiohttp": GET,
    "aiohttp, the last answer": GET.replace(b"Host", b"Connection: close\r\nHost"),
    "aiohttp, more requests behind": GET * 20,
}


@pytest.fixture
def large_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ApiResponse(200, b"x" * LARGE)

    def handle(self: Api, request: ApiRequest) -> ApiResponse:
        return answer

    monkeypatch.setattr(Api, "handle", handle)


async def deaf(stage: Stage, tls: ssl.SSLContext | None = None) -> Peer:
    """Return a client that reads nothing."""
    peer = await stage.dial(tls)
    await eventually(lambda: served(stage) == 1, "accepted")
    stop_reading(peer)
    return peer


def stop_reading(peer: Peer) -> None:
    peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    cast("asyncio.ReadTransport", peer.writer.transport).pause_reading()


def served(stage: Stage) -> int:
    """Return how many connections there are in all lanes."""
    assert stage.runner.server is not None
    return stage.connections.open.count + len(stage.runner.server.connections)


async def gone(stage: Stage, since: float) -> None:
    """Wait until nobody is connected any more; fails when that is so too early."""
    await eventually(lambda: served(stage) == 0, "gone")
    assert time.monotonic() - since >= SECONDS


@pytest.mark.usefixtures("large_answers")
@pytest.mark.parametrize("request_", ASKED.values(), ids=ASKED)
@on_stage(limits=LIMITS)
async def test_a_client_that_does_not_read_is_dropped(stage: Stage, request_: bytes) -> None:
    since = time.monotonic()
    await (await deaf(stage)).send(request_)
    await gone(stage, since)


@pytest.mark.usefixtures("large_answers")
@pytest.mark.parametrize("request_", ASKED.values(), ids=ASKED)
@on_stage(limits=LIMITS)
async def test_a_client_that_does_not_read_and_sends_no_more_is_dropped(stage: Stage, request_: bytes) -> None:
    since = time.monotonic()
    peer = await deaf(stage)
    await peer.send(request_)
    await eventually(lambda: len(stage.context.unread) == 1, "noticed")
    peer.writer.write_eof()
    await gone(stage, since)


@pytest.mark.usefixtures("large_answers")
@pytest.mark.parametrize("lane", ["publish lane", "publish lane, the last answer", "aiohttp, more requests behind"])
@on_stage(limits=replace(LIMITS, idle_timeout=SECONDS), tls=server_tls())
async def test_a_client_that_does_not_read_is_dropped_over_tls_too(stage: Stage, lane: str) -> None:
    """What the TLS layer has taken counts as sent: a last answer is noticed when the connection ends."""
    since = time.monotonic()
    await (await deaf(stage, client_tls())).send(ASKED[lane])
    await gone(stage, since)


@pytest.mark.usefixtures("large_answers")
@pytest.mark.parametrize("lane", ["publish lane", "publish lane, the last answer", "aiohttp"])
@on_stage(limits=replace(LIMITS, write_timeout=60.0))
async def test_a_client_that_reads_late_but_in_time_gets_all(stage: Stage, lane: str) -> None:
    peer = await stage.dial()
    transport = cast("asyncio.ReadTransport", peer.writer.transport)
    transport.pause_reading()
    await peer.send(ASKED[lane])
    await eventually(lambda: len(stage.context.unread) == 1, "noticed")
    transport.resume_reading()
    status, body = await peer.response()
    assert (status, len(body)) == (200, LARGE)
    await eventually(lambda: len(stage.context.unread) == 0, "in time")
    if "last" not in lane:
        await peer.send(ASKED[lane])
        assert (await peer.response())[0] == 200


@on_stage(limits=LIMITS)
async def test_a_client_that_asks_for_the_channels_again_and_again_and_reads_nothing_is_dropped(stage: Stage) -> None:
    subscriber = await stage.websocket()
    for number in range(400):
        await subscriber.send(subscribe(f"{number:0200}"))
        await subscriber.message()
    app = TestApp()
    pairs = auth_pairs(app, b"")
    query = encode([*pairs, ("auth_signature", signature(app.secret, "GET", f"/apps/{app.id}/channels", pairs))])
    since = time.monotonic()
    backend = await stage.dial()
    stop_reading(backend)
    backend.writer.write(f"GET /apps/{app.id}/channels?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 200)
    await eventually(lambda: served(stage) == 2, "there")
    await eventually(lambda: served(stage) == 1, "dropped; the subscriber is left")
    assert time.monotonic() - since >= SECONDS


@on_stage(limits=LIMITS)
async def test_a_client_that_publishes_again_and_again_and_reads_nothing_is_dropped(stage: Stage) -> None:
    body = json.dumps({"name": "e", "channels": [f"{n:0200}" for n in range(100)], "data": "", "info": "user_count"})
    since = time.monotonic()
    backend = await deaf(stage)
    backend.writer.write(signed(body.encode()) * 1000)
    await gone(stage, since)


@asynccontextmanager
async def websocket_with_unsent_messages(stage: Stage) -> AsyncIterator[tuple[Peer, WebSocketConnection]]:
    """A client that doesn't read, less behind than what makes it a slow consumer."""
    peer = await stage.websocket()
    await peer.send(subscribe("c"))
    await peer.message()
    stop_reading(peer)
    items = [item for bucket in stage.wheel._buckets.values() for item in bucket]
    (connection,) = [item for item in items if isinstance(item, WebSocketConnection)]
    while connection._transport.get_write_buffer_size() == 0:
        stage.node.publish(APP, ["c"], "e", "x" * 10_000)
        await asyncio.sleep(0)
    assert stage.metrics.app(APP.id).slow_consumers_closed == 0
    yield peer, connection
    await eventually(lambda: stage.node.connections() == 0, "gone")


@on_stage()
async def test_a_websocket_client_that_says_goodbye_but_does_not_read_is_dropped(stage: Stage) -> None:
    async with websocket_with_unsent_messages(stage) as (peer, _):
        await peer.send(frame(CLOSE, b"\x03\xe8"))


@on_stage()
async def test_a_websocket_client_that_breaks_the_protocol_but_does_not_read_is_dropped(stage: Stage) -> None:
    async with websocket_with_unsent_messages(stage) as (peer, _):
        await peer.send(frame(3, ""))


@on_stage()
async def test_a_websocket_client_that_is_told_to_go_but_does_not_read_is_dropped(stage: Stage) -> None:
    async with websocket_with_unsent_messages(stage) as (_, connection):
        connection.close(4200, "reconnect")


async def test_who_scrapes_and_does_not_read_is_dropped(tmp_path: Path) -> None:
    config = {
        "host": "127.0.0.1",
        "port": 0,
        "metrics": {"host": "127.0.0.1", "port": 0},
        "queue": {"driver": "memory"},
        "shutdown_grace_period": 0,
        "http_api": {"write_timeout": SECONDS},
        "app_manager": {"array": {"apps": [{"id": "1", "key": "key-1", "secret": "tops3cret"}]}},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    server = Server(load(tmp_path / "config.json", {}))
    await server.start()
    try:
        await server.complete()
        runner = server._web._metrics_runner
        assert runner is not None
        assert runner.server is not None
        door = runner.server
        since = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.metrics_port)
        stop_reading(Peer(reader, writer))
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
        await eventually(lambda: len(door.connections) == 1, "there")
        await eventually(lambda: len(door.connections) == 0, "dropped")
        assert time.monotonic() - since >= SECONDS
        writer.transport.abort()
    finally:
        await server.stop()
