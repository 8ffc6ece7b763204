"""permessage-deflate: what is agreed on, and what becomes of frames."""

import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CONT, Frame, Opcode
from websockets.protocol import OPEN

from sockudo_py.ws.deflate import LEAST_BITS, LEAST_BYTES, USUAL_BITS, Agreement, Compression
from sockudo_py.ws.frames import FrameReader
from sockudo_py.ws.framing import text_frame
from tests.support.edge_bench import BINARY, PING, TEXT, frame, server_frames

LIMIT = 10_000
TAIL = b"\x00\x00\xff\xff"
BOTH_WITHOUT = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.fixture
def compression() -> Compression:
    return Compression(LIMIT)


def agreed(offer: str) -> Agreement:
    agreement = Compression(LIMIT).agree(offer)
    assert agreement is not None
    return agreement


def deflated(data: bytes, bits: int = 15) -> bytes:
    deflate = zlib.compressobj(wbits=-bits)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def inflated(data: bytes, bits: int) -> bytes:
    return zlib.decompressobj(wbits=-bits).decompress(data + TAIL)


@pytest.fixture
def reader() -> FrameReader:
    return agreed("permessage-deflate").readers.take()


OFFERS = {
    "permessage-deflate": (USUAL_BITS, f"{BOTH_WITHOUT}; server_max_window_bits=12"),
    "permessage-deflate; client_max_window_bits": (USUAL_BITS, f"{BOTH_WITHOUT}; server_max_window_bits=12"),
    "permessage-deflate; server_max_window_bits=15": (USUAL_BITS, f"{BOTH_WITHOUT}; server_max_window_bits=12"),
    "permessage-deflate; server_max_window_bits=12": (USUAL_BITS, f"{BOTH_WITHOUT}; server_max_window_bits=12"),
    "permessage-deflate; server_max_window_bits=11": (LEAST_BITS, f"{BOTH_WITHOUT}; server_max_window_bits=9"),
    "permessage-deflate; server_max_window_bits=9": (LEAST_BITS, f"{BOTH_WITHOUT}; server_max_window_bits=9"),
    "x-other, permessage-deflate": (USUAL_BITS, f"{BOTH_WITHOUT}; server_max_window_bits=12"),
    "permessage-deflate; server_max_window_bits=8, permessage-deflate": (
        USUAL_BITS,
        f"{BOTH_WITHOUT}; server_max_window_bits=12",
    ),
    "permessage-deflate; client_max_window_bits=10": (
        USUAL_BITS,
        f"{BOTH_WITHOUT}; server_max_window_bits=12; client_max_window_bits=10",
    ),
}


@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_is_met_without_context_takeover_and_with_one_of_two_windows(offer: str) -> None:
    agreement = agreed(offer)
    assert (agreement.bits, agreement.response) == OFFERS[offer]


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "x-other",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; unheard_of",
        "permessage-deflate;;",
        ", ,; =\x00",
        "x, " * 200 + "permessage-deflate",
    ],
)
def test_what_can_not_be_met_is_declined(compression: Compression, offer: str) -> None:
    assert compression.agree(offer) is None


@given(st.text(st.sampled_from('permessage-deflate;, ="server_max_window_bits1290\\\x00é'), max_size=60))
def test_whatever_is_offered_it_is_met_or_declined(offer: str) -> None:
    Compression(LIMIT).agree(offer)


def test_clients_with_one_window_share_an_encoding(compression: Compression) -> None:
    one = compression.agree("permessage-deflate")
    other = compression.agree("permessage-deflate; client_max_window_bits")
    least = compression.agree("permessage-deflate; server_max_window_bits=10")
    assert one is not None
    assert other is not None
    assert least is not None
    assert one.encoding is other.encoding
    assert least.encoding is not one.encoding


@pytest.mark.parametrize("bits", [USUAL_BITS, LEAST_BITS])
@given(data=st.one_of(st.binary(max_size=300), st.builds(bytes.__mul__, st.binary(max_size=40), st.integers(0, 5000))))
def test_a_message_is_what_the_client_inflates(bits: int, data: bytes) -> None:
    encoded = agreed(f"permessage-deflate; server_max_window_bits={bits}").encoding(data)
    ((opcode, payload),) = server_frames(encoded)
    assert opcode == TEXT
    assert encoded[0] in (0x81, 0xC1)
    assert (inflated(payload, bits) if encoded[0] == 0xC1 else payload) == data
    assert len(encoded) <= len(text_frame(data))


def test_short_messages_and_those_that_would_grow_are_not_compressed() -> None:
    encoding = agreed("permessage-deflate").encoding
    for data in (b"", b"x" * (LEAST_BYTES - 1), bytes(range(256))):
        assert encoding(data) == text_frame(data)
    assert encoding(b"x" * LEAST_BYTES)[0] == 0xC1


@given(
    data=st.one_of(st.text(max_size=300), st.builds(str.__mul__, st.text(max_size=5), st.integers(0, 500))),
    cuts=st.lists(st.integers(0, 400), max_size=4),
    compressed=st.booleans(),
)
def test_a_compressed_message_is_read_in_whatever_fragments(data: str, cuts: list[int], compressed: bool) -> None:
    reader = agreed("permessage-deflate").readers.take()
    wire = deflated(data.encode()) if compressed else data.encode()
    bounds = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    parts = [wire[at:to] for at, to in pairwise(bounds)]
    frames = b"".join(
        frame(0 if at else TEXT, part, fin=at == len(parts) - 1, rsv=4 if compressed and not at else 0)
        for at, part in enumerate(parts)
    )
    received = reader.read(frame(PING, "p") + frames)
    assert received[1:] == [data]
    assert reader.state is OPEN
    assert reader.at_rest


def test_binary_messages_and_messages_after_one_another_are_read(reader: FrameReader) -> None:
    data = deflated(b"hello")
    assert reader.read(frame(BINARY, data, rsv=4) + frame(TEXT, data, rsv=4) + frame(TEXT, "plain")) == [
        b"hello",
        "hello",
        "plain",
    ]


def test_fragments_as_they_are_may_follow_a_compressed_message(reader: FrameReader) -> None:
    data = deflated(b"hello")
    compressed = frame(TEXT, data[:3], fin=False, rsv=4) + frame(0, data[3:])
    assert reader.read(compressed + frame(TEXT, "as it", fin=False) + frame(0, " is")) == ["hello", "as it is"]


def test_a_message_whose_block_says_that_it_is_the_last_is_read(reader: FrameReader) -> None:
    assert reader.read(frame(TEXT, bytes.fromhex("f348cdc9c9070000"), rsv=4)) == ["Hello"]  # RFC 7692, 7.2.3.4
    assert reader.read(frame(TEXT, bytes.fromhex("f248cdc9c90700"), rsv=4)) == ["Hello"]
    assert reader.read(frame(TEXT, bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", "")), rsv=4)) == ["Hello"]


def refused(reader: FrameReader, data: bytes) -> int:
    """Return the code that the reader closes with; nothing is received."""
    assert reader.read(data) == []
    assert reader.state is not OPEN
    (close,) = reader.data_to_send()[:1]
    return int.from_bytes(close[2:4], "big")


@pytest.mark.parametrize("over", [1, 2, 258, 259, 10_000_000])
def test_a_message_that_inflates_beyond_the_bound_is_refused(over: int) -> None:
    assert refused(agreed("permessage-deflate").readers.take(), bomb(LIMIT + over)) == 1009


def test_a_message_of_exactly_the_bound_is_read(reader: FrameReader) -> None:
    assert reader.read(bomb(LIMIT)) == ["x" * LIMIT]


@pytest.mark.parametrize("at", [LIMIT - 1, LIMIT])
def test_a_bomb_in_fragments_is_refused(reader: FrameReader, at: int) -> None:
    deflate = zlib.compressobj(wbits=-15)
    first = deflate.compress(b"x" * at) + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert reader.read(frame(TEXT, first, fin=False, rsv=4)) == []
    assert reader.state is OPEN
    assert refused(reader, frame(0, deflate.compress(b"x" * 9_000_000) + deflate.flush(zlib.Z_SYNC_FLUSH))) == 1009


def bomb(size: int) -> bytes:
    return frame(TEXT, deflated(b"x" * size), rsv=4)


def test_a_bomb_takes_no_more_memory_than_a_message_may() -> None:
    reader = agreed("permessage-deflate").readers.take()
    data = bomb(9_000_000)
    assert len(data) < LIMIT, "its size alone doesn't give it away"
    assert peak(lambda: reader.read(data)) < 200_000


def test_what_follows_the_last_block_is_not_kept(reader: FrameReader) -> None:
    """zlib gathers it, and the size of the message does not grow by it."""
    last = zlib.compress(b"x", wbits=-15)
    assert reader.read(frame(TEXT, last, fin=False, rsv=4)) == []
    assert refused(reader, frame(0, b"y" * 5000, fin=False)) == 1002


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that Python had taken at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"\xff\xff\xff", rsv=4),  # no deflate
        frame(TEXT, deflated(b"x"), rsv=2),
        frame(TEXT, deflated(b"x"), rsv=1),
        frame(PING, deflated(b"x"), rsv=4),
        frame(0, deflated(b"x"), rsv=4),
        frame(TEXT, deflated(b"x"), fin=False, rsv=4) + frame(0, b"", rsv=4),
        frame(TEXT, b"x", fin=False) + frame(0, deflated(b"x"), rsv=4),
        frame(TEXT, deflated(b"x"), fin=False, rsv=4) + frame(TEXT, deflated(b"x"), rsv=4),
    ],
)
def test_a_breach_is_refused(reader: FrameReader, data: bytes) -> None:
    assert refused(reader, data) == 1002


def test_text_that_is_no_text_is_refused(reader: FrameReader) -> None:
    assert refused(reader, frame(TEXT, deflated(b"\xff"), rsv=4)) == 1007


@given(st.binary(max_size=60), st.booleans(), st.binary(max_size=20))
def test_whatever_is_sent_is_read_as_the_library_reads_it_or_refused(first: bytes, fin: bool, rest: bytes) -> None:
    ours = agreed("permessage-deflate").readers.take()
    ours_extension = ours.extensions[0]
    theirs = PerMessageDeflate(True, True, 15, 15)
    for data, opcode in ((first, Opcode.TEXT), (rest, CONT))[: 1 if fin else 2]:
        one = Frame(opcode, data, fin or opcode is CONT, opcode is not CONT)
        try:
            expected = bytes(theirs.decode(one, max_size=LIMIT).data)
        except ProtocolError:
            with pytest.raises(ProtocolError):
                ours_extension.decode(one, max_size=LIMIT)
            return
        try:
            assert bytes(ours_extension.decode(one, max_size=LIMIT).data) == expected
        except ProtocolError as problem:
            assert "after the last block" in str(problem)  # noqa: PT017 - the library loses it in silence
            return
