import pytest
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from sockudo_py.protocol.effects import MAX_REASON_BYTES, cut_reason
from sockudo_py.ws.framing import close_frame, text_frame


def parse(data: bytes) -> Frame:
    """Read one frame with the library that a client would use."""
    reader = StreamReader()
    reader.feed_data(data)
    parser = Frame.parse(reader.read_exact, mask=False)
    try:
        while True:
            next(parser)
    except StopIteration as done:
        frame = done.value
    assert isinstance(frame, Frame)
    assert not reader.buffer  # nothing is left over
    return frame


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_text_frame_of_any_length_is_read_back(length: int) -> None:
    frame = parse(text_frame(b"x" * length))
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, b"x" * length)


def test_a_close_frame_carries_code_and_reason() -> None:
    frame = parse(close_frame(4201, "Pong reply not received"))
    assert frame.opcode is Opcode.CLOSE
    assert Close.parse(frame.data) == Close(4201, "Pong reply not received")


def test_a_close_frame_may_have_no_reason() -> None:
    assert Close.parse(parse(close_frame(1009, "")).data) == Close(1009, "")


def test_A18_a_long_reason_is_cut_to_123_bytes_of_valid_utf8() -> None:
    assert cut_reason("a" * 200) == "a" * MAX_REASON_BYTES
    assert cut_reason("é" * 100) == "é" * 61  # 122 bytes: half a character is not sent
    assert cut_reason("short") == "short"
    frame = parse(close_frame(4001, "€" * 100))
    assert Close.parse(frame.data) == Close(4001, "€" * 41)
