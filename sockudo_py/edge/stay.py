"""A connection's stay at the front: what it does there, what is kept of it, where it waits and how it ends."""

import asyncio
import logging
from typing import Final

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.head import Fields, Head
from sockudo_py.edge.proxies import address_of
from sockudo_py.edge.waiting import WaitingRoom
from sockudo_py.http.messages import error

log = logging.getLogger(__name__)

READING: Final = 0
BUSY: Final = 1  # what comes is kept: for the API, for the client to read, or for the next turn of the loop
LEAVING: Final = 2  # nothing more is read or written
GONE: Final = 3  # lost, or another protocol's


class Stay(asyncio.Protocol):
    """A connection that waits for its client and ends, one way or the other. ``Front`` adds what it is served.

    Args:
        context: Shared by all.
        secure: Whether the listener speaks TLS.
    """

    __slots__ = (
        "_blocked",
        "_buffer",
        "_context",
        "_half_closed",
        "_head",
        "_held",
        "_peer",
        "_room",
        "_secure",
        "_stale",
        "_state",
        "_task",
        "_transport",
    )

    _transport: asyncio.Transport

    def __init__(self, context: FrontContext, *, secure: bool) -> None:
        self._context = context
        self._secure = secure
        self._state = READING
        self._buffer: bytes | bytearray = b""
        self._head: Head | None = None  # of a publish whose body is not complete
        self._held = 0  # bytes in the buffer, as the context counts them
        self._room: WaitingRoom | None = None
        self._stale = 0.0  # from then on the room is told when the wait begins anew
        self._peer: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._blocked = False  # the client doesn't read its responses
        self._half_closed = False  # the client sends no more

    # -- the waiting rooms' side --

    def late(self, room: WaitingRoom) -> None:
        """Tell a client that began a request that it took too long; close the others."""
        self._room = None
        if room is self._context.unread or room is self._context.leaving:
            self._abort()
        elif self._buffer or self._head is not None:
            self._refuse(408, f"The request did not arrive within {room.seconds:g} seconds")
        else:
            self.close()

    def crowded_out(self, room: WaitingRoom) -> None:
        """Make place for others."""
        self._room = None
        self._context.count_dropped(room)
        self._abort()

    # -- the server's side --

    def close(self) -> None:
        """Close after what was written, for which the client has some time."""
        if self._state < LEAVING:
            self._state = LEAVING
            self._transport.close()
            self._wait_in(self._context.unread)

    def drop(self) -> None:
        """Close at once."""
        if self._state != GONE:
            self._abort()

    # -- within --

    def _hold(self) -> None:
        """Count what is kept of an incomplete body; when all of them come to too much, the oldest must go."""
        size = 0 if self._head is None or self._state >= LEAVING else len(self._buffer)
        more, self._held = size - self._held, size
        self._context.hold(more)

    def _pause(self) -> None:
        if self._state == READING:
            self._state = BUSY
            self._transport.pause_reading()

    def _wait(self, again: bool) -> None:
        """Wait for the rest of a request or for the next one; ``again``: from now on."""
        if self._half_closed:
            self.close()
            return
        context = self._context
        clock = context.clock
        room = context.bodies if self._head is not None else context.heads if self._buffer else context.idle
        if room is not self._room or (again and clock() >= self._stale):
            self._wait_in(room)

    def _wait_in(self, room: WaitingRoom) -> None:
        if room is not self._room:
            self._leave_room()
            self._room = room
        now = self._context.clock()
        self._stale = now + room.grain
        room.enter(self, now)

    def _leave_room(self) -> None:
        if self._room is not None:
            self._room.leave(self)
            self._room = None

    def _refuse(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        """Answer with an error and close, but slowly: a client that is still sending gets to read it and no reset."""
        response = error(status, text, *headers)
        self._buffer, self._head = b"", None
        self._hold()
        if self._state == BUSY:
            self._transport.resume_reading()
        self._state = LEAVING
        self._transport.write(self._context.responses.render(response, None, keep_alive=False))
        if self._half_closed:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        self._wait_in(self._context.leaving)

    def _crash(self) -> None:
        log.exception("unexpected error at the front, the connection is closed")
        if self._state < LEAVING:
            self._refuse(500, "Internal server error")
        else:
            self._transport.abort()

    def _abort(self) -> None:
        self._state = LEAVING
        self._buffer, self._head = b"", None
        self._hold()
        self._transport.abort()

    def _depart(self) -> None:
        """Be gone: the connection is lost or another protocol's."""
        if self._state == GONE:
            return
        self._state = GONE
        self._buffer, self._head = b"", None
        if self._held:
            self._hold()
        self._leave_room()
        self._context.busy.discard(self)

    # -- the client --

    def _address(self) -> str:
        """Return the peer's address, empty on a Unix socket."""
        if self._peer is None:
            self._peer = address_of(self._transport)
        return self._peer

    def _client(self, fields: Fields) -> str:
        """Return the client's address: the peer's, or what a trusted proxy says."""
        peer = self._address()
        return peer if fields.forwarded_for is None else self._context.proxies.client(peer, fields.forwarded_for)
