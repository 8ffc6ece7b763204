"""Metrics as plain numbers. The hot path adds to an integer; ``http/metrics.py`` renders them at scrape time.

``prometheus_client``'s own ``labels().inc()`` costs 2.4 us, an attribute ``+= 1`` 0.09 us; so the counters live here as
attributes and a collector reads them at each scrape. Names and units stand in ``docs/metrics.md``.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class AppCounters:
    """What one app did on this node since start.

    ``connections``, ``subscriptions`` and ``channels`` go up and down, the others only grow. ``APP_METRICS`` has the
    meaning of each field.
    """

    connections: int = 0
    subscriptions: int = 0
    channels: int = 0
    new_connections: int = 0
    new_disconnections: int = 0
    connection_errors: int = 0
    messages_received: int = 0
    received_bytes: int = 0
    messages_sent: int = 0
    sent_bytes: int = 0
    client_events: int = 0
    published_events: int = 0
    idempotent_publishes: int = 0
    idempotent_duplicates: int = 0
    rate_limited: int = 0
    reads_paused: int = 0
    slow_consumers_closed: int = 0
    http_requests: int = 0
    http_errors: int = 0
    http_received_bytes: int = 0
    http_sent_bytes: int = 0


@dataclass(slots=True, eq=False)
class Series:
    """A labelled counter or gauge: values by label values."""

    name: str
    help: str
    labels: tuple[str, ...]
    kind: str  # "counter" | "gauge"
    values: dict[tuple[str, ...], float]

    def add(self, *labels: str, amount: float = 1) -> None:
        """Add ``amount`` to the value with these label values."""
        self.values[labels] = self.values.get(labels, 0) + amount

    def set(self, *labels: str, value: float) -> None:
        """Set the value with these label values."""
        self.values[labels] = value


@dataclass(slots=True, eq=False)
class Histogram:
    """A labelled histogram.

    ``values`` holds one list per label values: the count of each bucket (not cumulated), that of +Inf, and the sum.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...]
    values: dict[tuple[str, ...], list[float]]

    def row(self, *labels: str) -> list[float]:
        """Return the numbers with these label values, for a caller that adds to them before a scrape."""
        row = self.values.get(labels)
        if row is None:
            row = self.values[labels] = [0.0] * (len(self.buckets) + 2)
        return row

    def observe(self, *labels: str, value: float) -> None:
        """Count one observation."""
        row = self.values.get(labels) or self.row(*labels)
        row[bisect_left(self.buckets, value)] += 1
        row[-1] += value


class Metrics:
    """All numbers of this process. One instance, made in ``wiring`` and passed to all that count."""

    def __init__(self) -> None:
        self.apps: dict[str, AppCounters] = defaultdict(AppCounters)
        # The counters of an app, made at first use. Only call it with the id of an app that exists. A bound C method:
        # it runs once per message.
        self.app: Callable[[str], AppCounters] = self.apps.__getitem__
        self.series: dict[str, Series] = {}
        self.histograms: dict[str, Histogram] = {}
        self.before_scrape: list[
            Callable[[], None]
        ] = []  # called before each scrape: set gauges that are costly to keep

    def counter(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Series:
        """Return the counter of this name (without prefix, ending in ``_total``), made at first use."""
        return self.series.setdefault(name, Series(name, help, labels, "counter", {}))

    def gauge(self, name: str, help: str, labels: tuple[str, ...] = ()) -> Series:
        """Return the gauge of this name (without prefix), made at first use."""
        return self.series.setdefault(name, Series(name, help, labels, "gauge", {}))

    def histogram(self, name: str, help: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
        """Return the histogram of this name (without prefix, ending in its unit), made at first use."""
        return self.histograms.setdefault(name, Histogram(name, help, labels, buckets, {}))


@dataclass(frozen=True, slots=True)
class AppMetric:
    """The name of one field of ``AppCounters`` as a metric (without prefix), and its help text."""

    field: str
    name: str
    kind: str  # "counter" | "gauge"
    help: str


APP_METRICS = (
    AppMetric("connections", "connected", "gauge", "Clients connected now"),
    AppMetric("subscriptions", "subscriptions", "gauge", "Subscriptions of the clients connected now"),
    AppMetric("channels", "channels", "gauge", "Channels that clients of this node are subscribed to now"),
    AppMetric("new_connections", "new_connections_total", "counter", "Clients that connected"),
    AppMetric("new_disconnections", "new_disconnections_total", "counter", "Clients that had connected and went away"),
    AppMetric("connection_errors", "connection_errors_total", "counter", "Connections refused or broken by an error"),
    AppMetric(
        "messages_received",
        "ws_messages_received_total",
        "counter",
        "Messages from clients, by WebSocket or an HTTP transport",
    ),
    AppMetric(
        "received_bytes",
        "socket_received_bytes_total",
        "counter",
        "Bytes of WebSocket connections, and of bodies of HTTP transports, that were read",
    ),
    AppMetric(
        "messages_sent", "ws_messages_sent_total", "counter", "Messages to clients, by WebSocket or an HTTP transport"
    ),
    AppMetric(
        "sent_bytes",
        "socket_transmitted_bytes_total",
        "counter",
        "Bytes written to clients, without the heads of HTTP responses",
    ),
    AppMetric("client_events", "client_events_total", "counter", "Client events that were accepted"),
    AppMetric("published_events", "published_events_total", "counter", "Events published through the HTTP API"),
    AppMetric(
        "idempotent_publishes",
        "idempotency_publish_total",
        "counter",
        "Requests to publish, and events of batches, with an idempotency key",
    ),
    AppMetric(
        "idempotent_duplicates",
        "idempotency_duplicates_total",
        "counter",
        "Requests and events with an idempotency key that had been published before, and were not again",
    ),
    AppMetric("rate_limited", "rate_limit_triggered_total", "counter", "Requests and client events over a rate limit"),
    AppMetric(
        "reads_paused",
        "reads_paused_total",
        "counter",
        "Pauses in reading a client that subscribed too fast",
    ),
    AppMetric(
        "slow_consumers_closed", "slow_consumers_closed_total", "counter", "Clients closed because they read too slowly"
    ),
    AppMetric("http_requests", "http_call_received_total", "counter", "Requests to the HTTP API"),
    AppMetric("http_errors", "http_call_errors_total", "counter", "Requests to the HTTP API answered with 4xx or 5xx"),
    AppMetric("http_received_bytes", "http_received_bytes_total", "counter", "Bytes of request bodies"),
    AppMetric("http_sent_bytes", "http_transmitted_bytes_total", "counter", "Bytes of response bodies"),
)
