"""Metrics of webhook delivery. Endpoints are labelled by uid, never by URL; the configuration bounds the uids."""

from sockudo_py.metrics import Metrics

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LATENCY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0)
_BYTES = (256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0)


class WebhookMetrics:
    """Counters, gauges and histograms; ``webhook`` is in every name."""

    def __init__(self, metrics: Metrics) -> None:
        counter, gauge, histogram = metrics.counter, metrics.gauge, metrics.histogram
        self.events = counter(
            "webhook_events_total", "Events that happened in apps with an interested endpoint", ("app_id", "event")
        )
        self.filtered = counter("webhook_events_filtered_total", "Events that a channel filter held back")
        self.enqueued = counter("webhook_enqueued_total", "Events handed to the queue, per endpoint", ("app_id",))
        self.enqueue_failures = counter(
            "webhook_enqueue_failures_total", "Attempts to hand events to the queue that failed", ("reason",)
        )
        self.spool_events = gauge("webhook_spool_events", "Events in memory that the queue has not taken yet")
        self.spool_lane_events = gauge(
            "webhook_spool_lane_events", "Events in memory for which the queue has no room", ("webhook",)
        )
        self.spool_noisy = gauge(
            "webhook_spool_noisy",
            "Connections that are not read because they fill the spool, and addresses whose new ones wait",
            ("kind",),
        )
        self.spool_dropped = counter(
            "webhook_spool_dropped_total",
            "Events lost because the spool was full, or could not be written at shutdown",
            ("app_id",),
        )
        self.spool_kept = counter("webhook_spool_kept_total", "Events written to the spool file at shutdown")
        self.deliveries = counter("webhook_deliveries_total", "Deliveries that ended", ("app_id", "webhook", "outcome"))
        self.dead_letters = counter(
            "webhook_dead_letters_total", "Jobs that became dead letters", ("app_id", "webhook", "class")
        )
        self.endpoint_info = gauge(
            "webhook_endpoint_info",
            "Always 1; the label name is the name of the endpoint",
            ("app_id", "webhook", "name"),
        )
        self.attempts = counter(
            "webhook_attempts_total", "Requests to endpoints", ("webhook", "target", "outcome", "class")
        )
        self.retries = counter("webhook_retries_total", "Attempts that failed and will be repeated", ("webhook",))
        self.attempt_duration = histogram(
            "webhook_attempt_duration_seconds", "Duration of one attempt", ("target",), _SECONDS
        )
        self.delivery_latency = histogram(
            "webhook_delivery_latency_seconds", "Time from the first event of a delivery to its success", (), _LATENCY
        )
        self.batch_events = histogram("webhook_batch_events", "Events in a delivery", (), _COUNTS)
        self.payload_bytes = histogram("webhook_payload_bytes", "Bytes of a request body", (), _BYTES)
        self.queue_depth = gauge("webhook_queue_depth", "Jobs in the queue", ("state",))
        self.queue_oldest = gauge("webhook_queue_oldest_seconds", "Age of the oldest waiting job")
        self.lane_depth = gauge("webhook_lane_depth", "Jobs waiting for an endpoint (the deepest ones)", ("webhook",))
        self.lane_pace = gauge(
            "webhook_lane_pace_seconds", "Smoothed duration of recent delivery attempts, per endpoint", ("webhook",)
        )
        self.in_flight = gauge("webhook_in_flight", "Requests under way from this process", ("webhook",))
        self.rate_limited = counter("webhook_rate_limited_total", "Waits for the rate limit of this process")
        self.lost_acks = counter("webhook_lost_ack_total", "Results that came after their lease was lost")
        self.poison = counter("webhook_poison_total", "Jobs that could not be read")
        self.history_dropped = counter(
            "webhook_history_dropped_total",
            "Attempts that are not in the history, because its store is away or slow",
        )
        self.circuit_state = gauge(
            "webhook_circuit_state",
            "Circuit breakers of endpoints that have failed: 0 closed, 1 trying, 2 open",
            ("webhook",),
        )
        self.auto_disabled = counter(
            "webhook_auto_disabled_total", "Endpoints that were disabled because they fail", ("webhook", "reason")
        )
        self.notices = counter("webhook_notices_total", "Notices for operators handed to the queue", ("kind",))
        self.blocked_addresses = counter(
            "webhook_blocked_address_total", "Requests not sent because the address is not allowed", ("webhook",)
        )
