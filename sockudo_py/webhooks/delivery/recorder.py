"""Records deliveries: metrics, figures of the last hour, log lines, and the history, if there is one."""

import logging
import time
from collections.abc import Callable

from sockudo_py.endpoints import Endpoint
from sockudo_py.queues.base import ENDPOINT_DELETED
from sockudo_py.queues.jobs import Job
from sockudo_py.tap import Tap
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.delivery.watched import tell_attempt
from sockudo_py.webhooks.endpoints.guard import redact_url
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.stats import DeliveryStats
from sockudo_py.webhooks.targets.base import Failure

log = logging.getLogger(__name__)


class Recorder:
    """Records attempts. ``on_attempt`` gets each one (for a history); it must not block or raise."""

    def __init__(
        self,
        metrics: WebhookMetrics,
        stats: DeliveryStats,
        *,
        on_attempt: Callable[[Attempt, Endpoint], None] | None = None,
        tap: Tap | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.metrics = metrics
        self._stats = stats
        self._on_attempt = on_attempt
        self._tap = Tap() if tap is None else tap
        self._clock = clock

    def record(self, attempt: Attempt, endpoint: Endpoint) -> None:
        """Record one attempt."""
        now = self._clock()
        uid, app_id, metrics = endpoint.uid, endpoint.app_id, self.metrics
        failure = attempt.outcome if isinstance(attempt.outcome, Failure) else None
        error_class = failure.error_class if failure is not None else ""
        metrics.attempts.add(uid, attempt.target, "failed" if failure is not None else "delivered", error_class)
        metrics.attempt_duration.observe(attempt.target, value=attempt.duration)
        self._stats.attempt(now, attempt.duration)
        if error_class == "blocked_address":
            metrics.blocked_addresses.add(uid)
        if attempt.status == "delivered":
            metrics.deliveries.add(app_id, uid, "delivered")
            metrics.delivery_latency.observe(value=max(0.0, now - attempt.job.created_ms / 1000))
            self._stats.delivered(now)
        elif attempt.status == "retrying":
            metrics.retries.add(uid)
        else:
            metrics.deliveries.add(app_id, uid, "failed")
            metrics.dead_letters.add(app_id, uid, error_class)
            self._stats.failed(now)
        if attempt.number == 1:
            metrics.batch_events.observe(value=attempt.job.count())
        if failure is not None:
            self._log(attempt, endpoint, failure)
        if self._on_attempt is not None:
            self._on_attempt(attempt, endpoint)
        if self._tap.on:
            tell_attempt(self._tap, attempt, endpoint)

    def expired(self, attempt: Attempt, endpoint: Endpoint) -> None:
        """Record a delivery of a feed that was not read in time. They may be many: the caller logs them together."""
        error_class = attempt.outcome.error_class if isinstance(attempt.outcome, Failure) else ""
        self._stats.failed(self._clock())
        self.metrics.deliveries.add(endpoint.app_id, endpoint.uid, "failed")
        self.metrics.dead_letters.add(endpoint.app_id, endpoint.uid, error_class)
        if self._on_attempt is not None:
            self._on_attempt(attempt, endpoint)
        if self._tap.on:
            tell_attempt(self._tap, attempt, endpoint)

    def orphan(self, job: Job) -> None:
        """Record a job whose endpoint is gone."""
        self._stats.failed(self._clock())
        self.metrics.deliveries.add(job.app_id, job.endpoint, "failed")
        self.metrics.dead_letters.add(job.app_id, job.endpoint, ENDPOINT_DELETED)
        log.error(
            "the endpoint of a webhook job does not exist; the job is now a dead letter",
            extra={"webhook": job.endpoint, "delivery": job.id, "class": ENDPOINT_DELETED},
        )

    def poison(self, problem: str) -> None:
        """Record a job that can't be read."""
        self._stats.failed(self._clock())
        self.metrics.poison.add()
        log.error("a webhook job can't be read; it is now a dead letter", extra={"error": problem, "class": "poison"})

    def lost(self, token: str) -> None:
        """Record a result that came after the lease was gone: another worker delivers the job again."""
        self.metrics.lost_acks.add()
        log.warning("a webhook delivery lost its lease; another worker delivers it again", extra={"token": token})

    def _log(self, attempt: Attempt, endpoint: Endpoint, failure: Failure) -> None:
        dead = attempt.status == "failed"
        log.log(
            logging.ERROR if dead else logging.WARNING,
            "a webhook delivery failed for good" if dead else "a webhook attempt failed",
            extra={
                "webhook": endpoint.uid,
                "app_id": endpoint.app_id,
                "delivery": attempt.job.id,
                "attempt": attempt.number,
                "max_attempts": attempt.max_attempts,
                "url": redact_url(endpoint.url),
                "function": endpoint.function.function_name if endpoint.function is not None else None,
                "class": failure.error_class,
                "status": failure.status,
                "error": failure.message,
                "duration_ms": round(attempt.duration * 1000),
                "retry_in": attempt.retry_in,
            },
        )
