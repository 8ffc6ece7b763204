"""Values and contracts for the handlers of the HTTP API."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sockudo_py.adapters.base import ChannelStats
from sockudo_py.caches.base import CachedEvent
from sockudo_py.http.idempotency import Idempotency
from sockudo_py.http.messages import ApiRequest, ApiResponse, error
from sockudo_py.limits.base import RateLimiter
from sockudo_py.metrics import AppCounters
from sockudo_py.protocol.app import App
from sockudo_py.protocol.values import new


class NodeApi(Protocol):
    """The part of the node that the HTTP API uses (``node.Node`` is one). The async methods raise ``Unavailable``."""

    @property
    def draining(self) -> bool:
        """True from the moment when this node stops taking clients."""

    def publish(
        self, app: App, channels: Sequence[str], event: str, data: str, exclude_socket: str | None = None
    ) -> None:
        """Send an event to the subscribers of each of the channels. Never raises."""

    async def channel(self, app: App, name: str) -> ChannelStats | None:
        """Return the figures of a channel, or None when it is not occupied."""

    async def channels(self, app: App, prefix: str) -> dict[str, ChannelStats]:
        """Return the occupied channels whose names begin with ``prefix``."""

    async def members(self, app: App, name: str) -> list[str]:
        """Return the user ids of a presence channel."""

    async def cached(self, app: App, name: str) -> CachedEvent | None:
        """Return the last event of a cache channel."""

    def terminate_user(self, app: App, user_id: str, *, reconnect: bool = False) -> None:
        """Close all signed-in connections of a user; with ``reconnect`` they come back at once."""

    async def app_connections(self, app: App) -> int:
        """Return how many clients of the app are connected to the cluster."""

    def connections(self, app_id: str | None = None) -> int:
        """Return how many clients are connected here (of one app)."""


@dataclass(slots=True)
class Call:
    """A request that passed authentication.

    ``params`` are those of the query without the auth ones, ``segments`` the path's variables, decoded.
    """

    request: ApiRequest
    app: App
    params: dict[str, str]
    segments: tuple[str, ...]
    counters: AppCounters
    node: NodeApi
    limiter: RateLimiter | None
    idempotency: Idempotency

    def spend_events(self, count: int) -> ApiResponse | None:
        """Take ``count`` events out of the app's allowance for publishing; return the error when it is used up."""
        limit = self.app.backend_events_per_second
        return None if limit is None else self._spend("publish", limit, count)

    def spend_read(self) -> ApiResponse | None:
        """Take one request out of the app's allowance for reading; return the error when it is used up."""
        limit = self.app.read_requests_per_second
        return None if limit is None else self._spend("read", limit, 1)

    def _spend(self, what: str, limit: int, cost: int) -> ApiResponse | None:
        if self.limiter is None:
            return None
        allowance = self.limiter.take(f"http:{what}:{self.app.id}", limit, 1.0, cost)
        if allowance.allowed:
            return None
        self.counters.rate_limited += 1
        return too_many(f"Rate limit exceeded: app {self.app.id} may {what} {limit} per second", allowance.retry_after)


def make_call(
    request: ApiRequest,
    app: App,
    params: dict[str, str],
    segments: tuple[str, ...],
    counters: AppCounters,
    node: NodeApi,
    limiter: RateLimiter | None,
    idempotency: Idempotency,
) -> Call:
    """Return what ``Call(...)`` does, in less time (see ``protocol/values.py``): every publish needs one."""
    call = new(Call)
    call.request, call.app, call.params, call.segments = request, app, params, segments
    call.counters, call.node, call.limiter, call.idempotency = counters, node, limiter, idempotency
    return call


def too_many(message: str, retry_after: float) -> ApiResponse:
    """Return a 429 that says in whole seconds when to come back."""
    return error(429, message, ("Retry-After", str(max(1, math.ceil(retry_after)))))
