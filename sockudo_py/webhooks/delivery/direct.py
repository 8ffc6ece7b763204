"""Deliveries without a task of their own: one request over a connection that is there, a callback for its answer.

It is what nearly all deliveries are, and spares a tenth of what an event costs with a task that awaits each step. What
is unusual (a job of several requests, a failure, an endpoint that is unknown, disabled or failing, no connection) is
``Deliverer.carry``'s; ``tests/unit/webhooks/test_worker.py`` holds the two equal.
"""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from sockudo_py.endpoints import Endpoint
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Claim
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.delivery.deliverer import Deliverer
from sockudo_py.webhooks.delivery.requests.attempt import Attempt, request_for
from sockudo_py.webhooks.delivery.requests.envelopes import whole_body
from sockudo_py.webhooks.targets.base import Begins, Delivered, Outcome, Request, Target

log = logging.getLogger(__name__)

Abort = Callable[[], None]


class DirectDelivery:
    """Begins deliveries and works on their answers, without awaiting anything.

    Args:
        deliverer: Whose endpoints, metrics and judgement these are.
        targets: By name; those that are no ``Begins`` are left to ``carry``.
        max_payload_bytes: Larger bodies are left to ``carry``.
        clock: Unix seconds.
        delivered: Called with the token of a delivery that the queue may forget.
        broken: Called with the token of one that a bug has ended.
        undelivered: Called with the claim, the endpoint and the attempt of any other: ``Deliverer.conclude`` is next.
    """

    def __init__(
        self,
        deliverer: Deliverer,
        targets: Mapping[str, Target],
        *,
        max_payload_bytes: int,
        clock: Callable[[], float],
        delivered: Callable[[str], None],
        broken: Callable[[str], None],
        undelivered: Callable[[Claim, Endpoint, Attempt], None],
    ) -> None:
        self._deliverer = deliverer
        self._targets = {name: target for name, target in targets.items() if isinstance(target, Begins)}
        self._max_payload_bytes = max_payload_bytes
        self._clock = clock
        self._delivered = delivered
        self._broken = broken
        self._undelivered = undelivered

    def begin(self, claim: Claim) -> Abort | None:
        """Send a job's request. Returns what breaks the delivery off without a word; None: ``carry`` has to do it."""
        try:
            return self._begin(claim, jobs.of_claim(claim))
        except jobs.PoisonJob:
            return None
        except Exception:
            log.exception("a webhook delivery could not begin; it is tried once more")
            return None

    def _begin(self, claim: Claim, job: Job) -> Abort | None:
        deliverer = self._deliverer
        endpoint = deliverer.ready(job.endpoint)
        target = None if endpoint is None else self._targets.get("http" if endpoint.function is None else "lambda")
        if endpoint is None or target is None:
            return None
        now = self._clock()
        now_ms = int(now * 1000)
        body = whole_body(endpoint, job, now_ms)
        if body is None or (size := len(body.content)) > self._max_payload_bytes:
            return None
        request = request_for(endpoint, job, body, now)
        answered = partial(self._answered, claim, endpoint, job, request, target.name, now_ms, time.perf_counter())
        abort = target.begin(request, answered)
        if abort is not None:
            deliverer.recorder.metrics.payload_bytes.observe(value=size)
            deliverer.under_way[claim.token] = endpoint.uid
        return abort

    def _answered(
        self,
        claim: Claim,
        endpoint: Endpoint,
        job: Job,
        request: Request,
        target: str,
        started_ms: int,
        started: float,
        outcome: Outcome,
    ) -> None:
        duration = time.perf_counter() - started
        number, most = job.attempt + 1, len(endpoint.retry.schedule) + 1
        attempt = Attempt(job, number, most, target, outcome, "delivered", started_ms, duration, None, request)
        try:
            if isinstance(outcome, Delivered) and not self._deliverer.health.troubled:
                self._deliverer.recorder.record(attempt, endpoint)
                self._delivered(claim.token)
            else:
                self._undelivered(claim, endpoint, attempt)
        except Exception:
            log.exception("a webhook delivery broke; its job comes back when its lease expires")
            self._broken(claim.token)
