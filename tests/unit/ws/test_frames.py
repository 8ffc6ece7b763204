"""Plain messages are read without the library, and exactly as the library reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import TEXT, Frame

from sockudo_py.ws.frames import FrameReaders, plain_message
from tests.support.edge_bench import BINARY, CLOSE, CONT, PING, frame

LIMIT = 70_000


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535])
def test_a_whole_masked_text_frame_is_a_plain_message(size: int) -> None:
    data = b"before" + frame(TEXT, "x" * size) + b"after"
    assert plain_message(data, 6, LIMIT) == ("x" * size, len(data) - 5)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        frame(TEXT, "hello")[:1],
        frame(TEXT, "hello")[:-1],
        frame(TEXT, "x" * 300)[:5],
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
    ],
)
def test_everything_else_takes_a_reader(data: bytes) -> None:
    assert plain_message(data, 0, LIMIT) is None


def test_a_message_over_the_limit_takes_a_reader_which_refuses_it() -> None:
    assert plain_message(frame(TEXT, "x" * 100), 0, 100) is not None
    assert plain_message(frame(TEXT, "x" * 101), 0, 100) is None


@given(st.binary(max_size=200), st.booleans())
def test_whatever_comes_a_plain_message_is_what_the_library_reads(noise: bytes, framed: bool) -> None:
    data = frame(TEXT, noise) if framed else b"\x81" + noise
    found = plain_message(data, 0, LIMIT)
    if found is not None:
        text, end = found
        reader = FrameReaders(LIMIT).take()
        reader.receive_data(data[:end])
        (read,) = reader.events_received()
        assert isinstance(read, Frame)
        assert (read.opcode, read.fin, bytes(read.data)) == (TEXT, True, text.encode())
