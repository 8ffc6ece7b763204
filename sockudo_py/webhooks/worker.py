"""Claims jobs, delivers them, answers the queue. The work of one process; any number of processes share a queue."""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.queues import jobs
from sockudo_py.queues.base import ENDPOINT_DELETED, Claim, Queue
from sockudo_py.queues.jobs import Job, JobError
from sockudo_py.webhooks.delivery import Attempt, requests_for
from sockudo_py.webhooks.rate import RateWindow
from sockudo_py.webhooks.recorder import Recorder
from sockudo_py.webhooks.registry import EndpointRegistry
from sockudo_py.webhooks.retry import GiveUp, Retry, decide
from sockudo_py.webhooks.targets.base import ANSWERED, Delivered, Failure, Outcome, Request, Target

log = logging.getLogger(__name__)

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 5.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How much one process does at once, and how its leases work. Seconds."""

    slots: int = 80  # deliveries in flight: concurrency x prefetch
    lease: float = 30.0
    renew_interval: float = 10.0
    poll_interval: float = 0.5
    max_payload_bytes: int = 1_048_576
    deliveries_per_window: int | None = None  # requests of this process per ``rate_window``
    rate_window: float = 60.0


class Worker:
    """Keeps its slots busy with whatever the queue hands out. One task per delivery; retries wait in the queue.

    It never looks at which endpoint is slow: the queue's in-flight allowance per endpoint keeps slots for the others.
    """

    def __init__(
        self,
        queue: Queue,
        registry: EndpointRegistry,
        targets: Mapping[str, Target],
        recorder: Recorder,
        settings: WorkerSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._targets = targets
        self._recorder = recorder
        self._settings = settings or WorkerSettings()
        self._clock = clock
        self._dice = dice
        self._id = secrets.token_hex(8)
        limit = self._settings.deliveries_per_window
        self._rate = RateWindow(limit, self._settings.rate_window) if limit is not None else None
        self._active: dict[str, asyncio.Task[None]] = {}
        self._endpoints: Counter[str] = Counter()
        self._lost: set[str] = set()
        self._wake = asyncio.Event()
        self._hungry = asyncio.Event()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to claim."""
        loops = {
            "webhook-claim": self._claim_loop(),
            "webhook-wait": self._wait_loop(),
            "webhook-renew": self._renew_loop(),
        }
        self._tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]

    async def stop(self, timeout: float = 30.0) -> None:
        """Finish what is under way, for at most ``timeout`` seconds, and give the rest back to the queue.

        A queue that forgets everything with this process is emptied first, as far as that time allows.
        """
        deadline = time.monotonic() + timeout
        if not self._queue.durable:
            await self._drain(deadline)
        self._stopping = True
        self._wake.set()
        self._hungry.set()
        if self._tasks:  # cut off in the middle of a claim, jobs would wait for their lease to expire
            await asyncio.wait(self._tasks[:2], timeout=1.0 + self._settings.poll_interval)
        if self._active:
            await asyncio.wait(self._active.values(), timeout=max(0.0, deadline - time.monotonic()))
        await _cancel([*self._tasks, *self._active.values()])
        self._tasks = []
        for token in list(self._active):  # cut off: somebody else delivers them
            with contextlib.suppress(Unavailable):  # or their lease expires
                await self._queue.release(token)
        self._active.clear()

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Deliveries under way from here, per endpoint."""
        return self._endpoints

    @property
    def tokens(self) -> list[str]:
        """The leases that this worker holds."""
        return list(self._active)

    # -- claiming

    async def _claim_loop(self) -> None:
        wait = _FIRST_WAIT
        while not self._stopping:
            self._wake.clear()
            room = self._room()
            if room == 0:
                await self._wake_within(self._rate_wait())
                continue
            try:
                claims = await self._queue.claim(self._id, room, self._settings.lease)
            except Unavailable as error:
                wait = await self._wait_out(wait, "the webhook queue can't be reached", error)
                continue
            except Exception:
                log.exception("claiming webhook jobs failed")
                await asyncio.sleep(_LONGEST_WAIT)
                continue
            if wait > _FIRST_WAIT:
                log.info("the webhook queue answers again")
                wait = _FIRST_WAIT
            for claim in claims:
                self._begin(claim)
            if len(claims) < room:
                self._hungry.set()
                await self._wake.wait()

    async def _wait_loop(self) -> None:
        """Wakes the claim loop when the queue has something; a finished delivery does that, too."""
        while not self._stopping:
            await self._hungry.wait()
            self._hungry.clear()
            try:
                await self._queue.wait(self._settings.poll_interval)
            except Unavailable:
                await asyncio.sleep(self._settings.poll_interval)
            except Exception:
                log.exception("waiting for webhook jobs failed")
                await asyncio.sleep(self._settings.poll_interval)
            self._wake.set()

    async def _renew_loop(self) -> None:
        while True:
            await asyncio.sleep(self._settings.renew_interval)
            tokens = [token for token in self._active if token not in self._lost]
            if not tokens:
                continue
            try:
                lost = await self._queue.renew(tokens, self._settings.lease)
            except Unavailable:
                continue
            except Exception:
                log.exception("renewing the leases of webhook jobs failed")
                continue
            self._lost.update(token for token in lost if token in self._active)

    def _room(self) -> int:
        room = max(0, self._settings.slots - len(self._active))
        if self._rate is None or room == 0:
            return room
        left = self._rate.left(time.monotonic())
        if left == 0:
            self._recorder.metrics.rate_limited.add()
        return min(room, left)

    def _rate_wait(self) -> float | None:
        if self._rate is None or len(self._active) >= self._settings.slots:
            return None
        return self._rate.wait(time.monotonic())

    async def _wake_within(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _wait_out(self, wait: float, text: str, error: Unavailable) -> float:
        if wait == _FIRST_WAIT:
            log.error(text, extra={"error": str(error)})
        await asyncio.sleep(wait)
        return min(wait * 2, _LONGEST_WAIT)

    async def _drain(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            try:
                depths = await self._queue.depths(10_000)
            except Unavailable:
                return
            held = sum(lane.waiting for lane in depths.lanes if not self._takes(lane.endpoint))
            if not self._active and depths.waiting <= held:
                if depths.delayed:
                    log.warning("webhook retries are lost at shutdown", extra={"jobs": depths.delayed})
                return
            await asyncio.sleep(0.02)

    def _takes(self, uid: str) -> bool:
        endpoint = self._registry.by_uid(uid)
        return endpoint is None or endpoint.enabled

    # -- delivering

    def _begin(self, claim: Claim) -> None:
        if self._rate is not None:
            self._rate.take(time.monotonic())
        self._active[claim.token] = asyncio.create_task(self._handle(claim), name="webhook-delivery")

    async def _handle(self, claim: Claim) -> None:
        try:
            await self._process(claim)
        except Exception:
            log.exception("a webhook delivery broke; its lease will expire")
        # Not on cancellation: stop() gives back what is still listed.
        del self._active[claim.token]
        self._lost.discard(claim.token)
        self._wake.set()

    async def _process(self, claim: Claim) -> None:
        token = claim.token
        try:
            job = jobs.decode(claim.job)
        except jobs.PoisonJob as problem:
            self._recorder.poison(str(problem))
            dead = jobs.poison(claim.job, self._now_ms(), str(problem))
            await self._settle(token, lambda: self._queue.fail(token, dead))
            return
        endpoint = self._registry.by_uid(job.endpoint)
        if endpoint is None:
            self._recorder.orphan(job)
            await self._bury(token, claim.job, JobError(ENDPOINT_DELETED, "there is no such endpoint"), healthy=True)
            return
        if not endpoint.enabled:  # disabled while the job was being claimed
            await self._settle(token, lambda: self._queue.pause(job.endpoint))
            await self._settle(token, lambda: self._queue.release(token))
            return
        self._endpoints[job.endpoint] += 1
        try:
            await self._deliver(token, claim.job, job, endpoint)
        finally:
            self._endpoints[job.endpoint] -= 1
            if not self._endpoints[job.endpoint]:
                del self._endpoints[job.endpoint]

    async def _deliver(self, token: str, text: bytes, job: Job, endpoint: Endpoint) -> None:
        started, started_ms = time.perf_counter(), self._now_ms()
        target = self._targets["http" if endpoint.function is None else "lambda"]
        outcome = await self._send_all(target, endpoint, job)
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
        )
        if isinstance(outcome, Delivered):
            self._recorder.record(attempt, endpoint)
            await self._settle(token, lambda: self._queue.ack(token))
            return
        # A dead letter that an operator sends again is old by nature, and gets its full schedule.
        age = None if job.redrives else (self._now_ms() - job.created_ms) / 1000
        decision = decide(endpoint.retry, outcome, number, age, self._dice())
        if self._registry.by_uid(job.endpoint) is None:  # deleted meanwhile: its other jobs are dead letters by now
            decision = GiveUp(ENDPOINT_DELETED)
        healthy = outcome.error_class in ANSWERED
        if isinstance(decision, Retry):
            delay = decision.delay
            self._recorder.record(replace(attempt, status="retrying", retry_in=delay), endpoint)
            again = jobs.encode(replace(job, attempt=number))
            await self._settle(token, lambda: self._queue.retry(token, again, delay, healthy=healthy))
            return
        self._recorder.record(replace(attempt, status="failed"), endpoint)
        message = outcome.message
        if decision.error_class != outcome.error_class:
            message = f"{outcome.error_class}: {message}"
        await self._bury(token, text, JobError(decision.error_class, message, outcome.status), job, healthy=healthy)

    async def _send_all(self, target: Target, endpoint: Endpoint, job: Job) -> Outcome:
        """Send every request of a job, in order, until one fails. Its retry sends all again, with the same ids."""
        try:
            requests = requests_for(endpoint, job, self._clock())
            outcome: Outcome = Failure("poison", "the job has no events")
            for request in requests:
                outcome = await self._send(target, request)
                if isinstance(outcome, Failure):
                    break
        except Exception as error:  # a bug: this job is retried like any other, and the rest goes on
            log.exception("making a webhook attempt broke", extra={"webhook": endpoint.uid, "delivery": job.id})
            return Failure("internal", type(error).__name__)
        return outcome

    async def _send(self, target: Target, request: Request) -> Outcome:
        size = len(request.body)
        self._recorder.metrics.payload_bytes.observe(value=size)
        limit = self._settings.max_payload_bytes
        if size > limit:
            return Failure("too_large", f"the body has {size} bytes; webhooks.security.max_payload_bytes is {limit}")
        return await target.send(request)

    # -- answering the queue

    async def _bury(self, token: str, text: bytes, error: JobError, job: Job | None = None, *, healthy: bool) -> None:
        counted = text if job is None else jobs.encode(replace(job, attempt=job.attempt + 1))
        dead = jobs.bury(counted, self._now_ms(), error)
        await self._settle(token, lambda: self._queue.fail(token, dead, healthy=healthy))

    async def _settle(self, token: str, answer: Callable[[], Awaitable[bool | None]]) -> None:
        """Give the queue an answer, until it has it. The slot stays taken meanwhile, and the lease is renewed."""
        wait = _FIRST_WAIT
        while token not in self._lost:
            try:
                taken = await answer()
            except Unavailable as error:
                wait = await self._wait_out(wait, "the result of a webhook delivery can't be stored", error)
                continue
            if taken is False and wait == _FIRST_WAIT:  # False after Unavailable: the first call had taken effect
                break
            return
        self._recorder.lost(token)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
