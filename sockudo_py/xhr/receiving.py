"""The connection of one receive request: its response, and the way back to the port."""

import asyncio
import sys
from dataclasses import dataclass
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, Final, Protocol

from sockudo_py.xhr.context import XhrContext

PIPELINED: Final = 65_536  # bytes of the next requests that are kept; then the connection is read no more

_HELD: Final = 0  # the response has not ended
_ANSWERED: Final = 1  # it has; the next request on the connection is awaited
_ENDED: Final = 2  # nothing more is read or written
_AWAY: Final = 3  # lost, or the port's


class Holder(Protocol):
    """Whose receive request it is: a client, or who passes the request on."""

    def lost(self, receiver: "Receiving", sure: bool) -> None:
        """Note that the connection was lost; ``sure``: the client has read all that was written."""

    def broken(self, receiver: "Receiving") -> None:
        """Note that not the whole response has been sent."""

    def slow(self) -> None:
        """Note that the client does not read."""


@dataclass(frozen=True, slots=True)
class ReceiveRequest:
    """What a receive request asks for.

    ``chunked``: the client speaks HTTP/1.1. ``headers`` are lines of the response. ``secure``: over TLS.
    """

    streaming: bool
    chunked: bool
    keep_alive: bool
    headers: str
    secure: bool


class Receiving(asyncio.Protocol):
    """A receive request's connection and its ``client.Receiver``.

    A poll's connection stays: when the next request comes on it, the port goes on.
    """

    __slots__ = (
        "__weakref__",
        "_asked",
        "_begun",
        "_blocked",
        "_context",
        "_received",
        "_state",
        "_sure",
        "_transport",
        "client",
        "streaming",
        "tick",
    )

    def __init__(self, context: XhrContext, transport: asyncio.Transport, asked: ReceiveRequest) -> None:
        self.streaming = asked.streaming
        self.tick = 0
        self._context = context
        self._transport = transport
        self._asked = asked
        self.client: Holder | None = None  # whose request it is
        self._state = _HELD
        self._begun = False
        self._blocked = False
        self._sure: bool | None = None  # the client has ended the connection, and had read everything
        self._received = b""

    @property
    def here(self) -> bool:
        """Whether the client is still there."""
        return self._state == _HELD and not self._transport.is_closing()

    def start(self, client: "Holder | None", received: bytes) -> None:
        """Take the connection; ``client`` is whose request it is, None when it will be refused."""
        self.client = client
        self._transport.set_protocol(self)
        if self.streaming:
            self._transport.set_write_buffer_limits(high=self._context.limits.max_kept_bytes)
        if received:
            self.data_received(received)

    # -- the client's side --

    def write(self, lines: bytes, last: bool = False) -> None:
        """Send lines of a stream, or its head alone."""
        if self._state == _HELD:
            self._transport.write(self._framed(lines, last))

    def finish(self, lines: bytes) -> None:
        """Send the last lines and end the response."""
        if self._state != _HELD:
            return
        if self.streaming:
            end = b"0\r\n\r\n" if self._asked.chunked else b""
            self._state = _ENDED
            self._transport.write(self._framed(lines) + end)
            self._close()
            return
        stays = self._asked.keep_alive and not self._context.closing()
        head = self._head(f"Content-Length: {len(lines)}\r\n" + ("" if stays else "Connection: close\r\n"))
        self._state = _ANSWERED if stays else _ENDED
        self._transport.write(head + lines)
        if not stays:
            self._close()
        elif self._state == _ANSWERED and not self._blocked:
            if self._received:  # not within this call: polls may stand behind each other by the thousand
                self._context.call_soon(self._go_on)
            else:
                self._context.idle.enter(self, self._context.clock())

    def fail(self) -> None:
        """Answer with an error: the session can't be reached. The client tries again after a moment."""
        if self._state == _HELD:
            self._state = _ENDED
            head = f"HTTP/1.1 503 Service Unavailable\r\n{self._context.date()}{self._asked.headers}"
            body = b"The session's node can't be reached right now, try again later\n"
            more = f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
            self._transport.write((head + more).encode("latin-1", "replace") + body)
            self._close()

    def flushed(self) -> bool:
        """Return whether all that was written has left this process."""
        return self._transport.get_write_buffer_size() == 0

    def give_up_unread(self) -> None:
        """See ``client.Receiver``."""
        client = self.client
        if self._state in (_ANSWERED, _ENDED) and client is not None and not self.flushed():
            self.abort()
            client.broken(self)

    def abort(self) -> None:
        """Drop the connection."""
        if self._state != _AWAY:
            self._state = _ENDED
            self._transport.abort()

    # -- the transport's side --

    def data_received(self, data: bytes) -> None:
        """Keep the next request, or let the port go on with it."""
        if self._state == _ENDED:
            return
        self._received += data
        if self._state == _ANSWERED and not self._blocked:
            self._go_on()
        elif len(self._received) > PIPELINED:
            if self.streaming:  # nothing follows such a request
                self._transport.abort()
            else:
                self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        """Let the transport close; note whether anything is under way to the client."""
        self._sure = self._read_by_client()
        return False

    def pause_writing(self) -> None:
        """A stream's client doesn't read: it is closed. A poll's has some time."""
        self._blocked = True
        if self._state == _ANSWERED:
            self._context.idle.leave(self)
            self._context.unread.enter(self, self._context.clock())
        elif self._state == _HELD and self.client is not None and self.streaming:
            self.client.slow()

    def resume_writing(self) -> None:
        """Go on."""
        self._blocked = False
        if self._state == _ANSWERED:
            self._context.unread.leave(self)
            if self._received:
                self._go_on()
            else:
                self._context.idle.enter(self, self._context.clock())

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the client's session."""
        state = self._state
        if state == _AWAY:
            return
        context, client = self._context, self.client
        self._depart()
        context.connections.leave()
        context.wheel.cancel(self)
        if client is None:
            return
        if state != _ANSWERED:
            client.lost(self, exc is None and (self._read_by_client() if self._sure is None else self._sure))
        elif self._blocked:
            client.broken(self)

    # -- the queues' and the wheel's side --

    def on_timeout(self, queue: Any) -> None:
        """No further request came in time, or a client did not read."""
        self._context.count_late(queue)
        if queue is self._context.idle:
            self._state = _ENDED
            self._close()  # it may have to be dropped: less than a transport tells of may still be unsent
        else:
            self._transport.abort()

    def on_evicted(self, queue: Any) -> None:
        """Make place for others."""
        self._context.count_dropped(queue)
        self._transport.abort()

    def drop(self) -> None:
        """The server closes."""
        self._transport.abort()

    def check(self, now: float) -> float | None:
        """The client had its time to read the end."""
        self.abort()
        return None

    # -- within --

    def _framed(self, lines: bytes, last: bool = False) -> bytes:
        chunked = self._asked.chunked
        if not chunked or not lines:
            framed = lines
        elif last:  # the chunk does not end: a client that gives up a response which it has read tells by no reset
            framed = b"%x\r\n%b" % (len(lines) + 1, lines)
        else:
            framed = b"%x\r\n%b\r\n" % (len(lines), lines)
        if self._begun:
            return framed
        self._begun = True
        return self._head("Connection: close\r\n" + ("Transfer-Encoding: chunked\r\n" if chunked else "")) + framed

    def _head(self, more: str) -> bytes:
        head = f"HTTP/1.1 200 OK\r\n{self._context.date()}{self._asked.headers}{more}\r\n"
        return head.encode("latin-1", "replace")

    def _close(self) -> None:
        self._transport.close()
        context = self._context
        context.wheel.schedule(self, context.clock() + context.limits.close_timeout)

    def _go_on(self) -> None:
        """Give the connection back to the port: the next request has come, so the response was read."""
        if self._state != _ANSWERED or self._blocked:  # it has changed since the loop's last turn
            return
        received, self._received = self._received, b""
        self._depart()
        self._transport.resume_reading()
        self._context.connections.leave()
        self._context.give_back(self._transport, self._asked.secure, received)

    def _depart(self) -> None:
        self._state = _AWAY
        self._received = b""
        self.client = None  # a client knows its last request: a cycle would keep both until the collector runs
        self._context.idle.leave(self)
        self._context.unread.leave(self)

    def _read_by_client(self) -> bool:
        """Return whether all that was written has been received by a client that has ended its side.

        A kernel ends a connection by a reset, and not like this, while there is something that its program hasn't read.
        """
        transport = self._transport
        if transport.get_write_buffer_size():
            return False
        socket = transport.get_extra_info("socket")
        try:
            answer = ioctl(socket.fileno(), TIOCOUTQ, bytes(4))
        except (AttributeError, OSError, ValueError):
            return True
        return int.from_bytes(answer, sys.byteorder) == 0
