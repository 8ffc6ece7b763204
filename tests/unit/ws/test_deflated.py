"""Connections with compression beside those without it, on a bench."""

import json
import zlib
from typing import Any

import pytest

from sockudo_py.ws import deflate
from tests.support.edge_bench import APP, TEXT, Bench, Peer, frame, message, server_frames, subscribe, upgrade

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
LEAST = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10"
ANSWER = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12\r\n"
LONG = json.dumps({"text": "so it goes, " * 40})


@pytest.fixture
def bench() -> Bench:
    return Bench(compress=True, max_message_bytes=2000)


def dialled(bench: Bench, *lines: str) -> Peer:
    """Return a client whose handshake has these lines; its greeting is read."""
    peer = bench.dial()
    peer.send(upgrade(f"/app/{APP.keys[0].key}?protocol=7", *lines))
    head, _, rest = peer.transport.take().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert (b"Sec-WebSocket-Extensions" in head) == any(line.startswith("Sec-WebSocket-Extensions") for line in lines)
    assert b"connection_established" in messages(rest)[0]
    return peer


def messages(data: bytes) -> list[bytes]:
    """Return the messages in frames of a server, inflated where they are compressed."""
    found = []
    while data:
        size = _size(data)
        ((opcode, payload),) = server_frames(data[:size])
        assert opcode == TEXT
        found.append(zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") if data[0] & 0x40 else payload)
        data = data[size:]
    return found


def _size(data: bytes) -> int:
    return 2 + data[1] if data[1] < 126 else 4 + int.from_bytes(data[2:4], "big")


def heard(peer: Peer) -> list[dict[str, Any]]:
    return [json.loads(each) for each in messages(peer.transport.take())]


def publish(bench: Bench, channel: str = "x", data: str = LONG) -> None:
    bench.node.publish(APP, [channel], "e", data)


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, int]]:
    """What was compressed, with which window."""
    done: list[tuple[bytes, int]] = []
    usual = deflate.deflated_frame

    def counted(payload: bytes, bits: int) -> bytes:
        done.append((payload, bits))
        return usual(payload, bits)

    monkeypatch.setattr(deflate, "deflated_frame", counted)
    return done


def test_the_handshake_says_what_was_agreed_on(bench: Bench) -> None:
    peer = bench.dial()
    peer.send(upgrade(f"/app/{APP.keys[0].key}?protocol=7", OFFER))
    head = peer.transport.take().partition(b"\r\n\r\n")[0] + b"\r\n"
    assert ANSWER in head


def test_a_server_without_compression_agrees_to_nothing() -> None:
    bench = Bench()
    peer = bench.dial()
    peer.send(upgrade(f"/app/{APP.keys[0].key}?protocol=7", OFFER))
    assert b"Extensions" not in peer.transport.written
    peer.transport.take()
    peer.send(frame(TEXT, b"x", rsv=4))
    assert peer.closing()[0] == 1002


def test_handshakes_that_are_known_agree_as_the_first_did(bench: Bench) -> None:
    for _ in range(2):
        for lines in ((OFFER,), (), (LEAST,)):
            dialled(bench, *lines)
    assert len(bench.handshakes) == 3


def test_a_refused_client_is_told_without_compression(bench: Bench) -> None:
    peer = bench.dial()
    peer.send(upgrade("/app/unknown?protocol=7", OFFER))
    assert b"Extensions" not in peer.transport.written
    assert b"4001" in peer.transport.written


def test_a_broadcast_is_compressed_once_for_each_window(bench: Bench, compressed: list[tuple[bytes, int]]) -> None:
    peers = [dialled(bench, *lines) for lines in ((OFFER,), (OFFER,), (LEAST,), (LEAST,), (), ())]
    for peer in peers:
        peer.send(subscribe("x"))
        peer.transport.take()
    compressed.clear()
    publish(bench)
    bench.loop.advance()
    written = [peer.transport.take() for peer in peers]
    assert [bits for _, bits in compressed] == [12, 9]
    assert [data[0] for data in written] == [0xC1] * 4 + [0x81] * 2
    assert written[0] is written[1] or written[0] == written[1]
    assert len(written[0]) < len(written[4]) / 4
    for data in written:
        assert [json.loads(each)["data"] for each in messages(data)] == [LONG]


def test_many_messages_are_joined_for_each_encoding(bench: Bench) -> None:
    peers = [dialled(bench, *lines) for lines in ((OFFER,), (LEAST,), ())]
    for peer in peers:
        peer.send(subscribe("x"))
        peer.transport.take()
        peer.transport.writes = 0
    for number in range(5):
        publish(bench, data=LONG + str(number))
    bench.loop.advance()
    assert [peer.transport.writes for peer in peers] == [1, 1, 1]
    assert [[one["data"] for one in heard(peer)] for peer in peers] == [[LONG + str(n) for n in range(5)]] * 3


def test_compressed_messages_are_worked_on_and_answered(bench: Bench) -> None:
    one, other = dialled(bench, OFFER), dialled(bench)
    ping = message("pusher:ping", data={"text": "x" * 500})
    one.send(deflated_message("pusher:subscribe", data={"channel": "x", "more": "y" * 1000}) + ping)
    assert [each["event"] for each in heard(one)] == ["pusher_internal:subscription_succeeded", "pusher:pong"]
    other.send(subscribe("x"))
    heard(other)
    publish(bench)
    bench.loop.advance()
    assert heard(one) == heard(other)


def deflated_message(event: str, **rest: Any) -> bytes:
    work = zlib.compressobj(wbits=-15)
    data = work.compress(json.dumps({"event": event, **rest}).encode()) + work.flush(zlib.Z_SYNC_FLUSH)
    return frame(TEXT, data[:-4], rsv=4)


def test_a_message_may_come_byte_by_byte(bench: Bench) -> None:
    peer = dialled(bench, OFFER)
    for byte in deflated_message("pusher:ping", data={}) + message("pusher:ping", data={}):
        peer.send(bytes([byte]))
    assert [each["event"] for each in heard(peer)] == ["pusher:pong", "pusher:pong"]


def test_a_bomb_closes_only_its_own_connection(bench: Bench) -> None:
    one, other = dialled(bench, OFFER), dialled(bench, OFFER)
    one.send(deflated_message("x", data="y" * 1_000_000))
    assert one.closing()[0] == 1009
    other.send(deflated_message("pusher:ping", data={}))
    assert [each["event"] for each in heard(other)] == ["pusher:pong"]


def test_readers_go_round_among_connections_and_hold_nothing_of_a_message_before(bench: Bench) -> None:
    one, other = dialled(bench, OFFER), dialled(bench, OFFER)
    half = deflated_message("pusher:ping", data={})
    one.send(half[:5])
    for _ in range(3):
        other.send(deflated_message("pusher:ping", data={}))
    one.send(half[5:])
    assert [each["event"] for each in heard(one)] == ["pusher:pong"]
    assert len(heard(other)) == 3
