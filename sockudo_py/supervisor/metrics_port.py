"""The metrics port of a server with several workers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sockudo_py.clients.wheel import Wheel, tick_for
from sockudo_py.config import Config
from sockudo_py.edge.deadlines import DeadlineQueue
from sockudo_py.edge.fallback.behind import Behind
from sockudo_py.edge.fallback.deferred import DeferredServer
from sockudo_py.edge.fallback.unread import Unread
from sockudo_py.http.app import make_runner, plain_errors
from sockudo_py.process.descriptors import Descriptors
from sockudo_py.supervisor.sums import WORKER, Family
from sockudo_py.wiring.serving.metrics_listeners import MetricsListeners
from sockudo_py.wiring.serving.web import METRICS_SHUTDOWN, MOST_UNREAD

log = logging.getLogger(__name__)

SUPERVISOR = "supervisor"  # what the label ``worker`` says of this process

Figures = Callable[[], Awaitable[Sequence[Family]]]
Processes = Callable[[], dict[str, int]]


class MetricsPort:
    """Serves ``GET /metrics``.

    Args:
        config: Where, and how names begin.
        figures: Returns the figures.
        processes: Returns the process of each worker.
        descriptors: Says whether there is room for one more scrape.
    """

    def __init__(self, config: Config, figures: Figures, processes: Processes, descriptors: Descriptors) -> None:
        self._config = config
        self._figures = figures
        self._processes = processes
        self._door = DeferredServer(descriptors.admits_scrape)
        self._listeners = MetricsListeners(config)
        self._runner: web.AppRunner | None = None
        loop = asyncio.get_running_loop()
        http = config.http_api
        self._wheel = Wheel(loop.time, loop.call_later, tick_for(http.write_timeout))
        self._unread = DeadlineQueue(self._wheel, http.write_timeout, MOST_UNREAD)

    @property
    def port(self) -> int | None:
        """The port; None: there is none."""
        return self._listeners.port

    async def listen(self) -> None:
        """Listen, if metrics are on. Raises SockudoError."""
        if not self._config.metrics.enabled:
            return
        await self._listeners.open(self._door)
        app = web.Application(middlewares=[plain_errors])
        app.router.add_get("/metrics", self._scrape)
        self._runner = make_runner(
            app, keepalive_timeout=self._config.http_api.keep_alive_timeout, shutdown_timeout=METRICS_SHUTDOWN
        )
        await self._runner.setup()
        server, clock = self._runner.server, asyncio.get_running_loop().time
        if server is None:
            raise RuntimeError("an AppRunner has a server after setup")
        self._wheel.start()
        self._door.open(lambda: Unread(Behind(server()), self._unread, clock))

    async def close(self) -> None:
        """Close the port and its connections."""
        self._listeners.close()
        self._door.close()
        self._wheel.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _scrape(self, request: web.Request) -> web.Response:
        families = await self._figures()
        registry = CollectorRegistry()
        registry.register(_Rendered(families, self._config.metrics.prometheus.prefix))
        registry.register(_Processes(self._processes()))
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})


class _Rendered(Collector):
    """Figures in the classes of prometheus_client."""

    def __init__(self, families: Sequence[Family], prefix: str) -> None:
        self._families = families
        self._prefix = prefix

    def describe(self) -> list[Metric]:
        """Return nothing: the families are only known at scrape time."""
        return []

    def collect(self) -> list[Metric]:
        """Return every family."""
        return [self._rendered(family) for family in self._families]

    def _rendered(self, family: Family) -> Metric:
        name = self._prefix + family.name
        if family.kind == "histogram":
            histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
            bounds = [*(repr(float(bound)) for bound in family.buckets), "+Inf"]
            for labels, row in family.rows.items():
                total, buckets = 0.0, []
                for bound, count in zip(bounds, row[:-1], strict=True):
                    total += count
                    buckets.append((bound, total))
                histogram.add_metric(labels, buckets, row[-1])
            return histogram
        kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        found = kind(name, family.help, labels=family.labels)
        for labels, row in family.rows.items():
            found.add_metric(labels, row[0])
        return found


class _Processes(Collector):
    """What the kernel says of each process: memory, CPU, open files."""

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes: dict[str, int | str] = {SUPERVISOR: "self", **processes}

    def describe(self) -> list[Metric]:
        """Return nothing, as above."""
        return []

    def collect(self) -> list[Metric]:
        """Return the figures of all processes, each with the label ``worker``."""
        found: dict[str, Metric] = {}
        for worker, pid in self._processes.items():
            for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                mine = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    mine.add_sample(sample.name, {**sample.labels, WORKER: worker}, sample.value)
        return list(found.values())
