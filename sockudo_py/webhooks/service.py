"""Webhook delivery as one thing that starts and stops."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sockudo_py.adapters.base import Restorable
from sockudo_py.changes import OnChange
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.metrics import Metrics
from sockudo_py.process.tasks import cancel
from sockudo_py.queues.base import Depths, Queue
from sockudo_py.stores.history.base import History
from sockudo_py.tap import Tap
from sockudo_py.webhooks.catalogue.catalogue import Catalogue
from sockudo_py.webhooks.delivery.lane_keeper import LaneKeeper
from sockudo_py.webhooks.delivery.protection.health import EndpointHealth, HealthSettings
from sockudo_py.webhooks.delivery.recorder import Recorder
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.delivery.worker import Worker, WorkerSettings
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.endpoints.validation import EndpointRules
from sockudo_py.webhooks.feeds.feeds import Feeds, FeedSettings
from sockudo_py.webhooks.history.writer import INTERVAL, HistoryWriter
from sockudo_py.webhooks.intake.dispatcher import Dispatcher
from sockudo_py.webhooks.intake.ledger import Ledger
from sockudo_py.webhooks.intake.recovery import Recovery
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.operators.notices import Notices
from sockudo_py.webhooks.operators.watch import Watch
from sockudo_py.webhooks.resync import Resync, Truth
from sockudo_py.webhooks.resync_order import ResyncOrder
from sockudo_py.webhooks.spool.crowding import Brake
from sockudo_py.webhooks.spool.memory import SpoolLimits
from sockudo_py.webhooks.stats import DeliveryStats, describe_endpoint
from sockudo_py.webhooks.targets.base import Target
from sockudo_py.webhooks.trigger.trigger import Trigger

log = logging.getLogger(__name__)

SAMPLE_INTERVAL = 5.0
WARN_INTERVAL = 3600.0
_LANES_SHOWN = 20
_LAST_NOTES = 1.0  # seconds at the stop for the ends of resyncs
_LAST_ROWS = 1.0  # seconds at the stop for the history's last batch


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """The settings of delivery, without the endpoints. Seconds."""

    worker: WorkerSettings = field(default_factory=WorkerSettings)
    spool: SpoolLimits = field(default_factory=SpoolLimits)
    rules: EndpointRules = field(default_factory=EndpointRules)
    health: HealthSettings = field(default_factory=HealthSettings)
    feeds: FeedSettings = field(default_factory=FeedSettings)
    history: int = 1000  # attempts that are kept of each endpoint
    history_interval: float = INTERVAL
    slow_start: bool = True
    reconnect_grace: float = 20.0  # after a crash
    shutdown_timeout: float = 4.0
    warn_dead_letters: int = 100  # from this many on, an hourly warning; 0: never


class WebhookService:
    """Dispatcher, worker and their helpers, over a queue that the server opens and closes.

    ``targets`` by name: "http", and "lambda" when endpoints with functions are allowed; closed by ``stop``.
    ``occupancy``: the adapter, if its occupancy ends with this process. Over a queue that keeps a ledger every end is
    told then, also after a crash. ``truth`` says what receivers hold to be true; without it nobody can ask for a
    resync. ``history`` gets every attempt; the server opens and closes it.
    """

    def __init__(
        self,
        queue: Queue,
        targets: Mapping[str, Target],
        metrics: Metrics,
        settings: DeliverySettings | None = None,
        *,
        occupancy: Restorable | None = None,
        truth: Truth | None = None,
        history: History | None = None,
        on_attempt: Callable[[Attempt, Endpoint], None] | None = None,
        brake: Brake | None = None,
        tap: Tap | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings or DeliverySettings()
        self._queue = queue
        self._targets = targets
        self._clock = clock
        self._metrics = WebhookMetrics(metrics)
        self._stats = DeliveryStats()
        self._depths = Depths()
        self._available = True
        self._warned = -WARN_INTERVAL
        ledger = Ledger(int(clock() * 1000)) if occupancy is not None and queue.keeps_ledger else None
        self.registry = EndpointRegistry(self._settings.rules, ledger=ledger is not None)
        self._lanes = LaneKeeper(
            queue,
            self.registry,
            slow_start=self._settings.slow_start,
            max_payload_bytes=self._settings.worker.max_payload_bytes,
        )
        self.dispatcher = Dispatcher(
            queue,
            self.registry,
            self._metrics,
            spool=self._settings.spool,
            ledger=ledger,
            brake=brake,
            tap=tap,
            clock=clock,
        )
        self.history: HistoryWriter | None = None
        if history is not None:
            settings = self._settings
            self.history = HistoryWriter(
                history, settings.history, self._metrics, interval=settings.history_interval, clock=clock
            )
            on_attempt = self.history.add if on_attempt is None else _both(self.history.add, on_attempt)
        self.resync: Resync | None = None
        if truth is not None:
            dropped = self._metrics.spool_dropped.values
            self.resync = Resync(
                self.dispatcher,
                ResyncOrder(self._lanes, clock),
                self.registry,
                truth,
                lambda: sum(dropped.values()),
                clock,
            )
            attempted = self.resync.order.attempted
            on_attempt = attempted if on_attempt is None else _both(attempted, on_attempt)
        self.catalogue = Catalogue()
        self.trigger = Trigger(
            queue,
            self.registry,
            self._metrics,
            max_payload_bytes=self._settings.worker.max_payload_bytes,
            check=self.catalogue.check,
            clock=clock,
        )
        self._recovery: Recovery | None = None
        if ledger is not None and occupancy is not None:
            grace = self._settings.reconnect_grace
            self._recovery = Recovery(queue, ledger, self.dispatcher, occupancy, self.registry, grace=grace)
        self.add: OnChange = self.dispatcher.add  # for ``Node``'s ``on_change``
        self.notices = Notices(queue, self.registry, self._metrics, clock=clock)
        self._watch = Watch(
            self.notices,
            queue,
            self.registry,
            most_dead=self._settings.warn_dead_letters,
            dropped=lambda: sum(self._metrics.spool_dropped.values.values()),
        )
        recorder = Recorder(self._metrics, self._stats, on_attempt=on_attempt, tap=tap, clock=clock)
        self.feeds = Feeds(queue, self.registry, recorder, self._settings.feeds, clock=clock)
        self.worker = Worker(
            queue,
            self.registry,
            targets,
            recorder,
            self._settings.worker,
            health=EndpointHealth(queue, self.registry, self._metrics, self._settings.health, notices=self.notices),
            clock=clock,
        )
        self._sampler: asyncio.Task[None] | None = None
        metrics.before_scrape.append(self._show_endpoints)

    def replace(self, app_id: str, source: str, endpoints: Iterable[Endpoint]) -> None:
        """Set the endpoints that a source has for an app. Raises ConfigError; nothing has changed then."""
        self.registry.replace(app_id, source, endpoints)

    def remove(self, app_id: str) -> None:
        """Forget an app that is gone, with its endpoints."""
        self.registry.remove(app_id)
        self.catalogue.remove(app_id)

    async def start(self) -> None:
        """Begin to deliver. The queue is open and the endpoints are set. Raises what the queue raises.

        Raises SockudoError when the spool file can't be read.
        """
        await self._lanes.start()
        try:
            if self._recovery is not None:
                await self._recovery.load()
            await self.dispatcher.start()
        except SockudoError:
            await self._lanes.stop()
            raise
        if self._recovery is not None:
            self._recovery.start()
        if self.history is not None:
            self.history.start()
        self.notices.start()
        await self.worker.start()
        self.feeds.start()
        self._sampler = asyncio.create_task(self._sample(), name="webhook-sampler")

    async def stop(self) -> None:
        """Hand over every event, finish what is under way within the shutdown timeout, and close the targets."""
        started = time.monotonic()
        timeout = self._settings.shutdown_timeout
        waiting, under_way = self.dispatcher.waiting, sum(self.worker.in_flight.values())
        if waiting or under_way:
            log.info(
                "webhooks: events for the queue: %d, deliveries under way: %d; waiting for them at most %gs",
                waiting,
                under_way,
                timeout,
            )
        if self._recovery is not None:
            await self._recovery.stop()
        await self.feeds.stop()
        await self.trigger.stop()
        await self.dispatcher.stop(min(5.0, timeout))
        await self.worker.stop(max(0.0, timeout - (time.monotonic() - started)))
        if self.resync is not None:
            await self.resync.order.stop(min(_LAST_NOTES, max(0.0, timeout - (time.monotonic() - started))))
        await self.notices.stop()
        await self._lanes.stop()
        if self.history is not None:
            await self.history.stop(min(_LAST_ROWS, max(_LAST_ROWS / 4, timeout - (time.monotonic() - started))))
        await cancel(self._sampler)
        self._sampler = None
        for target in self._targets.values():
            await target.close()

    def usage(self) -> dict[str, Any]:
        """Return the ``webhooks`` section of ``GET /usage``: endpoints without secrets, and figures of the last hour.

        ``queue_depth`` is at most SAMPLE_INTERVAL seconds old, or from before the queue went away. ``spooled`` events
        wait in this process: the queue has not taken them yet. ``failed`` are the dead letters.
        """
        return {
            "endpoints": [describe_endpoint(endpoint) for endpoint in self.registry.all()],
            "queue_available": self._available,
            "spooled": self.dispatcher.waiting,
            "failed": self._depths.failed,
            **self._stats.summary(self._clock(), self._depths.waiting),
        }

    def figures(self) -> dict[str, Any]:
        """Return this process's figures of the last hour: deliveries that succeeded (``completed``), and shares."""
        now = self._clock()
        return {"completed": self._stats.completed(now), **self._stats.summary(now, self._depths.waiting)}

    def circuit(self, uid: str) -> str:
        """Return the state of an endpoint's circuit breaker: "closed", "half_open" or "open"."""
        return ("closed", "half_open", "open")[int(self._metrics.circuit_state.values.get((uid,), 0))]

    async def _sample(self) -> None:
        while True:
            self._watch.look_at_spool(self.dispatcher.waiting)
            try:
                self._depths = await self._queue.depths(_LANES_SHOWN)
                self._available = True
                self._show(self._depths)
                self._warn_of_dead_letters(self._depths.failed)
                await self._watch.look(self._depths)
            except Unavailable:
                self._available = False  # the dispatcher and the worker log it
            except Exception:
                log.exception("sampling the webhook queue failed")
            await asyncio.sleep(SAMPLE_INTERVAL)

    def _warn_of_dead_letters(self, count: int) -> None:
        threshold, now = self._settings.warn_dead_letters, self._clock()
        if threshold and count >= threshold and abs(now - self._warned) >= WARN_INTERVAL:  # the clock may jump
            self._warned = now
            log.warning(
                "%d webhook deliveries are dead letters; list them with `sockudo-py webhooks failed`, "
                "send them again with `sockudo-py webhooks retry`",
                count,
            )

    def _show_endpoints(self) -> None:
        info = self._metrics.endpoint_info
        info.values.clear()
        for endpoint in self.registry.all():
            info.set(endpoint.app_id, endpoint.uid, endpoint.name, value=1)

    def _show(self, depths: Depths) -> None:
        metrics = self._metrics
        for state in ("waiting", "active", "delayed", "failed"):
            metrics.queue_depth.set(state, value=getattr(depths, state))
        metrics.queue_oldest.set(value=depths.oldest_waiting_ms / 1000)
        metrics.lane_depth.values.clear()
        metrics.lane_pace.values.clear()
        for lane in depths.lanes:
            metrics.lane_depth.set(lane.endpoint, value=lane.waiting)
            metrics.lane_pace.set(lane.endpoint, value=lane.pace_ms / 1000)
        metrics.in_flight.values.clear()
        for uid, count in self.worker.in_flight.items():
            metrics.in_flight.set(uid, value=count)
        metrics.spool_events.set(value=self.dispatcher.waiting)


def _both(
    first: Callable[[Attempt, Endpoint], None], second: Callable[[Attempt, Endpoint], None]
) -> Callable[[Attempt, Endpoint], None]:
    def tell(attempt: Attempt, endpoint: Endpoint) -> None:
        first(attempt, endpoint)
        second(attempt, endpoint)

    return tell
