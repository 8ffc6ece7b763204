"""A client of the HTTP transports gets each message once and in order, wherever its responses are cut."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.xhr import frames
from tests.support.edge_bench import APP, KEY, Bench, Peer
from tests.support.xhr import PusherJsSocket, Response

BUFFER = 400  # units, instead of 256 Ki: every message may be the last one of its response
SESSION = "123/abcdefgh"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=150)
STEPS = st.lists(st.one_of(TEXTS, st.integers(1, 300), st.none()), min_size=1, max_size=60)  # publish, deliver, a turn


def request(kind: str, body: bytes = b"", session: str = SESSION, key: str = KEY, *lines: str) -> bytes:
    head = [f"POST /pusher/app/{key}/{session}/{kind}?protocol=7&client=js&version=8.6.0&t=1&n=1 HTTP/1.1"]
    return "\r\n".join([*head, "Host: x", f"Content-Length: {len(body)}", *lines, "", ""]).encode() + body


class World:
    """A client on a bench whose bytes arrive when the test says so."""

    def __init__(self, streaming: bool) -> None:
        self.bench = Bench()
        self.kind = "xhr_streaming" if streaming else "xhr"
        self.streaming = streaming
        self.peer: Peer | None = None
        self.client = PusherJsSocket(self.ask, streaming=streaming, buffer=BUFFER)
        self.deliver_all()
        sender = self.bench.dial()
        subscribe = json.dumps({"event": "pusher:subscribe", "data": {"channel": "c"}})
        sender.send(request("xhr_send", json.dumps([subscribe]).encode()))
        assert sender.response()[0] == 204
        self.published: list[str] = []
        self.deliver_all()
        assert [message["event"] for message in self.client.messages] == [
            "pusher:connection_established",
            "pusher_internal:subscription_succeeded",
        ]
        self.client.messages.clear()

    def ask(self) -> None:
        before = self.peer
        if before is not None and (self.streaming or not self.client_read_all()):
            assert not before.transport.written  # else its kernel would end the connection by a reset
            before.transport.protocol.eof_received()
            before.lose()
            before = None
        self.peer = self.bench.dial() if before is None else before
        self.peer.send(request(self.kind))

    def end(self) -> None:
        """End the connection, after everything that came was read."""
        assert self.peer is not None
        self.peer.transport.protocol.eof_received()
        self.peer.lose()
        self.peer = None

    def client_read_all(self) -> bool:
        return self.peer is not None and not self.peer.transport.written and not self.peer.transport.closed

    def publish(self, text: str) -> None:
        self.published.append(text)
        self.bench.node.publish(APP, ["c"], "e", text)

    def deliver(self, count: int) -> None:
        assert self.peer is not None
        transport = self.peer.transport
        data, transport.written = transport.written[:count], transport.written[count:]
        if data:
            self.client.feed(data)

    def deliver_all(self) -> None:
        for _ in range(1000):
            self.bench.loop.advance()
            if self.peer is None or not self.peer.transport.written or self.client.closed:
                return
            self.deliver(7)

    def heard(self) -> list[str]:
        return [message["data"] for message in self.client.messages]


@pytest.fixture(autouse=True)
def small_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "RESPONSE_UNITS", BUFFER)


@pytest.mark.parametrize("streaming", [True, False])
@given(steps=STEPS)
def test_whatever_the_segments_nothing_is_lost_or_repeated(streaming: bool, steps: list[str | int | None]) -> None:
    frames.RESPONSE_UNITS = BUFFER  # type: ignore[misc]
    world = World(streaming)
    for step in steps:
        if isinstance(step, str):
            world.publish(step)
        elif step is None:
            world.bench.loop.advance(0.1)
        else:
            world.deliver(step)
    for _ in range(100):
        world.bench.loop.advance()
        world.deliver_all()
    assert world.client.closed is None
    assert world.heard() == world.published


PUBLISHED = ["one", "zwei ☃", "𝄞" * 90, '"quoted"\\', "x" * 300, "five", "six"]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("at_once", [2, 3])  # messages: with 3 the response is as long as pusher-js reads it
def test_a_response_cut_anywhere_and_resumed_loses_and_repeats_nothing_or_ends_the_session(
    clean: bool, begun: bool, at_once: int
) -> None:
    """``clean``: the client ends the connection itself, which its kernel tells only if it has read everything.
    ``begun``: the head of the response has been read before; else it may be cut, too.

    (A poll that broke off is never resumed: pusher-js takes it for the end of the connection.)
    """
    ended = resumed = 0
    for count in itertools.count():
        world = World(True)
        if not begun:
            world.end()
        for text in PUBLISHED[:at_once]:
            world.publish(text)
        if not begun:
            world.client.cut_off()
        world.bench.loop.advance()
        peer = world.peer
        assert peer is not None
        length = len(peer.transport.written)
        if count > length:
            break
        whole = count == length
        world.deliver(count)
        if world.peer is not peer:  # it has already asked for more
            break
        if clean and whole:
            world.end()
        else:
            peer.lose(ConnectionResetError())
        for text in PUBLISHED[at_once:]:
            world.publish(text)
        world.bench.loop.advance()
        world.peer = None
        world.client.cut_off()
        world.deliver_all()
        if world.client.closed is None:
            resumed += 1
            assert world.heard() == world.published
        else:
            ended += 1
            assert world.client.closed == (4200, "Please reconnect immediately")
            assert [text for text in world.heard() if text in PUBLISHED[at_once:]] == []
            heard = [message["data"] for message in world.client.messages if message["event"] == "e"]
            assert heard == world.published[: len(heard)]
    assert ended > 100, "each byte was tried"
    assert resumed or not clean or at_once == 3


def test_the_server_stops_exactly_where_pusher_js_stops_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "RESPONSE_UNITS", 256 * 1024)
    bench = Bench()
    peer = bench.dial()
    peer.send(request("xhr_streaming"))
    sender = bench.dial()
    subscribe = json.dumps({"event": "pusher:subscribe", "data": {"channel": "c"}})
    sender.send(request("xhr_send", json.dumps([subscribe]).encode()))
    for _ in range(300):
        bench.node.publish(APP, ["c"], "e", "é" * 1000)
        bench.loop.advance()
    response = Response()
    response.feed(peer.transport.written)
    text = response.text
    assert len(text) > 256 * 1024
    assert text.endswith("\n")
    assert len(text[: text.rindex("\n", 0, -1) + 1]) <= 256 * 1024
