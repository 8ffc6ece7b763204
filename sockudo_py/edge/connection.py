"""The one port's first protocol: it reads the head of each request and finds its lane.

An HTTP connection begins here and stays while lanes answer its requests. It keeps what has arrived of a request, waits
in the queue of a timeout, refuses what it can't serve, and ends; or it becomes the connection of a lane that takes it
over.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, cast

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.deadlines import DeadlineQueue
from sockudo_py.edge.http1.head import BadHead, Fields, Head, after_blanks
from sockudo_py.edge.lane import AnswerLane, TakenOver, TakeOverLane
from sockudo_py.edge.proxies import address_of
from sockudo_py.http.messages import OK, ApiResponse, error, make_request

log = logging.getLogger(__name__)

READING: Final = 0
BUSY: Final = 1  # bytes are kept until the API answers, the client reads, or the loop turns
LEAVING: Final = 2  # nothing more is read or written
GONE: Final = 3  # lost, or another protocol's

_G = ord("G")
_REQUESTS_PER_TURN = 16
_KEPT_BYTES = 1_048_576  # besides a body: more than a transport delivers after ``pause_reading``

_CRASHED = error(500, "Internal server error")
_NOT_FOUND = error(404, "Not found")


class HttpConnection(asyncio.Protocol):
    """A connection from its acceptance until a lane takes it over, or to its end.

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
        "_lane",
        "_peer",
        "_queue",
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
        self._head: Head | None = None  # of a request whose body is not complete
        self._lane: AnswerLane | None = None  # of that request
        self._held = 0  # bytes in the buffer, as the context counts them
        self._queue: DeadlineQueue | None = None
        self._stale = 0.0  # a wait that restarts after this is entered in the queue again
        self._peer: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._blocked = False  # the client doesn't read its responses
        self._half_closed = False  # the client sends no more

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
        """Answer all complete requests, then close."""
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
            self._leave_queue()
        self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up. A request that is being answered gets no response."""
        if self._task is not None:
            # One turn later: a task cancelled before its first step leaves its coroutine un-awaited.
            self._task.get_loop().call_soon(self._task.cancel)
        self._depart()
        self._context.connections.open.leave()

    # -- a lane's side --

    def come_back(self, transport: asyncio.Transport, received: bytes) -> None:
        """Go on with a connection that a lane took over and has done with; ``received`` came on it meanwhile."""
        transport.set_protocol(self)
        self._transport = transport
        self._context.connections.open.enter()
        self._wait_in(self._context.idle)
        if received:
            self.data_received(received)

    # -- the queues' side --

    def on_timeout(self, queue: DeadlineQueue) -> None:
        """Answer a client that began a request and took too long; close the others."""
        self._queue = None
        self._context.count_late(queue)
        if queue is self._context.unread or queue is self._context.leaving:
            self._abort()
        elif self._buffer or self._head is not None:
            self._refuse(error(408, f"The request did not arrive within {queue.seconds:g} seconds"))
        else:
            self.close()

    def on_evicted(self, queue: DeadlineQueue) -> None:
        """Count the eviction and close at once."""
        self._queue = None
        self._context.count_dropped(queue)
        self._abort()

    # -- the server's side --

    def close(self) -> None:
        """Close after the pending output; the client has some time to read it."""
        if self._state < LEAVING:
            self._state = LEAVING
            self._transport.close()
            self._wait_in(self._context.unread)

    def drop(self) -> None:
        """Close at once."""
        if self._state != GONE:
            self._abort()

    # -- requests --

    def _serve(self, data: bytes | bytearray) -> None:
        """Serve the requests that are complete in ``data`` and keep the rest."""
        context = self._context
        max_body = context.limits.max_body_bytes
        size, begin, start, served = len(data), 0, 0, 0
        context.begin_work()
        try:
            while start < size and self._state == READING:
                head, answering = self._head, self._lane
                if head is None or answering is None:
                    begin = start = after_blanks(data, start) if data[start] in b"\r\n" else start
                    if start == size:
                        break
                    head, start = context.reader.next(data, start)
                    if head is None:
                        break
                    lane = context.lane_of(head)
                    if isinstance(lane, TakeOverLane):
                        self._hand_over(lane, head, data, begin, start)
                        return
                    if not isinstance(lane, AnswerLane):
                        self._refuse(_NOT_FOUND)
                        return
                    answering = lane
                length = head.fields.plain_length or 0
                most = answering.max_body_bytes or max_body
                if length > most:
                    self._refuse(error(413, f"The body exceeds the allowed maximum ({most} bytes)"))
                    return
                end = start + length
                if end > size:
                    self._head, self._lane = head, answering
                    break
                self._head = None
                method, body = head.method.decode(), bytes(data[start:end])
                self._answer(answering, head.fields, method, head.path, head.query, body)
                start = end
                served += 1
                if served >= _REQUESTS_PER_TURN and start < size and self._state == READING:
                    self._pause()
                    context.call_soon(self._resume)
        except BadHead as problem:
            self._refuse(error(problem.status, str(problem)))
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

    def _hand_over(self, lane: TakeOverLane, head: Head, data: bytes | bytearray, begin: int, end: int) -> None:
        """Give the connection, with what came, to a lane that goes on with it."""
        if self._transport.is_closing():  # a TLS transport reports the loss to this protocol, and not to the next one
            self._abort()
            return
        refusal = lane.refusal(head)
        if refusal is not None:
            self._refuse(refusal)
            return
        head_bytes, rest = bytes(data[begin:end]), bytes(data[end:])
        self._depart()
        lane.take_over(TakenOver(self._transport, head, head_bytes, rest, self._secure, self._half_closed))

    def _open_known(self, data: bytes) -> bool:
        """Hand the connection over if ``data`` is a request like one before; return False when it isn't."""
        lane = self._context.recalling
        try:
            return lane is not None and lane.take_known(data, self._transport, secure=self._secure, depart=self._depart)
        except Exception:  # noqa: BLE001 - as in _serve
            self._crash()
        return True

    def _publish_known(self, data: bytes) -> bool:
        """Serve ``data`` if it is one publish, whole and with a head like one before; return False when it isn't."""
        context = self._context
        found = context.reader.whole(data)
        if found is None:
            return False
        fields, path, query, body = found
        lane = context.first
        if lane is None or not lane.takes_post(path) or len(body) > context.limits.max_body_bytes:
            return False
        begin_work, end_work = context.begin_work, context.end_work  # attributes of an instance: cheaper in two steps
        begin_work()
        try:
            self._answer(lane, fields, "POST", path, query, body)
        except Exception:  # noqa: BLE001 - as in _serve
            self._crash()
        finally:
            end_work()
        if self._state == READING:
            self._wait(True)
        return True

    def _answer(self, lane: AnswerLane, fields: Fields, method: str, path: str, query: str, body: bytes) -> None:
        peer = self._peer
        remote = self._client(fields) if peer is None or fields.forwarded_for is not None else peer
        request = make_request(method, path, query, fields.text_headers, body, remote, fields.idempotency_key)
        response = lane.answer(request)
        context = self._context
        if response is OK and fields.usual and not context.closing:
            self._transport.write(context.responses.usual())
            return
        if isinstance(response, ApiResponse):
            self._respond(fields, response)
            return
        self._pause()
        context.busy.add(self)
        self._leave_queue()
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

    def _client(self, fields: Fields) -> str:
        """Return the client's address: the peer's (empty on a Unix socket), or what a trusted proxy says."""
        if self._peer is None:
            self._peer = address_of(self._transport)
        said = fields.forwarded_for
        return self._peer if said is None else self._context.proxies.client(self._peer, said)

    # -- waiting --

    def _pause(self) -> None:
        if self._state == READING:
            self._state = BUSY
            self._transport.pause_reading()

    def _resume(self) -> None:
        """Serve the kept bytes, unless an answer must come first."""
        if self._state != BUSY or self._blocked or self._task is not None:
            return
        self._state = READING
        self._transport.resume_reading()  # first: what is served may hand the connection over, or end it slowly
        data, self._buffer = self._buffer, b""
        self._serve(data)

    def _hold(self) -> None:
        """Count the bytes kept of an incomplete body. Past the bound of all bodies the oldest is evicted."""
        size = 0 if self._head is None or self._state >= LEAVING else len(self._buffer)
        more, self._held = size - self._held, size
        self._context.hold(more)

    def _wait(self, again: bool) -> None:
        """Wait for the rest of a request or for the next one; ``again``: from now on."""
        if self._half_closed:
            self.close()
            return
        context = self._context
        clock = context.clock
        queue = context.bodies if self._head is not None else context.heads if self._buffer else context.idle
        if queue is not self._queue or (again and clock() >= self._stale):
            self._wait_in(queue)

    def _wait_in(self, queue: DeadlineQueue) -> None:
        if queue is not self._queue:
            self._leave_queue()
            self._queue = queue
        now = self._context.clock()
        self._stale = now + queue.grain
        queue.enter(self, now)

    def _leave_queue(self) -> None:
        if self._queue is not None:
            self._queue.leave(self)
            self._queue = None

    # -- ends --

    def _refuse(self, response: ApiResponse) -> None:
        """Answer with an error and close, but slowly: a client that is still sending gets to read it and no reset."""
        self._context.refused.add(str(response.status))
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
            self._refuse(_CRASHED)
        else:
            self._transport.abort()

    def _abort(self) -> None:
        self._state = LEAVING
        self._buffer, self._head = b"", None
        self._hold()
        self._transport.abort()

    def _depart(self) -> None:
        """Be gone: the connection is lost, or a lane's."""
        if self._state == GONE:
            return
        self._state = GONE
        self._buffer, self._head = b"", None
        if self._held:
            self._hold()
        self._leave_queue()
        self._context.busy.discard(self)
