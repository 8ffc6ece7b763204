"""A WebSocket connection that was accepted only to say why it is refused.

Clients can't read an HTTP error on a WebSocket, so the handshake succeeds, the error and the close frame follow, and
then there is nothing to do but to wait for the client's close frame.
"""

import asyncio

from websockets.frames import CLOSE, Frame
from websockets.protocol import OPEN

from sockudo_py.ws.context import ConnectionContext

_MAX_BYTES = 4096  # a close frame has at most 131; before it comes what the client sent before it knew


class RefusedConnection(asyncio.Protocol):
    """Waits for the end of a refused connection, some seconds at most."""

    __slots__ = ("_context", "_left", "_reader", "_transport", "tick")

    def __init__(self, context: ConnectionContext, transport: asyncio.Transport) -> None:
        self.tick = 0
        self._context = context
        self._transport = transport
        self._reader = context.readers.take()
        self._left = _MAX_BYTES

    def start(self, frames: bytes, received: bytes) -> None:
        """Write everything there is to say and look at what came after the handshake's request."""
        context = self._context
        self._transport.set_protocol(self)
        self._transport.write(frames)
        context.wheel.schedule(self, context.clock() + context.close_timeout)
        if received:
            self.data_received(received)

    def data_received(self, data: bytes) -> None:
        """Close at the client's close frame; stop looking when it sends too much else."""
        if self._left <= 0:
            return
        self._left -= len(data)
        if self._left > 0:
            if any(isinstance(each, Frame) and each.opcode is CLOSE for each in self._reader.read(data)):
                self._left = 0
                self._transport.close()
                return
            self._reader.data_to_send()  # nothing is answered any more
            if self._reader.state is OPEN:
                return
        self._left = 0
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def eof_received(self) -> bool | None:
        """Let the transport close."""
        return None

    def check(self, now: float) -> float | None:
        """The client had its time."""
        self.abort()
        return None

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget about it."""
        self._context.open.leave()
        self._context.wheel.cancel(self)
