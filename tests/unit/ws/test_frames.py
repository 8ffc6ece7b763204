"""Plain messages are read without the library, and exactly as the library reads them."""

from codecs import getincrementaldecoder

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import TEXT, Frame, Opcode
from websockets.protocol import OPEN

from sockudo_py.ws.frames import FrameReaders, begins_plain, only_message, plain_messages
from tests.support.edge_bench import BINARY, CLOSE, CONT, PING, PONG, frame

LIMIT = 70_000
MOST = 64


def beginnings(data: bytes) -> list[bytes]:
    return [data[:at] for at in range(1, min(len(data), 12))] + [data[:-1]]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535])
def test_whole_masked_text_frames_are_plain_messages(size: int) -> None:
    data = frame(TEXT, "x" * size) + frame(TEXT, "y") + b"after"
    assert plain_messages(data, 0, MOST, LIMIT) == (["x" * size, "y"], len(data) - 5)


def test_no_more_are_read_than_asked_for() -> None:
    data = frame(TEXT, "x") * 3
    assert plain_messages(data, 0, 2, LIMIT) == (["x", "x"], len(data) * 2 // 3)


OTHERS = [
    frame(TEXT, "hello", fin=False),
    frame(TEXT, "hello", masked=False),
    frame(TEXT, "hello", rsv=4),
    frame(TEXT, b"\xff\xfe"),
    frame(TEXT, "x" * (LIMIT + 1)),
    frame(TEXT, "x" * 65536),
    frame(BINARY, "hello"),
    frame(CONT, "hello"),
    frame(PING, ""),
    frame(CLOSE, ""),
]


@pytest.mark.parametrize("data", [b"", *OTHERS])
def test_everything_else_takes_a_reader(data: bytes) -> None:
    before = frame(TEXT, "before")
    assert plain_messages(b"!" + before + data, 1, MOST, LIMIT) == (["before"], 1 + len(before))
    assert not begins_plain(before + data, len(before), LIMIT)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535])
def test_the_beginning_of_a_plain_message_waits_for_its_rest(size: int) -> None:
    for data in beginnings(frame(TEXT, "x" * size)):
        assert plain_messages(data, 0, MOST, LIMIT) == ([], 0)
        assert begins_plain(b"before" + data, 6, LIMIT)


def test_a_message_over_the_limit_takes_a_reader_which_refuses_it_before_it_is_whole() -> None:
    data = frame(TEXT, "x" * 101)
    assert plain_messages(frame(TEXT, "x" * 100), 0, MOST, 100) == (["x" * 100], 106)
    assert plain_messages(data, 0, MOST, 100) == ([], 0)
    assert not any(begins_plain(data[:size], 0, 100) for size in range(2, len(data) + 1))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535])
def test_a_message_that_came_alone_is_read_in_one_step(size: int) -> None:
    assert only_message(frame(TEXT, "x" * size), LIMIT) == "x" * size


@pytest.mark.parametrize("data", [b"", *OTHERS, *beginnings(frame(TEXT, "x" * 126)), frame(TEXT, "x") * 2])
def test_nothing_else_is_a_message_that_came_alone(data: bytes) -> None:
    assert only_message(data, LIMIT) is None


@given(st.binary(max_size=200), st.integers(0, 130), st.booleans())
def test_whatever_comes_one_step_reads_what_many_would(noise: bytes, limit: int, framed: bool) -> None:
    data = frame(TEXT, noise) if framed else b"\x81" + noise
    texts, end = plain_messages(data, 0, MOST, limit)
    assert only_message(data, limit) == (texts[0] if len(texts) == 1 and end == len(data) else None)


@given(st.binary(max_size=200), st.booleans())
def test_whatever_comes_plain_messages_are_what_the_library_reads(noise: bytes, framed: bool) -> None:
    data = frame(TEXT, noise) if framed else b"\x81" + noise
    texts, end = plain_messages(data, 0, MOST, LIMIT)
    reader = FrameReaders(LIMIT).take()
    reader.receive_data(data[:end])
    read = reader.events_received()
    assert [event.opcode for event in read if isinstance(event, Frame) and event.fin] == [TEXT] * len(texts)
    assert [bytes(event.data) for event in read if isinstance(event, Frame)] == [text.encode() for text in texts]


@given(st.binary(max_size=200), st.integers(0, 130))
def test_what_waits_for_its_rest_is_nothing_that_the_library_would_tell_of(noise: bytes, limit: int) -> None:
    data = b"\x81" + noise
    if begins_plain(data, 0, limit):
        reader = FrameReaders(limit).take()
        reader.receive_data(data)
        assert reader.events_received() == []
        assert reader.data_to_send() == []


@pytest.mark.parametrize(("opcode", "expected"), [(TEXT, "hello"), (BINARY, b"hello")])
def test_fragments_come_to_the_message_that_they_began_as(opcode: int, expected: str | bytes) -> None:
    reader = FrameReaders(LIMIT).take()
    assert reader.read(frame(opcode, "hel", fin=False) + frame(CONT, "l", fin=False)) == []
    assert not reader.at_rest
    assert reader.read(frame(CONT, "o")) == [expected]
    assert reader.at_rest


@pytest.mark.parametrize("data", [*beginnings(frame(TEXT, "x" * 200)), *beginnings(frame(PING, "x"))])
def test_a_reader_with_the_beginning_of_a_frame_is_not_at_rest(data: bytes) -> None:
    reader = FrameReaders(LIMIT).take()
    assert reader.at_rest
    assert reader.read(data) == []
    assert not reader.at_rest


def test_messages_and_control_frames_come_in_the_order_in_which_they_end() -> None:
    reader = FrameReaders(LIMIT).take()
    data = frame(PING, "1") + frame(TEXT, "a", fin=False) + frame(PONG, "2") + frame(CONT, "b") + frame(BINARY, "c")
    assert reader.read(data) == [Frame(Opcode.PING, b"1"), Frame(Opcode.PONG, b"2"), "ab", b"c"]
    assert reader.data_to_send() == []  # pings are answered by the connection
    assert reader.frames_read == 5


@pytest.mark.parametrize(("payload", "bad"), [(b"\xce\xba\xe1\xf4\x90x", 2), (b"\xed\xa0\x80", 0), (b"a\xff", 1)])
def test_a_message_fails_at_the_end_of_the_fragment_that_shows_it_is_not_utf_8(payload: bytes, bad: int) -> None:
    for size in range(1, len(payload) + 1):
        reader = FrameReaders(LIMIT).take()
        reader.read(frame(TEXT, payload[:size], fin=False))
        try:
            getincrementaldecoder("utf-8")().decode(payload[:size])
        except UnicodeDecodeError:
            (close, _) = reader.data_to_send()
            assert close[2:4] == b"\x03\xef"
            assert close.endswith(b" at position %d" % bad)
        else:
            assert reader.data_to_send() == []
    assert reader.state is not OPEN


TOO_LONG = {
    "2 bytes for 125": frame(TEXT, "x" * 125, length_bytes=2),
    "2 bytes for 0": frame(TEXT, "", length_bytes=2),
    "8 bytes for 125": frame(TEXT, "x" * 125, length_bytes=8),
    "8 bytes for 65535": frame(TEXT, "x" * 65535, length_bytes=8),
    "a ping": frame(PING, "x", length_bytes=2),
    "a close": frame(CLOSE, b"\x03\xe8", length_bytes=8),
    "a binary message": frame(BINARY, "x" * 300, length_bytes=8),
    "a fragment": frame(TEXT, "x", fin=False) + frame(CONT, "x", length_bytes=2),
}


@pytest.mark.parametrize("data", TOO_LONG.values(), ids=TOO_LONG)
@pytest.mark.parametrize("before", [b"", frame(PING, "xy"), frame(BINARY, "x" * 126), frame(BINARY, "x" * 65536)])
def test_a_length_that_is_not_in_its_shortest_form_is_refused_whatever_came_before(before: bytes, data: bytes) -> None:
    for pieces in ([before + data], [bytes([byte]) for byte in before + data]):
        reader = FrameReaders(LIMIT).take()
        for piece in pieces:
            reader.read(piece)
        (close, _) = reader.data_to_send()
        assert close[2:] == b"\x03\xealength not in its shortest form"


def test_lengths_in_their_shortest_form_are_taken() -> None:
    reader = FrameReaders(LIMIT).take()
    for size in (0, 125, 126, 65535, 65536):
        assert reader.read(frame(BINARY, bytes(size))) == [bytes(size)]
        assert reader.at_rest


def test_frames_in_longer_lengths_than_needed_are_not_plain() -> None:
    for data in TOO_LONG.values():
        assert plain_messages(data, 0, MOST, LIMIT) == ([], 0)
        assert only_message(data, LIMIT) is None
        assert not any(begins_plain(data[:size], 0, LIMIT) for size in range(4, len(data)))
