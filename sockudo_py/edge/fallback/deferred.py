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

    __slots__ = ("_admits", "_make", "_waiting")

    def __init__(self, admits: Callable[[], bool] = lambda: True) -> None:
        self._admits = admits
        self._make: ProtocolFactory | None = None
        self._waiting: set[_Waiter] = set()

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        if not self._admits():
            return Dropped()
        return _Waiter(self._waiting) if self._make is None else self._make()

    def open(self, make: ProtocolFactory) -> None:
        """Let ``make`` make the protocols from now on, and those of the connections that wait."""
        self._make = make
        for waiter in list(self._waiting):
            waiter.go_on(make())

    def close(self) -> None:
        """Drop the connections that wait."""
        for waiter in list(self._waiting):
            waiter.drop()


class _Waiter(asyncio.Protocol):
    __slots__ = ("_received", "_transport", "_waiting")

    _transport: asyncio.Transport

    def __init__(self, waiting: "set[_Waiter]") -> None:
        self._waiting = waiting
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are such without being subclasses
        self._transport.pause_reading()
        self._waiting.add(self)

    def data_received(self, data: bytes) -> None:
        self._received += data  # bytes from before the pause, of the transport or of an earlier protocol

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.discard(self)

    def go_on(self, protocol: asyncio.Protocol) -> None:
        self._waiting.discard(self)
        transport = self._transport
        transport.set_protocol(protocol)
        transport.resume_reading()  # first, because the protocol may pause the transport itself
        protocol.connection_made(transport)
        if self._received:
            protocol.data_received(self._received)

    def drop(self) -> None:
        self._waiting.discard(self)
        self._transport.abort()
