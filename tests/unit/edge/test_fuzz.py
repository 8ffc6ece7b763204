"""Whatever bytes come, in whatever pieces: an answer or an orderly end, and never an error of our own."""

import itertools
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockudo_py.edge.context import FrontLimits
from tests.support.edge_bench import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Bench,
    Peer,
    frame,
    message,
    post,
    subscribe,
    upgrade,
)

BENCH = Bench(limits=FrontLimits(max_head_bytes=2000, max_body_bytes=2000), max_message_bytes=500)
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

REQUESTS = st.sampled_from(
    [
        post(b"{}"),
        post(b""),
        upgrade(),
        upgrade("/app/"),
        b"GET /up HTTP/1.1\r\n\r\n",
        b"\r\n",
        b"POST /apps/3/events HTTP/1.1\r\nContent-Length: 7\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    ]
)
FRAMES = st.builds(
    frame,
    st.sampled_from([TEXT, BINARY, CONT, CLOSE, PING, PONG, 3, 11]),
    st.one_of(st.binary(max_size=140), st.sampled_from([b'{"event":"pusher:ping"}', b"x" * 501, b"\x03\xe8"])),
    fin=st.booleans(),
    masked=st.sampled_from([True, True, True, False]),
    rsv=st.sampled_from([0, 0, 0, 0, 4]),
)


def mutated(stream: bytes, at: int, byte: int) -> bytes:
    """Return ``stream`` with one byte replaced."""
    at %= max(1, len(stream))
    return stream[:at] + bytes([byte]) + stream[at + 1 :]


def deliver(peer: Peer, stream: bytes, cuts: list[int]) -> None:
    """Send the stream in pieces, until the server reads no more."""
    bounds = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(bounds):
        if peer.transport.closed or not peer.transport.reading:
            break
        peer.transport.protocol.data_received(stream[start:end])


@RELAXED
@given(
    st.lists(st.one_of(REQUESTS, st.binary(max_size=50)), max_size=6),
    st.lists(st.integers(0, 5000), max_size=5),
    st.integers(0, 5000),
    st.integers(0, 255),
)
def test_any_requests_in_any_pieces(
    caplog: pytest.LogCaptureFixture, parts: list[bytes], cuts: list[int], at: int, byte: int
) -> None:
    with caplog.at_level(logging.ERROR):
        caplog.clear()
        for stream in (b"".join(parts), mutated(b"".join(parts), at, byte)):
            peer = BENCH.dial()
            deliver(peer, stream, cuts)
            peer.lose()
        assert caplog.records == []
    assert BENCH.connections.open.count == 0
    assert BENCH.node.connections() == 0


@RELAXED
@given(
    st.lists(FRAMES, max_size=12), st.lists(st.integers(0, 5000), max_size=5), st.integers(0, 5000), st.integers(0, 255)
)
def test_any_frames_in_any_pieces(
    caplog: pytest.LogCaptureFixture, frames: list[bytes], cuts: list[int], at: int, byte: int
) -> None:
    with caplog.at_level(logging.ERROR):
        caplog.clear()
        for stream in (b"".join(frames), mutated(b"".join(frames), at, byte)):
            peer, other = BENCH.websocket(), BENCH.websocket()
            deliver(peer, stream, cuts)
            other.send(subscribe("x"))
            assert b"subscription_succeeded" in other.frames()[0][1]
            peer.lose()
            other.lose()
        assert caplog.records == []
    assert BENCH.node.connections() == 0


TALK = st.one_of(
    FRAMES,
    st.sampled_from(
        [
            message("pusher:ping"),
            subscribe("c"),
            frame(PING, ""),
            frame(PING, b"\xff" * 125),
            frame(PONG, "p"),
            frame(TEXT, b'{"event":', fin=False) + frame(PING, "within") + frame(CONT, b'"pusher:ping"}'),
            frame(TEXT, b"\xc3", fin=False) + frame(PING, "within a character") + frame(CONT, b"\xbc"),
            frame(TEXT, b"\xc3", fin=False) + frame(PING, "before a breach") + frame(CONT, b"x", fin=False),
            frame(TEXT, "{}", length_bytes=2),
            frame(BINARY, "", length_bytes=8),
            frame(PING, "x", length_bytes=2),
        ]
    ),
)


def answers_in_pieces(stream: bytes, cuts: list[int]) -> object:
    """Return all that is answered to the stream in these pieces, and how the connection ends."""
    peer = BENCH.websocket()
    deliver(peer, stream, cuts)
    frames, transport = peer.frames(), peer.transport
    assert CLOSE not in [opcode for opcode, _ in frames[:-1]], "the close frame is the last one"
    peer.lose()
    return frames, transport.closed, transport.eof


@RELAXED
@given(st.lists(TALK, max_size=12), st.lists(st.integers(0, 5000), max_size=8))
def test_the_pieces_make_no_difference_to_the_answers_nor_to_their_order(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frames)
    bytewise = answers_in_pieces(stream, list(range(len(stream))))
    assert answers_in_pieces(stream, []) == bytewise
    assert answers_in_pieces(stream, cuts) == bytewise


@settings(RELAXED, max_examples=15)
@given(st.lists(TALK, min_size=1, max_size=4))
def test_wherever_a_stream_is_cut_its_answers_and_their_order_are_the_same(frames: list[bytes]) -> None:
    stream = b"".join(frames)
    bytewise = answers_in_pieces(stream, list(range(len(stream))))
    for at in range(len(stream)):
        assert answers_in_pieces(stream, [at]) == bytewise, at
