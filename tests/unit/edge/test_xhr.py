"""The HTTP transports of pusher-js at the port: requests in, lines out. The node behind it is the real one."""

import dataclasses
import gc
import json
from collections.abc import Sequence
from typing import Any

import pytest

from sockudo_py.changes import ChannelOccupied, ChannelVacated, ConnectionEstablished, ConnectionTerminated
from sockudo_py.limits.base import RequestLimit
from sockudo_py.limits.memory import MemoryRateLimiter
from sockudo_py.protocol.app import App
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.readers.opening import refusal
from sockudo_py.protocol.session import Settings
from sockudo_py.xhr.client import XhrClient
from sockudo_py.xhr.context import XhrLimits
from tests.support.edge_bench import APP, KEY, XHR_LIMITS, Bench, Peer
from tests.support.weigh import scales
from tests.support.xhr import Response

SESSION = "123/abcdefgh"
QUERY = "protocol=7&client=js&version=8.6.0"
KINDS = pytest.mark.parametrize("kind", ["xhr_streaming", "xhr"])


def request(
    kind: str,
    body: bytes = b"",
    *lines: str,
    session: str = SESSION,
    key: str = KEY,
    query: str = QUERY,
    method: str = "POST",
    version: str = "1.1",
    prefix: str = "/pusher",
) -> bytes:
    target = f"{prefix}/app/{key}/{session}/{kind}?{query}&t=1&n=2"
    length = [] if method == "OPTIONS" else [f"Content-Length: {len(body)}"]
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: x", *length, *lines, "", ""]).encode() + body


def said(event: str, **data: Any) -> str:
    return json.dumps({"event": event, "data": data})


class Receiver:
    """A receive request that has been sent."""

    def __init__(self, bench: Bench, kind: str, *lines: str, peer: Peer | None = None, **options: Any) -> None:
        self.bench = bench
        self.peer = peer or bench.dial()
        self.response = Response()
        self._seen = 0
        self.peer.send(request(kind, b"", *lines, **options))

    def lines(self) -> list[str]:
        """Return the lines that came since the last look."""
        self.bench.loop.advance()
        self.response.feed(self.peer.transport.take())
        new = self.response.body[self._seen :].decode()
        self._seen = len(self.response.body)
        assert new == "" or new.endswith("\n")
        return new.split("\n")[:-1]

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(each) for line in self.lines() if line[0] == "a" for each in json.loads(line[1:])]

    def closing(self) -> list[Any]:
        """Return code and reason of the last line."""
        last = self.lines()[-1]
        assert last[0] == "c"
        found: list[Any] = json.loads(last[1:])
        return found


def send(bench: Bench, messages: Sequence[str], *lines: str, **options: Any) -> tuple[int, dict[str, str], bytes]:
    peer = bench.dial()
    peer.send(request("xhr_send", json.dumps(messages).encode(), *lines, **options))
    return peer.response()


def publish(bench: Bench, text: str, channel: str = "c") -> None:
    bench.node.publish(APP, [channel], "e", text)


def subscribed(bench: Bench, kind: str, **options: Any) -> Receiver:
    """Return the present receive request of a client that is on channel ``c``."""
    receiver = Receiver(bench, kind, **options)
    receiver.lines()
    assert send(bench, [said("pusher:subscribe", channel="c")])[0] == 204
    if kind == "xhr":
        receiver = Receiver(bench, kind, peer=receiver.peer, **options)
    (succeeded,) = receiver.messages()
    assert succeeded["event"] == "pusher_internal:subscription_succeeded"
    return receiver


@pytest.fixture
def bench() -> Bench:
    return Bench()


@KINDS
def test_a_client_is_established(bench: Bench, kind: str) -> None:
    receiver = Receiver(bench, kind)
    opened, established = receiver.lines()
    assert opened == "o"
    (message,) = map(json.loads, json.loads(established[1:]))
    assert message["event"] == "pusher:connection_established"
    assert receiver.response.status == 200
    headers = receiver.response.headers
    assert "no-store" in headers["cache-control"]
    assert headers["x-accel-buffering"] == "no"
    assert headers["access-control-allow-origin"] == "*"
    assert receiver.response.complete == (kind == "xhr")
    assert bench.node.connections(APP.id) == 1
    assert bench.xhr.open_sessions.values == {("xhr_streaming" if kind != "xhr" else "xhr_polling",): 1}


def test_a_stream_carries_what_is_published(bench: Bench) -> None:
    stream = subscribed(bench, "xhr_streaming")
    for text in ("one", "☃"):
        publish(bench, text)
        assert [message["data"] for message in stream.messages()] == [text]


def test_a_poll_ends_with_the_first_batch_and_the_rest_waits_for_the_next(bench: Bench) -> None:
    poll = subscribed(bench, "xhr")
    assert poll.response.complete
    publish(bench, "between")
    poll = Receiver(bench, "xhr", peer=poll.peer)
    assert [message["data"] for message in poll.messages()] == ["between"]
    poll = Receiver(bench, "xhr", peer=poll.peer)
    assert poll.lines() == []
    publish(bench, "one")
    publish(bench, "two")
    assert [message["data"] for message in poll.messages()] == ["one", "two"]
    assert poll.response.complete


def test_a_poll_is_answered_with_a_heartbeat_in_time(bench: Bench) -> None:
    poll = subscribed(bench, "xhr")
    poll = Receiver(bench, "xhr", peer=poll.peer)
    bench.loop.advance(24.9)
    assert poll.lines() == []
    bench.loop.advance(0.5)
    assert poll.lines() == ["h"]
    assert poll.response.complete


def test_polls_share_a_connection_with_each_other_and_with_requests_to_send(bench: Bench) -> None:
    poll = Receiver(bench, "xhr")
    poll.lines()
    poll.peer.send(request("xhr_send", b"[]"))
    assert poll.peer.response()[0] == 204
    again = Receiver(bench, "xhr", peer=poll.peer)
    again.lines()
    assert bench.connections.open.count == 1
    again.peer.lose()
    assert bench.connections.open.count == 0


def test_what_is_sent_behind_a_poll_is_served_after_it(bench: Bench) -> None:
    poll = subscribed(bench, "xhr")
    poll = Receiver(bench, "xhr", peer=poll.peer)
    poll.peer.send(request("xhr_send", json.dumps([said("pusher:unsubscribe", channel="c")]).encode()))
    assert poll.lines() == []
    before = bench.connections.open.count
    bench.loop.advance(26)
    (heartbeat, _, _), (sent, _, _) = poll.peer.responses()
    assert (heartbeat, sent) == (200, 204)
    assert bench.connections.open.count == before


def test_http_1_0_gets_a_stream_without_chunks_and_a_poll_on_a_connection_of_its_own(bench: Bench) -> None:
    stream = Receiver(bench, "xhr_streaming", version="1.0")
    assert stream.lines()[0] == "o"
    assert "transfer-encoding" not in stream.response.headers
    poll = Receiver(bench, "xhr", version="1.0", session="1/hgfedcba")
    assert poll.lines()[0] == "o"
    assert poll.peer.transport.closed


@KINDS
def test_a_newer_request_takes_the_session_over(bench: Bench, kind: str) -> None:
    old = subscribed(bench, kind)
    if kind == "xhr":
        old = Receiver(bench, kind)
    new = Receiver(bench, kind)
    assert old.closing() == [4200, "Another request has taken this session over"]
    publish(bench, "x")
    assert [message["data"] for message in new.messages()] == ["x"]
    assert old.lines() == []
    assert bench.node.connections(APP.id) == 1


@KINDS
def test_a_session_that_nobody_holds_ends_as_any_connection_that_is_lost(bench: Bench, kind: str) -> None:
    receiver = subscribed(bench, kind)
    assert [type(change) for change in bench.changes] == [ConnectionEstablished, ChannelOccupied]
    if kind == "xhr_streaming":
        receiver.peer.lose()
    bench.loop.advance(14.5)
    assert bench.node.connections(APP.id) == 1
    bench.loop.advance(1.5)
    assert bench.node.connections(APP.id) == 0
    assert {type(change) for change in bench.changes[2:]} == {ChannelVacated, ConnectionTerminated}
    assert bench.xhr.ended.values == {("timeout",): 1}
    assert len(bench.xhr.sessions) == bench.xhr.sessions.waiting == bench.xhr.sessions.kept_bytes == 0
    assert set(bench.xhr.open_sessions.values.values()) == {0}
    assert send(bench, [])[0] == 404


def test_a_silent_stream_is_asked_for_a_sign_of_life_and_closed_without_one() -> None:
    bench = Bench(settings=Settings(ping_interval=10, pong_timeout=5))
    stream = Receiver(bench, "xhr_streaming")
    stream.lines()
    bench.loop.advance(11)
    assert stream.lines() == ["h"]
    assert send(bench, [])[0] == 204
    assert stream.lines() == []  # a heartbeat in answer to a heartbeat would have no end
    bench.loop.advance(11)
    assert stream.lines() == ["h"]
    bench.loop.advance(6)
    assert stream.closing() == [4201, "Pong reply not received"]
    assert bench.node.connections() == 0


def test_a_client_that_asks_for_a_sign_of_life_gets_one(bench: Bench) -> None:
    stream = Receiver(bench, "xhr_streaming")
    stream.lines()
    send(bench, [])
    assert stream.lines() == ["a[]"]


@KINDS
@pytest.mark.parametrize(
    ("changes", "options", "code"),
    [
        ({}, {"key": "unknown"}, 4001),
        ({"enabled": False}, {}, 4003),
        ({"max_connections": 0}, {}, 4004),
        ({"require_tls": True}, {}, 4000),
        ({"allowed_origins": ("https://good.example",)}, {}, 4009),
        ({}, {"query": "protocol=3"}, 4007),
    ],
)
def test_a_refusal_is_told_with_the_codes_of_a_websocket(
    kind: str, changes: dict[str, Any], options: dict[str, Any], code: int
) -> None:
    bench = Bench(dataclasses.replace(APP, **changes))
    receiver = Receiver(bench, kind, **options)
    opened, error, closed = receiver.lines()
    assert opened == "o"
    assert json.loads(json.loads(error[1:])[0])["data"]["code"] == code
    assert json.loads(closed[1:])[0] == code
    assert receiver.response.complete
    assert len(bench.xhr.sessions) == 0


@KINDS
def test_a_page_of_another_origin_may_read_that_it_is_refused_and_nothing_of_a_session(kind: str) -> None:
    bench = Bench(dataclasses.replace(APP, allowed_origins=("https://good.example",)))
    stranger = Receiver(bench, kind, "Origin: https://evil.example")
    assert stranger.closing() == [4009, "Origin not allowed"]
    assert stranger.response.headers["access-control-allow-origin"] == "*"  # else pusher-js would try for ever
    good = Receiver(bench, kind, "Origin: https://good.example")
    assert good.lines()[0] == "o"
    assert good.response.headers["access-control-allow-origin"] == "https://good.example"
    assert len(bench.xhr.sessions) == 1
    intruder = Receiver(bench, kind, "Origin: https://evil.example")  # has learnt the session's id
    assert intruder.closing()[0] == 4200
    assert "access-control-allow-origin" not in intruder.response.headers


def test_a_new_session_counts_against_the_limit_of_its_address_and_a_request_of_one_does_not() -> None:
    bench = Bench(limiter=MemoryRateLimiter(lambda: 0.0), connect_limit=RequestLimit(2, 60.0))
    subscribed(bench, "xhr")
    for _ in range(5):
        Receiver(bench, "xhr")
    Receiver(bench, "xhr", session="1/hgfedcba")
    assert Receiver(bench, "xhr", session="2/hgfedcba").closing()[0] == 4100


@KINDS
def test_who_is_closed_hears_why_also_when_no_request_is_there(bench: Bench, kind: str) -> None:
    receiver = subscribed(bench, kind)
    if kind == "xhr_streaming":
        receiver.peer.transport.protocol.eof_received()
        receiver.peer.lose()
    publish(bench, "last")
    bench.loop.advance()
    (client,) = bench.node._hub.sockets(APP.id).values()
    bench.node.perform(client, client.session.close(refusal(ErrorCode.RECONNECT)))
    assert bench.node.connections() == 0
    receiver = Receiver(bench, kind)
    message, error, closed = receiver.lines()
    assert "last" in message
    assert "pusher:error" in error
    assert json.loads(closed[1:]) == [4200, "Please reconnect immediately"]
    assert len(bench.xhr.sessions) == 0


def test_who_does_not_come_for_the_end_is_forgotten(bench: Bench) -> None:
    subscribed(bench, "xhr")
    (client,) = bench.node._hub.sockets(APP.id).values()
    bench.node.perform(client, client.session.close(refusal(ErrorCode.RECONNECT)))
    assert len(bench.xhr.sessions) == 1
    bench.loop.advance(16)
    assert len(bench.xhr.sessions) == bench.xhr.sessions.kept_bytes == 0


@KINDS
def test_past_the_bound_a_client_that_does_not_read_is_closed(bench: Bench, kind: str) -> None:
    receiver = subscribed(bench, kind)
    receiver.peer.transport.stuck = kind == "xhr_streaming"
    for _ in range(80):
        publish(bench, "x" * 1000)
        bench.loop.advance()
    assert bench.node.connections() == 0
    assert bench.metrics.app(APP.id).slow_consumers_closed == 1
    assert bench.xhr.ended.values == {("slow",): 1}
    assert bench.xhr.sessions.kept_bytes == 0
    assert [one.reason for one in bench.tap.recorder.refusals(APP.id)] == ["4100"]
    if kind == "xhr":
        receiver = Receiver(bench, kind)
        error, closed = receiver.lines()
        assert "pusher:error" in error
        assert json.loads(closed[1:])[0] == 4100
    else:
        assert receiver.closing()[0] == 4100
        bench.loop.advance(4)
        assert receiver.peer.transport.aborted


def test_who_asks_again_without_having_read_the_answer_can_not_pile_answers_up(bench: Bench) -> None:
    poll = subscribed(bench, "xhr")
    poll = Receiver(bench, "xhr", peer=poll.peer)
    poll.peer.transport.stuck = True
    publish(bench, "x" * 9000)
    bench.loop.advance()
    assert poll.peer.transport.unsent
    again = Receiver(bench, "xhr")
    assert poll.peer.transport.aborted
    assert again.closing()[0] == 4200, "what was in the answer is lost, so the client has to connect anew"


def test_who_has_read_the_answer_may_ask_again_on_another_connection(bench: Bench) -> None:
    poll = subscribed(bench, "xhr")
    again = Receiver(bench, "xhr")
    assert again.lines() == []
    assert not poll.peer.transport.closed
    publish(bench, "hello")
    assert [message["data"] for message in again.messages()] == ["hello"]


def test_a_connection_whose_last_answer_is_not_read_is_dropped_however_short_that_is(bench: Bench) -> None:
    poll = subscribed(bench, "xhr")
    poll = Receiver(bench, "xhr", peer=poll.peer)
    poll.peer.transport.stuck = True
    publish(bench, "x")
    bench.loop.advance(bench.context.limits.idle_timeout + 1)
    assert poll.peer.transport.closed
    assert bench.context.late.values == {("idle",): 2}, "the one that subscribed is idle, too"
    bench.loop.advance(XHR_LIMITS.close_timeout + 2)
    assert poll.peer.transport.aborted


def test_all_sessions_together_keep_no_more_than_their_bound() -> None:
    bench = Bench()
    bench.xhr.sessions._most_bytes = 10_000
    for number in range(5):
        Receiver(bench, "xhr", session=f"{number}/abcdefgh").lines()
        send(bench, [said("pusher:subscribe", channel="c")], session=f"{number}/abcdefgh")
    publish(bench, "x" * 3000)
    bench.loop.advance()
    assert bench.xhr.sessions.kept_bytes <= 10_000
    assert bench.xhr.ended.values == {("evicted",): 2}
    assert bench.node.connections() == 3


@KINDS
def test_a_disabled_app_ends_its_sessions_and_takes_no_new_ones(kind: str) -> None:
    bench = Bench(APP)
    receiver = subscribed(bench, kind)
    Receiver(bench, "xhr", session="1/betweenpolls").lines()
    disabled = dataclasses.replace(APP, enabled=False)
    bench.context.admission._apps.apps = (disabled,)  # type: ignore[attr-defined]
    bench.node.app_changed(APP, disabled)
    if kind == "xhr":
        receiver = Receiver(bench, kind, peer=receiver.peer)
    assert receiver.closing()[0] == 4003
    assert Receiver(bench, "xhr", session="1/betweenpolls").closing()[0] == 4003
    assert send(bench, [])[0] == 404
    assert Receiver(bench, kind, session="2/hgfedcba").closing()[0] == 4003
    assert bench.node.connections() == len(bench.xhr.sessions) == 0


def test_another_client_can_not_take_a_session_over(bench: Bench) -> None:
    stream = subscribed(bench, "xhr_streaming")
    for options in ({"query": "protocol=7&client=other"}, {"lines": ("Origin: https://evil.example",)}):
        lines = options.pop("lines", ())
        assert Receiver(bench, "xhr_streaming", *lines, **options).closing()[0] == 4200
    assert Receiver(bench, "xhr_streaming", "User-Agent: other").closing()[0] == 4200
    publish(bench, "still here")
    assert [message["data"] for message in stream.messages()] == ["still here"]
    assert send(bench, [], "Origin: https://evil.example")[0] == 403
    assert bench.xhr.refused.values == {("4200",): 3, ("403",): 1}


def test_a_session_belongs_to_its_app() -> None:
    other = App(id="4", keys=(dataclasses.replace(APP.keys[0], key="other"),))
    bench = Bench(APP, other)
    subscribed(bench, "xhr_streaming")
    assert send(bench, [], key="other")[0] == 404
    assert Receiver(bench, "xhr_streaming", key="other").lines()[0] == "o"
    assert (bench.node.connections("3"), bench.node.connections("4")) == (1, 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{}", 400), (b"[1]", 400), (b'"x"', 400), (b'["{"]', 204), (json.dumps(["a"] * 101).encode(), 413)],
)
def test_a_request_to_send_with_an_unsound_body_is_refused_and_the_session_goes_on(
    bench: Bench, body: bytes, status: int
) -> None:
    stream = subscribed(bench, "xhr_streaming")
    peer = bench.dial()
    peer.send(request("xhr_send", body))
    assert peer.response()[0] == status
    assert bench.xhr.refused.values == ({} if status == 204 else {(str(status),): 1})
    stream.lines()
    publish(bench, "x")
    assert len(stream.messages()) == 1


def test_a_body_that_no_message_can_need_is_refused_by_its_head() -> None:
    bench = Bench(transports=dataclasses.replace(XHR_LIMITS, max_message_bytes=1000))
    Receiver(bench, "xhr_streaming")
    peer = bench.dial()
    peer.send(request("xhr_send", b"x" * 6097)[:-6000])
    assert peer.response()[0] == 413


def test_a_message_that_is_too_big_closes_with_1009() -> None:
    bench = Bench(transports=dataclasses.replace(XHR_LIMITS, max_message_bytes=1000))
    stream = subscribed(bench, "xhr_streaming")
    assert send(bench, ["é" * 501])[0] == 204
    assert stream.closing()[0] == 1009
    assert bench.node.connections() == 0
    assert bench.metrics.app(APP.id).connection_errors == 1
    assert [one.reason for one in bench.tap.recorder.refusals(APP.id)] == ["1009"]


def test_a_client_that_asks_for_too_much_is_read_later() -> None:
    app = dataclasses.replace(APP, subscribe_burst=2, subscribes_per_second=1)
    bench = Bench(app)
    stream = Receiver(bench, "xhr_streaming")
    stream.lines()
    assert send(bench, [said("pusher:subscribe", channel=f"c{n}") for n in range(6)])[0] == 204
    first = len(stream.messages())
    assert first < 6
    bench.loop.advance(10)
    assert first + len(stream.messages()) == 6


@pytest.mark.parametrize("kind", ["xhr_streaming", "xhr", "xhr_send"])
def test_a_preflight_follows_the_origins_of_the_app(kind: str) -> None:
    def preflight(bench: Bench, origin: str, key: str = KEY) -> dict[str, str]:
        peer = bench.dial()
        peer.send(
            request(kind, b"", f"Origin: {origin}", "Access-Control-Request-Method: POST", method="OPTIONS", key=key)
        )
        status, headers, body = peer.response()
        assert (status, body) == (204, b"")
        return headers

    everybody = preflight(Bench(), "https://any.example")
    assert everybody["access-control-allow-origin"] == "*"
    assert everybody["access-control-allow-headers"] == "Content-Type"
    assert "POST" in everybody["access-control-allow-methods"]
    bench = Bench(dataclasses.replace(APP, allowed_origins=("https://good.example",)))
    good = preflight(bench, "https://good.example")
    assert good["access-control-allow-origin"] == "https://good.example"
    assert good["vary"] == "Origin"
    evil = preflight(bench, "https://evil.example")  # may only ask to receive, and read that it may not
    assert evil.get("access-control-allow-origin") == (None if kind == "xhr_send" else "*")
    assert preflight(bench, "https://evil.example", "unknown")["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("xhr", method="GET"), 405),
        (request("xhr_streaming", b"{}"), 400),
        (request("xhr_send").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"), 411),
    ],
)
def test_what_is_no_request_of_the_transports_is_refused(bench: Bench, data: bytes, status: int) -> None:
    peer = bench.dial()
    peer.send(data)
    assert peer.response()[0] == status


@pytest.mark.parametrize(
    "target",
    [
        "/pusher/app/k/1234/abcdefgh/xhr",
        "/pusher/app/k/1/short/xhr",
        "/pusher/app/k/1/abcd.efgh/xhr",
        "/app/k/1/abcdefgh/xhr",
    ],
)
def test_other_paths_are_not_the_transports(bench: Bench, target: str) -> None:
    peer = bench.dial()
    peer.send(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    assert len(bench.fallbacks) == 1


def test_a_restart_tells_streams_and_polls_to_come_back_at_once(bench: Bench) -> None:
    stream = subscribed(bench, "xhr_streaming")
    poll = Receiver(bench, "xhr", session="7/abcdefgh")
    poll.lines()
    poll = Receiver(bench, "xhr", session="7/abcdefgh", peer=poll.peer)
    for client in list(bench.node._hub.sockets(APP.id).values()):
        bench.node.perform(client, client.session.close(refusal(ErrorCode.RECONNECT)))
    assert stream.closing()[0] == poll.closing()[0] == 4200
    assert stream.peer.transport.closed


@pytest.mark.parametrize("key", [KEY, "unknown"])
def test_a_thousand_polls_behind_each_other_are_answered_one_by_one(
    bench: Bench, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = bench.dial()
    peer.send(b"".join(request("xhr", session=f"1/sess{number:04d}", key=key) for number in range(1000)))
    for _ in range(1000):
        bench.loop.advance()
    assert peer.transport.take().count(b"HTTP/1.1 200 OK") == 1000
    assert bench.node.connections() == (1000 if key == KEY else 0)
    assert caplog.records == []


def test_a_stream_that_is_sent_a_lot_is_dropped(bench: Bench) -> None:
    stream = Receiver(bench, "xhr_streaming")
    stream.lines()
    for _ in range(70):
        if stream.peer.transport.reading and not stream.peer.transport.aborted:
            stream.peer.send(b"x" * 1024)
    assert stream.peer.transport.aborted


def test_a_poll_that_is_sent_a_lot_is_read_no_more(bench: Bench) -> None:
    poll = subscribed(bench, "xhr")
    poll = Receiver(bench, "xhr", peer=poll.peer)
    for _ in range(70):
        if poll.peer.transport.reading:
            poll.peer.send(b"x" * 1024)
    assert not poll.peer.transport.reading


def test_sessions_that_are_abandoned_are_bounded() -> None:
    bench = Bench()
    bench.xhr.sessions._app_capacity = 10
    for number in range(50):
        Receiver(bench, "xhr", session=f"{number}/abcdefgh").peer.lose()
        bench.loop.advance()
    assert len(bench.xhr.sessions) == bench.node.connections() == 10
    assert bench.xhr.ended.values == {("evicted",): 40}


def test_what_a_session_takes_does_not_depend_on_how_long_its_first_request_was(bench: Bench) -> None:
    long = "x" * 4_000

    def leave(number: int) -> None:
        lines = (f"Origin: https://{long}{number}", f"User-Agent: {long}{number}")
        Receiver(bench, "xhr", *lines, session=f"{number}/abcdefgh", query=f"{QUERY}&more={long}{number}").peer.lose()
        bench.loop.advance()

    leave(999)
    with scales() as weight:
        for number in range(100):
            leave(number)
        assert len(bench.xhr.sessions) == 101
        assert weight() < 100 * len(long)


def test_long_parameters_tell_clients_apart_too(bench: Bench) -> None:
    long = "x" * 200
    stream = Receiver(bench, "xhr_streaming", f"Origin: https://{long}", query=f"{QUERY}&more={long}")
    stream.lines()
    for lines, query in (
        ((f"Origin: https://{long}y",), f"{QUERY}&more={long}"),
        ((f"Origin: https://{long}",), f"{QUERY}&more={long}y"),
        ((f"Origin: https://{long}", "User-Agent: other"), f"{QUERY}&more={long}"),
    ):
        assert Receiver(bench, "xhr_streaming", *lines, query=query).closing()[0] == 4200
    assert send(bench, [], f"Origin: https://{long}y")[0] == 403
    assert send(bench, [], f"Origin: https://{long}")[0] == 204


@KINDS
def test_of_a_session_that_was_evicted_nothing_is_left_even_before_the_collector_runs(kind: str) -> None:
    app = dataclasses.replace(APP)
    bench = Bench(app)
    bench.xhr.sessions._app_capacity = 10
    gc.disable()
    try:
        for number in range(50):
            Receiver(bench, kind, session=f"{number}/abcdefgh").peer.lose()
            bench.loop.advance()
        assert sum(isinstance(each, XhrClient) and each.session.app is app for each in gc.get_objects()) == 10
    finally:
        gc.enable()


def test_the_wheel_takes_all_of_them_at_the_end(bench: Bench) -> None:
    receivers = [subscribed(bench, "xhr_streaming"), Receiver(bench, "xhr", session="7/abcdefgh")]
    bench.wheel.abort_all()
    assert bench.node.connections() == 0
    assert receivers[0].peer.transport.aborted
    assert len(bench.xhr.sessions) == 0


def test_limits_have_the_defaults_of_the_documentation() -> None:
    assert (XhrLimits().session_timeout, XhrLimits().poll_timeout) == (15.0, 25.0)
