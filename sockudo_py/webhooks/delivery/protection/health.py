"""Protects endpoints that keep failing: opens their circuit breaker, or disables them. Both are off by default.

Each process judges by its own deliveries. Its decision holds for all processes where that protects the endpoint: it
gates or pauses the lane in the queue. See ``docs/decisions/0004-breakers-and-auto-disable.md``.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.queues.base import Queue
from sockudo_py.webhooks.delivery.protection.breaker import Breakers, BreakerSettings
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry, target_of
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.operators.kinds import (
    CIRCUIT_OPENED,
    ENDPOINT_DISABLED,
    ENDPOINT_FAILING,
    ENDPOINT_RECOVERED,
)
from sockudo_py.webhooks.operators.notices import Notices
from sockudo_py.webhooks.targets.base import FINAL, Failure

log = logging.getLogger(__name__)

GONE = 410
FAILING_AFTER = 10  # failures in a row until operators get an event
# Failures that say nothing about the endpoint: the job or this server is at fault.
_NOT_ITS_FAULT = FINAL | {"internal"}


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """None: off. ``failing_for``: seconds without a success after which an endpoint is disabled."""

    breaker: BreakerSettings | None = None
    failing_for: float | None = None


class EndpointHealth:
    """Watches the outcomes of deliveries, and holds back deliveries that would fail. Times are of a monotonic clock."""

    def __init__(
        self,
        queue: Queue,
        registry: EndpointRegistry,
        metrics: WebhookMetrics,
        settings: HealthSettings | None = None,
        *,
        notices: Notices | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = settings or HealthSettings()
        self._queue = queue
        self._registry = registry
        self._metrics = metrics
        self._breakers = Breakers(settings.breaker) if settings.breaker is not None else None
        self._failing_for = settings.failing_for
        self._failing_since: dict[str, float] = {}
        self._notices = notices
        self._failures: dict[str, int] = {}  # in a row, where operators get notices
        self._clock = clock
        registry.subscribe(self._changed)

    def hold(self, endpoint: Endpoint, token: str) -> float:
        """Return for how many seconds a delivery that was claimed has to go back to its lane; 0: send it."""
        if self._breakers is None:
            return 0.0
        uid = endpoint.uid
        patience = endpoint.request_timeout + 1.0
        wait = self._breakers.hold(uid, token, self._clock(), patience)
        if not wait and self._breakers.state(uid):
            self._show(uid)
        return wait

    @property
    def troubled(self) -> bool:
        """Whether an endpoint failed lately: only then do successes matter here."""
        return bool(self._failing_since or self._failures) or self._breakers is not None

    async def succeeded(self, endpoint: Endpoint) -> None:
        """Note a delivery that succeeded."""
        uid = endpoint.uid
        if self._failing_since:
            self._failing_since.pop(uid, None)
        if self._failures:
            failures = self._failures.pop(uid, 0)
            if failures >= FAILING_AFTER and self._notices is not None:
                self._notices.tell(ENDPOINT_RECOVERED, {"failures": failures}, endpoint)
        if self._breakers is not None and self._breakers.succeeded(uid):
            self._show(uid)
            log.info("a webhook endpoint answers again; its circuit breaker is closed", extra={"webhook": uid})
            await self._gate(uid, 0.0)

    async def failed(self, endpoint: Endpoint, token: str, failure: Failure) -> bool:
        """Note an attempt that failed. Return whether the endpoint says that it is gone for ever, and was disabled."""
        uid = endpoint.uid
        if failure.error_class in _NOT_ITS_FAULT:
            return False
        self._note_failure(endpoint, failure)
        now = self._clock()
        if failure.status == GONE and endpoint.disable_on_410:
            self._disable(endpoint, "410", f"the endpoint answered {GONE}")
            return True
        if self._failing_for is not None:
            since = self._failing_since.setdefault(uid, now)
            if now - since >= self._failing_for:
                self._disable(endpoint, "failing", f"every attempt has failed for {round(now - since)} s")
        if self._breakers is not None:
            seconds = self._breakers.failed(uid, token, now)
            if seconds:
                self._show(uid)
                log.warning(
                    "a webhook endpoint keeps failing; its circuit breaker is open",
                    extra={"webhook": uid, "failures": self._breakers.failures(uid), "seconds": seconds},
                )
                if self._notices is not None:
                    about = {"failures": self._breakers.failures(uid), "seconds": round(seconds)}
                    self._notices.tell(CIRCUIT_OPENED, about, endpoint)
                await self._gate(uid, seconds)
        return False

    def _note_failure(self, endpoint: Endpoint, failure: Failure) -> None:
        if self._notices is None or not self._notices.wanted:
            return
        failures = self._failures[endpoint.uid] = self._failures.get(endpoint.uid, 0) + 1
        if failures == FAILING_AFTER:
            about = {"failures": failures, "error_class": failure.error_class}
            self._notices.tell(ENDPOINT_FAILING, about, endpoint)

    def _disable(self, endpoint: Endpoint, reason: str, why: str) -> None:
        uid = endpoint.uid
        self._failing_since.pop(uid, None)
        if self._notices is not None:  # before the registry says only that it was switched off
            self._notices.tell(ENDPOINT_DISABLED, {"reason": reason}, endpoint)
        if not self._registry.disable(uid, until_moved=True):
            return  # somebody was faster
        self._metrics.auto_disabled.add(uid, reason)
        log.error(
            "a webhook endpoint was disabled; what waits for it is kept. Enable it by the management API, or give it "
            "another URL",
            extra={"webhook": uid, "reason": why},
        )

    def _changed(self, old: Endpoint | None, new: Endpoint | None) -> None:
        endpoint = new or old
        if endpoint is None:
            return
        uid = endpoint.uid
        same_target = old is not None and new is not None and target_of(old) == target_of(new)
        if same_target and old is not None and new is not None and (old.enabled or not new.enabled):
            return
        self._failing_since.pop(uid, None)
        self._failures.pop(uid, None)
        if self._breakers is not None:
            self._breakers.forget(uid)
            self._metrics.circuit_state.values.pop((uid,), None)

    def _show(self, uid: str) -> None:
        if self._breakers is not None:
            self._metrics.circuit_state.set(uid, value=self._breakers.state(uid))

    async def _gate(self, uid: str, seconds: float) -> None:
        with contextlib.suppress(Unavailable):  # then ``hold`` holds back claimed jobs, and gates the lane again
            await self._queue.gate(uid, seconds)
