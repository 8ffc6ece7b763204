"""The open routes, which probes and load balancers ask, and ``/usage``, which is for operators."""

import logging
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import orjson

from sockudo_py import __version__
from sockudo_py.apps.base import AppManager
from sockudo_py.errors import Unavailable
from sockudo_py.http.context import NodeApi
from sockudo_py.http.messages import TEXT, ApiResponse, error
from sockudo_py.metrics import Metrics

log = logging.getLogger(__name__)

UP = ApiResponse(200, b"OK", TEXT, (("Cache-Control", "no-store"),))
_RETRY = ("Retry-After", "1")


class Health:
    """Answers ``/up``, ``/up/{app_id}``, ``/live``, the probes that people have from other servers, and ``/usage``.

    Args:
        node: Its ``draining`` and its connections.
        apps: For ``/up/{app_id}`` and the figures per app.
        metrics: For the figures per app.
        checks: By the name of a part (``adapter``, ``queue``): a cheap question that answers False while the part is
            not healthy.
        webhooks: Returns the ``webhooks`` section of ``/usage``, with every secret redacted. May raise ``Unavailable``.
        cluster: Returns the ``cluster`` section of ``/usage``; None: this node is alone.
        crowded: Returns what is past its high watermark.
        worker: The name of this process among those of a server; None: it is the only one.
        clock: A monotonic clock, for the uptime.
    """

    def __init__(
        self,
        *,
        node: NodeApi,
        apps: AppManager,
        metrics: Metrics,
        checks: Mapping[str, Callable[[], bool]] | None = None,
        webhooks: Callable[[], Awaitable[Mapping[str, object]]] | None = None,
        cluster: Callable[[], Mapping[str, float]] | None = None,
        crowded: Callable[[], list[str]] = list,
        worker: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._apps = apps
        self._metrics = metrics
        self._checks = dict(checks or {})
        self._webhooks = webhooks
        self._cluster = cluster
        self._crowded = crowded
        self._worker = worker
        self._clock = clock
        self._leaving = False
        self._stays = False
        self._started = clock()

    def leave(self) -> None:
        """Answer ``/up`` with 503 from now on: balancers shall send clients elsewhere. Nothing else changes."""
        self._leaving = True

    def stay(self) -> None:
        """Don't say that this node drains: other workers on its port go on, so clients need no other server."""
        self._stays = True

    def ill(self) -> list[str]:
        """Return the names of the parts that are not healthy."""
        return [name for name, healthy in self._checks.items() if not healthy()]

    def up(self) -> ApiResponse:
        """Return 200 while this node takes clients, 503 while it drains.

        The body of 200 names the parts that are not healthy: a balancer that took every node out because a service is
        away would end also what goes on without it.
        """
        return self._draining() or self._parts() or UP

    def ready(self) -> ApiResponse:
        """Return 503 while the node drains or something is past its high watermark, else 200."""
        crowded = self._crowded()
        if crowded and self._draining() is None:
            return error(503, f"past the high watermark: {', '.join(crowded)}", _RETRY)
        return self.accept_traffic()

    def accept_traffic(self) -> ApiResponse:
        """Return 503 while the node drains, else 200."""
        return self._draining() or UP

    def up_app(self, app_id: str) -> ApiResponse:
        """Return 200 when this app can be used here: 404 when there is none, 403 when it is disabled, 503 as ``up``."""
        app = self._apps.by_id(app_id)
        if app is None:
            return error(404, "Unknown app")
        if not app.enabled:
            return error(403, "App disabled")
        return self.up()

    def live(self) -> ApiResponse:
        """Return 200: the process answers."""
        return UP

    def _draining(self) -> ApiResponse | None:
        leaving = (self._leaving or self._node.draining) and not self._stays
        return error(503, "draining", _RETRY) if leaving else None

    def _parts(self) -> ApiResponse | None:
        ill = self.ill()
        return replace(UP, body=f"degraded: {', '.join(ill)}\n".encode()) if ill else None

    async def usage(self) -> ApiResponse:
        """Return what this process holds and uses, as JSON. Sizes are bytes, ``uptime_seconds`` seconds."""
        apps = {
            definition.app.id: self._node.connections(definition.app.id)
            for definition in self._apps.all()
            if definition.app.id in self._metrics.apps
        }
        usage: dict[str, object] = {
            "version": __version__,
            "uptime_seconds": round(self._clock() - self._started, 3),
            "memory": _memory(),
            "connections": {"total": self._node.connections(), "apps": apps},
            "channels": sum(counters.channels for counters in self._metrics.apps.values()),
            "subscriptions": sum(counters.subscriptions for counters in self._metrics.apps.values()),
        }
        if self._worker is not None:
            usage["worker"] = self._worker
        if self._cluster is not None:
            usage["cluster"] = self._cluster()
        if self._webhooks is not None:
            try:
                usage["webhooks"] = await self._webhooks()
            except Unavailable as problem:
                log.warning("/usage leaves out webhooks: %s", problem)
                usage["webhooks"] = {"error": "the webhook store can't be reached right now"}
        return ApiResponse(200, orjson.dumps(usage), headers=UP.headers)


def _memory() -> dict[str, int | float]:
    """Return the resident memory of this process and the memory of the machine in bytes, and the share in percent."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/proc/self/statm", "rb") as statm:
            rss = int(statm.read().split()[1]) * page
    except OSError:  # not Linux: the peak is the nearest figure that the standard library has
        rss = peak
    return {"rss": rss, "peak_rss": peak, "total": total, "percent": round(100 * rss / total, 2)}
