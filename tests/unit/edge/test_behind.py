"""What comes behind an offer to change the protocol is passed on in a piece of its own."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.edge.fallback.behind import AGAIN, Behind
from tests.support.client import eventually
from tests.support.edge_bench import FakeTransport

OFFER = b"GET /usage HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
WITH_BODY = (
    b"POST /apps/3/x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 12\r\n\r\n\r\n\r\nupgrade:"
)
PLAIN = b"GET /usage HTTP/1.1\r\nHost: x\r\n\r\n"
PLAIN_BODY = b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\nUpgrade: "
CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
GARBAGE = b"\x00no request\r\n\r\n"


class Transport(FakeTransport):
    def is_reading(self) -> bool:
        return self.reading


class Server(asyncio.Protocol):
    """Keeps the pieces, and tells the transport to pause after some of them."""

    def __init__(self, pauses: bool = False) -> None:
        self.pieces: list[bytes] = []
        self.transport: FakeTransport
        self.pauses = pauses

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, FakeTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        if self.pauses:
            self.transport.pause_reading()


def connected(server: Server) -> tuple[Behind, FakeTransport]:
    behind, transport = Behind(server), Transport()
    behind.connection_made(transport)
    return behind, transport


@given(
    st.lists(st.sampled_from([OFFER, WITH_BODY, PLAIN, PLAIN_BODY, CHUNKED, GARBAGE]), max_size=8),
    st.lists(st.integers(0, 600), max_size=6),
)
def test_no_piece_goes_beyond_an_offer_and_nothing_is_lost(requests: list[bytes], cuts: list[int]) -> None:
    server = Server()
    behind, _ = connected(server)
    stream = b"".join(requests)
    for start, end in itertools.pairwise(sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})):
        behind.data_received(stream[start:end])
    assert b"".join(server.pieces) == stream
    sound = requests[: requests.index(GARBAGE)] if GARBAGE in requests else requests
    ends = list(itertools.accumulate(map(len, sound)))
    seen = list(itertools.accumulate(map(len, server.pieces)))
    for request, end in zip(sound, ends, strict=True):
        if request in (OFFER, WITH_BODY):
            assert end in seen


async def test_what_is_behind_waits_until_the_server_reads_again() -> None:
    server = Server(pauses=True)
    behind, transport = connected(server)
    behind.data_received(OFFER + PLAIN[:9])
    behind.data_received(PLAIN[9:])  # uvloop may deliver after a pause
    await asyncio.sleep(3 * AGAIN)  # what has to be seen is that nothing happens
    assert server.pieces == [OFFER]
    transport.resume_reading()
    await eventually(lambda: server.pieces == [OFFER, PLAIN], "passed on")


async def test_what_is_behind_is_forgotten_with_the_connection() -> None:
    server = Server(pauses=True)
    behind, transport = connected(server)
    behind.data_received(OFFER + PLAIN)
    behind.connection_lost(None)
    transport.resume_reading()
    await asyncio.sleep(3 * AGAIN)
    assert server.pieces == [OFFER]


@pytest.mark.parametrize("last", [OFFER, WITH_BODY, PLAIN])
def test_a_request_that_comes_alone_is_passed_on_at_once(last: bytes) -> None:
    server = Server()
    behind, _ = connected(server)
    behind.data_received(last)
    assert b"".join(server.pieces) == last
