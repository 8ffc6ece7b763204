"""The one port's first protocol: it reads the head of each request and picks the lane.

WebSocket handshakes are answered here and go on as ``ws.connection``; publishes in plain form and questions for the
server's health are read and answered here, one after the other on a kept-alive connection; everything else goes to
aiohttp with the bytes that came.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, cast

from sockudo_py.edge import handshake
from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.head import BadHead, Fields, Head, after_blanks
from sockudo_py.edge.opening import open_connection
from sockudo_py.edge.proxies import address_of
from sockudo_py.edge.waiting import WaitingRoom
from sockudo_py.http.messages import ApiRequest, ApiResponse, error
from sockudo_py.protocol.values import new

log = logging.getLogger(__name__)

_READING: Final = 0
_BUSY: Final = 1  # what comes is kept: for the API, for the client to read, or for the next turn of the loop
_LEAVING: Final = 2  # nothing more is read or written
_GONE: Final = 3  # lost, or another protocol's

_G = ord("G")
_REQUESTS_PER_TURN = 16
_KEPT_BYTES = 1_048_576  # besides a body: more than a transport delivers after it was told to pause

_CRASHED = error(500, "Internal server error")


class Front(asyncio.Protocol):
    """A connection from its acceptance until its lane is known; in the publish lane to its end.

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
        self._state = _READING
        self._buffer: bytes | bytearray = b""
        self._head: Head | None = None  # of a publish whose body is not complete
        self._held = 0  # bytes in the buffer, as the context counts them
        self._room: WaitingRoom | None = None
        self._stale = 0.0  # from then on the room is told when the wait begins anew
        self._peer: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._blocked = False  # the client doesn't read its responses
        self._half_closed = False  # the client sends no more

    # -- the transport's side --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are such without being subclasses
        self._context.connections.census.enter()
        self._wait_in(self._context.heads)

    def data_received(self, data: bytes) -> None:
        """Serve the requests that are complete with ``data``."""
        if self._state >= _LEAVING:
            return
        everything: bytes | bytearray = data
        if self._buffer:
            everything = self._buffer if type(self._buffer) is bytearray else bytearray(self._buffer)
            everything += data
        if self._state == _READING:
            if everything is data and data[0] == _G and self._head is None and self._open_known(data):
                return
            self._serve(everything)
        else:
            self._buffer = everything
        if self._state == _BUSY and len(self._buffer) > _KEPT_BYTES + self._context.limits.max_body_bytes:
            self._abort()

    def eof_received(self) -> bool:
        """Answer what was asked for completely, then close."""
        self._half_closed = True
        return self._state == _BUSY and not self._secure

    def pause_writing(self) -> None:
        """Serve no more requests to a client that doesn't read the responses; it has the time of a body to do so."""
        self._blocked = True
        self._pause()
        if self._state == _BUSY:
            self._wait_in(self._context.bodies)

    def resume_writing(self) -> None:
        """Go on."""
        self._blocked = False
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; what the API is asked for goes unanswered."""
        if self._task is not None:  # not before its first turn: what it should await would never be begun
            self._task.get_loop().call_soon(self._task.cancel)
        self._depart()
        self._context.connections.census.leave()

    # -- the waiting rooms' side --

    def late(self, room: WaitingRoom) -> None:
        """Tell a client that began a request that it took too long; close the others."""
        self._room = None
        if self._blocked or room is self._context.leaving:
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
        """Close after what was written."""
        if self._state < _LEAVING:
            self._state = _LEAVING
            self._transport.close()

    def drop(self) -> None:
        """Close at once."""
        if self._state != _GONE:
            self._abort()

    # -- requests --

    def _serve(self, data: bytes | bytearray) -> None:
        """Serve the requests that are complete in ``data`` and keep the rest."""
        context = self._context
        max_body = context.limits.max_body_bytes
        size, begin, start, served = len(data), 0, 0, 0
        context.begin_work()
        try:
            while start < size and self._state == _READING:
                head = self._head
                if head is None:
                    begin = start = after_blanks(data, start) if data[start] in b"\r\n" else start
                    if start == size:
                        break
                    head, start = context.reader.next(data, start)
                    if head is None:
                        break
                path = context.path_of(head)
                if path is None:
                    self._hand_over(head, data, begin, start)
                    return
                length = head.fields.plain_length or 0
                if length > max_body:
                    self._refuse(413, f"The body exceeds the allowed maximum ({max_body} bytes)")
                    return
                end = start + length
                if end > size:
                    self._head = head
                    break
                self._head = None
                self._answer(head, path, bytes(data[start:end]))
                start = end
                served += 1
                if served >= _REQUESTS_PER_TURN and start < size and self._state == _READING:
                    self._pause()
                    asyncio.get_running_loop().call_soon(self._resume)
        except BadHead as problem:
            self._refuse(problem.status, str(problem))
        except Exception:  # noqa: BLE001 - the top of what this client can cause
            self._crash()
        finally:
            context.end_work()
        if self._state >= _LEAVING:
            return
        self._buffer = data[start:] if start else data
        if self._state == _READING:
            self._wait(again=served > 0)
            if self._held or self._head is not None:
                self._hold()

    def _crash(self) -> None:
        log.exception("unexpected error at the front, the connection is closed")
        if self._state < _LEAVING:
            self._refuse(500, "Internal server error")
        else:
            self._transport.abort()

    def _hold(self) -> None:
        """Count what is kept of an incomplete body; when all of them come to too much, the oldest must go."""
        size = 0 if self._head is None or self._state >= _LEAVING else len(self._buffer)
        more, self._held = size - self._held, size
        self._context.hold(more)

    def _hand_over(self, head: Head, data: bytes | bytearray, begin: int, end: int) -> None:
        """Give the connection, with what came, to the lane that goes on with it."""
        if self._transport.is_closing():  # TLS tells who was here when the connection was lost, not who comes after
            self._abort()
            return
        context = self._context
        to_app = head.upgrade == b"websocket" or handshake.app_key(head.path, context.prefix) is not None
        if to_app and head.method == b"GET":
            problem = handshake.problem_with(head)
            if problem is not None:
                status, text, headers = problem
                self._refuse(status, text, *headers)
                return
            asked = handshake.Handshake(head, context.prefix)
            context.handshakes.remember(bytes(data[begin:end]), head, asked)
            nonce, received = handshake.nonce(head), bytes(data[end:])
            self._depart()
            open_connection(context, self._transport, asked, nonce, received, secure=self._secure)
            return
        self._depart()
        protocol = context.fallback()
        self._transport.set_protocol(protocol)
        context.connections.census.leave()
        protocol.connection_made(self._transport)
        protocol.data_received(bytes(data[begin:]))

    def _open_known(self, data: bytes) -> bool:
        """Go on as a WebSocket connection if ``data`` is a handshake like one before; return False when it isn't."""
        context = self._context
        found = context.handshakes.find(data)
        if found is None:
            return False
        asked, nonce = found
        try:
            self._depart()
            open_connection(context, self._transport, asked, nonce, b"", secure=self._secure)
        except Exception:  # noqa: BLE001 - as in _serve
            self._crash()
        return True

    def _answer(self, head: Head, path: str, body: bytes) -> None:
        context = self._context
        fields = head.fields
        peer = self._peer
        request = new(ApiRequest)
        request.method = "POST" if head.method == b"POST" else "GET"
        request.path, request.query, request.headers, request.body = path, head.query, fields.text_headers, body
        request.remote = self._client(fields) if peer is None or fields.forwarded_for is not None else peer
        response = context.api.handle(request)
        if isinstance(response, ApiResponse):
            self._respond(fields, response)
            return
        self._pause()
        context.busy.add(self)
        self._leave_room()
        self._task = asyncio.get_running_loop().create_task(self._answer_later(fields, response))

    async def _answer_later(self, fields: Fields, pending: Awaitable[ApiResponse]) -> None:
        try:
            response = await pending
        except Exception:
            log.exception("unexpected error while a request was answered")
            response = _CRASHED
        self._task = None
        self._context.busy.discard(self)
        if self._state < _LEAVING:
            self._respond(fields, response)
            self._resume()

    def _respond(self, fields: Fields, response: ApiResponse) -> None:
        keep_alive = fields.keep_alive and not self._context.closing
        self._transport.write(self._context.responses.render(response, fields.origin, keep_alive=keep_alive))
        if not keep_alive:
            self.close()

    def _refuse(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        """Answer with an error and close, but slowly: a client that is still sending gets to read it and no reset."""
        response = error(status, text, *headers)
        self._buffer, self._head = b"", None
        self._hold()
        if self._state == _BUSY:
            self._transport.resume_reading()
        self._state = _LEAVING
        self._transport.write(self._context.responses.render(response, None, keep_alive=False))
        if self._half_closed:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._wait_in(self._context.leaving)

    # -- states --

    def _pause(self) -> None:
        if self._state == _READING:
            self._state = _BUSY
            self._transport.pause_reading()

    def _resume(self) -> None:
        """Serve what was kept, unless something else still has to come first."""
        if self._state != _BUSY or self._blocked or self._task is not None:
            return
        self._state = _READING
        self._transport.resume_reading()  # first: what is served may hand the connection over, or end it slowly
        data, self._buffer = self._buffer, b""
        self._serve(data)

    def _wait(self, *, again: bool) -> None:
        """Wait for the rest of a request or for the next one; ``again``: from now on."""
        if self._half_closed:
            self.close()
            return
        context = self._context
        room = context.bodies if self._head is not None else context.heads if self._buffer else context.idle
        if room is not self._room or (again and context.clock() >= self._stale):
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

    def _abort(self) -> None:
        self._state = _LEAVING
        self._buffer, self._head = b"", None
        self._hold()
        self._transport.abort()

    def _depart(self) -> None:
        """Be gone: the connection is lost or another protocol's."""
        if self._state == _GONE:
            return
        self._state = _GONE
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
