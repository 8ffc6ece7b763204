"""Drops clients that don't read their responses; aiohttp would wait for them for ever."""

import asyncio
from collections.abc import Callable
from typing import cast

from sockudo_py.edge.deadlines import DeadlineQueue


class Unread(asyncio.Protocol):
    """Passes everything on to another server's protocol, and drops a client that does not read.

    From the moment in which something can't be sent at once the client has the time of the queue to take it all,
    whether the other protocol waits for that, does something else, or has closed the connection.

    Args:
        protocol: The other server's.
        queue: Where connections wait whose clients don't read.
        clock: The queue's.
    """

    __slots__ = ("_clock", "_protocol", "_queue", "_transport")

    _transport: asyncio.Transport

    def __init__(self, protocol: asyncio.Protocol, queue: DeadlineQueue, clock: Callable[[], float]) -> None:
        self._protocol = protocol
        self._queue = queue
        self._clock = clock

    # -- the queue's side --

    def on_timeout(self, queue: DeadlineQueue) -> None:
        """The client had its time."""
        self._transport.abort()

    def on_evicted(self, queue: DeadlineQueue) -> None:
        """Make place for others."""
        self._transport.abort()

    def drop(self) -> None:
        """The server closes."""
        self._transport.abort()

    # -- the transport's side --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the transport call ``pause_writing`` for every byte that it can't send at once."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are such without being subclasses
        self._protocol.connection_made(transport)
        tls = transport.get_extra_info("sslcontext") is not None
        self._transport.set_write_buffer_limits(
            high=1 if tls else 0
        )  # with 0, a TLS transport would pause when nothing waits

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        self._queue.enter(self, self._clock())
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The client has read everything."""
        self._queue.leave(self)
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._queue.leave(self)
        self._protocol.connection_lost(exc)
