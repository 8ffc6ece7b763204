"""What strangers do to the port, and what it must not cost the others: memory, log lines, time, their rate limits."""

import asyncio
import gc
import gzip
import logging
import weakref
from pathlib import Path

import pytest
from aiohttp.http_exceptions import HttpProcessingError

from sockudo_py.edge.context import FrontLimits
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source
from tests.support.client import channel_auth, member
from tests.support.edge_bench import Bench, message, post, upgrade
from tests.support.edge_stage import Stage, on_stage
from tests.support.server import TestApp, app_config, running, server_config
from tests.support.site import private_site

NONSENSE = {
    "an unknown method": b"GARBAGE / HTTP/1.1\r\n\r\n",
    "too many headers": b"GET /usage HTTP/1.1\r\n"
    + b"".join(b"X%d: a\r\n" % number for number in range(500))
    + b"\r\n",
    "a long header": b"GET /usage HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
    "an impossible URL": b"GET http://[/usage HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes after an upgrade that isn't": b"GET /up HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    + b"x" * 9000,
    "a broken chunk": b"POST /apps/3/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
}


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
@on_stage()
async def test_malformed_requests_leave_no_line_in_the_log_and_no_garbage(
    stage: Stage, caplog: pytest.LogCaptureFixture, nonsense: bytes
) -> None:
    kept: list[weakref.ref[BaseException]] = []

    class Watch(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.exc_info and record.exc_info[1] is not None:
                kept.append(weakref.ref(record.exc_info[1]))
            return True

    watch = Watch()
    logger = logging.getLogger("sockudo_py.http.app.requests")
    logger.filters.insert(0, watch)
    gc.disable()
    try:
        peer = await stage.dial()
        await peer.send(b"GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await peer.response())[0] == 200
        await peer.send(nonsense)
        assert b"400 Bad Request" in await peer.ended()
        await asyncio.sleep(0)
        assert [problem for problem in kept if isinstance(problem(), HttpProcessingError)] == []
    finally:
        gc.enable()
        logger.removeFilter(watch)
    assert caplog.records == []


@on_stage()
async def test_a_client_that_is_gone_before_its_answer_leaves_no_line_in_the_log(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await stage.dial()
    head = b"POST /apps/3/events HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    await peer.send(head + b"{}" + head + b"{}")
    peer.writer.write_eof()
    await peer.ended()
    assert caplog.records == []


@on_stage()
async def test_a_compressed_body_is_refused_and_not_inflated(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    for body in (gzip.compress(bytes(1 << 24)), b"no gzip at all"):
        peer = await stage.dial()
        await peer.send(post(body, "/apps/3/events", "Content-Encoding: gzip"))
        status, text = await peer.response()
        assert (status, text) == (415, b"Compressed bodies are not accepted\n")
    assert caplog.records == []


@on_stage(held_bytes=100_000)
async def test_bodies_that_are_on_their_way_are_bounded_together(stage: Stage) -> None:
    chunked = b"POST /apps/3/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    slow = await stage.dial()
    await slow.send(chunked + b"ea60\r\n" + b"x" * 60_000 + b"\r\n")
    while True:  # until the first one's bytes are counted, the second one may be let through
        other = await stage.dial()
        await other.send(chunked + b"ea60\r\n" + b"x" * 60_000 + b"\r\n0\r\n\r\n")
        status, _ = await other.response()
        if status == 503:
            break
        assert status == 401
    await slow.send(b"0\r\n\r\n")
    assert (await slow.response())[0] == 401
    last = await stage.dial()
    await last.send(chunked + b"ea60\r\n" + b"x" * 60_000 + b"\r\n0\r\n\r\n")
    assert (await last.response())[0] == 401


def test_the_oldest_of_the_incomplete_publishes_goes_when_all_hold_too_much() -> None:
    bench = Bench(limits=FrontLimits(max_body_bytes=10_000, max_held_bytes=20_000))
    peers = [bench.dial() for _ in range(6)]
    for peer in peers:
        peer.send(post(b"x" * 4000, length=9000))
    assert [peer.transport.aborted for peer in peers] == [True, False, False, False, False, False]
    assert bench.context.held_bytes == 20_000
    peers[1].send(b"x" * 2000)
    assert peers[1].transport.aborted
    for peer in peers[2:]:
        peer.send(b"x" * 5000)
    assert len(bench.api.requests) >= 1
    for peer in peers:
        peer.transport.abort()
    assert bench.context.held_bytes == 0


def test_a_flood_of_empty_lines_is_no_request() -> None:
    bench = Bench()
    patient = bench.dial()
    patient.send(b"\r\n\r\n" + post())
    assert patient.response()[0] == 200
    client = bench.dial()
    client.send(b"\r\n" * 30_000)
    assert client.response()[0] == 400


@pytest.mark.parametrize("line", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_handshake_with_a_body_is_refused_since_a_proxy_would_count_differently(line: str) -> None:
    client = Bench().dial()
    client.send(upgrade("/app/x", line) + b"hello")
    status, _, body = client.response()
    assert (status, body) == (400, b"A WebSocket handshake can't have a body\n")


@pytest.mark.parametrize("first", [b"", b"\x89\x80\x01\x02\x03\x04"], ids=["plain frames", "through the library"])
def test_who_asks_for_rosters_and_reads_none_does_not_fill_the_memory_within_one_turn(first: bytes) -> None:
    bench = Bench(max_unsent_bytes=100_000)
    roster = {str(number): Member(str(number), '"' + "x" * 1000 + '"') for number in range(40)}
    for user_id, one in roster.items():
        bench.adapter.join("3", "presence-big", Source("3", user_id), one, 100, False, lambda _: None)
    client = bench.websocket()
    me = member("me")
    auth = channel_auth(TestApp(), client.socket_id, "presence-big", me)
    ask = message("pusher:subscribe", data={"channel": "presence-big", "auth": auth, "channel_data": me})
    client.transport.stuck = True
    client.send(first + (ask + message("pusher:unsubscribe", data={"channel": "presence-big"})) * 30)
    assert 100_000 < client.transport.unsent < 200_000
    assert b"Over capacity" in client.transport.take()


async def test_a_forged_forwarded_for_header_beside_the_proxys_own_escapes_no_rate_limit(tmp_path: Path) -> None:
    limits = {"enabled": True, "api_rate_limit": {"max_requests": 2, "window_seconds": 60}}
    config = server_config(app_config(TestApp()), trusted_proxies=["127.0.0.1/32"], rate_limiter=limits)
    with running(config, tmp_path) as server:
        statuses = []
        for number in range(3):
            reader, writer = await asyncio.open_connection(server.host, server.port)
            head = f"X-Forwarded-For: 198.51.100.{number}\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n"
            writer.write(f"GET /apps/3/channels HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
            statuses.append((await reader.read())[9:12])
            writer.close()
            await writer.wait_closed()
    assert statuses == [b"401", b"401", b"429"]


async def test_a_connection_can_not_subscribe_to_any_number_of_channels_unless_the_operator_says_so(
    tmp_path: Path,
) -> None:
    with private_site(tmp_path, {"max_subscribes_per_second": None}) as site:
        async with site.connect() as client:
            names = [f"c{number}" for number in range(10_000)]
            for name in names:
                await client.ask(name)
            for name in names:
                await client.expect("pusher_internal:subscription_succeeded", name)
            await client.ask("one-more")
            await client.expect_refused("one-more", "at most 10000", status=403)


def test_usage_is_nobodys_business_when_the_operator_says_so(tmp_path: Path) -> None:
    with private_site(tmp_path, http_api={"usage_enabled": False}) as site:
        assert site.server.get("/usage") == (404, b"Not found\n")
        assert site.server.get("/up")[0] == 200
