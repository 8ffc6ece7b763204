"""The metrics port: renders ``Metrics`` in Prometheus' formats."""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sockudo_py import __version__
from sockudo_py.http.app import plain_errors
from sockudo_py.metrics import APP_METRICS, Histogram, Metrics, Series


class MetricsCollector(Collector):
    """Renders the plain numbers at scrape time. Reading is all it does, so a scrape costs the hot path nothing.

    It copies each table before it walks through it: threads (late imports, name look-ups) count too.
    """

    def __init__(self, metrics: Metrics, prefix: str = "sockudo_") -> None:
        self._metrics = metrics
        self._prefix = prefix

    def describe(self) -> list[Metric]:
        """Return nothing: the families are only known at scrape time."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family, also those without a value yet."""
        for refresh in self._metrics.before_scrape:
            refresh()
        for row in APP_METRICS:
            family = _family(self._prefix + row.name, row.help, ("app_id",), row.kind)
            for app_id, counters in list(self._metrics.apps.items()):
                family.add_metric([app_id], getattr(counters, row.field))
            yield family
        for series in list(self._metrics.series.values()):
            yield self._series(series)
        for histogram in list(self._metrics.histograms.values()):
            yield self._histogram(histogram)

    def _series(self, series: Series) -> Metric:
        family = _family(self._prefix + series.name, series.help, series.labels, series.kind)
        values = series.values if series.labels or series.values else {(): 0.0}
        for labels, value in list(values.items()):
            family.add_metric(labels, value)
        return family

    def _histogram(self, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(self._prefix + histogram.name, histogram.help, labels=histogram.labels)
        bounds = [*(repr(float(bound)) for bound in histogram.buckets), "+Inf"]
        values = histogram.values
        if not histogram.labels and not values:
            values = {(): [0.0] * (len(histogram.buckets) + 2)}
        for labels, row in list(values.items()):
            total = 0.0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip(bounds, row[:-1], strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric(labels, buckets, row[-1])
        return family


def _family(name: str, help_text: str, labels: tuple[str, ...], kind: str) -> CounterMetricFamily | GaugeMetricFamily:
    if kind == "counter":
        return CounterMetricFamily(name, help_text, labels=labels)
    return GaugeMetricFamily(name, help_text, labels=labels)


def build_metrics_app(metrics: Metrics, *, prefix: str = "sockudo_") -> web.Application:
    """Return the application of the metrics port: ``GET /metrics``, with the figures of the process besides."""
    metrics.gauge("build_info", "Always 1; the label version is the version that runs", ("version",)).set(
        __version__, value=1
    )
    registry = CollectorRegistry()
    registry.register(MetricsCollector(metrics, prefix))
    ProcessCollector(registry=registry)

    async def scrape(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application(middlewares=[plain_errors])
    app.router.add_get("/metrics", scrape)
    return app
