"""HTTP responses as bytes, for what the port answers itself."""

import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus

from sockudo_py.http.cors import Cors
from sockudo_py.http.messages import OK, ApiResponse

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class Responses:
    """Renders responses: head and body in one piece, so that they leave with one ``send()``.

    Args:
        cors: What browsers of other origins may do; None: nothing.
        clock: Unix seconds, for the Date header.
    """

    __slots__ = ("_clock", "_cors", "_date", "_from", "_ok", "_until")

    def __init__(self, cors: Cors | None = None, clock: Callable[[], float] = time.time) -> None:
        self._cors = cors
        self._clock = clock
        self._from = self._until = 0.0  # the second in which ``_date`` and ``_ok`` are right
        self._date = ""
        self._ok = b""  # the usual answer, made at its first use

    def usual(self) -> bytes:
        """Return what ``render`` does for ``OK``, no ``Origin`` and a connection that stays."""
        clock = self._clock
        if not self._from <= clock() < self._until or not self._ok:
            self._ok = self.render(OK, None, keep_alive=True)
        return self._ok

    def render(self, response: ApiResponse, origin: str | None, *, keep_alive: bool) -> bytes:
        """Return the whole response to a request with this ``Origin``."""
        date = self.date()
        body = response.body
        head = _STATUS_LINES[response.status] + date
        if response.status != 204:  # which has neither
            head += f"Content-Type: {response.content_type}\r\nContent-Length: {len(body)}\r\n"
        for name, value in response.headers:
            head += f"{name}: {value}\r\n"
        if self._cors is not None and not response.own_cors:
            for name, value in self._cors.headers(origin):
                head += f"{name}: {value}\r\n"
        if not keep_alive:
            head += "Connection: close\r\n"
        return (head + "\r\n").encode("latin-1", "replace") + body

    def date(self) -> str:
        """Return the line that says when it is."""
        now = self._clock()
        if not self._from <= now < self._until:
            second = int(now)
            self._from, self._until = float(second), second + 1.0  # an int is slow to compare with a float
            self._date = f"Date: {formatdate(second, usegmt=True)}\r\n"
            self._ok = b""
        return self._date
