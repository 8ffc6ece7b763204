"""Feeds: what waits for an endpoint without an address is handed to its reader, and goes when that acknowledges it.

A reader gets the first jobs of the endpoint's lane, leased, so that they stay as they are; its next request says by a
cursor which of them it has. Everything that has to last is in the queue: a cursor names the last delivery by its id,
and an acknowledgement first leases the head of the lane anew. So it counts after a lease has expired as well, after a
restart, and on another node; and one that comes twice finds nothing, and changes nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sockudo_py.endpoints import Endpoint, Feed
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.process.tasks import cancel
from sockudo_py.protocol.values import value
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Claim, Queue, ServesLanes
from sockudo_py.queues.jobs import Job, JobError
from sockudo_py.webhooks.delivery.recorder import Recorder
from sockudo_py.webhooks.delivery.requests.attempt import Attempt, requests_for
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.feeds.cursor import Cursor, new_reader
from sockudo_py.webhooks.targets.base import Delivered, Failure, Request, Timing

log = logging.getLogger(__name__)

EXPIRED = "expired"  # the class of dead letters that waited too long, or came when there were too many
MOST_READ = 100  # deliveries of one answer
MOST_BYTES = 2 * 1024 * 1024  # ... and the bytes of their bodies; the first one may have more
_TRIES = 20  # of an acknowledgement that other readers keep overtaking
_TARGET = "feed"


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """How feeds are read. Seconds.

    ``lease``: how long the events that a reader got are its own. ``poll``: between two looks into an empty lane.
    ``sweep``: between two looks for what has waited too long. ``most``: how many events a feed may hold at most,
    whatever its endpoint says; None: there is no such bound.
    """

    lease: float = 30.0
    poll: float = 0.02
    sweep: float = 5.0
    most: int | None = None


class Taken(SockudoError):
    """Another reader has begun to read this feed."""


class NotReadable(SockudoError):
    """The endpoint is no feed, or is disabled."""


@value
class Item:
    """One delivery: what a receiver would get in one request, or in several where the envelope holds one event."""

    job: Job
    cursor: str
    requests: tuple[Request, ...]


@value
class Page:
    """What a reader gets. ``start`` stands before the items; ``cursor`` behind them, and without items is the same."""

    items: tuple[Item, ...]
    start: str
    cursor: str


class _Reading:
    """Who reads a feed in this process."""

    __slots__ = ("fresh_until", "lock", "over", "reader")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # one request at a time works on the lane
        self.reader: str | None = None  # the latest; None: unknown
        self.over: asyncio.Future[None] | None = None  # done when the one that waits has to end
        self.fresh_until = 0  # Unix ms, before which nothing of it has waited too long


class Feeds:
    """Hands feeds to their readers.

    Args:
        queue: Where the lanes are.
        registry: Knows the endpoints.
        recorder: Records what was read as attempts.
        settings: How they are read.
        clock: Unix seconds.
    """

    def __init__(
        self,
        queue: Queue,
        registry: EndpointRegistry,
        recorder: Recorder,
        settings: FeedSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._recorder = recorder
        self._settings = settings or FeedSettings()
        self._clock = clock
        self._readings: dict[str, _Reading] = {}
        self._ended = False
        self._sweeper: asyncio.Task[None] | None = None
        registry.subscribe(self._changed)

    def start(self) -> None:
        """Begin to look for what has waited too long."""
        if isinstance(self._queue, ServesLanes):
            self._sweeper = asyncio.create_task(self._sweep(), name="webhook-feeds")

    def end(self) -> None:
        """Let readers that wait go: their requests are answered at once, those to come do not wait."""
        self._ended = True
        for reading in self._readings.values():
            _finish(reading.over)

    async def stop(self) -> None:
        """End, and look for nothing more."""
        self.end()
        await cancel(self._sweeper)
        self._sweeper = None

    async def read(self, uid: str, after: Cursor | None, limit: int, timeout: float) -> Page:
        """Acknowledge everything up to ``after``, and return what follows; wait ``timeout`` seconds for it at most.

        A reader without a cursor is a new one, and takes the feed over: what others have read and not acknowledged
        comes again.

        Raises:
            NotReadable: The endpoint is no feed, or is disabled, or is gone.
            Taken: A new reader came. What this one has acknowledged counts.
            Unavailable: The queue can't be reached. Ask again with the same cursor.
        """
        queue = self._serving(self._feed(uid))
        cursor = after or Cursor(new_reader())
        reading = self._readings.setdefault(uid, _Reading())
        async with reading.lock:
            if cursor.place:
                await self._acknowledge(queue, self._feed(uid), cursor)
            if after is not None and reading.reader not in (None, after.reader):
                raise Taken("another reader has taken over this feed; only one can read it at a time")
            reading.reader = cursor.reader
            _finish(reading.over)
            reading.over = asyncio.get_running_loop().create_future()
        over, start = reading.over, Cursor(cursor.reader).encoded()
        deadline = time.monotonic() + timeout
        look = True
        while True:
            async with reading.lock:
                endpoint = self._feed(uid)
                if over.done() and not self._ended:
                    raise Taken("another reader has taken over this feed; only one can read it at a time")
                if look or (await self._queue.lane(uid)).waiting:
                    items = await self._take(queue, endpoint, cursor.reader, limit)
                    if items:
                        return Page(items, start, items[-1].cursor)
                look = False
            left = deadline - time.monotonic()
            if left <= 0 or self._ended:
                return Page((), start, start)
            await asyncio.wait({over}, timeout=min(left, self._settings.poll))

    # -- what is read

    async def _take(self, queue: ServesLanes, endpoint: Endpoint, reader: str, limit: int) -> tuple[Item, ...]:
        if endpoint.feed is not None:
            await self._trim(queue, endpoint, endpoint.feed)
        claims = await queue.claim_lane(endpoint.uid, min(limit, MOST_READ), self._settings.lease)
        now = self._clock()
        items: list[Item] = []
        size = 0
        for place, (_, job) in enumerate(await self._readable(claims), 1):
            requests = tuple(requests_for(endpoint, job, now))
            size += sum(len(request.body) for request in requests)
            if items and size > MOST_BYTES:
                break  # they stay leased, and the next request takes them back
            items.append(Item(job, Cursor(reader, place, int(now * 1000), job.id).encoded(), requests))
        return tuple(items)

    async def _readable(self, claims: Iterable[Claim]) -> list[tuple[Claim, Job]]:
        """Return the jobs of claims; those that can't be read become dead letters."""
        found = []
        for claim in claims:
            try:
                found.append((claim, jobs.of_claim(claim)))
            except jobs.PoisonJob as problem:
                self._recorder.poison(str(problem))
                await self._queue.fail(claim.token, jobs.poison(claim.job, self._now_ms(), str(problem)))
        return found

    async def _acknowledge(self, queue: ServesLanes, endpoint: Endpoint, cursor: Cursor) -> None:
        for _ in range(_TRIES):
            claims = await queue.claim_lane(endpoint.uid, min(cursor.place, MOST_READ), self._settings.lease)
            read = await self._readable(claims)
            at = next((at for at, (_, job) in enumerate(read) if job.id == cursor.delivery), None)
            if at is None:
                return  # an earlier request with this cursor has done it, or they are dead letters now
            gone = await self._queue.ack_all([claim.token for claim, _ in read[: at + 1]])
            for claim, job in read[: at + 1]:
                if claim.token not in gone:
                    self._record(endpoint, job, cursor.read_ms)
            if not gone:
                return
        raise Unavailable("other readers of this feed keep overtaking the acknowledgement")

    def _record(self, endpoint: Endpoint, job: Job, read_ms: int) -> None:
        now = self._clock()
        began = min(max(read_ms / 1000, now - 86_400.0), now)
        duration = now - began
        last = requests_for(endpoint, job, began)[-1]
        outcome = Delivered(200, Timing(round(duration * 1000)))
        self._recorder.record(self._attempt(endpoint, job, outcome, "delivered", began, duration, last), endpoint)

    def _attempt(
        self,
        endpoint: Endpoint,
        job: Job,
        outcome: Delivered | Failure,
        status: str,
        began: float,
        duration: float,
        request: Request | None,
    ) -> Attempt:
        number, most = job.attempt + 1, len(endpoint.retry.schedule) + 1
        return Attempt(job, number, most, _TARGET, outcome, status, int(began * 1000), duration, None, request)

    # -- what waits too long

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.sweep)
            for endpoint in self._registry.all():
                if endpoint.feed is None or not isinstance(self._queue, ServesLanes):
                    continue
                reading = self._readings.setdefault(endpoint.uid, _Reading())
                try:
                    async with reading.lock:
                        await self._trim(self._queue, endpoint, endpoint.feed)
                        await self._expire_old(self._queue, endpoint, endpoint.feed, reading)
                except Unavailable:
                    break  # the dispatcher and the worker log it
                except Exception:
                    log.exception("looking for old events of a feed failed", extra={"webhook": endpoint.uid})

    async def _trim(self, queue: ServesLanes, endpoint: Endpoint, feed: Feed) -> None:
        """Make dead letters of the oldest events, as long as there are too many."""
        most = feed.max_events if self._settings.most is None else min(feed.max_events, self._settings.most)
        dropped = 0
        while True:
            depth = await self._queue.lane(endpoint.uid)
            over = depth.waiting + depth.in_flight - most
            if over <= 0:
                break
            # So many that they hold no more than `over` events, each at most `batching.size`.
            limit = min(max(1, over // endpoint.batching.size), MOST_READ)
            claims = await queue.claim_lane(endpoint.uid, limit, self._settings.lease, over)
            for claim, job in await self._readable(claims):
                await self._expire(claim, endpoint, job, f"more than {most} events waited in the feed")
            dropped += len(claims)
            if not claims:
                break
        _warn(endpoint, dropped, f"more than {most} waited")

    async def _expire_old(self, queue: ServesLanes, endpoint: Endpoint, feed: Feed, reading: _Reading) -> None:
        """Make dead letters of what has waited too long."""
        if self._now_ms() < reading.fresh_until:
            return
        dropped, limit = 0, 1
        while (await self._queue.lane(endpoint.uid)).waiting:
            now = self._now_ms()
            # One event each: those that come with an old one may be young.
            claims = await queue.claim_lane(endpoint.uid, limit, self._settings.lease, 1)
            if not claims:
                break
            read = await self._readable(claims)
            young = [(claim, job) for claim, job in read if job.created_ms + round(feed.retention * 1000) > now]
            for claim, job in read:
                if (claim, job) not in young:
                    await self._expire(claim, endpoint, job, f"it waited for over {feed.retention:.0f} s to be read")
                    dropped += 1
            for claim, _ in reversed(young):
                await self._queue.release(claim.token)
            if young:
                reading.fresh_until = min(job.created_ms for _, job in young) + round(feed.retention * 1000)
                break
            limit = MOST_READ
        _warn(endpoint, dropped, f"they waited for over {feed.retention:.0f} s")

    async def _expire(self, claim: Claim, endpoint: Endpoint, job: Job, why: str) -> None:
        dead = jobs.bury(claim.job, self._now_ms(), JobError(EXPIRED, why))
        if await self._queue.fail(claim.token, dead, healthy=True):
            attempt = self._attempt(endpoint, job, Failure(EXPIRED, why), "failed", self._clock(), 0.0, None)
            self._recorder.expired(attempt, endpoint)

    # -- which feeds there are

    def _feed(self, uid: str) -> Endpoint:
        endpoint = self._registry.by_uid(uid)
        if endpoint is None or endpoint.feed is None:
            raise NotReadable("this webhook is no feed: it has a target that events are sent to")
        if not endpoint.enabled:
            raise NotReadable("this webhook is disabled; enable it, and what waits can be read")
        return endpoint

    def _serving(self, endpoint: Endpoint) -> ServesLanes:
        if not isinstance(self._queue, ServesLanes):
            raise NotReadable(f"the queue of this server hands out no lanes, so {endpoint.uid} can't be read")
        return self._queue

    def _changed(self, old: Endpoint | None, new: Endpoint | None) -> None:
        if old is None:
            return
        reading = self._readings.get(old.uid)
        if reading is None:
            return
        reading.fresh_until = 0  # its retention may be another one
        if new is None:
            del self._readings[old.uid]
            _finish(reading.over)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _finish(over: "asyncio.Future[None] | None") -> None:
    if over is not None and not over.done():
        over.set_result(None)


def _warn(endpoint: Endpoint, dropped: int, why: str) -> None:
    if dropped:
        log.error(
            "deliveries of a feed became dead letters, unread: %s",
            why,
            extra={"webhook": endpoint.uid, "app_id": endpoint.app_id, "deliveries": dropped, "class": EXPIRED},
        )
