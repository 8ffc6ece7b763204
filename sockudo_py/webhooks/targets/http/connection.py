"""One connection to a receiver: HTTP/1.1, one request at a time, answers bounded in bytes and time.

A general HTTP client (redirects, cookies, compression, tracing, forms) takes more time than all the rest of a delivery.
Here the request is bytes already, and only status, ``Retry-After`` and the first bytes of an answer count.
``httptools`` (llhttp) parses.
"""

import asyncio
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import field

import httptools

from sockudo_py.protocol.values import value
from sockudo_py.webhooks.targets.http.burst import Burst
from sockudo_py.webhooks.targets.http.deadlines import Deadlines

_MOST_FIELD = 8190  # bytes of one header
_OVERHEAD = (
    65_536  # bytes of heads, chunk sizes and trailers that an answer may have beside the part of its body that is kept
)


class ExchangeError(Exception):
    """There was no answer. ``error_class`` as in ``Failure``; the text holds no URL and no header."""

    def __init__(self, error_class: str, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class


@value
class Answer:
    """A receiver's answer. ``answered_at``: when its head was complete, by ``time.perf_counter``.

    ``dialled``: how many ms looking up, connecting and TLS took, in the first answer over a connection.
    """

    status: int
    retry_after: str | None
    answered_at: float
    body: bytes = field(repr=False)
    truncated: bool
    dialled: tuple[int, int, int | None] | None = None


Done = Callable[[Answer | ExchangeError], None]


class Connection(asyncio.Protocol):
    """Made by ``Dialer``. ``reusable``: another request may go over it, once the answer is there.

    Args:
        sock: The socket below, to look for an end that the event loop has not noticed yet.
        keep: How many bytes of a body are kept; an answer with more is cut off, and the connection with it.
        deadlines: Calls ``time_out`` when a request takes too long.
        burst: Calls ``flush`` when a request is to be written.
    """

    __slots__ = (
        "_answered_at",
        "_body",
        "_burst",
        "_complete",
        "_deadlines",
        "_delimited",
        "_done",
        "_keep",
        "_kept",
        "_left",
        "_parser",
        "_readable",
        "_request",
        "_retry_after",
        "_status",
        "_tunnel",
        "dialled",
        "idle_since",
        "reusable",
        "transport",
    )

    def __init__(self, sock: socket.socket, keep: int, deadlines: Deadlines, burst: Burst) -> None:
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.reusable = False
        self.dialled: tuple[int, int, int | None] | None = None  # as in ``Answer``; the dialer sets it
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)
        self._keep = keep
        self._done: Done | None = None  # of the request that is under way
        self._deadlines = deadlines
        self._burst = burst
        self._request = b""  # until it is written
        self._retry_after: str | None = None
        self._body: list[bytes] = []
        self._tunnel = False
        self._complete = False
        self._left = 0
        self._start_answer()
        self._parser = httptools.HttpResponseParser(self)

    def stale(self) -> bool:
        """Return whether the receiver has closed an idle connection, or sent bytes without a request.

        We have not written the request yet, so it can go over another connection.
        """
        if self.transport is None or self.transport.is_closing():
            return True
        return bool(self._readable.poll(0))  # an end, or bytes; peeking would raise nearly each time, which takes long

    async def exchange(self, request: bytes, timeout: float, *, tunnel: bool = False) -> Answer:
        """Send a request and return the answer, cut short where it is long or slow once its status is known.

        Raises ExchangeError (reset, protocol, timeout_read). ``tunnel``: the answer ends with its head if it is a 2xx.
        """
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(answer: Answer | ExchangeError) -> None:
            if waiter.done():
                return  # cancelled
            if isinstance(answer, Answer):
                waiter.set_result(answer)
            else:
                waiter.set_exception(answer)

        self.start(request, timeout, done, tunnel=tunnel)
        try:
            return await waiter
        finally:
            if self._done is done:  # cancelled: a late answer would pass for that to the next request
                self.abort()

    def start(self, request: bytes, timeout: float, done: Done, *, tunnel: bool = False) -> None:
        """Send a request; ``done`` is called later, unless ``abort`` is, with what ``exchange`` returns or raises."""
        self._done = done
        if self.transport is None:
            asyncio.get_running_loop().call_soon(self._fail, "reset", "the connection was closed before an answer came")
            return
        self._start_answer()
        self._tunnel = tunnel
        self._left = self._keep + _OVERHEAD
        self._deadlines.set(self, timeout)
        self._request = request
        self._burst.add(self)

    def flush(self) -> None:
        """Write the request that waits, if it is still under way."""
        request, self._request = self._request, b""
        if request and self._done is not None and self.transport is not None:
            self.transport.write(request)

    def abort(self) -> None:
        """Close at once; unread bytes of an answer are not waited for."""
        self._end()
        self.reusable = False
        if self.transport is not None:
            self.transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        if self._done is None:
            self.abort()
            return
        if self._request:
            self._end_early("protocol", "the endpoint answered before it was asked")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end_early("protocol", "the endpoint switched to another protocol")
            return
        except httptools.HttpParserError:
            self._end_early("protocol", "the answer is not HTTP")
            return
        self._left -= len(data)
        if self._complete:
            self._finish(truncated=False)
        elif self._left <= 0 or (self._status and self._kept > self._keep):
            self._end_early("protocol", "the head of the answer is too long")

    def connection_lost(self, error: Exception | None) -> None:
        """End; without a length the end of the connection is the end of the answer."""
        self.transport = None
        self.reusable = False
        if self._done is None:
            return
        if isinstance(error, ssl.SSLError) and not self._status:
            self._fail("tls", str(error.reason or "TLS failed")[:200])
        elif self._status:
            self._finish(truncated=self._delimited)
        else:
            self._fail("reset", "the connection was closed before an answer came")

    # -- callbacks of the parser

    def on_message_begin(self) -> None:
        """Look whether this is a second answer to one request."""
        if self._complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what counts."""
        if len(name) + len(value) > _MOST_FIELD:
            raise ValueError("a header is too long")
        lower = name.lower()
        if self._complete:
            return
        if lower == b"retry-after":
            self._retry_after = value.decode("latin-1")
        elif lower in (b"content-length", b"transfer-encoding"):
            self._delimited = True

    def on_headers_complete(self) -> None:
        """Take the status; one below 200 only announces another."""
        status = self._parser.get_status_code()
        if self._complete:
            return
        if status >= 200 or status == 101:
            self._status = status
            self._answered_at = time.perf_counter()
            if self._tunnel and status < 300:
                self._complete = True
        else:  # it only announces another one: forget its headers
            self._start_answer()

    def on_body(self, data: bytes) -> None:
        """Keep the beginning."""
        if self._kept <= self._keep and not self._complete:
            self._body.append(data[: self._keep - self._kept])
            self._kept += len(data)

    def on_message_complete(self) -> None:
        """End an answer."""
        if self._status and not self._complete:
            self._complete = True
            # The answer came before the whole request was written: the receiver may not read the rest.
            unwritten = self.transport is None or self.transport.get_write_buffer_size() > 0
            self.reusable = self._parser.should_keep_alive() and not unwritten

    # -- ends

    def _start_answer(self) -> None:
        self._status = 0
        self._retry_after = None
        self._answered_at = 0.0
        self._body = []
        self._kept = 0
        self._complete = False
        self._delimited = False

    def time_out(self) -> None:
        """No complete answer came in time."""
        if self._done is not None:
            self._end_early("timeout_read", "no complete answer within the request timeout")

    def _end_early(self, error_class: str, message: str) -> None:
        """Stop reading. Once the status has come in, trouble changes nothing."""
        self.reusable = False
        if self._status and self._status != 101:
            self._finish(truncated=not self._complete)
        else:
            self._fail(error_class, message)
        self.abort()

    def _finish(self, *, truncated: bool) -> None:
        done = self._end()
        if done is not None:
            body = b"".join(self._body)
            long = self._kept > self._keep
            dialled, self.dialled = self.dialled, None
            done(Answer(self._status, self._retry_after, self._answered_at, body, truncated or long, dialled))

    def _fail(self, error_class: str, message: str) -> None:
        done = self._end()
        if done is not None:
            done(ExchangeError(error_class, message))

    def _end(self) -> Done | None:
        """End the request that is under way, if any; return what is to be called."""
        done, self._done = self._done, None
        if done is not None:
            self._deadlines.clear(self)
        return done
