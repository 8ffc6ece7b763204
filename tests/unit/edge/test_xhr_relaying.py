"""Requests of the HTTP transports that land on another node than the one with their session: two nodes, no sockets."""

import asyncio
import json
from collections.abc import Awaitable

import pytest

from sockudo_py.edge.xhr.send import SendLane
from sockudo_py.http.messages import ApiResponse, make_request
from sockudo_py.xhr import relaying
from tests.support.edge_bench import APP, KEY, Bench
from tests.support.relay import FakeRelay, Wire
from tests.unit.edge.test_xhr import SESSION, Receiver, publish, said

NAME = f"{APP.id}\0{SESSION}"
KINDS = pytest.mark.parametrize("kind", ["xhr_streaming", "xhr"])


class Two:
    """Two nodes and the wire between them."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.one = Bench(relay=FakeRelay(self.wire, "one"))
        self.two = Bench(relay=FakeRelay(self.wire, "two"))

    def settle(self) -> None:
        for _ in range(3):
            self.wire.deliver()
            for bench in (self.one, self.two):
                bench.loop.advance()

    def send(self, bench: Bench, body: bytes, origin: str | None = None) -> int:
        """Send a body to a node and return the status of the answer."""
        (lane,) = (lane for lane in bench.transports if isinstance(lane, SendLane))
        headers = {} if origin is None else {"origin": origin}
        path = f"/pusher/app/{KEY}/{SESSION}/xhr_send"
        answer = lane.answer(make_request("POST", path, "", headers, body, "", None))
        return answer.status if isinstance(answer, ApiResponse) else asyncio.run(self._answered(answer))

    async def _answered(self, answer: Awaitable[ApiResponse]) -> int:
        pending = asyncio.ensure_future(answer)
        while not pending.done():
            await asyncio.sleep(0)
            self.wire.deliver()
        return pending.result().status


@pytest.fixture
def nodes() -> Two:
    return Two()


def on_channel(nodes: Two, kind: str) -> Receiver:
    """Return a receive request at node two of a session at node one that is on channel ``c``."""
    first = Receiver(nodes.one, kind)
    first.lines()
    if kind == "xhr_streaming":
        first.peer.transport.protocol.eof_received()
        first.peer.lose()
    assert nodes.send(nodes.two, json.dumps([said("pusher:subscribe", channel="c")]).encode()) == 204
    receiver = Receiver(nodes.two, kind)
    nodes.settle()
    (succeeded,) = receiver.messages()
    assert succeeded["event"] == "pusher_internal:subscription_succeeded"
    if kind == "xhr":
        nodes.settle()
        receiver = Receiver(nodes.two, kind, peer=receiver.peer)
        nodes.settle()
    return receiver


@KINDS
def test_a_request_that_lands_elsewhere_is_passed_on(nodes: Two, kind: str) -> None:
    receiver = on_channel(nodes, kind)
    assert (nodes.one.node.connections(), nodes.two.node.connections()) == (1, 0)
    publish(nodes.one, "hello")
    nodes.settle()
    assert [message["data"] for message in receiver.messages()] == ["hello"]
    assert receiver.response.complete == (kind == "xhr")
    assert nodes.two.xhr.passed_on.values[("send",)] == 1
    assert nodes.two.xhr.passed_on.values[("receive",)] >= 1


@KINDS
def test_a_request_that_ended_elsewhere_leaves_the_session_to_the_next_one(nodes: Two, kind: str) -> None:
    receiver = on_channel(nodes, kind)
    receiver.peer.transport.protocol.eof_received()
    receiver.peer.lose()
    nodes.settle()
    assert nodes.one.xhr.sessions.waiting == 1
    publish(nodes.one, "kept")
    receiver = Receiver(nodes.two, kind)
    nodes.settle()
    if kind == "xhr":
        assert [message["data"] for message in receiver.messages()] == ["kept"]
    else:  # what was written there was read, since that end was no reset
        assert [message["data"] for message in receiver.messages()] == ["kept"]


def test_a_stream_that_broke_off_elsewhere_is_not_resumed(nodes: Two) -> None:
    receiver = on_channel(nodes, "xhr_streaming")
    publish(nodes.one, "in doubt")
    nodes.settle()
    receiver.peer.lose(ConnectionResetError())
    nodes.settle()
    receiver = Receiver(nodes.two, "xhr_streaming")
    nodes.settle()
    assert receiver.closing()[0] == 4200


def test_unread_answers_do_not_pile_up_elsewhere_either(nodes: Two) -> None:
    poll = on_channel(nodes, "xhr")
    poll.peer.transport.stuck = True
    publish(nodes.one, "x" * 9000)
    nodes.settle()
    assert poll.peer.transport.unsent
    again = Receiver(nodes.two, "xhr")
    assert poll.peer.transport.aborted
    nodes.settle()
    assert again.closing()[0] == 4200


def test_the_session_of_a_node_that_is_gone_is_opened_anew(nodes: Two) -> None:
    on_channel(nodes, "xhr")
    del nodes.wire.relays["one"]
    receiver = Receiver(nodes.two, "xhr")
    nodes.settle()
    assert receiver.lines()[0] == "o"
    assert nodes.two.node.connections() == 1
    assert nodes.wire.owners[NAME] == "two"


def test_so_is_one_that_its_node_has_forgotten(nodes: Two) -> None:
    Receiver(nodes.one, "xhr").lines()
    nodes.one.loop.advance(16)
    assert NAME not in nodes.wire.owners
    nodes.wire.owners[NAME] = "one"
    receiver = Receiver(nodes.two, "xhr")
    nodes.settle()
    assert receiver.lines()[0] == "o"


def test_while_the_relay_is_away_new_sessions_get_503_and_old_ones_go_on(nodes: Two) -> None:
    stream = Receiver(nodes.one, "xhr_streaming")
    stream.lines()
    nodes.wire.away = True
    assert nodes.send(nodes.one, json.dumps([said("pusher:subscribe", channel="c")]).encode()) == 204
    assert len(stream.messages()) == 1
    other = nodes.two.dial()
    other.send(b"POST /pusher/app/%b/9/abcdefgh/xhr HTTP/1.1\r\nHost: x\r\n\r\n" % KEY.encode())
    assert other.response()[0] == 503
    assert nodes.two.xhr.refused.values == {("503",): 1}
    assert nodes.send(nodes.two, b"[]") == 503
    assert nodes.two.node.connections() == 0


def test_a_node_that_closes_sends_polls_that_it_has_passed_on_elsewhere_and_their_sessions_live(nodes: Two) -> None:
    poll = on_channel(nodes, "xhr")
    nodes.two.context.begin_to_close()
    nodes.settle()
    assert poll.lines() == ["h"]
    assert poll.response.headers["connection"] == "close"
    publish(nodes.one, "kept")
    assert [message["data"] for message in Receiver(nodes.one, "xhr").messages()] == ["kept"]
    assert nodes.one.node.connections() == 1


def test_a_node_that_closes_tells_streams_that_it_has_passed_on_to_connect_anew(nodes: Two) -> None:
    stream = on_channel(nodes, "xhr_streaming")
    publish(nodes.one, "before")
    nodes.two.context.begin_to_close()
    nodes.settle()
    assert stream.closing()[0] == 4200
    assert nodes.one.node.connections() == 0


def test_a_poll_that_comes_while_its_node_closes_is_answered_at_once(nodes: Two) -> None:
    Receiver(nodes.one, "xhr").lines()
    nodes.two.context.begin_to_close()
    poll = Receiver(nodes.two, "xhr")
    nodes.settle()
    assert poll.lines() == ["h"]


@KINDS
def test_when_the_relay_was_cut_off_what_was_passed_on_is_given_up(nodes: Two, kind: str) -> None:
    receiver = on_channel(nodes, kind)
    publish(nodes.one, "may be lost")
    nodes.one.loop.advance()
    nodes.wire.waiting.clear()
    for relay in nodes.wire.relays.values():
        assert relay.listener is not None
        relay.listener.cut_off()
    assert receiver.peer.transport.aborted
    receiver = Receiver(nodes.two, kind)
    nodes.settle()
    assert receiver.closing()[0] == 4200


def test_a_node_that_says_nothing_is_not_waited_for_for_ever(nodes: Two) -> None:
    receiver = on_channel(nodes, "xhr_streaming")
    nodes.two.loop.advance(100)
    assert receiver.peer.transport.aborted


def test_a_node_that_does_not_take_a_request_to_send_is_not_waited_for_for_ever(
    nodes: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    Receiver(nodes.one, "xhr").lines()
    monkeypatch.setattr(relaying, "SEND_TIMEOUT", 0.01)
    monkeypatch.setattr(nodes.wire, "deliver", lambda: None)
    assert nodes.send(nodes.two, b"[]") == 503
    assert nodes.two.xhr.refused.values == {("503",): 1}


def test_another_origin_and_other_marks_are_refused_elsewhere_too(nodes: Two) -> None:
    Receiver(nodes.one, "xhr_streaming").lines()
    assert nodes.send(nodes.two, b"[]", "https://evil.example") == 403
    receiver = Receiver(nodes.two, "xhr_streaming", "User-Agent: another")
    nodes.settle()
    assert receiver.closing()[0] == 4200
    assert nodes.one.node.connections() == 1
    assert nodes.one.xhr.refused.values == {("4200",): 1}
    assert nodes.two.xhr.refused.values == {("403",): 1}


def test_a_session_that_nobody_has_can_not_be_sent_to(nodes: Two) -> None:
    assert nodes.send(nodes.two, b"[]") == 404


def test_a_refused_client_leaves_no_claim() -> None:
    wire = Wire()
    bench = Bench(relay=FakeRelay(wire, "one"), max_connections=0)
    assert Receiver(bench, "xhr").closing()[0] == 4100
    assert wire.owners == {}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\n",
        b"{}",
        b"[]",
        b"[1]",
        b'["receive"]',
        b'["receive","one",1,"3","123/abcdefgh",1,[]]',
        b'["receive","one",1,"3","123/abcdefgh",true,[[]]]',
        b'["send","one",1,"3","123/abcdefgh",null]\nno json',
        b'["gone","one",99,true]',
        b'["lines","one",99]\nx',
        b'["done","one",99,200,""]',
        b'["unknown","one",1]',
        b"\xff\xfe",
        b"[" * 5000,
    ],
)
def test_what_is_no_message_of_a_node_does_no_harm(
    nodes: Two, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Receiver(nodes.one, "xhr_streaming")
    stream.lines()
    listener = nodes.wire.relays["one"].listener
    assert listener is not None
    listener.message(payload)
    nodes.settle()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert nodes.one.node.connections() == 1
