"""Strangers who abuse the port and the HTTP transports: ``python -m tests.faults.abusers PORT SESSIONS``.

They open sessions and leave them, dribble heads and bodies, and upload without end. When all is done a JSON object says
what they did and how often the server ended it as it should.
"""

import argparse
import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tests.support.server import TestApp

APP = TestApp()
AT_ONCE = 64  # tasks that open sessions
SLOW = 100  # connections of each kind that dribble
ENDLESS = 10  # connections of each kind that upload
EVERY = 0.1  # seconds between two bytes of those who dribble
PIECE = b"x" * 65_536
PATIENCE = 60.0  # seconds for one of them; what takes longer was not ended by the server

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def head(target: str, *lines: str) -> bytes:
    """Return the head of a POST."""
    return "\r\n".join((f"POST {target} HTTP/1.1", "Host: x", *lines, "", "")).encode()


def transport(kind: str, session: str) -> str:
    """Return the target of a request of the HTTP transports."""
    return f"/pusher/app/{APP.key}/{session}/{kind}?protocol=7&client=js&version=8.6.0&t=1&n=1"


EVENTS = f"/apps/{APP.id}/events?auth_key={APP.key}"
ENDING = "7/noneatall"  # no session has this id


@asynccontextmanager
async def dialled(port: int) -> AsyncIterator[Streams]:
    """Connect; go in the end without a word, so that no address is used up."""
    made = socket.create_connection(("127.0.0.1", port))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reader, writer = await asyncio.open_connection(sock=made)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


class Abusers:
    """``done``: what was done, by its name, and how often it ended as it should."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.done: Counter[str] = Counter()

    # -- sessions --

    async def open_and_leave(self, sessions: int) -> None:
        """Open this many sessions, streaming and polling ones in turn, and come back for none."""
        numbers = iter(range(sessions))

        async def some() -> None:
            for number in numbers:
                session = f"{number % 1000}/left{number:08d}"
                kind = "xhr" if number % 2 else "xhr_streaming"
                async with dialled(self._port) as (reader, writer):
                    writer.write(head(transport(kind, session), "Content-Length: 0"))
                    said = b""
                    while b"established" not in said and b"\nc[" not in said:
                        data = await reader.read(65_536)
                        if not data:
                            self.done["turned away"] += 1
                            break
                        said += data
                    else:
                        self.done["refused" if b"\nc[" in said else kind] += 1

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    # -- slow ones --

    async def dribble(self, name: str, begin: bytes, more: bytes) -> None:
        """Send ``begin`` and then ``more`` again and again, on some connections, until the server answers 408."""

        async def one() -> None:
            async with dialled(self._port) as (reader, writer):
                writer.write(begin)
                answer = asyncio.ensure_future(reader.read(65_536))
                while not answer.done() and not writer.is_closing():  # uvloop raises where it writes then
                    writer.write(more)
                    await asyncio.wait([answer], timeout=EVERY)
                said = await answer
                self.done[name if b" 408 " in said[:20] else f"{name}: other answers"] += 1

        await asyncio.gather(*(one() for _ in range(SLOW)))

    # -- endless ones --

    async def upload(self, name: str, begin: bytes, piece: bytes, status: bytes) -> None:
        """Upload without end, on some connections, until the server says ``status`` (nothing: ends the connection)."""

        async def one(number: int) -> None:
            async with dialled(self._port) as (reader, writer):
                writer.write(begin.replace(b"NUMBER", b"%08d" % number))
                answer = asyncio.ensure_future(_all_of(reader, status))
                while not answer.done() and not writer.is_closing():
                    writer.write(piece)
                    drained = asyncio.ensure_future(writer.drain())
                    await asyncio.wait([answer, drained], timeout=EVERY, return_when=asyncio.FIRST_COMPLETED)
                    if not drained.done():  # the server does not read on
                        drained.cancel()
                    await asyncio.gather(drained, return_exceptions=True)
                said = await answer
                right = status in said[:20] if status else True
                self.done[name if right else f"{name}: other answers"] += 1

        await asyncio.gather(*(one(number) for number in range(ENDLESS)))


async def _all_of(reader: asyncio.StreamReader, status: bytes) -> bytes:
    """Return the beginning of the answer; with no ``status`` wait for the end of the connection."""
    said = b""
    with suppress(OSError):
        while data := await reader.read(65_536):
            said += data
            if status:
                break
    return said


async def abuse(port: int, sessions: int) -> dict[str, int]:
    """Let all kinds do their worst; return what they did."""
    abusers = Abusers(port)
    chunk = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
    chunked, huge = "Transfer-Encoding: chunked", "Content-Length: 1000000000000"
    send = transport("xhr_send", ENDING)
    stream = head(transport("xhr_streaming", "8/NUMBER"), "Content-Length: 0")
    kinds: list[Callable[[], Awaitable[None]]] = [
        lambda: abusers.open_and_leave(sessions),
        lambda: abusers.dribble("slow heads", b"POST / HTTP/1.1\r\nX: ", b"x"),
        lambda: abusers.dribble("slow bodies to send", head(send, "Content-Length: 1000"), b"x"),
        lambda: abusers.dribble("slow publishes", head(EVENTS, "Content-Length: 1000"), b"x"),
        lambda: abusers.dribble("slow chunks", head(EVENTS, chunked), b"1\r\nx\r\n"),
        lambda: abusers.upload("endless bodies to send", head(send, huge), PIECE, b" 413 "),
        lambda: abusers.upload("endless chunks to send", head(send, chunked), chunk, b" 411 "),
        lambda: abusers.upload("endless publishes", head(EVENTS, huge), PIECE, b" 413 "),
        lambda: abusers.upload("endless chunks", head(EVENTS, chunked), chunk, b" 413 "),
        lambda: abusers.upload("bytes behind a stream", stream, PIECE, b""),
    ]
    async with asyncio.timeout(None if sessions > 10_000 else PATIENCE):
        await asyncio.gather(*(kind() for kind in kinds))
    return dict(abusers.done)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("sessions", type=int)
    given = parser.parse_args()
    try:
        import uvloop

        found = uvloop.run(abuse(given.port, given.sessions))
    except ImportError:
        found = asyncio.run(abuse(given.port, given.sessions))
    print(json.dumps(found))  # noqa: T201
