"""Delivers one claimed job: request, outcome, decision, and the queue's answer."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.queues import jobs
from sockudo_py.queues.base import ENDPOINT_DELETED, Claim, Queue
from sockudo_py.queues.jobs import Job, JobError
from sockudo_py.webhooks.delivery.protection.health import EndpointHealth
from sockudo_py.webhooks.delivery.recorder import Recorder
from sockudo_py.webhooks.delivery.requests.attempt import Attempt, request_for
from sockudo_py.webhooks.delivery.requests.envelopes import bodies
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.endpoints.unknown import UnknownEndpoints
from sockudo_py.webhooks.targets.base import ANSWERED, Delivered, Failure, Outcome, Request, Target
from sockudo_py.webhooks.targets.retry import GiveUp, Retry, decide
from sockudo_py.webhooks.waits import FIRST_WAIT, LONGEST_WAIT

log = logging.getLogger(__name__)


class Deliverer:
    """Delivers claimed jobs.

    ``lost``: tokens whose lease is known to be gone; their results are not stored. Whoever holds the tokens clears them
    from ``lost`` and ``under_way``.
    """

    def __init__(
        self,
        queue: Queue,
        registry: EndpointRegistry,
        targets: Mapping[str, Target],
        recorder: Recorder,
        health: EndpointHealth,
        *,
        max_payload_bytes: int,
        clock: Callable[[], float],
        dice: Callable[[], float],
        unknown: UnknownEndpoints,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._targets = targets
        self.recorder = recorder
        self.health = health
        self._max_payload_bytes = max_payload_bytes
        self._clock = clock
        self._dice = dice
        self._unknown = unknown
        self.lost: set[str] = set()
        self.under_way: dict[str, str] = {}  # endpoints of the jobs that are tried, by token, until the queue knows

    async def carry(self, claim: Claim) -> bool:
        """Deliver a job and answer the queue. Return whether it was tried at all."""
        token = claim.token
        try:
            job = jobs.of_claim(claim)
        except jobs.PoisonJob as problem:
            self.recorder.poison(str(problem))
            dead = jobs.poison(claim.job, self._now_ms(), str(problem))
            await self._settle(token, lambda: self._queue.fail(token, dead))
            return False
        uid = job.endpoint
        endpoint = self._registry.by_uid(uid)
        if endpoint is None:
            away = self._unknown.wait(job, self._now_ms())
            if away:
                await self._settle(token, lambda: self._queue.release(token, away=away))
                return False
            self.recorder.orphan(job)
            await self._bury(token, claim.job, JobError(ENDPOINT_DELETED, "there is no such endpoint"), healthy=True)
            return False
        if not endpoint.enabled or endpoint.feed is not None:  # somebody disabled it, or made it a feed, meanwhile
            await self._settle(token, lambda: self._queue.pause(uid))
            endpoint = self._registry.by_uid(uid)
            if endpoint is not None and endpoint.enabled and endpoint.feed is None:
                # Enabled again: its resume may have come before our pause.
                await self._settle(token, lambda: self._queue.resume(uid))
            await self._settle(token, lambda: self._queue.release(token))
            return False
        wait = self.health.hold(endpoint, token)
        if wait:
            await self._settle(token, lambda: self._queue.gate(uid, wait))
            await self._settle(token, lambda: self._queue.release(token))
            return False
        self.under_way[token] = uid
        await self._deliver(claim, job, endpoint)
        return True

    def ready(self, uid: str) -> Endpoint | None:
        """Return an endpoint that is known and enabled and about which there is nothing to look at first."""
        endpoint = self._registry.by_uid(uid)
        if endpoint is None or not endpoint.enabled or endpoint.feed is not None or self.health.troubled:
            return None
        return endpoint

    async def _deliver(self, claim: Claim, job: Job, endpoint: Endpoint) -> None:
        started, started_ms = time.perf_counter(), self._now_ms()
        target = self._targets["http" if endpoint.function is None else "lambda"]
        outcome, job, request = await self._send_all(target, endpoint, job)
        number = job.attempt + 1
        attempt = Attempt(
            job=job,
            number=number,
            max_attempts=len(endpoint.retry.schedule) + 1,
            target=target.name,
            outcome=outcome,
            status="delivered",
            started_ms=started_ms,
            duration=time.perf_counter() - started,
            request=request,
        )
        await self.conclude(claim, endpoint, attempt)

    async def conclude(self, claim: Claim, endpoint: Endpoint, attempt: Attempt) -> None:
        """Record an attempt, decide what follows, and answer the queue. Its status is set here."""
        token, job, outcome, number = claim.token, attempt.job, attempt.outcome, attempt.number
        if isinstance(outcome, Delivered):
            self.recorder.record(attempt, endpoint)
            if self.health.troubled:
                await self.health.succeeded(endpoint)
            await self._settle(token, lambda: self._queue.ack(token))
            return
        decision = self._decide(endpoint, job, outcome, number)
        healthy = outcome.error_class in ANSWERED
        # Before the queue gets its answer: a gate or pause must hold when the next job of the lane is claimed.
        if await self.health.failed(endpoint, token, outcome):
            decision = GiveUp(outcome.error_class)
        if isinstance(decision, Retry):
            delay = decision.delay
            self.recorder.record(replace(attempt, status="retrying", retry_in=delay), endpoint)
            again = jobs.encode(replace(job, attempt=number))
            await self._settle(token, lambda: self._queue.retry(token, again, delay, healthy=healthy))
            return
        self.recorder.record(replace(attempt, status="failed"), endpoint)
        message = outcome.message
        if decision.error_class != outcome.error_class:
            message = f"{outcome.error_class}: {message}"
        await self._bury(
            token, claim.job, JobError(decision.error_class, message, outcome.status), job, healthy=healthy
        )

    def _decide(self, endpoint: Endpoint, job: Job, failure: Failure, number: int) -> Retry | GiveUp:
        if self._registry.by_uid(job.endpoint) is None:  # deleted meanwhile: its other jobs are dead letters by now
            return GiveUp(ENDPOINT_DELETED)
        # A dead letter that an operator sends again is old by nature, and gets its full schedule.
        age = None if job.redrives else (self._now_ms() - job.created_ms) / 1000
        return decide(endpoint.retry, failure, number, age, self._dice())

    async def _send_all(self, target: Target, endpoint: Endpoint, job: Job) -> tuple[Outcome, Job, Request | None]:
        """Send every request of a job, in order, until one fails. Its retry sends all again, with the same ids.

        Returns the outcome and the job that it concerns: the whole job, or, when the others were delivered, one with
        the events that are too large. And the last request that was sent.
        """
        limit = self._max_payload_bytes
        outcome: Outcome | None = None
        request: Request | None = None
        large: list[int] = []
        try:
            for body in bodies(endpoint, job, self._now_ms, limit):
                self.recorder.metrics.payload_bytes.observe(value=len(body.content))
                if len(body.content) > limit:
                    large += body.events
                    continue
                request = request_for(endpoint, job, body, self._clock())
                outcome = await target.send(request)
                if isinstance(outcome, Failure):
                    return outcome, job, request
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled this task: a library leaked the cancellation of a task of its own.
            log.error("a webhook attempt was cancelled", extra={"webhook": endpoint.uid, "delivery": job.id})
            return Failure("internal", "CancelledError"), job, request
        except Exception as error:  # a bug: this job is retried like any other, and the rest goes on
            log.exception("a webhook attempt broke", extra={"webhook": endpoint.uid, "delivery": job.id})
            return Failure("internal", type(error).__name__), job, request
        if not large:
            return outcome or Failure("poison", "the job has no events"), job, request
        events = job.events()
        why = f"{len(large)} of {len(events)} events exceed webhooks.security.max_payload_bytes ({limit}) on their own"
        if outcome is not None:
            job = jobs.with_events(job, [events[at] for at in large])
            why += "; the others were delivered"
        return Failure("too_large", why), job, request

    # -- answering the queue

    async def _bury(self, token: str, text: bytes, error: JobError, job: Job | None = None, *, healthy: bool) -> None:
        counted = text if job is None else jobs.encode(replace(job, attempt=job.attempt + 1))
        dead = jobs.bury(counted, self._now_ms(), error)
        await self._settle(token, lambda: self._queue.fail(token, dead, healthy=healthy))

    async def _settle(self, token: str, answer: Callable[[], Awaitable[bool | None]]) -> None:
        """Repeat an answer to the queue until it takes it. Meanwhile the slot stays taken and the lease is renewed."""
        wait = FIRST_WAIT
        while token not in self.lost:
            try:
                taken = await answer()
            except Unavailable as error:
                if wait == FIRST_WAIT:
                    log.error(
                        "the webhook queue does not take the result of a delivery; trying again",
                        extra={"error": str(error)},
                    )
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            if taken is False and wait == FIRST_WAIT:  # False after Unavailable: the first call had taken effect
                break
            return
        self.recorder.lost(token)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
