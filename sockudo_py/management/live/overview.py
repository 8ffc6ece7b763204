"""Figures of the last hour, sampled every ten seconds: no time-series database is needed to see what goes on."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from sockudo_py.metrics import Histogram, Metrics

INTERVAL: Final = 10.0  # seconds
SAMPLES: Final = 360  # one hour


class Overview:
    """Samples the metrics of this process.

    Args:
        metrics: Are read.
        clock: Unix seconds.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._samples: deque[dict[str, float]] = deque(maxlen=SAMPLES)
        self._before = self._totals()
        self._latency = self._latencies()

    def sample(self) -> None:
        """Add a sample: gauges as they are, counters as what came since the sample before."""
        totals, latency = self._totals(), self._latencies()
        before, self._before = self._before, totals
        grown = [now - then for now, then in zip(latency, self._latency, strict=True)] if self._latency else latency
        self._latency = latency
        row = {name: max(0, value - before.get(name, 0)) for name, value in totals.items()}
        row.update(self._gauges())
        row["at"] = int(self._clock() * 1000)
        p99 = quantile(self._histogram(), grown, 0.99)
        if p99 is not None:
            row["webhook_p99_ms"] = round(p99 * 1000, 1)
        self._samples.append(row)

    def document(self) -> dict[str, Any]:
        """Return the samples, oldest first, and the figures of this moment."""
        return {"interval_s": INTERVAL, "now": self._gauges(), "samples": list(self._samples)}

    def _gauges(self) -> dict[str, float]:
        apps = list(self._metrics.apps.values())
        depth = self._series("webhook_queue_depth")
        return {
            "connections": sum(one.connections for one in apps),
            "channels": sum(one.channels for one in apps),
            "queue_waiting": depth.get(("waiting",), 0),
            "queue_active": depth.get(("active",), 0),
            "queue_delayed": depth.get(("delayed",), 0),
            "dead_letters": depth.get(("failed",), 0),
            "queue_oldest_s": sum(self._series("webhook_queue_oldest_seconds").values()),
        }

    def _totals(self) -> dict[str, float]:
        apps = list(self._metrics.apps.values())
        ended = self._series("webhook_deliveries_total")
        return {
            "messages_in": sum(one.messages_received for one in apps),
            "messages_out": sum(one.messages_sent for one in apps),
            "published": sum(one.published_events for one in apps),
            "client_events": sum(one.client_events for one in apps),
            "connected": sum(one.new_connections for one in apps),
            "refused": sum(self._series("connections_refused_total").values())
            + sum(self._series("subscriptions_refused_total").values()),
            "delivered": sum(value for labels, value in ended.items() if labels[-1] == "delivered"),
            "failed": sum(value for labels, value in ended.items() if labels[-1] == "failed"),
        }

    def _series(self, name: str) -> Mapping[tuple[str, ...], float]:
        found = self._metrics.series.get(name)
        return {} if found is None else found.values

    def _histogram(self) -> Histogram | None:
        return self._metrics.histograms.get("webhook_delivery_latency_seconds")

    def _latencies(self) -> list[float]:
        found = self._histogram()
        if found is None or not found.values:
            return []
        return [sum(column) for column in zip(*found.values.values(), strict=True)][:-1]


def quantile(histogram: Histogram | None, counts: list[float], share: float) -> float | None:
    """Return the upper bound of the bucket that holds this share of the observations; None: there were none."""
    total = sum(counts)
    if histogram is None or not total:
        return None
    reached = 0.0
    for count, bound in zip(counts, (*histogram.buckets, histogram.buckets[-1]), strict=True):
        reached += count
        if reached >= share * total:
            return bound
    return histogram.buckets[-1]
