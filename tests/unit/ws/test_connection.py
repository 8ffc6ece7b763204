import asyncio
import dataclasses
import json
import logging
from collections.abc import Callable

import pytest

from sockudo_py.hub import CROWDING, PACED
from sockudo_py.protocol.session import Session, Settings
from sockudo_py.ws.connection import WebSocketConnection, discard
from tests.support.client import channel_auth, eventually
from tests.support.edge_bench import (
    APP,
    BINARY,
    CLOSE,
    CONT,
    KEY,
    PING,
    PONG,
    TEXT,
    Bench,
    Peer,
    frame,
    message,
    subscribe,
    upgrade,
)
from tests.support.server import TestApp

PINGED = message("pusher:ping", data={})
HELLO = b"\x03\xe8bye"


@pytest.fixture
def bench() -> Bench:
    return Bench(max_message_bytes=1000)


@pytest.fixture
def peer(bench: Bench) -> Peer:
    return bench.websocket()


def events(peer: Peer) -> list[str]:
    return [message["event"] for message in peer.messages()]


# -- reading --


def test_a_text_message_is_answered(peer: Peer) -> None:
    peer.send(PINGED)
    assert events(peer) == ["pusher:pong"]


def subscribe_private(peer: Peer, channel: str) -> None:
    """Subscribe, and throw the answer away."""
    auth = channel_auth(TestApp(), peer.socket_id, channel)
    peer.send(message("pusher:subscribe", data={"channel": channel, "auth": auth}))
    assert events(peer) == ["pusher_internal:subscription_succeeded"]


@pytest.mark.parametrize("beside", [b"", frame(PONG, b"")], ids=["alone", "with another frame"])
def test_others_get_a_client_event_whether_or_not_it_came_alone(bench: Bench, beside: bytes) -> None:
    sender, reader = bench.websocket(), bench.websocket()
    for peer in (sender, reader):
        subscribe_private(peer, "private-a")
    sender.send(message("client-a", channel="private-a", data={"x": 1}) + beside)
    bench.loop.advance()
    assert reader.messages() == [{"event": "client-a", "channel": "private-a", "data": '{"x":1}'}]
    assert sender.messages() == []
    assert bench.metrics.apps["3"].client_events == 1


def test_every_split_of_a_handshake_and_two_messages_gives_the_same(bench: Bench) -> None:
    """The stream arrives whole, in two pieces at every position, and byte by byte."""
    stream = upgrade() + subscribe("x") + PINGED
    for at in range(len(stream)):
        peer = bench.dial()
        if at:
            peer.send(stream[:at])
        peer.send(stream[at:])
        assert peer.accepted()
        assert events(peer) == [
            "pusher:connection_established",
            "pusher_internal:subscription_succeeded",
            "pusher:pong",
        ], at
        peer.lose()
    peer = bench.dial()
    for byte in stream:
        peer.send(bytes([byte]))
    assert peer.accepted()
    assert len(peer.messages()) == 3


def test_a_handshake_alone_leaves_as_one_write_with_the_greeting(bench: Bench) -> None:
    peer = bench.dial()
    peer.send(upgrade())
    assert peer.transport.writes == 1


def test_the_answers_to_messages_that_came_together_leave_as_one_write(peer: Peer) -> None:
    before = peer.transport.writes
    peer.send(subscribe("a") + subscribe("b") + PINGED)
    assert len(peer.messages()) == 3
    assert peer.transport.writes == before + 1


def test_a_message_may_come_in_fragments_with_control_frames_between(peer: Peer) -> None:
    text = json.dumps({"event": "pusher:ping", "data": {}, "é": "ü"}, ensure_ascii=False).encode()
    for at in range(len(text) + 1):
        parts = (
            frame(TEXT, text[:at], fin=False) + frame(PING, "p") + frame(CONT, b"", fin=False) + frame(CONT, text[at:])
        )
        peer.send(parts)
        assert [(opcode, len(payload)) for opcode, payload in peer.frames()] == [(PONG, 1), (TEXT, 35)]


def test_pings_are_answered_in_their_place_among_messages(peer: Peer) -> None:
    peer.send(frame(PING, "1") + PINGED + frame(PING, "2") + frame(PING, "3") + PINGED + PINGED + frame(PING, "4"))
    ours = [payload if opcode == PONG else b"" for opcode, payload in peer.frames()]
    assert ours == [b"1", b"", b"2", b"3", b"", b"", b"4"]


def test_a_ping_frame_gets_its_payload_back(peer: Peer) -> None:
    peer.send(frame(PING, b"payload \xff"))
    assert peer.frames() == [(PONG, b"payload \xff")]


def test_a_binary_message_is_refused_and_the_connection_stays(peer: Peer) -> None:
    peer.send(frame(BINARY, b"\x00\xff"))
    (error,) = peer.messages()
    assert (error["event"], error["data"]["code"]) == ("pusher:error", None)
    peer.send(frame(BINARY, b"\x00", fin=False) + frame(CONT, b"\xff"))
    assert events(peer) == ["pusher:error"]
    assert not peer.transport.closed


def test_what_comes_in_is_counted(bench: Bench, peer: Peer) -> None:
    counters = bench.metrics.app(APP.id)
    counters.received_bytes = 0
    data = PINGED + frame(PING, "") + frame(TEXT, "{}", fin=False) + frame(CONT, " ")
    peer.send(data)
    assert (counters.messages_received, counters.received_bytes) == (2, len(data))


def test_a_reader_is_lent_only_while_a_message_is_incomplete(bench: Bench) -> None:
    peers = [bench.websocket() for _ in range(5)]
    readers = bench.connections.readers
    for peer in peers:
        peer.send(PINGED)  # whole and plain: read without one
    assert readers._waiting == []
    for peer in peers:
        peer.send(PINGED[:7])
        peer.send(PINGED[7:])  # plain as well, once it is whole
    assert readers._waiting == []
    for peer in peers:
        assert events(peer) == ["pusher:pong", "pusher:pong"]
        peer.send(frame(TEXT, b'{"event":"pusher:ping"', fin=False) + frame(CONT, b"", fin=False))
    assert readers._waiting == []
    for peer in peers:
        peer.send(frame(CONT, b"}"))
        assert events(peer) == ["pusher:pong"]
    assert len(readers._waiting) == 5


def test_messages_of_two_clients_that_come_in_turns_of_pieces_do_not_mix(bench: Bench) -> None:
    one, two = bench.websocket(), bench.websocket()
    first, second = subscribe("channel-one"), frame(TEXT, b'{"event":', fin=False) + frame(CONT, b'"pusher:ping"}')
    for at in range(max(len(first), len(second))):
        for peer, data in ((one, first), (two, second)):
            if data[at : at + 1]:
                peer.send(data[at : at + 1])
    assert [message.get("channel") for message in one.messages()] == ["channel-one"]
    assert events(two) == ["pusher:pong"]


async def test_a_flood_of_tiny_frames_is_worked_on_in_turns(bench: Bench) -> None:
    """20,000 frames in one read: the loop gets its turn between some hundreds, and nothing is lost."""
    peer, other = bench.websocket(), bench.websocket()
    number = 20_000
    peer.send(frame(PING, "") * number)
    assert len(peer.frames()) < 500
    assert not peer.transport.reading
    other.send(PINGED)
    assert events(other) == ["pusher:pong"]
    pongs = len(peer.frames())
    await eventually(lambda: peer.transport.reading, "all is worked on")
    pongs = len(peer.frames()) + pongs
    assert number - 500 <= pongs <= number
    peer.send(PINGED)
    assert events(peer) == ["pusher:pong"]


async def test_what_arrives_in_spite_of_the_pause_is_kept_in_order(bench: Bench) -> None:
    peer = bench.websocket()
    peer.send(PINGED * 500)
    peer.transport.protocol.data_received(subscribe("last"))
    await eventually(lambda: peer.transport.reading, "all is worked on")
    messages = peer.messages()
    assert [message["event"] for message in messages] == ["pusher:pong"] * 500 + [
        "pusher_internal:subscription_succeeded"
    ]


def test_a_message_in_endless_empty_fragments_costs_no_memory(bench: Bench, peer: Peer) -> None:
    peer.send(frame(TEXT, "{", fin=False))
    connection = peer.transport.protocol
    for _ in range(2000):
        peer.send(frame(CONT, "", fin=False))
    assert bytes(connection._reader._fragments) == b"{"  # type: ignore[attr-defined]
    assert not peer.transport.closed


# -- pausing --


def paced_bench() -> Bench:
    return Bench(dataclasses.replace(APP, subscribes_per_second=200, subscribe_burst=10))


def confirmed(peer: Peer) -> list[str]:
    return [one["channel"] for one in peer.messages() if one["event"] == "pusher_internal:subscription_succeeded"]


def through_the_library(data: bytes) -> bytes:
    """Return what makes a connection read the rest of a segment with the library's reader."""
    return frame(PONG, "") + data


@pytest.mark.parametrize("shape", [bytes, through_the_library], ids=["plain frames", "through the library"])
async def test_who_subscribes_too_fast_is_not_read_for_a_moment_and_gets_everything_in_order(
    shape: Callable[[bytes], bytes],
) -> None:
    bench = paced_bench()
    peer = bench.websocket()
    names = [f"c{number}" for number in range(200)]
    peer.send(shape(b"".join(map(subscribe, names)) + PINGED))
    first = confirmed(peer)
    assert first == names[: len(first)]
    assert 10 < len(first) < 60
    assert not peer.transport.reading
    taken = list(first)
    for _ in range(20):
        bench.loop.advance(0.1)
        await asyncio.sleep(0)
        taken += [one.get("channel", one["event"]) for one in peer.messages()]
    assert taken == [*names, "pusher:pong"]
    assert peer.transport.reading


async def test_a_paused_client_takes_200_a_second_in_the_long_run() -> None:
    bench = paced_bench()
    peer = bench.websocket()
    peer.send(b"".join(subscribe(f"c{number}") for number in range(1000)))
    bench.loop.advance(2.0)
    assert 380 <= len(confirmed(peer)) <= 420


async def test_half_a_message_that_came_before_a_hold_is_whole_after_it(bench: Bench) -> None:
    peer = bench.websocket()
    connection = peer.transport.protocol
    assert isinstance(connection, WebSocketConnection)
    peer.send(PINGED[:9])
    connection.hold(CROWDING)
    connection.data_received(PINGED[9:])
    assert peer.messages() == []
    connection.release(CROWDING)
    assert events(peer) == ["pusher:pong"]


def test_two_reasons_have_to_be_released_both(bench: Bench, peer: Peer) -> None:
    connection = peer.transport.protocol
    assert isinstance(connection, WebSocketConnection)
    connection.hold(CROWDING)
    connection.hold(PACED)
    connection.data_received(PINGED)
    connection.release(CROWDING)
    connection.release(CROWDING)
    assert peer.messages() == []
    connection.release(PACED)
    assert events(peer) == ["pusher:pong"]
    assert peer.transport.reading


def test_a_client_that_is_not_read_is_not_taken_for_dead(bench: Bench, peer: Peer) -> None:
    connection = peer.transport.protocol
    assert isinstance(connection, WebSocketConnection)
    connection.hold(CROWDING)
    bench.loop.advance(1000.0)
    assert not peer.transport.closed
    peer.frames()
    connection.release(CROWDING)
    bench.loop.advance(1000.0)
    assert peer.transport.closed


@pytest.mark.parametrize("before", [b"", frame(PING, "")], ids=["plain", "with pings"])
def test_who_subscribes_too_fast_is_paced_in_whatever_frames_it_asks(before: bytes) -> None:
    bench = Bench(dataclasses.replace(APP, subscribes_per_second=10, subscribe_burst=10))
    peer = bench.websocket()
    peer.send(b"".join(before + subscribe(f"channel-{number}") for number in range(400)))
    began = bench.loop.pending
    bench.loop.advance(10.0)
    assert bench.loop.pending <= began  # there is one timer, not one for each pause
    asked = sum(opcode == TEXT for opcode, _ in peer.frames())
    assert 90 <= asked <= 145  # 10 at once, 10 a second, and what was read together last


async def test_a_held_client_that_is_closed_gets_to_finish_the_closing_handshake(bench: Bench) -> None:
    peer = bench.websocket()
    connection = peer.transport.protocol
    assert isinstance(connection, WebSocketConnection)
    connection.hold(CROWDING)
    connection.data_received(PINGED)
    connection.close(4009, "enough")
    assert peer.closing() == (4009, "enough")
    await eventually(lambda: peer.transport.reading, "what came is thrown away")
    peer.send(frame(CLOSE, HELLO))
    assert peer.transport.closed
    assert peer.frames() == []
    connection.release(CROWDING)


def test_a_held_client_that_is_lost_is_forgotten(bench: Bench, peer: Peer) -> None:
    connection = peer.transport.protocol
    assert isinstance(connection, WebSocketConnection)
    connection.hold(CROWDING)
    connection.data_received(PINGED)
    peer.lose()
    connection.release(CROWDING)
    assert bench.node.connections() == 0
    assert peer.frames() == []


async def test_slow_subscribing_is_told_in_one_line_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    bench = paced_bench()
    peers = [bench.websocket() for _ in range(3)]
    with caplog.at_level(logging.WARNING):
        for peer in peers:
            peer.send(b"".join(subscribe(f"c{number}") for number in range(100)))
    (record,) = caplog.records
    assert record.__dict__["socket_id"] == peers[0].socket_id
    assert record.__dict__["app_id"] == APP.id
    assert bench.metrics.app(APP.id).reads_paused == 3


# -- what fails a connection --

FAILURES: dict[str, tuple[bytes, int]] = {
    "an unmasked frame": (frame(TEXT, "{}", masked=False), 1002),
    "a reserved bit": (frame(TEXT, "{}", rsv=4), 1002),
    "an unknown opcode": (frame(3, "{}"), 1002),
    "a continuation of nothing": (frame(CONT, "{}"), 1002),
    "a message within a message": (frame(TEXT, "{", fin=False) + frame(TEXT, "}"), 1002),
    "a fragmented ping": (frame(PING, "", fin=False), 1002),
    "a ping of 126 bytes": (frame(PING, "x" * 126), 1002),
    "a close code of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a reserved close code": (frame(CLOSE, b"\x03\xed"), 1002),
    "a length in more bytes than it takes": (frame(TEXT, "{}", length_bytes=2), 1002),
    "a length in many more bytes than it takes": (frame(TEXT, "{}", length_bytes=8), 1002),
    "a message that is too long": (frame(TEXT, "x" * 1001), 1009),
    "fragments that are too long": (frame(TEXT, "x" * 600, fin=False) + frame(CONT, "x" * 401), 1009),
    "the announcement of 1 MB": (bytes([0x81, 0xFF]) + (1 << 20).to_bytes(8, "big"), 1009),
    "the announcement of 2^63": (bytes([0x81, 0xFF]) + b"\xff" * 8, 1009),
    "text that is not UTF-8": (frame(TEXT, b'{"event":"\xff"}'), 1007),
    "text that ends within a character": (frame(TEXT, "é".encode()[:1]), 1007),
    "fragments that are not UTF-8 together": (frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"\x28"), 1007),
    "a close reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize(("data", "code"), FAILURES.values(), ids=FAILURES)
def test_a_breach_of_the_framing_closes_with_its_code(bench: Bench, peer: Peer, data: bytes, code: int) -> None:
    other = bench.websocket()
    peer.send(data)
    assert peer.closing()[0] == code
    assert peer.transport.eof  # half closed: a client that is still sending gets to read the close frame
    assert bench.metrics.app(APP.id).connection_errors == 1
    told = [(one.reason, one.error) for one in bench.tap.recorder.refusals(APP.id)]
    assert told == ([("1009", "Message too big")] if code == 1009 else [])  # for the dashboard
    peer.send(b"whatever" * 1000)
    assert peer.frames() == []
    other.send(PINGED)
    assert events(other) == ["pusher:pong"]
    peer.lose()
    assert bench.node.connections(APP.id) == 1


def test_what_came_before_a_breach_is_answered_and_what_came_after_is_not(peer: Peer) -> None:
    peer.send(subscribe("x") + frame(TEXT, b"\xff") + subscribe("y"))
    opcodes = [opcode for opcode, _ in peer.frames()]
    assert opcodes == [TEXT, CLOSE]


def test_who_does_not_go_after_a_breach_is_dropped(bench: Bench, peer: Peer) -> None:
    peer.send(frame(TEXT, "{}", masked=False))
    bench.loop.advance(2.9)
    assert not peer.transport.aborted
    bench.loop.advance(0.5)
    assert peer.transport.aborted


def test_over_tls_there_is_no_half_close(bench: Bench) -> None:
    peer = bench.dial(secure=True)
    peer.send(upgrade())
    peer.send(frame(TEXT, "{}", masked=False))
    assert not peer.transport.eof
    bench.loop.advance(4)
    assert peer.transport.aborted


def test_a_broken_reader_is_not_lent_again(bench: Bench, peer: Peer) -> None:
    peer.send(frame(TEXT, "{}", masked=False))
    other = bench.websocket()
    other.send(PINGED)
    assert events(other) == ["pusher:pong"]


# -- closing --


def test_a_client_that_closes_gets_its_close_frame_back(bench: Bench, peer: Peer) -> None:
    peer.send(frame(CLOSE, HELLO))
    assert peer.frames() == [(CLOSE, HELLO)]
    assert peer.transport.closed
    assert not peer.transport.aborted
    peer.lose()
    assert bench.node.connections(APP.id) == 0


def test_a_client_may_close_within_a_message(peer: Peer) -> None:
    peer.send(frame(TEXT, "{", fin=False) + frame(CLOSE, HELLO) + frame(CONT, "}"))
    assert peer.frames() == [(CLOSE, HELLO)]
    assert peer.transport.closed


def test_a_close_frame_without_code_is_returned_without_code(peer: Peer) -> None:
    peer.send(frame(CLOSE, b""))
    assert peer.frames() == [(CLOSE, b"")]


def test_what_came_before_the_close_is_answered_before_it(peer: Peer) -> None:
    peer.send(PINGED + frame(CLOSE, HELLO) + PINGED)
    assert [opcode for opcode, _ in peer.frames()] == [TEXT, CLOSE]


def test_the_server_closes_with_what_is_pending_then_the_close_frame(bench: Bench, peer: Peer) -> None:
    connection = peer.transport.protocol
    connection.write(b"\x81\x02{}")  # type: ignore[attr-defined]
    connection.close(4200, "reconnect")  # type: ignore[attr-defined]
    connection.write(b"\x81\x02[]")  # type: ignore[attr-defined]
    connection.close(4000, "again")  # type: ignore[attr-defined]
    assert peer.frames() == [(TEXT, b"{}"), (CLOSE, (4200).to_bytes(2, "big") + b"reconnect")]
    assert not peer.transport.closed


def test_the_connection_ends_when_the_client_answers_the_close(bench: Bench, peer: Peer) -> None:
    peer.transport.protocol.close(4200, "reconnect")  # type: ignore[attr-defined]
    peer.frames()
    peer.send(PINGED + frame(PING, "") + frame(TEXT, b"{", fin=False))  # sent before it knew; no longer answered
    assert peer.frames() == []
    assert not peer.transport.closed
    peer.send(frame(CONT, b"}") + frame(CLOSE, b"\x10\x68"))
    assert peer.frames() == []
    assert peer.transport.closed


def test_a_client_that_does_not_answer_the_close_is_dropped_after_some_seconds(bench: Bench, peer: Peer) -> None:
    peer.transport.protocol.close(4200, "reconnect")  # type: ignore[attr-defined]
    bench.loop.advance(2.9)
    assert not peer.transport.aborted
    bench.loop.advance(0.5)
    assert peer.transport.aborted


def test_a_reader_with_half_a_message_of_a_closing_client_is_not_lent_again(bench: Bench, peer: Peer) -> None:
    peer.transport.protocol.close(4200, "reconnect")  # type: ignore[attr-defined]
    peer.send(frame(TEXT, b"{", fin=False))
    other = bench.websocket()
    other.send(PINGED)
    assert events(other) == ["pusher:pong"]


def test_the_node_is_told_once_of_the_end(bench: Bench, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(bench.node, "disconnect", calls.append)
    connection = peer.transport.protocol
    peer.lose()
    connection.connection_lost(None)
    assert calls == [connection]
    assert bench.connections.open.count == 0


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_a_lost_connection_leaves_nothing_behind(bench: Bench, error: Exception | None) -> None:
    peer = bench.websocket()
    connection = peer.transport.protocol
    peer.send(subscribe("x"))
    peer.send(PINGED[:5])
    peer.lose(error)
    assert bench.node.connections() == 0
    assert bench.metrics.app(APP.id).channels == 0
    assert len(bench.wheel) == 1  # the room where clients wait before their handshake
    assert connection.write is discard  # type: ignore[attr-defined]
    connection.write(b"late")  # type: ignore[attr-defined]
    connection.close(4200, "late")  # type: ignore[attr-defined]
    connection.abort()  # type: ignore[attr-defined]


# -- clients that don't read --


def test_a_client_that_does_not_read_is_closed_and_counted(bench: Bench, peer: Peer) -> None:
    other = bench.websocket()
    for each in (peer, other):
        each.send(subscribe("x"))
        each.frames()
    peer.transport.stuck = True
    for _ in range(20):
        bench.node.publish(APP, ["x"], "e", "x" * 10_000)
        bench.loop.advance()
    assert bench.metrics.app(APP.id).slow_consumers_closed == 1
    assert peer.transport.unsent < 65_536 + 11_000  # the bound, and the message that went over it
    code, reason = peer.closing()
    assert code == 4100
    assert [(one.reason, one.error) for one in bench.tap.recorder.refusals(APP.id)] == [("4100", reason)]
    assert "not read fast enough" in reason
    assert len(other.messages()) == 20
    bench.loop.advance(1.3)
    assert peer.transport.aborted
    peer.lose()
    assert bench.node.connections(APP.id) == 1


def test_the_error_precedes_the_close_of_a_slow_client(bench: Bench, peer: Peer) -> None:
    peer.transport.stuck = True
    peer.transport.protocol.write(b"\x81\x7f" + (70_000).to_bytes(8, "big") + b"x" * 70_000)  # type: ignore[attr-defined]
    _, (opcode, error), (last, _) = peer.frames()
    assert (opcode, last) == (TEXT, CLOSE)
    assert json.loads(error)["data"]["code"] == 4100


def test_a_flood_of_pings_without_reading_the_pongs_ends_as_a_slow_client(bench: Bench, peer: Peer) -> None:
    peer.transport.stuck = True
    for _ in range(20_000):
        peer.send(frame(PING, "x" * 100))
        if peer.transport.protocol.write is discard:  # type: ignore[attr-defined]
            break
    assert bench.metrics.app(APP.id).slow_consumers_closed == 1


def test_a_slow_client_that_reads_again_finds_the_close_frame_and_may_finish_the_handshake(peer: Peer) -> None:
    peer.transport.stuck = True
    peer.transport.protocol.write(b"\x81\x7f" + (70_000).to_bytes(8, "big") + b"x" * 70_000)  # type: ignore[attr-defined]
    peer.transport.unstick()
    peer.send(frame(CLOSE, b"\x10\x04"))
    assert peer.transport.closed
    assert not peer.transport.aborted


# -- liveness --


def test_a_silent_client_is_pinged_in_both_ways_and_then_closed_each_in_one_write() -> None:
    bench = Bench(settings=Settings(ping_interval=10, pong_timeout=5))
    peer = bench.websocket()
    before = peer.transport.writes
    bench.loop.advance(9.9)
    assert peer.frames() == []
    bench.loop.advance(0.4)
    assert peer.frames() == [(PING, b""), (TEXT, b'{"event":"pusher:ping","data":"{}"}')]
    assert peer.transport.writes == before + 1
    bench.loop.advance(4.5)
    assert peer.frames() == []
    bench.loop.advance(1)
    assert peer.closing() == (4201, "Pong reply not received")
    assert peer.transport.writes == before + 2
    bench.loop.advance(4)
    assert peer.transport.aborted


@pytest.mark.parametrize("sign", [PINGED, message("pusher:pong", data={}), frame(PONG, ""), frame(PING, "")])
def test_any_sign_of_life_keeps_a_client(sign: bytes) -> None:
    bench = Bench(settings=Settings(ping_interval=10, pong_timeout=5))
    peer = bench.websocket()
    for _ in range(12):
        bench.loop.advance(9)
        peer.send(sign)
    assert not any(opcode == CLOSE for opcode, _ in peer.frames())
    bench.loop.advance(16)
    assert peer.closing()[0] == 4201


def test_a_client_that_pings_with_control_frames_is_pinged_with_them() -> None:
    bench = Bench(settings=Settings(ping_interval=10, pong_timeout=5))
    peer = bench.websocket()
    peer.send(frame(PING, ""))
    peer.frames()
    bench.loop.advance(10.5)
    assert peer.frames() == [(PING, b"")]


def test_an_idle_connection_costs_one_timer_of_the_loop_like_a_thousand(bench: Bench) -> None:
    for _ in range(1000):
        bench.websocket()
    assert bench.loop.pending == 1
    assert len(bench.wheel) == 1000 + 1  # and the room where they waited before their handshake


# -- faults of our own --


def test_an_unexpected_error_closes_that_connection_only(
    bench: Bench, peer: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = bench.websocket()

    def broken(self: Session, text: str, now: float) -> list[object]:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(Session, "receive", broken)
        peer.send(PINGED + PINGED)
    assert peer.closing() == (1011, "Internal error")
    assert peer.socket_id in caplog.text
    assert bench.metrics.app(APP.id).connection_errors == 1
    other.send(PINGED)
    assert events(other) == ["pusher:pong"]
    peer.send(frame(CLOSE, b"\x03\xf3"))
    peer.lose()
    assert bench.node.connections(APP.id) == 1


def test_an_unexpected_error_in_a_check_closes_that_connection_only(
    bench: Bench, peer: Peer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Session, now: float) -> tuple[list[object], float | None]:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "check", broken)
        bench.loop.advance(200)
    assert (CLOSE, b"\x03\xf3Internal error") in peer.frames()
    assert peer.transport.aborted


def test_an_unexpected_error_at_the_opening_is_told_in_band(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Session) -> list[object]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Session, "open", broken)
    peer = bench.dial()
    peer.send(upgrade(f"/app/{KEY}"))
    assert peer.accepted()
    assert peer.closing()[0] == 1011
