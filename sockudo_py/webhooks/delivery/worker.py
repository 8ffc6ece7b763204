"""Claims jobs and delivers them, for one process; any number of processes share a queue."""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.queues.base import Claim, Queue
from sockudo_py.webhooks.delivery.acks import Acks
from sockudo_py.webhooks.delivery.deliverer import Deliverer
from sockudo_py.webhooks.delivery.direct import Abort, DirectDelivery
from sockudo_py.webhooks.delivery.protection.health import EndpointHealth
from sockudo_py.webhooks.delivery.protection.rate import RateWindow
from sockudo_py.webhooks.delivery.recorder import Recorder
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.endpoints.unknown import UnknownEndpoints
from sockudo_py.webhooks.targets.base import Target
from sockudo_py.webhooks.waits import FIRST_WAIT, LONGEST_WAIT

log = logging.getLogger(__name__)

LAST_WORDS = 1.0  # seconds beyond the shutdown timeout for a queue that has stopped answering
GIVE_BACK_TIMEOUT = 3.0  # seconds at shutdown, for all jobs together; less when the timeout is near


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How much one process does at once, and how its leases work. Seconds."""

    slots: int = 80  # deliveries in flight: concurrency x prefetch
    lease: float = 30.0
    renew_interval: float = 10.0
    poll_interval: float = 0.5
    unknown_grace: float = 60.0  # how long jobs of an endpoint that is unknown here are left to others
    max_payload_bytes: int = 1_048_576
    deliveries_per_window: int | None = None  # requests of this process per ``rate_window``
    rate_window: float = 60.0


# Makes the coroutine of a delivery when its task begins: one that is cancelled before has none that nobody awaits.
_Delivery = Callable[[], Coroutine[None, None, None]]


class Worker:
    """Keeps its slots busy with whatever the queue hands out. Retries wait in the queue.

    A delivery is a request with a callback (``direct.py``) or, where that is not enough, a task (``deliverer.py``).

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
        health: EndpointHealth | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._recorder = recorder
        self._settings = settings or WorkerSettings()
        self._unknown = UnknownEndpoints(registry, self._settings.unknown_grace, clock=monotonic)
        self._deliverer = Deliverer(
            queue,
            registry,
            targets,
            recorder,
            health or EndpointHealth(queue, registry, recorder.metrics),
            max_payload_bytes=self._settings.max_payload_bytes,
            clock=clock,
            dice=dice,
            unknown=self._unknown,
        )
        self._acks = Acks(queue, recorder, self._deliverer.lost, self._ended)
        self._direct = DirectDelivery(
            self._deliverer,
            targets,
            max_payload_bytes=self._settings.max_payload_bytes,
            clock=clock,
            delivered=self._acks.add,
            broken=self._ended,
            undelivered=self._conclude,
        )
        self._id = secrets.token_hex(8)
        limit = self._settings.deliveries_per_window
        self._rate = RateWindow(limit, self._settings.rate_window) if limit is not None else None
        self._active: dict[str, asyncio.Task[None] | Abort] = {}  # by the tokens of the leases
        self._wake = asyncio.Event()  # a slot is free, or it is the end
        self._stopping = False
        self._cut_off = False  # what is still under way goes back to the queue as it is
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to claim."""
        self._loop = asyncio.get_running_loop()
        loops = {
            "webhook-claim": self._claim_loop(),
            "webhook-renew": self._renew_loop(),
        }
        self._tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]

    async def stop(self, timeout: float = 30.0) -> None:
        """Finish what is under way, for at most ``timeout`` seconds, and give the rest back to the queue.

        That takes at most LAST_WORDS more. When the queue does not answer, the leases expire; the log says so.
        A queue that forgets everything with this process is emptied first, as far as that time allows.
        """
        deadline = time.monotonic() + timeout
        if not self._queue.durable:
            await self._drain(deadline)
        self._stopping = True
        self._wake.set()
        if self._tasks:  # cut off in the middle of a claim, jobs would wait for their lease to expire
            patience = min(1.0 + self._settings.poll_interval, _until(deadline) + LAST_WORDS / 2)
            _, stuck = await asyncio.wait(self._tasks[:1], timeout=patience)
            if stuck and not self._active:
                log.warning(
                    "the webhook queue does not answer at shutdown; its last jobs wait for their leases to expire"
                )
        await self._end_of_deliveries(deadline)
        self._cut_off = True
        cut_off = list(self._active.values())
        for one in cut_off:
            if not isinstance(one, asyncio.Task):
                one()
        await self._acks.close()
        await _cancel([*self._tasks, *(one for one in cut_off if isinstance(one, asyncio.Task))])
        self._tasks = []
        await self._give_back(list(self._active), min(GIVE_BACK_TIMEOUT, _until(deadline + LAST_WORDS)))
        self._active.clear()
        self._deliverer.under_way.clear()

    async def _end_of_deliveries(self, deadline: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_until(deadline)):
                while self._active:
                    self._wake.clear()
                    await self._wake.wait()

    async def _give_back(self, tokens: list[str], timeout: float) -> None:
        """Give interrupted jobs back, so that others deliver them at once and not after their leases."""
        if not tokens:
            return
        log.info("deliveries that were cut off and go back to the queue: %d", len(tokens))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                answers = await asyncio.gather(*map(self._queue.release, tokens), return_exceptions=True)
                broken = [answer for answer in answers if isinstance(answer, Exception)]
                for error in broken:
                    if not isinstance(error, Unavailable):
                        raise error
                if not broken:
                    return
        log.warning(
            "the webhook queue did not take jobs back at shutdown; their leases will expire",
            extra={"jobs": len(tokens)},
        )

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Deliveries under way from here, per endpoint."""
        return Counter(self._deliverer.under_way.values())

    @property
    def tokens(self) -> list[str]:
        """The leases that this worker holds."""
        return list(self._active)

    # -- claiming

    async def _claim_loop(self) -> None:
        wait = FIRST_WAIT
        while not self._stopping:
            self._wake.clear()
            room = self._room()
            if room == 0:
                await self._wake_within(self._rate_wait())
                continue
            try:
                claims = await self._queue.claim(self._id, room, self._settings.lease)
            except Unavailable as error:
                if wait == FIRST_WAIT:
                    log.error("the webhook queue can't be reached", extra={"error": str(error)})
                await asyncio.sleep(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            except Exception:
                log.exception("claiming webhook jobs failed")
                await asyncio.sleep(LONGEST_WAIT)
                continue
            if wait > FIRST_WAIT:
                log.info("the webhook queue answers again")
                wait = FIRST_WAIT
            for claim in claims:
                self._begin(claim)
            if len(claims) < room and not self._stopping:
                await self._wait()

    async def _wait(self) -> None:
        """Wait until the queue has something, or may have: the end of a delivery from here counts for it, too."""
        try:
            await self._queue.wait(self._settings.poll_interval)
        except Unavailable:
            await asyncio.sleep(self._settings.poll_interval)
        except Exception:
            log.exception("waiting for webhook jobs failed")
            await asyncio.sleep(self._settings.poll_interval)

    async def _renew_loop(self) -> None:
        while True:
            await asyncio.sleep(self._settings.renew_interval)
            tokens = [token for token in self._active if token not in self._deliverer.lost]
            if not tokens:
                continue
            try:
                lost = await self._queue.renew(tokens, self._settings.lease)
            except Unavailable:
                continue
            except Exception:
                log.exception("renewing the leases of webhook jobs failed")
                continue
            self._deliverer.lost.update(token for token in lost if token in self._active)

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
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _drain(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            try:
                depths = await self._queue.depths(10_000)
            except Unavailable:
                return
            left_ms = (deadline - time.monotonic()) * 1000
            held = sum(lane.waiting for lane in depths.lanes if not self._takes(lane.endpoint))
            gated = sum(
                lane.waiting for lane in depths.lanes if self._takes(lane.endpoint) and lane.gate_ms > left_ms
            )  # by a circuit breaker, a rate limit or an ordered retry: it would not open in time
            if not self._active and depths.waiting <= held + gated:
                if depths.delayed + gated:
                    log.warning("webhook retries are lost at shutdown", extra={"jobs": depths.delayed + gated})
                return
            await asyncio.sleep(0.02)

    def _takes(self, uid: str) -> bool:
        endpoint = self._registry.by_uid(uid)
        return self._unknown.gone(uid) if endpoint is None else endpoint.enabled and endpoint.feed is None

    # -- delivering

    def _begin(self, claim: Claim) -> None:
        if self._rate is not None:
            self._rate.take(time.monotonic())
        self._active[claim.token] = self._direct.begin(claim) or self._task(claim.token, partial(self._carry, claim))

    def _task(self, token: str, delivery: _Delivery) -> asyncio.Task[None]:
        return self._loop.create_task(self._handle(token, delivery), name="webhook-delivery")

    def _conclude(self, claim: Claim, endpoint: Endpoint, attempt: Attempt) -> None:
        if self._cut_off:
            return
        token = claim.token
        self._active[token] = self._task(token, partial(self._deliverer.conclude, claim, endpoint, attempt))

    async def _carry(self, claim: Claim) -> None:
        tried = await self._deliverer.carry(claim)
        if not tried and self._rate is not None:
            self._rate.give_back()

    async def _handle(self, token: str, delivery: _Delivery) -> None:
        try:
            await delivery()
        except asyncio.CancelledError:
            if self._stopping:
                raise  # stop() gives back what is still listed
            log.error("a webhook delivery was cancelled; its job goes back to the queue")
            with contextlib.suppress(Unavailable):  # or its lease expires
                await self._queue.release(token)
        except Exception:
            log.exception("a webhook delivery broke; its job comes back when its lease expires")
        self._ended(token)

    def _ended(self, token: str) -> None:
        del self._active[token]
        self._deliverer.under_way.pop(token, None)
        self._deliverer.lost.discard(token)
        self._wake.set()


def _until(moment: float) -> float:
    return max(0.0, moment - time.monotonic())


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
