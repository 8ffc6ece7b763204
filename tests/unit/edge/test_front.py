"""The front: which lane a request takes, the publish lane, and what it does to those who don't play by the rules."""

import asyncio
import logging
from dataclasses import replace

import pytest

from sockudo_py.edge.connection import HttpConnection
from sockudo_py.edge.context import FrontLimits
from sockudo_py.edge.proxies import TrustedProxies
from sockudo_py.http.cors import Cors
from sockudo_py.http.messages import OK, ApiRequest, ApiResponse, error
from tests.support.client import eventually
from tests.support.edge_bench import KEY, SECRET, Bench, Peer, post, upgrade

LIMITS = FrontLimits(max_head_bytes=1000, max_body_bytes=2000, max_waiting=5)


@pytest.fixture
def bench() -> Bench:
    return Bench(limits=LIMITS)


@pytest.fixture
def client(bench: Bench) -> Peer:
    return bench.dial()


# -- the publish lane --


def test_a_publish_reaches_the_api_as_it_came(bench: Bench, client: Peer) -> None:
    client.send(post(b'{"name":"e"}', "/apps/3%20/events?auth_key=a%20b&x", "X-Name: V"))
    (request,) = bench.api.requests
    assert (request.method, request.path, request.query) == ("POST", "/apps/3%20/events", "auth_key=a%20b&x")
    assert (request.body, request.remote) == (b'{"name":"e"}', "192.0.2.1")
    assert dict(request.headers) == {
        "host": "localhost",
        "content-type": "application/json",
        "content-length": "12",
        "x-name": "V",
    }


def test_the_response_is_one_write_with_all_that_belongs_to_it(client: Peer, bench: Bench) -> None:
    bench.api.answers = [error(401, "no", ("X-More", "1"))]
    client.send(post())
    assert client.transport.writes == 1
    status, headers, body = client.response()
    assert (status, body) == (401, b"no\n")
    assert headers == {
        "date": "Tue, 14 Nov 2023 22:13:20 GMT",
        "content-type": "text/plain; charset=utf-8",
        "content-length": "3",
        "x-content-type-options": "nosniff",
        "x-more": "1",
    }
    assert not client.transport.closed


@pytest.mark.parametrize("path", ["/apps/3/events", "/apps/3/batch_events", "/apps/a%2Fb/events?x=/channels"])
def test_both_publish_routes_are_answered_here(bench: Bench, client: Peer, path: str) -> None:
    client.send(post(b"{}", path))
    assert client.response()[0] == 200
    assert bench.fallbacks == []


@pytest.mark.parametrize("path", ["/up", "/up/3", "/live", "/up?x=1", "/realtime/up", "/realtime/up/3"])
def test_health_is_told_here_with_the_prefix_and_without(path: str) -> None:
    bench = Bench(limits=LIMITS, path_prefix="/realtime")
    client = bench.dial()
    bench.api.answers = [ApiResponse(200, b"OK"), ApiResponse(200, b"OK")]
    for _ in range(2):
        client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.response()[0] == 200
    asked = path.partition("?")[0].removeprefix("/realtime")
    assert [(request.method, request.path, request.body) for request in bench.api.requests] == [("GET", asked, b"")] * 2
    assert bench.fallbacks == []
    assert not client.transport.closed


@pytest.mark.parametrize(
    "request_line_and_headers",
    [
        "GET /usage HTTP/1.1",
        "GET /up/3/x HTTP/1.1",
        "HEAD /up HTTP/1.1",
        "POST /up HTTP/1.1\r\nContent-Length: 0",
        "GET /up HTTP/1.1\r\nContent-Length: 1",
        "GET /up HTTP/1.1\r\nTransfer-Encoding: chunked",
        "GET /up HTTP/1.1\r\nExpect: 100-continue",
        "GET /up HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade",
    ],
)
def test_other_questions_than_plain_ones_for_health_go_on_to_the_fallback(
    bench: Bench, client: Peer, request_line_and_headers: str
) -> None:
    client.send(f"{request_line_and_headers}\r\nHost: x\r\n\r\n".encode())
    assert len(bench.fallbacks) == 1
    assert bench.api.requests == []


def test_every_split_of_two_requests_gives_the_same(bench: Bench) -> None:
    stream = post(b"first") + post(b"second body")
    for at in range(1, len(stream)):
        client = bench.dial()
        client.send(stream[:at])
        client.send(stream[at:])
        assert [status for status, _, _ in client.responses()] == [200, 200], at
        assert [request.body for request in bench.api.requests] == [b"first", b"second body"]
        bench.api.requests.clear()
        client.lose()
    client = bench.dial()
    for byte in stream:
        client.send(bytes([byte]))
    assert [request.body for request in bench.api.requests] == [b"first", b"second body"]


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_known_request_is_answered_at_its_last_byte_and_not_before(bench: Bench, body: bytes) -> None:
    request = post(body)
    for at in range(1, len(request)):
        client = bench.dial()
        client.send(request)
        bench.api.requests.clear()
        client.send(request[:at])
        assert bench.api.requests == [], at
        client.send(request[at:] + request)
        assert [status for status, _, _ in client.responses()] == [200] * 3, at
        client.lose()


def test_requests_are_answered_in_their_order(bench: Bench, client: Peer) -> None:
    bench.api.answers = [ApiResponse(200, b"%d" % n) for n in range(10)]
    client.send(b"".join(post(b"%d" % n) for n in range(10)))
    assert [body for _, _, body in client.responses()] == [b"%d" % n for n in range(10)]


async def test_hundreds_of_pipelined_requests_are_served_in_turns(bench: Bench, client: Peer) -> None:
    client.send(post() * 300)
    assert len(bench.api.requests) < 100
    bench.loop.advance()
    assert client.transport.reading
    assert len(client.responses()) == 300


async def test_a_request_that_takes_long_makes_the_next_ones_wait(bench: Bench, client: Peer) -> None:
    answer: asyncio.Future[ApiResponse] = asyncio.get_running_loop().create_future()
    bench.api.answers = [answer, ApiResponse(200, b"second")]
    client.send(post(b"1") + post(b"2")[:-1])
    assert not client.transport.reading
    client.transport.protocol.data_received(b"2")
    assert [request.body for request in bench.api.requests] == [b"1"]
    bench.loop.advance(1000)  # no deadline runs while the API works
    answer.set_result(ApiResponse(200, b"first"))
    await eventually(lambda: client.transport.reading, "both are answered")
    assert [body for _, _, body in client.responses()] == [b"first", b"second"]
    assert bench.context.busy == set()


@pytest.mark.parametrize("next_request", [b"GET /apps/3/channels HTTP/1.1\r\nHost: x\r\n\r\n", upgrade()])
async def test_whoever_goes_on_after_requests_that_took_several_turns_finds_the_connection_readable(
    bench: Bench, client: Peer, next_request: bytes
) -> None:
    client.send(post() * 20 + next_request)
    assert not client.transport.reading
    bench.loop.advance()
    assert not isinstance(client.transport.protocol, HttpConnection)
    assert client.transport.reading


async def test_who_is_refused_after_requests_that_took_several_turns_is_heard_out(bench: Bench, client: Peer) -> None:
    client.send(post() * 20 + b"garbage")
    bench.loop.advance()
    assert client.transport.eof
    assert client.transport.reading


async def test_a_request_whose_client_is_gone_is_given_up(bench: Bench, client: Peer) -> None:
    answer: asyncio.Future[ApiResponse] = asyncio.get_running_loop().create_future()
    bench.api.answers = [answer]
    client.send(post())
    await asyncio.sleep(0)
    client.lose()
    await eventually(answer.cancelled, "the request is cancelled")
    assert client.transport.take() == b""


async def test_an_answer_that_fails_is_a_500_and_the_connection_goes_on(
    bench: Bench, client: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    answer: asyncio.Future[ApiResponse] = asyncio.get_running_loop().create_future()
    answer.set_exception(ZeroDivisionError("a bug"))
    bench.api.answers = [answer]
    client.send(post())
    await eventually(lambda: client.transport.reading, "it is answered")
    client.send(post())
    assert [status for status, _, _ in client.responses()] == [500, 200]
    assert "unexpected error while a request was answered" in caplog.text


async def test_a_client_that_sends_no_more_still_gets_its_answer(bench: Bench, client: Peer) -> None:
    answer: asyncio.Future[ApiResponse] = asyncio.get_running_loop().create_future()
    bench.api.answers = [answer, OK]
    client.send(post() + post())
    assert client.transport.protocol.eof_received()
    answer.set_result(OK)
    await eventually(lambda: client.transport.closed, "it is closed")
    assert [status for status, _, _ in client.responses()] == [200, 200]
    assert not client.transport.aborted


async def test_a_websocket_whose_client_had_already_ended_its_stream_is_closed_at_once(
    bench: Bench, client: Peer
) -> None:
    answer: asyncio.Future[ApiResponse] = asyncio.get_running_loop().create_future()
    bench.api.answers = [answer]
    client.send(post() + upgrade())
    assert client.transport.protocol.eof_received()
    answer.set_result(OK)
    await eventually(lambda: client.transport.closed, "it is closed")
    assert not client.transport.aborted
    client.lose()
    assert bench.node.connections() == 0


def test_a_client_that_sends_no_more_and_waits_for_nothing_is_closed(client: Peer) -> None:
    client.send(post())
    assert not client.transport.protocol.eof_received()


def test_connection_close_is_honoured(bench: Bench, client: Peer) -> None:
    client.send(post(b"{}", "/apps/3/events", "Connection: close") + post())
    status, headers, _ = client.response()
    assert (status, headers["connection"]) == (200, "close")
    assert client.transport.closed
    assert len(bench.api.requests) == 1


def test_while_the_server_closes_each_response_is_the_last(bench: Bench, client: Peer) -> None:
    bench.context.closing = True
    client.send(post())
    assert client.response()[1]["connection"] == "close"
    assert client.transport.closed


def test_the_path_prefix_is_cut() -> None:
    bench = Bench(path_prefix="/realtime")
    client = bench.dial()
    client.send(post(b"{}", "/realtime/apps/3/events"))
    assert bench.api.requests[0].path == "/apps/3/events"
    bench.dial().send(post(b"{}", "/apps/3/events"))
    assert len(bench.fallbacks) == 1


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://a.example", "https://a.example"), ("https://b.example", None)]
)
def test_cors_headers_are_added_as_configured(origin: str, allowed: str | None) -> None:
    bench = Bench(cors=Cors(origins=("https://a.example",)))
    client = bench.dial()
    client.send(post(b"{}", "/apps/3/events", f"Origin: {origin}"))
    headers = client.response()[1]
    assert headers.get("access-control-allow-origin") == allowed
    assert headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "lines", [(), ("Connection: close",), ("Origin: https://a.example",), ("X-Forwarded-For: 1.2.3.4",)]
)
@pytest.mark.parametrize("answer", [OK, ApiResponse(200, b"{}"), error(413, "no")], ids=["ok", "other", "error"])
@pytest.mark.parametrize("closing", [False, True], ids=["open", "closing"])
def test_a_request_like_one_before_is_served_like_it(
    lines: tuple[str, ...], answer: ApiResponse, closing: bool
) -> None:
    bench = Bench(cors=Cors(origins=("https://a.example",)), proxies=TrustedProxies(hops=1))
    bench.api.answers = [answer, answer]
    bench.context.closing = closing
    told = []
    for body in (b"first", b"again"):
        client = bench.dial(peer="10.0.0.1")
        client.send(post(body, "/apps/3/events?x", *lines))
        told.append((client.response(), client.transport.writes, client.transport.closed))
    assert told[0] == told[1]
    first, again = bench.api.requests
    assert again == replace(first, body=b"again")


async def test_the_next_request_waits_for_one_like_one_before_that_takes_long(bench: Bench, client: Peer) -> None:
    client.send(post(b"first"))
    answer: asyncio.Future[ApiResponse] = asyncio.get_running_loop().create_future()
    bench.api.answers = [answer, ApiResponse(200, b"third")]
    client.send(post(b"again"))
    client.transport.protocol.data_received(post(b"third"))
    assert [request.body for request in bench.api.requests] == [b"first", b"again"]
    answer.set_result(ApiResponse(200, b"again"))
    await eventually(lambda: len(bench.api.requests) == 3, "the third is served")
    assert [body for _, _, body in client.responses()] == [b"{}", b"again", b"third"]


def test_a_body_that_is_too_large_is_refused_behind_a_known_head_too(bench: Bench, client: Peer) -> None:
    large = post(b"x" * 2001)
    head, _ = bench.context.reader.next(large, 0)
    assert head is not None
    assert bench.context.lane_of(head) is bench.lanes[0]
    client.send(large)
    assert refused(client, 413) == "The body exceeds the allowed maximum (2000 bytes)\n"
    assert bench.api.requests == []


def test_the_clients_address_is_the_proxys_word_where_that_is_trusted() -> None:
    bench = Bench(proxies=TrustedProxies(hops=1))
    client = bench.dial(peer="10.0.0.1")
    client.send(post(b"{}", "/apps/3/events", "X-Forwarded-For: 198.51.100.7"))
    client.send(post())
    assert [request.remote for request in bench.api.requests] == ["198.51.100.7", "10.0.0.1"]


def test_empty_lines_before_a_request_are_tolerated(bench: Bench, client: Peer) -> None:
    client.send(b"\r\n\r\n" + post() + b"\r\n")
    client.send(post())
    assert len(client.responses()) == 2


def test_a_websocket_may_follow_on_the_same_connection(bench: Bench, client: Peer) -> None:
    client.send(post() + upgrade())
    data = client.transport.take()
    assert data.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 101" in data
    assert b"pusher:connection_established" in data


def test_the_api_is_told_the_idempotency_key_of_each_request(bench: Bench, client: Peer) -> None:
    known = len(bench.context.reader)
    for key in ("a", "b", "b", "é"):
        client.send(post(b"{}", "/apps/3/events?x=1", f"X-Idempotency-Key: {key}"))
    assert len(bench.context.reader) == known  # no other request has these lines
    client.send(post())
    assert [request.idempotency_key for request in bench.api.requests] == ["a", "b", "b", "é", None]


@pytest.mark.parametrize("host", ["http://localhost", "https://a.example:6001", "HTTP://u:p@[::1]:6001"])
def test_a_publish_in_absolute_form_is_answered_here(bench: Bench, client: Peer, host: str) -> None:
    for _ in range(2):  # it may be remembered
        client.send(post(b"{}", f"{host}/apps/3/events?x=1"))
    assert [(request.path, request.query) for request in bench.api.requests] == [("/apps/3/events", "x=1")] * 2


@pytest.mark.parametrize("host", ["http://localhost", "ws://a.example:6001", "wss://u:p@[::1]:6001"])
def test_a_handshake_in_absolute_form_is_accepted(bench: Bench, client: Peer, host: str) -> None:
    client.send(upgrade(f"{host}/app/{KEY}?protocol=7"))
    assert b"pusher:connection_established" in client.transport.take()
    assert len(bench.handshakes) == 0  # it may hold a password


# -- the other lane --

ELSEWHERE: dict[str, bytes] = {
    "another route": b"GET /apps/3/channels HTTP/1.1\r\nHost: x\r\n\r\n",
    "another method": post().replace(b"POST", b"PUT"),
    "the deprecated route": post(b"{}", "/apps/3/channels/c/events"),
    "chunked": b"POST /apps/3/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an expectation": post(b"{}", "/apps/3/events", "Expect: 100-continue"),
    "a compressed body": post(b"{}", "/apps/3/events", "Content-Encoding: gzip"),
    "http 1.0": post().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no length": b"POST /apps/3/events HTTP/1.1\r\nHost: x\r\n\r\n",
    "an offer of http 2": post(b"{}", "/apps/3/events", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"),
    "a preflight": b"OPTIONS /apps/3/events HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", ELSEWHERE.values(), ids=ELSEWHERE)
def test_everything_else_goes_to_aiohttp_with_all_bytes(bench: Bench, client: Peer, request_bytes: bytes) -> None:
    client.send(post())
    client.send(request_bytes + b"GET /next HTTP/1.1\r\n")
    (fallback,) = bench.fallbacks
    assert fallback.received == request_bytes + b"GET /next HTTP/1.1\r\n"
    assert fallback.transport is client.transport
    client.send(b"more")
    assert fallback.received.endswith(b"more")
    assert len(bench.api.requests) == 1
    assert bench.connections.open.count == 0
    assert len(bench.context.idle) == len(bench.context.heads) == 0


# -- those who don't play by the rules --


def refused(client: Peer, status: int) -> str:
    """Take the error, after which the connection is over, and return its text."""
    got, headers, body = client.responses()[-1]
    assert got == status
    assert headers["connection"] == "close"
    assert client.transport.eof
    return body.decode()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 1000, 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(200)) + b"\r\n", 431),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (post(b"{}", "/apps/3/events", "Content-Length: 3"), 400),
        (post(b"{}", "/apps/3/events", "Transfer-Encoding: chunked"), 400),
        (post(b"", "/apps/3/events", length=2001), 413),
        (post(b"", "/apps/3/events", length=99_999_999_999_999), 413),
    ],
)
def test_a_request_that_can_not_be_served_is_told_why(bench: Bench, client: Peer, data: bytes, status: int) -> None:
    client.send(data)
    assert refused(client, status).endswith("\n")
    client.send(post())
    assert bench.api.requests == []
    assert client.transport.take() == b""


@pytest.mark.parametrize("garbage", [b"\x00\x01garbage", b"GET /\r\n\r\n", b"}{\r\n\r\n", b"get / HTTP/1.1\r\n\r\n"])
def test_garbage_after_a_request_is_refused_after_its_answer(bench: Bench, client: Peer, garbage: bytes) -> None:
    client.send(post() + garbage + post())
    statuses = [status for status, _, _ in client.responses()]
    assert statuses[0] == 200
    assert statuses[1] in (400, 505)
    assert len(statuses) == 2
    assert len(bench.api.requests) == 1


def test_a_smuggled_request_is_never_served(bench: Bench, client: Peer) -> None:
    """To a proxy that goes by one header, the second request is the body of the first."""
    hidden = post(b'{"name":"hidden"}')
    client.send(post(b"0\r\n\r\n" + hidden, "/apps/3/events", "Transfer-Encoding: chunked"))
    assert refused(client, 400)
    assert bench.api.requests == []


def test_a_body_ends_where_its_length_says(bench: Bench, client: Peer) -> None:
    hidden = post(b"hidden")
    client.send(post(b"outer" + hidden))
    assert [request.body for request in bench.api.requests] == [b"outer" + hidden]


def test_who_was_refused_may_go_on_sending_for_a_while_and_is_not_read(bench: Bench, client: Peer) -> None:
    client.send(post(b"x" * 1000, length=5000))
    assert "2000 bytes" in refused(client, 413)
    for _ in range(4):
        client.send(b"x" * 1000)
    assert not client.transport.closed
    bench.loop.advance(2.3)
    assert client.transport.aborted


def test_over_tls_the_refused_wait_the_same_without_half_close(bench: Bench) -> None:
    client = bench.dial(secure=True)
    client.send(b"nonsense")
    assert client.response()[0] == 400
    bench.loop.advance(2.3)
    assert client.transport.aborted


@pytest.mark.parametrize("begin", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\nGET /"])
def test_a_head_that_dribbles_is_given_up_however_often_a_byte_comes(bench: Bench, client: Peer, begin: bytes) -> None:
    client.send(begin)
    for _ in range(9):
        bench.loop.advance(1)
        client.send(b"A")
    bench.loop.advance(1.3)
    assert "within 10 seconds" in refused(client, 408)
    assert bench.metrics.series["connections_timed_out_total"].values == {("head",): 1}
    assert bench.metrics.series["http_refused_total"].values == {("408",): 1}


def test_who_sends_nothing_is_closed_without_a_word(bench: Bench, client: Peer) -> None:
    bench.loop.advance(10.3)
    assert client.transport.closed
    assert client.transport.take() == b""


def test_a_body_that_dribbles_is_given_up(bench: Bench, client: Peer) -> None:
    client.send(post(b"", length=100))
    for _ in range(29):
        bench.loop.advance(1)
        client.send(b"x")
    bench.loop.advance(1.3)
    assert "within 30 seconds" in refused(client, 408)
    assert bench.api.requests == []


def test_each_request_has_its_own_time(bench: Bench, client: Peer) -> None:
    request = post(b"body")
    for _ in range(10):
        client.send(request[:30])
        bench.loop.advance(7)
        client.send(request[30:-1])
        bench.loop.advance(25)
        client.send(request[-1:] + request[:20])
        bench.loop.advance(7)
        client.send(request[20:])
        bench.loop.advance(60)
    assert [status for status, _, _ in client.responses()] == [200] * 20
    assert not client.transport.closed


def test_an_idle_connection_is_closed_after_a_while(bench: Bench, client: Peer) -> None:
    client.send(post())
    client.response()
    bench.loop.advance(74)
    client.send(post())
    client.response()
    bench.loop.advance(74.9)
    assert not client.transport.closed
    bench.loop.advance(0.4)
    assert client.transport.closed
    assert client.transport.take() == b""
    assert bench.metrics.series["connections_timed_out_total"].values == {("idle",): 1}


def test_a_client_that_does_not_read_is_not_served_on_and_then_dropped(bench: Bench, client: Peer) -> None:
    client.transport.high = 1000
    client.transport.stuck = True
    bench.api.answers = [ApiResponse(200, b"x" * 500) for _ in range(10)]
    client.send(post() * 10)
    assert not client.transport.reading
    assert len(bench.api.requests) == 2
    bench.loop.advance(74.9)
    assert not client.transport.aborted
    bench.loop.advance(0.4)
    assert client.transport.aborted
    assert bench.metrics.series["connections_timed_out_total"].values == {("unread",): 1}


@pytest.mark.parametrize("last", ["Connection: close", "half a connection", "a refusal", "idle"])
def test_a_client_that_does_not_read_the_last_answer_before_the_close_is_dropped(
    bench: Bench, client: Peer, last: str
) -> None:
    client.send(post())
    client.response()
    client.transport.stuck = True
    if last == "a refusal":
        client.send(b"no request\r\n\r\n")
    else:
        client.send(post(b"{}", "/apps/3/events?x=1", *([last] if ":" in last else [])))
    if last == "half a connection":
        assert not client.transport.protocol.eof_received()
        client.transport.close()
    elif last == "idle":
        bench.loop.advance(75.3)
        assert client.transport.closed
    bench.loop.advance(75.3)
    assert client.transport.aborted


async def test_a_client_that_reads_while_its_next_answer_is_made_is_not_dropped(bench: Bench) -> None:
    client = bench.dial()
    answer: asyncio.Future[ApiResponse] = asyncio.get_running_loop().create_future()
    bench.api.answers = [answer]
    client.send(post())
    client.transport.protocol.pause_writing()  # uvloop tells of earlier answers at the end of its turn
    client.transport.protocol.resume_writing()
    bench.loop.advance(80)
    assert not client.transport.closed
    answer.set_result(OK)
    await eventually(lambda: client.transport.reading, "answered")
    assert client.response()[0] == 200


def test_a_client_that_reads_again_is_served_on(bench: Bench, client: Peer) -> None:
    client.transport.high = 1000
    client.transport.stuck = True
    bench.api.answers = [ApiResponse(200, b"x" * 500) for _ in range(10)]
    client.send(post() * 10)
    client.transport.unstick()
    assert len(client.responses()) == 10
    assert client.transport.reading
    bench.loop.advance(70)
    assert not client.transport.closed


def test_half_open_connections_make_place_for_new_ones(bench: Bench) -> None:
    silent = [bench.dial() for _ in range(5)]
    clients = []
    for _ in range(20):
        client = bench.dial()
        client.send(post())
        assert client.response()[0] == 200
        clients.append(client)
    assert [client.transport.aborted for client in silent] == [True] + [False] * 4
    assert bench.metrics.series["connections_dropped_total"].values == {("head",): 1, ("idle",): 15}
    assert sum(client.transport.aborted for client in clients) == 15


def test_what_is_kept_while_the_api_works_is_bounded(bench: Bench, client: Peer) -> None:
    asyncio.run(flood(bench, client))


async def flood(bench: Bench, client: Peer) -> None:
    bench.api.answers = [asyncio.get_running_loop().create_future()]
    client.send(post())
    for _ in range(200):
        client.transport.protocol.data_received(b"x" * 10_000)
        if client.transport.aborted:
            break
    assert client.transport.aborted
    client.lose()


@pytest.mark.parametrize("known", [False, True], ids=["first", "like one before"])
def test_a_bug_of_ours_is_a_500_and_is_logged_without_secrets(
    bench: Bench, client: Peer, known: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(request: ApiRequest) -> ApiResponse:
        raise ZeroDivisionError("a bug")

    if known:
        bench.dial().send(post(SECRET.encode()))
    monkeypatch.setattr(bench.api, "handle", broken)
    with caplog.at_level(logging.DEBUG):
        client.send(post(SECRET.encode()))
    assert refused(client, 500) == "Internal server error\n"
    assert "unexpected error at the front" in caplog.text
    assert SECRET not in caplog.text
    assert KEY not in caplog.text


def test_a_lost_connection_leaves_nothing_behind(bench: Bench) -> None:
    for data in (b"", b"GET /", post(), post()[:-1]):
        client = bench.dial()
        if data:
            client.send(data)
        client.lose(ConnectionResetError())
    context = bench.context
    assert [len(room) for room in (context.heads, context.bodies, context.idle, context.leaving)] == [0, 0, 0, 0]
    assert bench.connections.open.count == 0
    assert isinstance(client.transport.protocol, HttpConnection)


@pytest.mark.parametrize("last", [upgrade(), b"GET /apps/3/channels HTTP/1.1\r\n\r\n"])
async def test_a_connection_that_was_lost_is_given_to_no_other_lane(bench: Bench, last: bytes) -> None:
    """TLS transports tell in the next turn of the loop, and tell who was here then: nobody who comes in between."""
    client = bench.dial(secure=True)
    front = client.transport.protocol
    client.send(post() * 17 + last)  # more than one turn serves
    client.transport.closed = True
    bench.loop.call_soon(lambda: front.connection_lost(None))
    bench.loop.advance()
    assert len(bench.api.requests) == 17
    assert client.transport.protocol is front
    assert bench.fallbacks == []
    assert bench.node.connections() == 0
    assert bench.connections.open.count == 0


async def test_a_question_whose_asker_is_lost_at_once_is_begun_and_cancelled(bench: Bench, client: Peer) -> None:
    """A coroutine that is thrown away before it began makes Python complain."""
    told: list[str] = []

    async def answer() -> ApiResponse:
        told.append("begun")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            told.append("cancelled")
        return OK

    bench.api.answers = [answer()]
    client.send(post())
    client.lose()
    await eventually(lambda: len(told) == 2, "it is cancelled")
    assert told == ["begun", "cancelled"]
    assert bench.connections.open.count == 0
    assert not bench.context.busy
