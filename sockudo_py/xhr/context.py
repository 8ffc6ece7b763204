"""What all clients of the HTTP transports share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sockudo_py.clients.node import ClientNode
from sockudo_py.clients.open_connections import OpenConnections
from sockudo_py.clients.wheel import Wheel
from sockudo_py.metrics import Metrics
from sockudo_py.xhr.sessions import Key, Sessions


class Waits(Protocol):
    """Connections that wait for the client (the port's queues of deadlines are such)."""

    def enter(self, waiting: Any, now: float) -> None:
        """Let a connection wait from now on; then its ``on_timeout``, ``on_evicted`` or ``drop`` is called."""

    def leave(self, waiting: Any) -> None:
        """Take it out; it need not be there."""


@dataclass(frozen=True, slots=True)
class XhrLimits:
    """Bounds of the transports. Times are seconds."""

    max_message_bytes: int = 131_072  # of one message of a client
    max_kept_bytes: int = 1_048_576  # that wait for a client; past it the client is closed as slow
    session_timeout: float = 15.0  # that a session lives without a receive request
    poll_timeout: float = 25.0  # after which a poll is answered with a heartbeat
    close_timeout: float = 3.0  # that a client has to read the end of a response
    relay_patience: float = 90.0  # for a word of another node about a request that was passed on to it


class XhrContext:
    """What clients and their receive requests work with.

    Args:
        node: Carries out effects.
        wheel: Asks clients for their liveness; its clock is the sessions' clock.
        clock: Monotonic seconds.
        call_soon: Runs a function in the next turn of the loop.
        metrics: Counts sessions and requests.
        connections: The port's.
        idle: Where connections wait for their next request.
        unread: Where connections wait whose clients don't read.
        count_late: Called with the queue in which a connection waited too long.
        count_dropped: Called with the queue in which a connection had to make room for another.
        give_back: Lets the port go on with a connection, and with what came on it.
        date: Returns the line of a response that says when it is.
        closing: Says whether every response is the last one of its connection.
        limits: Bounds.
        sessions: All sessions.
    """

    def __init__(
        self,
        *,
        node: ClientNode,
        wheel: Wheel,
        clock: Callable[[], float],
        call_soon: Callable[[Callable[[], None]], object],
        metrics: Metrics,
        connections: OpenConnections,
        idle: Waits,
        unread: Waits,
        count_late: Callable[[Any], None],
        count_dropped: Callable[[Any], None],
        give_back: Callable[[asyncio.Transport, bool, bytes], None],
        date: Callable[[], str],
        closing: Callable[[], bool],
        limits: XhrLimits | None = None,
        sessions: Sessions[Any] | None = None,
    ) -> None:
        self.node = node
        self.wheel = wheel
        self.clock = clock
        self.call_soon = call_soon
        self.connections = connections
        self.idle = idle
        self.unread = unread
        self.count_late = count_late
        self.count_dropped = count_dropped
        self.give_back = give_back
        self.date = date
        self.limits = limits or XhrLimits()
        self.sessions: Sessions[Any] = Sessions() if sessions is None else sessions  # of ``client.XhrClient``
        self.closing = closing
        self.forgotten: Callable[[Key], None] = _ignore  # called with the key of a session that is no more
        self.open_sessions = metrics.gauge(
            "http_transport_sessions", "Clients connected by an HTTP transport now", ("transport",)
        )
        self.requests = metrics.counter(
            "http_transport_requests_total", "Requests of clients that use an HTTP transport", ("request",)
        )
        self.ended = metrics.counter(
            "http_transport_sessions_ended_total", "Sessions of HTTP transports that ended", ("reason",)
        )
        self.refused = metrics.counter(
            "http_transport_refused_total", "Requests that an HTTP transport did not take", ("code",)
        )
        self.passed_on = metrics.counter(
            "http_transport_requests_passed_on_total",
            "Requests of HTTP transports whose session was at another node",
            ("request",),
        )


def _ignore(key: Key) -> None:
    pass
