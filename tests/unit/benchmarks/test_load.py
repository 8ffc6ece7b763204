"""The load generator's publishers: how many connections they use, and what they make of answers."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.harness import Subject
from benchmarks.load import Poster, publish_request
from benchmarks.machine import interpreter

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REQUEST = publish_request({"name": "bench", "channel": "c", "data": "{}"})


class Api:
    """Answers each request with the same bytes, and remembers on which connection it came."""

    def __init__(self, answer: bytes, close: bool) -> None:
        self._answer, self._close = answer, close
        self.requests: list[int] = []  # per connection
        self._serving: list[asyncio.Future[None]] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.requests)
        self.requests.append(0)
        self._serving.append(asyncio.ensure_future(self._serve(number, reader, writer)))

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):  # the client aborts when it is done
            while await reader.readexactly(len(REQUEST)):
                self.requests[number] += 1
                writer.write(self._answer)
                if self._close:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def finished(self) -> None:
        await asyncio.wait_for(asyncio.gather(*self._serving), 60)


@asynccontextmanager
async def poster(api: Api, keeps_alive: bool = True) -> AsyncIterator[Poster]:
    server = await asyncio.start_server(api.accept, "127.0.0.1")
    async with server:
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)  # noqa: ASYNC220
        try:
            subject = Subject("api", process, server.sockets[0].getsockname()[1], keeps_alive)
            found = Poster(subject)
            yield found
            found.close()
            await api.finished()
        finally:
            process.communicate(b"\n")


async def test_requests_at_once_go_over_a_connection_each_which_is_kept() -> None:
    api = Api(OK, close=False)
    async with poster(api) as publishes:
        await publishes.post(REQUEST, 4)
        await publishes.post(REQUEST, 4)
    assert api.requests == [2, 2, 2, 2]


async def test_requests_one_by_one_go_over_one_connection() -> None:
    api = Api(OK, close=False)
    async with poster(api) as publishes:
        for _ in range(3):
            await publishes.post(REQUEST)
    assert api.requests == [3]


async def test_pipelined_requests_go_over_one_connection() -> None:
    api = Api(OK, close=False)
    async with poster(api) as publishes:
        await publishes.pipeline(REQUEST, 5)
    assert api.requests == [5]


async def test_a_server_that_closes_gets_a_connection_per_request() -> None:
    api = Api(OK, close=True)
    async with poster(api, keeps_alive=False) as publishes:
        await publishes.post(REQUEST, 3)
        await publishes.post(REQUEST)
    assert api.requests == [1, 1, 1, 1]


async def test_an_answer_that_is_no_200_stops_the_run_with_what_the_server_said() -> None:
    api = Api(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", close=False)
    async with poster(api) as publishes:
        with pytest.raises(RuntimeError, match="413 Too Large"):
            await publishes.post(REQUEST)


def test_an_interpreter_is_asked_for_its_version() -> None:
    assert interpreter(sys.executable).version == ".".join(str(part) for part in sys.version_info[:3])


def test_an_interpreter_that_does_not_run_is_an_error() -> None:
    with pytest.raises(OSError, match="no-such-python"):
        interpreter(os.path.join(os.sep, "no-such-python"))
