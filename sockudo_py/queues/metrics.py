"""What every queue driver counts."""

from sockudo_py.metrics import Metrics


class QueueMetrics:
    """The counters of section "queue" of the metrics list, by their names here."""

    def __init__(self, metrics: Metrics) -> None:
        counter = metrics.counter
        self.expired = counter("webhook_lease_expired_total", "Leases that ran out and were taken back")
        self.duplicates = counter("webhook_duplicate_enqueue_suppressed_total", "Events appended a second time")
        self.poison = counter("webhook_poison_total", "Jobs put into failed because nothing can deliver them")
        self.trimmed = counter("webhook_dlq_trimmed_total", "Dead letters deleted to keep their list bounded")
        self.redriven = counter("webhook_redriven_total", "Dead letters sent back for delivery")
        self.store_errors = counter("webhook_redis_errors_total", "Calls of the queue's store that failed", ("kind",))
        self.mended = counter("webhook_queue_mended_total", "Counters of the queue that were wrong and were set right")
