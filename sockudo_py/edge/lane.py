"""The contract of a lane: one row in the table of the port.

The port reads the head of each request and asks its lanes in order (``FrontContext.lanes``); the first that takes the
request gets it. An ``AnswerLane`` answers requests, and the connection stays with the port. A ``TakeOverLane`` goes on
with the connection itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sockudo_py.edge.http1.head import Head
from sockudo_py.http.messages import ApiRequest, ApiResponse


class Lane:
    """One kind of request to the port. (No ``abc.ABC``: ``isinstance`` with such a class costs ten times as much.)"""

    def takes(self, head: Head) -> bool:
        """Return whether this lane serves requests with this head.

        The answer may depend on nothing but the head, and not on a WebSocket handshake's nonce: the port remembers
        heads.
        """
        raise NotImplementedError


class AnswerLane(Lane):
    """Answers requests whose body is not chunked. The port receives the body, and writes the response."""

    max_body_bytes: int | None = None  # of these requests; None: the port's bound

    def takes_post(self, path: str) -> bool:
        """Return whether this lane takes every POST with a Content-Length to this raw path, whatever its head says.

        The port asks the first lane instead of ``takes`` when it knows the other lines of the head
        (``docs/fast-paths.md``).
        """
        return False

    def answer(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        """Return the response, or an awaitable of it. Should not raise; the client then gets a 500.

        ``request.path`` is raw, the configured path prefix included. The request belongs to the lane, which may change
        it. The port asks for the next request of a connection when this one is answered.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A connection that leaves the port's protocol for a lane's own.

    The lane has to give ``transport`` another protocol. The connection counts as open until that calls
    ``OpenConnections.leave``.

    ``head`` is the request's, ``head_bytes`` its bytes and ``rest`` what came after them. ``secure``: the listener
    speaks TLS. ``half_closed``: the client sends no more, and the transport will not say so again.
    """

    transport: asyncio.Transport
    head: Head
    head_bytes: bytes
    rest: bytes
    secure: bool
    half_closed: bool


class TakeOverLane(Lane):
    """Goes on with connections itself."""

    def refusal(self, head: Head) -> ApiResponse | None:
        """Return the response that ends a connection which this lane takes but can't go on with; None: it can."""
        raise NotImplementedError

    def take_over(self, taken: TakenOver) -> None:
        """Go on with the connection."""
        raise NotImplementedError


class RecallingLane(TakeOverLane):
    """A lane that knows again requests that it has taken over before; the port asks it before it parses a GET.

    The port asks one such lane, the first in the table.
    """

    def take_known(
        self, data: bytes, transport: asyncio.Transport, *, secure: bool, depart: Callable[[], None]
    ) -> bool:
        """Go on with the connection if ``data`` is a request like one before and nothing else; return False if not.

        ``depart`` must be called first when the lane goes on: the port then lets the connection go.
        """
        raise NotImplementedError
