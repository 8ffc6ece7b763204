"""WebSocket handshakes at the front: what is answered by HTTP, and what in-band after the 101."""

import dataclasses
from ipaddress import ip_network
from typing import Any

import pytest

from sockudo_py.edge.connection import HttpConnection
from sockudo_py.edge.proxies import TrustedProxies
from sockudo_py.limits.base import RequestLimit
from sockudo_py.limits.memory import MemoryRateLimiter
from sockudo_py.protocol.app import App
from sockudo_py.protocol.session import Settings
from tests.support.edge_bench import APP, CLOSE, KEY, Bench, FakeLoop, Peer, frame, message, upgrade


def app(**changes: Any) -> App:
    return dataclasses.replace(APP, **changes)


def opened(bench: Bench, request: bytes, *, secure: bool = False, peer: str = "192.0.2.1") -> Peer:
    client = bench.dial(secure=secure, peer=peer)
    client.send(request)
    return client


def refusal(client: Peer) -> int:
    """Return the code of a connection that was accepted and then refused: the same in the error and in the close."""
    assert client.accepted()
    (first, error), (second, close) = client.frames()
    assert (first, second) == (1, CLOSE)
    code = int.from_bytes(close[:2], "big")
    assert f'"code":{code}'.encode() in error
    return code


def test_a_client_is_established(bench: Bench) -> None:
    client = opened(bench, upgrade())
    assert client.accepted()
    (established,) = client.messages()
    assert set(established) == {"event", "data"}
    assert established["event"] == "pusher:connection_established"
    assert bench.node.connections(APP.id) == 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_client_is_named_by_the_address_that_a_trusted_proxy_tells() -> None:
    bench = Bench(proxies=TrustedProxies([ip_network("192.0.2.0/24")]))
    opened(bench, upgrade(f"/app/{KEY}?protocol=7", "X-Forwarded-For: 2001:db8::1"), peer="192.0.2.1")
    opened(bench, upgrade(f"/app/{KEY}?protocol=7", "X-Forwarded-For: 2001:db8::1"), peer="198.51.100.1")
    clients = bench.node._hub.sockets(APP.id).values()
    assert {client.session.source.address for client in clients} == {"2001:db8::/64", "198.51.100.1"}


@pytest.mark.parametrize("query", ["", "?", "?protocol=7", "?protocol=5&client=x", "?flash=false&protocol=4&foo=1"])
def test_a_known_protocol_or_none_is_established(bench: Bench, query: str) -> None:
    client = opened(bench, upgrade(f"/app/{KEY}{query}"))
    assert client.accepted()
    assert len(client.messages()) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/app/unknown?protocol=7", 4001),
        ("/app/%00", 4001),
        ("/app/?protocol=7", 4005),
        ("/app?protocol=7", 4005),
        ("/?protocol=7", 4005),
        (f"/app/{KEY}/more?protocol=7", 4005),
        (f"/realtime/app/{KEY}?protocol=7", 4005),
        (f"/app/{KEY}?protocol=3", 4007),
        (f"/app/{KEY}?protocol=abc", 4007),
        (f"/app/{KEY}?protocol=", 4007),
    ],
)
def test_what_is_wrong_with_the_path_is_told_in_band(bench: Bench, path: str, code: int) -> None:
    assert refusal(opened(bench, upgrade(path))) == code
    assert bench.metrics.series["connections_refused_total"].values == {(str(code),): 1}
    assert bench.node.connections() == 0


def test_with_a_path_prefix_only_that_path_connects() -> None:
    bench = Bench(path_prefix="/realtime/")
    client = opened(bench, upgrade(f"/realtime/app/{KEY}?protocol=7"))
    assert client.accepted()
    assert len(client.messages()) == 1
    assert refusal(opened(bench, upgrade())) == 4005


def test_in_strict_mode_a_client_without_protocol_is_refused() -> None:
    bench = Bench(settings=Settings(strict_protocol=True))
    assert refusal(opened(bench, upgrade(f"/app/{KEY}"))) == 4008


def test_a_disabled_app_is_refused_and_counted() -> None:
    bench = Bench(app(enabled=False))
    assert refusal(opened(bench, upgrade())) == 4003
    assert bench.metrics.app(APP.id).connection_errors == 1


def test_over_the_apps_quota_is_refused_until_somebody_leaves() -> None:
    bench = Bench(app(max_connections=1))
    first = bench.websocket()
    assert refusal(opened(bench, upgrade())) == 4004
    assert bench.metrics.app(APP.id).connection_errors == 1
    first.lose()
    bench.websocket()


def test_over_the_nodes_capacity_is_refused() -> None:
    bench = Bench(max_connections=1)
    bench.websocket()
    assert refusal(opened(bench, upgrade())) == 4100


def test_while_draining_everybody_is_sent_elsewhere(bench: Bench) -> None:
    bench.node.draining = True
    assert refusal(opened(bench, upgrade())) == 4200


@pytest.mark.parametrize(
    ("origin", "code"), [("https://good.example", None), ("https://evil.example", 4009), (None, 4009)]
)
def test_the_origin_must_be_allowed(origin: str | None, code: int | None) -> None:
    bench = Bench(app(allowed_origins=("https://good.example",)))
    lines = () if origin is None else (f"Origin: {origin}",)
    client = opened(bench, upgrade(f"/app/{KEY}", *lines))
    if code is None:
        assert client.accepted()
        assert len(client.messages()) == 1
    else:
        assert refusal(client) == code


@pytest.mark.parametrize(
    ("secure", "peer", "header", "accepted"),
    [
        (False, "192.0.2.1", None, False),
        (True, "192.0.2.1", None, True),
        (False, "192.0.2.1", "https", False),  # not a proxy of ours: anybody can say that
        (False, "10.0.0.1", "https", True),
        (False, "10.0.0.1", "http", False),
        (False, "", "https", True),  # the Unix socket
    ],
)
def test_an_app_that_requires_tls_believes_the_listener_or_a_trusted_proxy(
    secure: bool, peer: str, header: str | None, accepted: bool
) -> None:
    bench = Bench(app(require_tls=True), proxies=TrustedProxies([ip_network("10.0.0.0/8")]))
    lines = () if header is None else (f"X-Forwarded-Proto: {header}",)
    client = opened(bench, upgrade(f"/app/{KEY}", *lines), secure=secure, peer=peer)
    if accepted:
        assert client.accepted()
        assert len(client.messages()) == 1
    else:
        assert refusal(client) == 4000


def test_attempts_of_one_address_are_limited_when_configured() -> None:
    clock = FakeLoop()
    bench = Bench(
        limiter=MemoryRateLimiter(clock.clock),
        connect_limit=RequestLimit(2, 60.0),
        proxies=TrustedProxies([ip_network("10.0.0.0/8")]),
    )
    for _ in range(2):
        bench.websocket()
    assert refusal(opened(bench, upgrade())) == 4100
    opened(bench, upgrade(), peer="192.0.2.2")
    behind_proxy = [
        opened(bench, upgrade(f"/app/{KEY}", f"X-Forwarded-For: 198.51.100.{n}"), peer="10.0.0.1") for n in range(9)
    ]
    assert all(client.accepted() and len(client.messages()) == 1 for client in behind_proxy)
    clock.advance(61)
    bench.websocket()


def test_connections_may_come_through_other_proxies_than_requests() -> None:
    bench = Bench(
        limiter=MemoryRateLimiter(FakeLoop().clock),
        connect_limit=RequestLimit(1, 60.0),
        proxies=TrustedProxies(),
        connect_proxies=TrustedProxies(hops=1),
    )
    for number in (1, 2):
        client = opened(bench, upgrade(f"/app/{KEY}", f"X-Forwarded-For: 198.51.100.{number}"))
        assert client.accepted()
        assert len(client.messages()) == 1
    assert refusal(opened(bench, upgrade(f"/app/{KEY}", "X-Forwarded-For: 198.51.100.1"))) == 4100


# -- refused connections --


@pytest.fixture
def refused(bench: Bench) -> Peer:
    client = opened(bench, upgrade("/app/unknown"))
    client.frames() if client.accepted() else None
    return client


def test_a_refused_client_that_closes_is_closed(bench: Bench, refused: Peer) -> None:
    refused.send(message("pusher:subscribe", data={"channel": "x"}))
    assert refused.frames() == []
    assert not refused.transport.closed
    refused.send(frame(CLOSE, b"\x0f\xa1"))
    assert refused.transport.closed
    assert not refused.transport.aborted
    refused.lose()
    assert bench.connections.open.count == 0


def test_a_refused_client_that_does_nothing_is_dropped_after_some_seconds(bench: Bench, refused: Peer) -> None:
    bench.loop.advance(2.9)
    assert not refused.transport.closed
    bench.loop.advance(0.5)
    assert refused.transport.aborted


@pytest.mark.parametrize("data", [frame(1, "{}") * 2000, frame(1, "{}", masked=False), b"\xff" * 100])
def test_a_refused_client_that_sends_too_much_or_nonsense_is_not_listened_to(
    bench: Bench, refused: Peer, data: bytes
) -> None:
    refused.send(data)
    assert refused.transport.eof
    refused.send(data)
    assert refused.frames() == []
    bench.loop.advance(4)
    assert refused.transport.aborted


def test_a_close_that_comes_with_the_handshake_is_seen(bench: Bench) -> None:
    client = opened(bench, upgrade("/app/unknown") + frame(CLOSE, b"\x03\xe8"))
    assert client.transport.closed


# -- handshakes that are HTTP errors --


@pytest.mark.parametrize(
    ("request_bytes", "status", "text"),
    [
        (upgrade(drop="Sec-WebSocket-Key"), 400, "Sec-WebSocket-Key"),
        (upgrade(drop="Sec-WebSocket-Version"), 426, "Sec-WebSocket-Version must be 13"),
        (upgrade(drop="Upgrade"), 426, "Upgrade"),
        (upgrade(drop="Connection"), 426, "Connection"),
        (upgrade(version="1.0"), 426, "HTTP/1.1"),
        (f"GET /app/{KEY} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 426, "WebSocket"),
        (upgrade(f"/app/{KEY}", "Content-Length: 5", "Transfer-Encoding: chunked"), 400, "malformed"),
    ],
)
def test_a_broken_handshake_is_an_http_error_with_a_reason(
    bench: Bench, request_bytes: bytes, status: int, text: str
) -> None:
    client = opened(bench, request_bytes)
    got, headers, body = client.response()
    assert got == status
    assert text in body.decode()
    assert body.endswith(b"\n")
    assert headers["connection"] == "close"
    assert bench.fallbacks == []


def test_a_handshake_with_a_method_other_than_get_is_not_ours(bench: Bench) -> None:
    request = upgrade().replace(b"GET", b"PUT")
    opened(bench, request)
    assert bench.fallbacks[0].received == request


def test_an_error_of_our_own_drops_the_connection_and_is_logged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(client: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(bench.node, "connect", broken)
    client = opened(bench, upgrade())
    assert client.transport.aborted
    assert "unexpected error at the front" in caplog.text
    assert isinstance(client.transport.protocol, HttpConnection)
    client.lose()
    assert bench.connections.open.count == 0
