"""The HTTP API through a real socket, in this process."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from aiohttp import web

from sockudo_py import __version__
from sockudo_py.http.app import build_app
from sockudo_py.http.cors import Cors
from sockudo_py.http.metrics import build_metrics_app
from sockudo_py.metrics import Metrics
from tests.unit.http.support import World, get, post, signed

EVENT = {"name": "e", "channel": "c", "data": "x"}
DEADLINE = 60.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(
        self, method: str, target: str, body: bytes = b"", *headers: str, length: int | None = None
    ) -> Answer:
        """Send one request and return its response. ``length``: promise another one."""
        head = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
        if body or length is not None:
            head.append(f"Content-Length: {len(body) if length is None else length}")
        self.writer.write("\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape") + body)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        async with asyncio.timeout(DEADLINE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            size = 0 if method == "HEAD" else int(headers.get("content-length", 0))
            return Answer(int(head[0].split()[1]), headers, await self.reader.readexactly(size))

    async def closed(self) -> bool:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read() == b""


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[Wire]:
    runner = web.AppRunner(app, access_log=None, lingering_time=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()
        await runner.cleanup()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def wire(world: World) -> AsyncIterator[Wire]:
    async with serving(build_app(world.api, max_body_bytes=20_000, body_timeout=1.5)) as connected:
        yield connected


async def test_L164_an_event_is_published(wire: Wire, world: World) -> None:
    request = post(EVENT)
    answer = await wire.ask("POST", f"{request.path}?{request.query}", request.body)
    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.headers["content-type"] == "application/json"
    assert len(world.node.published) == 1


async def test_L182_a_connection_is_kept_for_further_requests(wire: Wire, world: World) -> None:
    request = post(EVENT)
    for _ in range(5):
        assert (await wire.ask("POST", f"{request.path}?{request.query}", request.body)).status == 200
    refused = await wire.ask("GET", "/nothing")
    assert refused.status == 404
    assert (await wire.ask("GET", "/up")).status == 200
    assert len(world.node.published) == 5


async def test_a_chunked_body_is_read(wire: Wire, world: World) -> None:
    request = post(EVENT)
    chunk = f"{len(request.body):x}\r\n".encode() + request.body + b"\r\n0\r\n\r\n"
    wire.writer.write(
        f"POST {request.path}?{request.query} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + chunk
    )
    assert (await wire.answer()).status == 200
    assert len(world.node.published) == 1


async def test_who_expects_100_continue_is_told_to_go_on(wire: Wire, world: World) -> None:
    request = post(EVENT)
    wire.writer.write(
        f"POST {request.path}?{request.query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(request.body)}\r\n"
        "Expect: 100-continue\r\n\r\n".encode()
    )
    async with asyncio.timeout(DEADLINE):
        assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
    wire.writer.write(request.body)
    assert (await wire.answer()).status == 200


@pytest.mark.parametrize("encoded", [False, True])
async def test_K158_a_path_is_verified_as_it_came(wire: Wire, encoded: bool) -> None:
    sent = "/apps/3/channels/presence-a%3D%40%2C.%3B" if encoded else "/apps/3/channels/presence-a=@,.;"
    request = signed("GET", "/apps/3/channels/presence-a=@,.;")
    assert (await wire.ask("GET", f"{sent}?{request.query}")).body == b'{"occupied":false}'


@pytest.mark.parametrize("host", ["http://proxy.example", "HTTPS://u:p@proxy.example:6001", "http://[::1]"])
async def test_a_request_in_absolute_form_is_understood(wire: Wire, host: str) -> None:
    request = get("/apps/3/channels/presence-a=@,.;")
    answer = await wire.ask("GET", f"{host}/apps/3/channels/presence-a=@%2C.;?{request.query}")
    assert answer.body == b'{"occupied":false}'
    assert (await wire.ask("GET", f"{host}/up")).body == b"OK"


@pytest.mark.parametrize("key", ["k", "é"])
async def test_the_idempotency_key_of_a_header_is_the_same_as_in_a_body(wire: Wire, world: World, key: str) -> None:
    for body, line in ((EVENT, f"X-Idempotency-Key: {key}"), ({**EVENT, "idempotency_key": key}, "X: y")):
        request = post(body)
        chunked = f"{len(request.body):x}\r\n".encode() + request.body + b"\r\n0\r\n\r\n"
        lines = (f"POST /apps/3/events?{request.query} HTTP/1.1", "Host: localhost", line)
        wire.writer.write("\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode() + chunked)
        assert (await wire.answer()).body == b"{}"
    assert len(world.node.published) == 1


async def test_the_metrics_are_there_in_absolute_form_too() -> None:
    async with serving(build_metrics_app(Metrics())) as wire:
        assert (await wire.ask("GET", "http://prometheus.example:9601/metrics")).status == 200


@pytest.mark.parametrize(
    "target", ["/apps/3/channels?auth_key=\udcff\udcfe", "/\udcff", "/apps/%ff/channels", "/a?%%%"]
)
async def test_M196_bytes_that_are_no_text_are_refused_in_plain_text(wire: Wire, target: str) -> None:
    answer = await wire.ask("GET", target)
    assert 400 <= answer.status < 500
    assert "html" not in answer.headers["content-type"]
    assert b"Traceback" not in answer.body


async def test_M196_a_request_that_is_no_http_is_refused_in_plain_text(wire: Wire) -> None:
    wire.writer.write(b"GET / HTTP/9.9\r\nAccept: text/html\r\n\r\n")
    answer = await wire.answer()
    assert answer.status == 400
    assert answer.headers["content-type"].startswith("text/plain")


async def test_a_body_over_the_cap_is_refused_before_it_is_sent(wire: Wire, world: World) -> None:
    request = post(EVENT)
    answer = await wire.ask("POST", f"{request.path}?{request.query}", length=20_001)
    assert answer.status == 413
    assert answer.body == b"The body exceeds the allowed maximum (20000 bytes)\n"
    assert answer.headers["connection"] == "close"
    assert world.node.published == []


async def test_a_chunked_body_over_the_cap_is_cut_off(wire: Wire) -> None:
    request = post(EVENT)
    head = f"POST {request.path}?{request.query} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.writer.write(head.encode() + b"4e21\r\n" + b"x" * 20_001)
    assert (await wire.answer()).status == 413


async def test_a_broken_chunked_body_is_refused(wire: Wire) -> None:
    request = post(EVENT)
    head = f"POST {request.path}?{request.query} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.writer.write(head.encode() + b"zz\r\n")
    answer = await wire.answer()
    assert answer.status == 400
    assert b"Traceback" not in answer.body


async def test_a_body_that_does_not_come_is_not_waited_for(wire: Wire) -> None:
    request = post(EVENT)
    answer = await wire.ask("POST", f"{request.path}?{request.query}", b'{"name":', length=100)
    assert (answer.status, answer.body) == (408, b"The body did not arrive within 1.5 seconds\n")
    assert await wire.closed()


async def test_O229_a_fallback_transport_is_refused_without_waiting_for_its_body(wire: Wire) -> None:
    answer = await wire.ask("POST", "/pusher/app/K/123/abcdefgh/xhr_streaming?t=1", b"[]", length=10_000)
    assert (answer.status, answer.body) == (404, b"Not found\n")


async def test_M195_a_wrong_method_is_told_the_right_one(wire: Wire) -> None:
    answer = await wire.ask("PUT", "/apps/3/events", b"{}")
    assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")


async def test_head_has_the_headers_of_get_and_no_body(wire: Wire) -> None:
    answer = await wire.ask("HEAD", "/up")
    assert (answer.status, answer.headers["content-length"]) == (200, "2")
    assert (await wire.ask("GET", "/up")).body == b"OK"


async def test_options_without_cors_tells_the_methods(wire: Wire) -> None:
    answer = await wire.ask("OPTIONS", "/up", b"", "Origin: https://x", "Access-Control-Request-Method: GET")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "access-control-allow-origin" not in answer.headers


async def test_a_preflight_and_the_request_after_it_carry_the_cors_headers(world: World) -> None:
    cors = Cors(origins=("https://site.example",))
    async with serving(build_app(world.api, cors=cors)) as wire:
        preflight = await wire.ask(
            "OPTIONS", "/apps/3/events", b"", "Origin: https://site.example", "Access-Control-Request-Method: POST"
        )
        assert (preflight.status, preflight.body) == (204, b"")
        assert preflight.headers["access-control-allow-origin"] == "https://site.example"
        assert preflight.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
        answer = await wire.ask("GET", "/apps/3/channels", b"", "Origin: https://site.example")
        assert answer.status == 401
        assert answer.headers["access-control-allow-origin"] == "https://site.example"
        other = await wire.ask("GET", "/up", b"", "Origin: https://evil.example")
        assert "access-control-allow-origin" not in other.headers


async def test_K163_the_prefix_is_cut_and_signed_or_not() -> None:
    world = World(prefix="/realtime")
    async with serving(build_app(world.api, path_prefix="/realtime")) as wire:
        for path in ("/apps/3/channels", "/realtime/apps/3/channels"):
            request = signed("GET", path)
            assert (await wire.ask("GET", f"/realtime/apps/3/channels?{request.query}")).status == 200
        outside = await wire.ask("GET", f"/apps/3/channels?{request.query}")
        assert outside.status == 404


@pytest.mark.parametrize("path", ["/up", "/up/3", "/live", "/usage", "/realtime/up", "/realtime/up/3"])
async def test_health_is_found_with_and_without_the_prefix(world: World, path: str) -> None:
    async with serving(build_app(world.api, path_prefix="/realtime/")) as wire:
        assert (await wire.ask("GET", path)).status == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For: 192.0.2.1", "Via: 1.1 proxy", "X-Real-IP: 192.0.2.1"])
async def test_a_proxy_needs_another_connection_for_the_handshakes_of_its_clients(world: World, header: str) -> None:
    async with serving(build_app(world.api)) as wire:
        request = signed("GET", "/apps/3/channels")
        target = f"{request.path}?{request.query}"
        assert (await wire.ask("GET", target)).headers.get("connection") != "close"
        assert (await wire.ask("GET", target, b"", header)).headers["connection"] == "close"


async def test_the_client_behind_a_proxy_is_whom_the_server_says_it_is(world: World) -> None:
    seen: list[str] = []

    def remote(request: web.BaseRequest) -> str:
        seen.append(request.headers["X-Forwarded-For"])
        return seen[-1]

    async with serving(build_app(world.api, remote=remote)) as wire:
        await wire.ask("GET", "/apps/3/channels", b"", "X-Forwarded-For: 198.51.100.7")
    assert seen == ["198.51.100.7"]


def mount(
    path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Callable[[web.Application], None]:
    def add(app: web.Application) -> None:
        app.router.add_get(path, handler)

    return add


async def test_mounted_routes_come_first_and_have_plain_errors(world: World) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        if "gone" in request.query:
            raise web.HTTPGone
        raise RuntimeError("hunter2")

    async with serving(build_app(world.api, mounts=[mount("/dashboard", broken)])) as wire:
        gone = await wire.ask("GET", "/dashboard?gone", b"", "Accept: text/html")
        assert (gone.status, gone.body) == (410, b"Gone\n")
        crashed = await wire.ask("GET", "/dashboard", b"", "Accept: text/html")
        assert crashed.status == 500
        assert crashed.headers["content-type"] == "text/plain; charset=utf-8"
        assert b"hunter2" not in crashed.body
        assert crashed.headers["x-request-id"].encode() in crashed.body
        assert (await wire.ask("GET", "/up")).status == 200


async def test_a_client_that_goes_away_while_it_sends_leaves_no_trace(world: World) -> None:
    request = post(EVENT)
    async with serving(build_app(world.api, body_timeout=DEADLINE)) as wire:
        wire.writer.write(
            f"POST {request.path}?{request.query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode()
        )
        await wire.writer.drain()
        wire.writer.close()
        await wire.writer.wait_closed()
    assert world.node.published == []


async def test_the_metrics_port_serves_the_figures_of_apps_and_process() -> None:
    metrics = Metrics()
    metrics.app("3").connections = 5
    async with serving(build_metrics_app(metrics, prefix="mine_")) as wire:
        answer = await wire.ask("GET", "/metrics")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        lines = answer.body.decode().split("\n")
        assert 'mine_connected{app_id="3"} 5.0' in lines
        assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
        other = await wire.ask("GET", "/", b"", "Accept: text/html")
        assert (other.status, other.body) == (404, b"Not Found\n")


async def test_the_metrics_tell_the_version() -> None:
    async with serving(build_metrics_app(Metrics())) as wire:
        answer = await wire.ask("GET", "/metrics")
    assert f'sockudo_build_info{{version="{__version__}"}} 1.0'.encode() in answer.body


async def test_what_has_no_route_is_counted_as_answered(wire: Wire, world: World) -> None:
    assert (await wire.ask("GET", "/nothing")).status == 404
    assert world.metrics.histograms["http_request_duration_seconds"].values["404",][0] == 1


async def test_the_metrics_port_speaks_openmetrics_to_who_asks_for_it() -> None:
    accept = "Accept: application/openmetrics-text; version=1.0.0"
    metrics = Metrics()
    metrics.app("3").new_connections = 5
    async with serving(build_metrics_app(metrics)) as wire:
        answer = await wire.ask("GET", "/metrics", b"", accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    assert b'sockudo_new_connections_total{app_id="3"} 5' in answer.body


async def test_usage_is_json(wire: Wire) -> None:
    answer = await wire.ask("GET", "/usage")
    assert json.loads(answer.body)["memory"]["rss"] > 0
