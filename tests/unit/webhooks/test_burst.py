"""Requests wait until the turn of the loop is over, and nothing that comes meanwhile passes for their answer."""

import asyncio
import socket

from sockudo_py.webhooks.targets.http.burst import Burst
from sockudo_py.webhooks.targets.http.connection import Answer, Connection, ExchangeError
from sockudo_py.webhooks.targets.http.deadlines import Deadlines

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Line(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True


class Made:
    """A connection over such a line, and what its requests came to."""

    def __init__(self, burst: Burst) -> None:
        self._pair = socket.socketpair()
        self.line = Line()
        self.outcomes: list[Answer | ExchangeError] = []
        self.connection = Connection(self._pair[0], 100, Deadlines(), burst)
        self.connection.connection_made(self.line)

    def begin(self) -> None:
        self.connection.start(b"POST", 60.0, self.outcomes.append)

    def close(self) -> None:
        for one in self._pair:
            one.close()


async def test_requests_of_one_turn_are_written_when_all_of_them_have_begun() -> None:
    burst = Burst()
    one, other = Made(burst), Made(burst)
    one.begin()
    other.begin()
    assert not one.line.written
    await asyncio.sleep(0)
    assert one.line.written == other.line.written == [b"POST"]
    one.connection.data_received(OK)
    assert [getattr(outcome, "status", None) for outcome in one.outcomes] == [200]
    one.begin()
    await asyncio.sleep(0)
    assert len(one.line.written) == 2
    one.close()
    other.close()


async def test_bytes_that_come_before_the_request_is_written_are_no_answer_to_it() -> None:
    made = Made(Burst())
    made.begin()
    made.connection.data_received(OK)
    await asyncio.sleep(0)
    (outcome,) = made.outcomes
    assert isinstance(outcome, ExchangeError)
    assert outcome.error_class == "protocol"
    assert made.line.aborted
    assert not made.line.written
    made.close()


async def test_a_request_that_was_broken_off_in_its_turn_is_not_written() -> None:
    made = Made(Burst())
    made.begin()
    made.connection.abort()
    await asyncio.sleep(0)
    assert not made.line.written
    assert not made.outcomes
    made.close()
