"""Changes in, queue appends out."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection
from itertools import groupby

from sockudo_py.changes import OnChange
from sockudo_py.errors import Unavailable
from sockudo_py.queues.base import Append, LedgerEntry, Queue, QueueFull, app_id_of
from sockudo_py.tap import Tap
from sockudo_py.webhooks.endpoints.registry import GATHER, EndpointRegistry
from sockudo_py.webhooks.intake.event_builder import EventBuilder
from sockudo_py.webhooks.intake.full_lanes import FullLanes
from sockudo_py.webhooks.intake.ledger import Ledger
from sockudo_py.webhooks.intake.occupancies import Occupancies
from sockudo_py.webhooks.intake.receipts import Receipts
from sockudo_py.webhooks.intake.watched import tell_queued
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.spool.crowding import Brake, Crowding, Free
from sockudo_py.webhooks.spool.disk import SpoolDisk
from sockudo_py.webhooks.spool.memory import Spool, SpoolLimits
from sockudo_py.webhooks.waits import FIRST_WAIT, LONGEST_WAIT

log = logging.getLogger(__name__)

_LOOK_INTERVAL = 1.0  # seconds
BATCH = 1000  # events handed to the queue in one call; events that were refused before come on top of it
BEHIND = 1 / 16  # share of the spool from which on ...
BATCH_BEHIND = 400  # ... this many: an endpoint with few events waits for two calls, and for the calls of workers


class Dispatcher:
    """Turns changes into events for the endpoints that want them and hands these to the queue, at once and in batches.

    What gathers in one turn of the loop, or while an earlier call is under way, goes together. Events of endpoints that
    gather them anyway wait until GATHER seconds after the call before. While the queue is away, events wait in a
    bounded spool. So do those of an endpoint that the queue has no room for, with all that comes after them for this
    endpoint; others go on meanwhile.
    """

    def __init__(
        self,
        queue: Queue,
        registry: EndpointRegistry,
        metrics: WebhookMetrics,
        *,
        spool: SpoolLimits | None = None,
        ledger: Ledger | None = None,
        brake: Brake | None = None,
        tap: Tap | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``brake`` slows down clients that fill the spool; ``tap`` gets what the queue has taken."""
        self._tap = Tap() if tap is None else tap
        self._queue = queue
        self._metrics = metrics
        limits = spool or SpoolLimits()
        self._clock = clock
        self._spool = Spool(limits)
        self._crowding = Crowding(self._spool, metrics, brake or Free(), clock)
        self._disk = SpoolDisk(limits.path, metrics)
        self._look_again = 0.0
        self._full_lanes = FullLanes()
        self._in_hand: list[Append] = []
        self._entries: list[LedgerEntry] = []  # of the call in hand
        self._most = min(2 * BATCH, queue.at_once)
        self._ledger = ledger
        self._wake = asyncio.Event()
        self.occupancies = None if ledger is None else Occupancies(ledger, registry.routes, put=self._put, clock=clock)
        self._gathering: asyncio.TimerHandle | None = None
        self._called = 0.0  # when the queue was called last
        self._receipts = Receipts()
        self._intake = EventBuilder(
            registry.routes,
            metrics,
            put=self._put,
            wake=self._begun,
            receipts=self._receipts,
            occupancies=self.occupancies,
            clock=clock,
        )
        self.add: OnChange = self._intake.add  # no call in between: it is on the hot path
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_drop = 0.0

    async def start(self) -> None:
        """Read what earlier shutdowns had to write down, and begin to hand over.

        Raises SockudoError when a spool file can't be made, or is there and can't be read.
        """
        self._back(await self._disk.open(*self._spool.room()))
        self._look_again = asyncio.get_running_loop().time() + _LOOK_INTERVAL
        self._task = asyncio.create_task(self._run(), name="webhook-dispatcher")

    @property
    def waiting(self) -> int:
        """Events that the queue has not taken yet."""
        self._intake.settle()
        return self._spool.count + len(self._in_hand)

    @property
    def behind(self) -> int:
        """How many of them wait although their endpoints are not full."""
        return self.waiting - self._spool.held_back

    async def hand_over(self, endpoint: str, events: list[Append]) -> None:
        """Put events of our own, at least one, behind all that came before; return when the queue has taken them.

        They are put before anything else gets a turn of the loop.
        """
        self._intake.settle()
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._receipts.expect([event.id for event in events], lambda: None if taken.done() else taken.set_result(None))
        self._put(endpoint, events)
        self._wake.set()
        await taken

    def nearly_full(self) -> bool:
        """Return whether there is hardly any room for more events: what can wait should wait."""
        return self._spool.nearly_full

    @property
    def unread(self) -> bool:
        """Whether the disk still holds events that earlier shutdowns wrote there."""
        return not self._disk.all_read

    def _begun(self, urgent: bool) -> None:
        """A run has begun, or has something that is urgent."""
        if urgent or self._stopping.is_set():
            self._wake.set()
        elif self._gathering is None:
            loop = asyncio.get_running_loop()
            due = self._called + GATHER
            if due <= loop.time():
                self._wake.set()
            else:
                self._gathering = loop.call_at(due, self._gathered)

    def _gathered(self) -> None:
        self._gathering = None
        self._wake.set()

    def wake(self) -> None:
        """Look for something to hand over: the ledger has changed."""
        self._wake.set()

    async def stop(self, timeout: float = 5.0) -> None:
        """Hand over what is left, for at most ``timeout`` seconds; write the rest to the spool file, if any.

        Endpoints that the queue has no room for are asked for once more, and not waited for.
        """
        self._stopping.set()
        self._full_lanes.hurry()
        self._wake.set()
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=timeout)
            if not self._task.done():
                self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._intake.settle()
        left = [*self._in_hand, *self._spool.drain()]
        self._crowding.end()
        self._in_hand = []
        await self._disk.close(left)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        wait = FIRST_WAIT
        failing = False
        while True:
            more = self._crowding.shrunk()
            if not (self._in_hand or self._entries):
                if self._wake.is_set():
                    self._wake.clear()  # before the look: an event that comes meanwhile sets it again
                    self._intake.settle()
                self._in_hand = self._next()
                if self._ledger is not None:
                    self._entries = self._ledger.entries(self._in_hand)
            if not (self._in_hand or self._entries):
                await self._look_at_the_disk(idle=True)
                if self._stopping.is_set() and not self._wake.is_set():
                    return
                await (asyncio.sleep(0) if more else self._rest())
                continue
            self._called = loop.time()
            try:
                # After Unavailable the very same call is repeated: the queue knows the ids that it has taken already.
                await self._queue.append(self._in_hand, self._entries)
            except QueueFull as full:
                self._refused(full)
            except Unavailable as error:
                reason, text = "unavailable", str(error)
            except Exception as error:
                log.exception("handing webhook events to the queue failed")
                reason, text = "error", type(error).__name__
            else:
                self._taken(self._in_hand)
            if not (self._in_hand or self._entries):
                if failing:
                    log.info("the webhook queue takes events again", extra={"waiting": self.waiting})
                wait, failing = FIRST_WAIT, False
                self._crowding.queue(away=False)
                await self._look_at_the_disk(idle=False)
                continue
            self._metrics.enqueue_failures.add(reason)
            self._metrics.spool_events.set(value=self.waiting)
            if not failing:
                log.error(
                    "the webhook queue takes no events; they wait in memory",
                    extra={"reason": reason, "error": text, "waiting": self.waiting},
                )
            failing = True
            self._crowding.queue(away=True)
            await self._pause(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _look_at_the_disk(self, *, idle: bool) -> None:
        """Tidy the spool files after their events were taken; read more of them where memory has room.

        Once a second is enough where there is always something to do.
        """
        disk, now = self._disk, asyncio.get_running_loop().time()
        if not (disk.untidy or disk.unread):
            return
        if now < self._look_again and not (idle and (not self._spool.count or not disk.trimmed)):
            return
        self._look_again = now + _LOOK_INTERVAL
        while True:
            if disk.untidy:
                await disk.tidy(self._spool.all())
            events, size = self._spool.room()
            if not disk.unread or events <= 0 or size <= 0 or self._stopping.is_set():
                return
            if back := await disk.read(events, size):
                self._back(back)
                return

    def _back(self, events: list[Append]) -> None:
        for event in events:
            if self._ledger is not None:
                self._ledger.replayed(event)
            if self._spool.put(event):
                self._grown()
        if events:
            log.info("webhook events of an earlier shutdown were read from their files", extra={"events": len(events)})
            self._wake.set()

    def _next(self) -> list[Append]:
        """Take from the spool what is to be handed over now."""
        most = self._most if not self._full_lanes else self._most // 2
        events = self._spool.take(min(most, BATCH if self._spool.share < BEHIND else BATCH_BEHIND))
        now = asyncio.get_running_loop().time()
        while len(events) < self._most and (due := self._full_lanes.due(now)) is not None:
            endpoint, number = due
            probe = self._spool.probe(endpoint, min(number, self._most - len(events)))
            events += probe
            if not probe:  # dropped meanwhile
                self._recovered(endpoint)
        return events

    async def _rest(self) -> None:
        """Wait until there is something to hand over, or a full lane is to be asked again."""
        due = self._full_lanes.next_due()
        if due is None:
            await self._wake.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._wake.wait()

    async def _pause(self, seconds: float) -> None:
        """Wait; a shutdown that begins meanwhile cuts the wait short, so that one more call is made."""
        if self._stopping.is_set():
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # not wait_for: that one may swallow the cancellation by stop()
                await self._stopping.wait()

    def _taken(self, events: list[Append], *, refused: Collection[str] = ()) -> None:
        for app_id, group in groupby(map(app_id_of, events)):
            self._metrics.enqueued.add(app_id, amount=len(list(group)))
        self._in_hand, self._entries = [], []
        if self._tap.on:
            tell_queued(self._tap, events)
        if self._ledger is not None:
            self._ledger.taken(events)
        if self._receipts:
            self._receipts.settle(events)
        if self._full_lanes:
            self._probed({event.endpoint for event in events if event.endpoint not in refused})
        self._metrics.spool_events.set(value=self._spool.count)

    def _probed(self, endpoints: set[str]) -> None:
        """Note that all that was asked of these endpoints was taken."""
        for endpoint in endpoints:
            if endpoint not in self._full_lanes:
                continue
            self._crowding.progress()
            if self._spool.held(endpoint):
                self._full_lanes.passed(endpoint, asyncio.get_running_loop().time())
                self._metrics.spool_lane_events.set(endpoint, value=self._spool.held(endpoint))
            else:
                self._recovered(endpoint)

    def _recovered(self, endpoint: str) -> None:
        self._full_lanes.over(endpoint)
        self._spool.free(endpoint)
        self._metrics.spool_lane_events.values.pop((endpoint,), None)
        log.info("the webhook queue has room for an endpoint again", extra={"webhook": endpoint})

    def _refused(self, full: QueueFull) -> None:
        ids = {event.id for event in full.refused}
        apps = {event.endpoint: event.app_id for event in full.refused}
        taken = [event for event in self._in_hand if event.id not in ids]
        progress = {event.endpoint for event in taken}
        if self._ledger is not None:  # before any of the refused ones is dropped
            self._ledger.taken(taken)
        grown = self._spool.hold_back(full.refused)
        now = asyncio.get_running_loop().time()
        for endpoint, app_id in apps.items():
            waiting = self._spool.held(endpoint)
            self._metrics.spool_lane_events.set(endpoint, value=waiting)
            news = self._full_lanes.refused(endpoint, now, progress=endpoint in progress)
            if news or endpoint in progress:
                self._crowding.progress()
            if news:
                log.error(
                    "the webhook queue has no room for more events of an endpoint; they wait in memory, others go on. "
                    "Repair or disable the endpoint, or raise queue.reliability.max_queue_len "
                    "(memory_capacity with the driver memory)",
                    extra={"webhook": endpoint, "app_id": app_id, "waiting": waiting},
                )
        self._metrics.enqueue_failures.add("full")
        if grown:  # before the events of a run come, which drop themselves what is too much then
            self._grown()
        self._taken(taken, refused=apps.keys())

    def _put(self, endpoint: str, events: list[Append]) -> None:
        if self._spool.extend(endpoint, events):
            self._grown()

    def _grown(self) -> None:
        if self._spool.too_full:
            self._drop()
        self._crowding.grown()

    def _drop(self) -> None:
        events = self._spool.overflow()
        if self._ledger is not None:
            self._ledger.dropped(events)
        self._receipts.settle(events)
        dropped = Counter(map(app_id_of, events))
        for app_id, count in dropped.items():
            self._metrics.spool_dropped.add(app_id, amount=count)
        now = self._clock()
        if abs(now - self._last_drop) >= 1.0:  # one line a second, the metric has them all
            self._last_drop = now
            log.error(
                "the webhook spool is full (webhooks.spool.max_events): the noisiest clients, then the noisiest apps, "
                "lose their oldest events",
                extra={"dropped": dict(dropped)},
            )
