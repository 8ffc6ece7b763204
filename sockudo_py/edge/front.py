"""The one port's first protocol: it reads the head of each request and picks the lane.

WebSocket handshakes are answered here and go on as ``ws.connection``; publishes in plain form and questions for the
server's health are read and answered here, one after the other on a kept-alive connection; everything else goes to
aiohttp with the bytes that came.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import cast

from sockudo_py.edge import handshake
from sockudo_py.edge.head import BadHead, Fields, Head, after_blanks
from sockudo_py.edge.opening import open_connection
from sockudo_py.edge.stay import BUSY, LEAVING, READING, Stay
from sockudo_py.http.messages import OK, ApiResponse, error, make_request, problem_with_coding

log = logging.getLogger(__name__)

_G = ord("G")
_REQUESTS_PER_TURN = 16
_KEPT_BYTES = 1_048_576  # besides a body: more than a transport delivers after it was told to pause

_CRASHED = error(500, "Internal server error")


class Front(Stay):
    """A connection from its acceptance until its lane is known; in the publish lane to its end."""

    __slots__ = ()

    # -- the transport's side --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are such without being subclasses
        self._context.connections.open.enter()
        self._wait_in(self._context.heads)

    def data_received(self, data: bytes) -> None:
        """Serve the requests that are complete with ``data``."""
        if self._state >= LEAVING:
            return
        everything: bytes | bytearray = data
        if self._buffer:
            everything = self._buffer if type(self._buffer) is bytearray else bytearray(self._buffer)
            everything += data
        if self._state == READING:
            if (
                everything is data
                and self._head is None
                and (self._open_known(data) if data[0] == _G else self._publish_known(data))
            ):
                return
            self._serve(everything)
        else:
            self._buffer = everything
        if self._state == BUSY and len(self._buffer) > _KEPT_BYTES + self._context.limits.max_body_bytes:
            self._abort()

    def eof_received(self) -> bool:
        """Answer what was asked for completely, then close."""
        self._half_closed = True
        if self._state == BUSY and not self._secure:
            return True
        self.close()
        return False

    def pause_writing(self) -> None:
        """Serve no more requests to a client that doesn't read the responses; after some time it is dropped."""
        self._blocked = True
        self._pause()
        if self._state == BUSY:
            self._wait_in(self._context.unread)

    def resume_writing(self) -> None:
        """Go on."""
        self._blocked = False
        if self._state == BUSY:
            self._leave_room()
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; what the API is asked for goes unanswered."""
        if (
            self._task is not None
        ):  # one turn later: a task cancelled before its first step leaves its coroutine un-awaited
            self._task.get_loop().call_soon(self._task.cancel)
        self._depart()
        self._context.connections.open.leave()

    # -- requests --

    def _serve(self, data: bytes | bytearray) -> None:
        """Serve the requests that are complete in ``data`` and keep the rest."""
        context = self._context
        max_body = context.limits.max_body_bytes
        size, begin, start, served = len(data), 0, 0, 0
        context.begin_work()
        try:
            while start < size and self._state == READING:
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
                method = "POST" if head.method == b"POST" else "GET"
                self._answer(head.fields, method, path, head.query, bytes(data[start:end]))
                start = end
                served += 1
                if served >= _REQUESTS_PER_TURN and start < size and self._state == READING:
                    self._pause()
                    asyncio.get_running_loop().call_soon(self._resume)
        except BadHead as problem:
            self._refuse(problem.status, str(problem))
        except Exception:  # noqa: BLE001 - the top of what this client can cause
            self._crash()
        finally:
            context.end_work()
        if self._state >= LEAVING:
            return
        self._buffer = data[start:] if start else data
        if self._state == READING:
            self._wait(served > 0)
            if self._held or self._head is not None:
                self._hold()

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
            if self._half_closed:  # told to this protocol, and not again to the one that goes on
                self._transport.close()
            return
        unreadable = problem_with_coding(head.text(b"transfer-encoding"))
        if unreadable is not None:
            self._refuse(501, unreadable)
            return
        self._depart()
        protocol = context.fallback()
        self._transport.set_protocol(protocol)
        context.connections.open.leave()
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

    def _publish_known(self, data: bytes) -> bool:
        """Serve ``data`` if it is one publish, whole and with a head like one before; return False when it isn't."""
        context = self._context
        found = context.reader.whole(data)
        if found is None:
            return False
        fields, asked, query, body = found
        path = context.publish_paths.get(asked)
        if path is None or len(body) > context.limits.max_body_bytes:
            return False
        begin_work, end_work = context.begin_work, context.end_work  # attributes of an instance: cheaper in two steps
        begin_work()
        try:
            self._answer(fields, "POST", path, query, body)
        except Exception:  # noqa: BLE001 - as in _serve
            self._crash()
        finally:
            end_work()
        if self._state == READING:
            self._wait(True)
        return True

    def _answer(self, fields: Fields, method: str, path: str, query: str, body: bytes) -> None:
        context = self._context
        peer = self._peer
        remote = self._client(fields) if peer is None or fields.forwarded_for is not None else peer
        request = make_request(method, path, query, fields.text_headers, body, remote, fields.idempotency_key)
        response = context.api.handle(request)
        if response is OK and fields.usual and not context.closing:
            self._transport.write(context.responses.usual())
            return
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
        if self._state < LEAVING:
            self._respond(fields, response)
            self._resume()

    def _respond(self, fields: Fields, response: ApiResponse) -> None:
        keep_alive = fields.keep_alive and not self._context.closing
        self._transport.write(self._context.responses.render(response, fields.origin, keep_alive=keep_alive))
        if not keep_alive:
            self.close()

    def _resume(self) -> None:
        """Serve what was kept, unless something else still has to come first."""
        if self._state != BUSY or self._blocked or self._task is not None:
            return
        self._state = READING
        self._transport.resume_reading()  # first: what is served may hand the connection over, or end it slowly
        data, self._buffer = self._buffer, b""
        self._serve(data)
