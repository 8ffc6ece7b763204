"""What all connections of a listening server share before they are WebSocket connections."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from sockudo_py.apps.base import AppManager
from sockudo_py.clients.admission import Admission
from sockudo_py.edge.handshake import Handshakes
from sockudo_py.edge.head import Head, HeadReader
from sockudo_py.edge.newcomers import Newcomers
from sockudo_py.edge.proxies import TrustedProxies
from sockudo_py.edge.responses import Responses
from sockudo_py.edge.waiting import Waiting, WaitingRoom
from sockudo_py.http.cors import Cors
from sockudo_py.http.messages import ApiRequest, ApiResponse
from sockudo_py.http.routes import cut_prefix
from sockudo_py.limits.base import RateLimiter, RequestLimit
from sockudo_py.metrics import Metrics
from sockudo_py.process.descriptors import Descriptors
from sockudo_py.protocol.session import Settings
from sockudo_py.ws.context import ConnectionContext


class RequestApi(Protocol):
    """What the publish lane asks (``http.api.Api`` is one)."""

    def handle(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        """Return the response, or an awaitable of it. Never raises."""


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
    max_waiting: int = 10_000  # connections in each of these states; past it the oldest must go
    max_held_bytes: int = 268_435_456  # of bodies that are not complete, all together; past it the oldest must go


_REMEMBERED = 1024  # paths of publishes ...
_REMEMBERED_LENGTH = 256  # ... up to this length


class FrontContext:
    """What a ``Front`` works with.

    Args:
        connections: For those that become WebSocket connections; its wheel and clock serve the front too.
        apps: Who may connect.
        api: Answers the publish lane.
        fallback: Makes the protocol of a connection that another server goes on with (an aiohttp ``web.Server``).
        metrics: Counts refusals.
        settings: Of the sessions.
        limits: Bounds.
        path_prefix: What stands before ``/app`` and ``/apps``, without a slash at its end.
        proxies: Whose ``X-Forwarded-*`` is believed.
        cors: What browsers of other origins may do with the API; None: nothing.
        limiter: For ``connect_limit``.
        connect_limit: How often one address may connect; None is no limit.
        connect_proxies: Whose ``X-Forwarded-For`` tells that address; None: ``proxies``.
        descriptors: Tell which connection is one too many; None: none is.
        newcomers: Who has to wait for an answer to the handshake.
        wall_clock: Unix seconds, for Date headers.
    """

    def __init__(
        self,
        *,
        connections: ConnectionContext,
        apps: AppManager,
        api: RequestApi,
        fallback: Callable[[], asyncio.Protocol],
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
    ) -> None:
        self.connections = connections
        self.clock = connections.clock
        self.begin_work, self.end_work = connections.node.begin_work, connections.node.end_work
        self.api = api
        self.fallback = fallback
        self.limits = limits = limits or FrontLimits()
        self.prefix = path_prefix.rstrip("/")
        self._checks_health = re.compile(f"(?:{re.escape(self.prefix)})?/(?:up(?:/[^/]+)?|live)").fullmatch
        self._publishes = re.compile(re.escape(self.prefix) + r"/apps/[^/]+/(?:batch_)?events").fullmatch
        self.publish_paths: dict[str, str] = {}  # those asked for lately, without the prefix; bounded
        self.reader = HeadReader(limits.max_head_bytes)
        self.handshakes = Handshakes()
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
        )
        self.connect_proxies = connect_proxies or self.proxies
        self.descriptors = descriptors
        self.newcomers = Newcomers() if newcomers is None else newcomers
        self.dropped = metrics.counter(
            "connections_dropped_total", "Connections dropped because too many were waiting for a request", ("waiting",)
        )
        wheel, capacity = connections.wheel, limits.max_waiting
        self.heads = WaitingRoom(wheel, limits.head_timeout, capacity)
        self.bodies = WaitingRoom(wheel, limits.body_timeout, capacity)
        self.idle = WaitingRoom(wheel, limits.idle_timeout, capacity)
        self.unread = WaitingRoom(wheel, limits.write_timeout, capacity)
        self.leaving = WaitingRoom(wheel, limits.linger, capacity)
        self.busy: set[Waiting] = set()  # those that wait for the API
        self.held_bytes = 0  # of incomplete requests
        self.closing = False  # every response is the last one of its connection

    def path_of(self, head: Head) -> str | None:
        """Return the path without the prefix when the front itself answers the request, else None.

        The front itself answers plain publishes and health checks.
        """
        path = head.path
        if head.method == b"POST":
            if head.fields.plain_length is None:
                return None
            known = self.publish_paths.get(path)
            if known is not None or self._publishes(path) is None:
                return known
            if len(path) <= _REMEMBERED_LENGTH:
                if len(self.publish_paths) >= _REMEMBERED:
                    self.publish_paths.clear()
                self.publish_paths[path] = cut_prefix(path, self.prefix)
        elif head.method != b"GET" or self._checks_health(path) is None or not head.bodiless():
            return None
        return cut_prefix(path, self.prefix)

    def hold(self, more: int) -> None:
        """Count bytes of incomplete requests; when all of them come to too much, those that wait longest must go."""
        self.held_bytes += more
        while more > 0 and self.held_bytes > self.limits.max_held_bytes and self.bodies.crowd_out():
            pass

    def make_room(self) -> bool:
        """Send away whoever waits because its address causes too much, or else has waited longest to ask for something.

        Return False when nobody waits.
        """
        return self.newcomers.crowd_out() or self.idle.crowd_out() or self.heads.crowd_out()

    def count_dropped(self, room: WaitingRoom) -> None:
        """Count a connection that had to leave a room because others came."""
        for name, other in (("head", self.heads), ("body", self.bodies), ("idle", self.idle)):
            if room is other:
                self.dropped.add(name)
