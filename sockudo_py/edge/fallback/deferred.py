"""Accepts connections for aiohttp while it is still being imported, and hands them over."""

import asyncio
from collections.abc import Callable
from typing import cast

from sockudo_py.edge.sockets.dropped import Dropped

ProtocolFactory = Callable[[], asyncio.Protocol]


class DeferredServer:
    """Makes the protocols of connections, also before the server that will serve them is there.

    Connections that come before ``open`` wait unread, and lose nothing.

    Args:
        admits: Says whether the next connection may stay; others are dropped.
    """

    __slots__ = ("_admits", "_closed", "_make", "_waiting")

    def __init__(self, admits: Callable[[], bool] = lambda: True) -> None:
        self._admits = admits
        self._closed = False
        self._make: ProtocolFactory | None = None
        self._waiting: set[_Waiter] = set()

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        if not self._admits():
            return Dropped()
        return _Waiter(self) if self._make is None else self._make()

    def open(self, make: ProtocolFactory) -> None:
        """Let ``make`` make the protocols from now on, and those of the connections that wait."""
        self._make = make
        for waiter in list(self._waiting):
            waiter.go_on(make())

    def close(self) -> None:
        """Drop the connections that wait."""
        self._closed = True
        for waiter in list(self._waiting):
            waiter.drop()

    def begin_wait(self, waiter: "_Waiter") -> None:
        """Let a connection wait, unless ``open`` or ``close`` came since its protocol was made, a turn or two ago."""
        if self._closed:
            waiter.drop()
        elif self._make is not None:
            waiter.go_on(self._make())
        else:
            self._waiting.add(waiter)

    def end_wait(self, waiter: "_Waiter") -> None:
        """Forget a connection that waits no more."""
        self._waiting.discard(waiter)


class _Waiter(asyncio.Protocol):
    __slots__ = ("_later", "_received", "_transport")

    _transport: asyncio.Transport

    def __init__(self, later: DeferredServer) -> None:
        self._later = later
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are such without being subclasses
        self._transport.pause_reading()
        self._later.begin_wait(self)

    def data_received(self, data: bytes) -> None:
        self._received += data  # bytes from before the pause, of the transport or of an earlier protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._later.end_wait(self)

    def go_on(self, protocol: asyncio.Protocol) -> None:
        self._later.end_wait(self)
        transport = self._transport
        transport.set_protocol(protocol)
        transport.resume_reading()  # first, because the protocol may pause the transport itself
        protocol.connection_made(transport)
        if self._received:
            protocol.data_received(self._received)

    def drop(self) -> None:
        self._later.end_wait(self)
        self._transport.abort()
