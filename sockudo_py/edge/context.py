"""What all connections of a listening server share before they are WebSocket connections."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sockudo_py.apps.base import AppManager
from sockudo_py.clients.admission import Admission
from sockudo_py.edge.deadlines import DeadlineQueue, Waiting
from sockudo_py.edge.http1.head import Head, HeadReader
from sockudo_py.edge.http1.responses import Responses
from sockudo_py.edge.lane import AnswerLane, Lane, RecallingLane
from sockudo_py.edge.newcomers import Newcomers
from sockudo_py.edge.proxies import TrustedProxies, address_of
from sockudo_py.http.cors import Cors
from sockudo_py.limits.base import RateLimiter, RequestLimit
from sockudo_py.metrics import Metrics
from sockudo_py.process.descriptors import Descriptors
from sockudo_py.protocol.session import Settings
from sockudo_py.tap import Tap
from sockudo_py.ws.context import ConnectionContext


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """Bounds of connections that are not (yet) WebSocket connections. Times are seconds."""

    max_head_bytes: int = 16_384
    max_body_bytes: int = 1_048_576
    head_timeout: float = 10.0  # from the connection, or from a request's first byte, to the end of its head
    body_timeout: float = 30.0  # from the end of the head to the end of the body
    idle_timeout: float = 75.0  # between two requests
    write_timeout: float = 75.0  # from the moment in which an answer can't be sent at once until it was read
    linger: float = 2.0  # that a client may go on sending after it was refused, so that it gets to read why
    max_waiting: int = 10_000  # connections in each of these states; past it the oldest is evicted
    max_held_bytes: int = 268_435_456  # of incomplete bodies, all together; past it the oldest is evicted


class FrontContext:
    """What an ``HttpConnection`` works with. ``use`` gives it its lanes, without which nothing is found.

    Args:
        connections: Context of WebSocket connections; its wheel and clock serve HTTP connections too.
        apps: Who may connect.
        metrics: Counts refusals.
        settings: Of the sessions.
        limits: Bounds.
        path_prefix: What stands before ``/app`` and ``/apps``, without a slash at its end.
        proxies: The proxies whose ``X-Forwarded-*`` is believed.
        cors: What browsers of other origins may do with the API; None: nothing.
        limiter: For ``connect_limit``.
        connect_limit: How often one address may connect; None is no limit.
        connect_proxies: The proxies whose ``X-Forwarded-For`` names that address; None: ``proxies``.
        descriptors: Tell which connection is one too many; None: none is.
        newcomers: Connections that wait for an answer to their handshake.
        wall_clock: Unix seconds, for Date headers.
        tap: Told who connects and who may not.
        call_soon: Runs a function in the next turn of the loop; None: the running loop's.
    """

    def __init__(
        self,
        *,
        connections: ConnectionContext,
        apps: AppManager,
        metrics: Metrics,
        settings: Settings,
        limits: FrontLimits | None = None,
        path_prefix: str = "",
        proxies: TrustedProxies | None = None,
        cors: Cors | None = None,
        limiter: RateLimiter | None = None,
        connect_limit: RequestLimit | None = None,
        connect_proxies: TrustedProxies | None = None,
        newcomers: Newcomers | None = None,
        descriptors: Descriptors | None = None,
        wall_clock: Callable[[], float] = time.time,
        tap: Tap | None = None,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.call_soon = call_soon or _call_soon
        self.connections = connections
        self.clock = connections.clock
        self.begin_work, self.end_work = connections.node.begin_work, connections.node.end_work
        self.limits = limits = limits or FrontLimits()
        self.prefix = path_prefix.rstrip("/")
        self.lanes: Sequence[Lane] = ()
        self.first: AnswerLane | None = None  # of the lanes, if it is one that answers
        self.recalling: RecallingLane | None = None
        self.reader = HeadReader(limits.max_head_bytes)
        self.proxies = proxies or TrustedProxies()
        self.responses = Responses(cors, wall_clock)
        self.admission = Admission(
            node=connections.node,
            apps=apps,
            metrics=metrics,
            settings=settings,
            clock=connections.clock,
            limiter=limiter,
            limit=connect_limit,
            tap=tap,
        )
        self.connect_proxies = connect_proxies or self.proxies
        self.descriptors = descriptors
        self.newcomers = Newcomers() if newcomers is None else newcomers
        self.dropped = metrics.counter(
            "connections_dropped_total", "Connections dropped because too many were waiting for a request", ("waiting",)
        )
        self.late = metrics.counter(
            "connections_timed_out_total", "Connections closed because they took too long", ("waiting",)
        )
        self.refused = metrics.counter(
            "http_refused_total", "Requests that were refused before they reached the API or a transport", ("status",)
        )
        wheel, capacity = connections.wheel, limits.max_waiting
        self.heads = DeadlineQueue(wheel, limits.head_timeout, capacity)
        self.bodies = DeadlineQueue(wheel, limits.body_timeout, capacity)
        self.idle = DeadlineQueue(wheel, limits.idle_timeout, capacity)
        self.unread = DeadlineQueue(wheel, limits.write_timeout, capacity)
        self.leaving = DeadlineQueue(wheel, limits.linger, capacity)
        self.busy: set[Waiting] = set()  # connections that wait for an answer of the API
        self.held_bytes = 0  # of incomplete requests
        self.closing = False  # every response is the last one of its connection
        self.on_closing: Callable[[], None] = _ignore  # called when that begins

    def begin_to_close(self) -> None:
        """Let every response be the last one of its connection from now on."""
        if not self.closing:
            self.closing = True
            self.on_closing()

    def use(self, lanes: Sequence[Lane]) -> None:
        """Serve by these lanes from now on: each request by the first that takes it."""
        self.lanes = lanes
        first = lanes[0]
        self.first = first if isinstance(first, AnswerLane) else None
        self.recalling = next((lane for lane in lanes if isinstance(lane, RecallingLane)), None)

    def lane_of(self, head: Head) -> Lane | None:
        """Return the lane of a request, or None when no lane takes it.

        Lanes that answer are not asked about requests whose body the port can't receive.
        """
        receivable = head.fields.plain_length is not None or head.bodiless()
        for lane in self.lanes:
            if (receivable or not isinstance(lane, AnswerLane)) and lane.takes(head):
                return lane
        return None

    def caller(
        self, transport: asyncio.Transport, forwarded_for: str | None, forwarded_proto: str | None, secure: bool
    ) -> tuple[str, bool]:
        """Return the address of a new client, and whether it came over TLS, as far as proxies say.

        Args:
            transport: Of the connection.
            forwarded_for: The header ``X-Forwarded-For``.
            forwarded_proto: The header ``X-Forwarded-Proto``.
            secure: Whether the listener speaks TLS.
        """
        address = address_of(transport)
        if forwarded_proto is not None and not secure:
            secure = self.proxies.secure(address, forwarded_proto)
        if forwarded_for is not None:
            address = self.connect_proxies.client(address, forwarded_for)
        return address, secure

    def hold(self, more: int) -> None:
        """Count bytes of incomplete requests; past the bound of all together, evict the requests that wait longest."""
        self.held_bytes += more
        while more > 0 and self.held_bytes > self.limits.max_held_bytes and self.bodies.evict():
            pass

    def make_room(self) -> bool:
        """Evict a connection that waits: a newcomer, else an idle one, else one without a head, the oldest of its kind.

        Return False when none waits.
        """
        return self.newcomers.evict() or self.idle.evict() or self.heads.evict()

    def count_dropped(self, queue: DeadlineQueue) -> None:
        """Count a connection that had to leave a queue because others came."""
        name = self._name_of(queue)
        if name is not None:
            self.dropped.add(name)

    def count_late(self, queue: DeadlineQueue) -> None:
        """Count a connection that waited too long in a queue."""
        name = self._name_of(queue)
        if name is not None:
            self.late.add(name)

    def _name_of(self, queue: DeadlineQueue) -> str | None:
        names = (("head", self.heads), ("body", self.bodies), ("idle", self.idle), ("unread", self.unread))
        return next((name for name, other in names if queue is other), None)


def _ignore() -> None:
    pass


def _call_soon(call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_soon(call)
