"""The queue in AWS SQS: durable, shared by any number of processes, with nothing to run."""

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import (
    ENDPOINT_DELETED,
    LONGEST_WAIT,
    Append,
    Claim,
    Depths,
    LanePolicy,
    LedgerEntry,
    Occupancy,
    QueueFull,
)
from sockudo_py.queues.local.book import LeaseBook
from sockudo_py.queues.local.book_lanes import BookLanes
from sockudo_py.queues.local.classes import SlotPolicy
from sockudo_py.queues.local.headroom import Headroom
from sockudo_py.queues.local.seen import SeenIds
from sockudo_py.queues.metrics import QueueMetrics
from sockudo_py.queues.once import OnceBook, OnceKey
from sockudo_py.queues.sqs.dead import DeadJobs
from sockudo_py.queues.sqs.link import SqsLink
from sockudo_py.queues.sqs.messages import FRESH, MOST_BYTES, SOLO, Draft
from sockudo_py.queues.sqs.received import ReceivedMessage
from sockudo_py.queues.sqs.store import SqsStore
from sockudo_py.queues.waker import Waker

log = logging.getLogger(__name__)

_POLL = 0.5  # seconds
_ROUNDS = 3  # of merging, within one claim
_ROOM = 8192  # bytes of a message that are not events


class SqsQueue(BookLanes):
    """``Queue`` over two queues of SQS: ``<prefix>default`` and ``<prefix>failed``. Made at start when missing.

    SQS holds the truth: each event is a message, and a message is deleted only when its job has been answered. What a
    process has received it hides from the others, as long as it lives, and keeps in books of its own, which decide
    about windows, turns, allowances, rate limits, gates and pauses. When a process dies its messages show again after
    ``visibility_timeout``.

    A batch becomes a message of its own before it is handed out, and the messages of its events are deleted; so a job
    that was claimed comes back as it was. Should the process die between these two steps, both are there: the events
    that show again are then delivered one by one, never in another batch under the same id, and so more than once.

    What SQS can't do, and what is done instead:

    - Lanes, turns, allowances, rate limits, gates and pauses hold within each process. N processes may send an endpoint
      N times its ``max_in_flight`` and rate. A lane that has its share of a process's ``prefetch`` is full there:
      further messages go back, delayed, so that they keep no other lane waiting.
    - Order: SQS keeps none. What is received together is put in order; a retry of an ordered lane waits in the process
      that holds it, and starts over when that dies.
    - An event that is appended again after ``Unavailable`` is recognised by the process that sent it first, and by one
      that receives both; else it is delivered twice.
    - Keys of ``append_once`` are known to the process that took them, as long as it lives.
    - Delays are whole seconds, rounded up. Longer ones than 900 s are put off several times.
    - ``drop`` reaches what can be received now; delayed jobs follow when they come, by the worker.
    - ``failed``, ``redrive`` and ``purge`` look at 10,000 dead jobs at most, and at none that another process looks at.
    - ``release`` with ``away`` gives others that one job; what else this process has received of the lane stays here.
    - SQS reports no per-endpoint counts: ``max_queue_len`` looks at the lanes of this process, and at all that SQS
      holds. There is no bound by default, as SQS has none.
    - Depths are SQS's estimates plus what this process holds; lanes are those of this process.
    - A message counts as crashed each time it shows again, though it may only have waited in a process that died.
    - SQS forgets messages after 14 days, dead ones included.

    Args:
        region: AWS region. Credentials come from where boto3 finds them.
        endpoint_url: Another address than AWS's, for tests.
        queue_url_prefix: URL before ``default`` and ``failed``; None: SQS is asked, by ``prefix``.
        prefix: Of the names of the queues.
        visibility_timeout: Seconds after which the messages of a dead process show again.
        max_messages: How many are asked for at once, 1 to 10.
        wait_time: Seconds of a long poll; ``close`` waits for the one under way.
        prefetch: How many messages this process holds at most (leased ones included).
        threads: Calls of SQS at a time.
        metrics: Where to count.
        clock: As of ``QueueClock``. What messages keep is of the system's time.
        slots: How many jobs a worker holds at once; the shares of the classes are taken of it.
        probation_share: The share of lanes on probation, 0 to 1.
        max_queue_len: How many jobs and events there may be, by SQS's estimate; 0: any. See ``local/headroom.py``.
        failed_max_len: How many dead jobs are kept; the oldest go first, and are counted. 0: any number.
        max_crash_redeliveries: A job that showed again more often than this is poison.
        dedup_ttl: Seconds for which an appended id is known.
        default_policy: Of lanes without one.
        look_wait: Seconds of polling when dead jobs are looked at; SQS may overlook some with 0.
        longest_wait: Seconds. No delayed job waits longer, whatever its message says, unless a policy does.
    """

    durable = True
    keeps_ledger = False
    at_once = sys.maxsize

    def __init__(
        self,
        *,
        region: str = "us-east-1",
        endpoint_url: str | None = None,
        queue_url_prefix: str | None = None,
        prefix: str = "sockudo_queue-",
        visibility_timeout: int = 30,
        max_messages: int = 10,
        wait_time: int = 5,
        prefetch: int = 1000,
        threads: int = 16,
        metrics: Metrics | None = None,
        clock: Callable[[], float] | None = None,
        slots: int = 80,
        probation_share: float = 0.5,
        max_queue_len: int = 0,
        failed_max_len: int = 0,
        max_crash_redeliveries: int = 5,
        dedup_ttl: float = 300.0,
        default_policy: LanePolicy | None = None,
        look_wait: int = 1,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        fitting = _fitting(default_policy or LanePolicy())
        book = LeaseBook(SlotPolicy(slots, probation_share), max_crash_redeliveries, fitting)
        super().__init__(book, Waker(_POLL), clock)
        self._metrics = metrics or Metrics()
        self._link = SqsLink(
            region=region,
            endpoint_url=endpoint_url,
            longest_wait=wait_time,
            max_messages=max_messages,
            threads=threads,
            metrics=self._metrics,
            clock=self._clock,
        )
        self._names = (queue_url_prefix, prefix)
        self._hide = visibility_timeout
        self._wait_time = min(wait_time, visibility_timeout // 2)
        self._prefetch = prefetch
        self._parallel = max(1, min(4, threads // 4))
        self._max_queue_len = max_queue_len
        self._failed_max_len = failed_max_len
        self._max_crashes = max_crash_redeliveries
        self._look_wait = look_wait
        self._longest_wait = round(longest_wait * 1000)
        self._sent = SeenIds(round(dedup_ttl * 1000))
        self._count = QueueMetrics(self._metrics)
        self._keys = OnceBook()
        self._keys_lock = asyncio.Lock()
        self._opened: SqsStore | None = None

    async def open(self) -> None:
        """Find or make the queues."""
        await self._link.open()
        url_prefix, prefix = self._names
        if url_prefix is not None:
            url, dead = url_prefix + "default", url_prefix + "failed"
        else:
            dead = await self._link.queue_url(prefix + "failed")
            url = await self._link.queue_url(prefix + "default", dead_letters=dead)
        for one in (url, dead):
            await self._link.counts(one)
        log.info("SQS has no place for the keys of triggered events: Idempotency-Key counts within this process alone")
        self._opened = SqsStore(
            self._link,
            self._book,
            self._waker,
            url=url,
            dead=DeadJobs(self._link, dead, max_len=self._failed_max_len, wait=self._look_wait, clock=self._clock),
            hide=self._hide,
            wait=self._wait_time,
            prefetch=self._prefetch,
            parallel=self._parallel,
            max_crashes=self._max_crashes,
            metrics=self._metrics,
            clock=self._clock,
            longest_wait=self._longest_wait,
        )

    async def close(self) -> None:
        """Give back what waits here, and let go of connections. Leases stay until their messages show again."""
        if self._opened is not None:
            await self._opened.close()
        await self._link.close()

    async def set_policy(self, endpoint: str, policy: LanePolicy) -> None:  # noqa: D102
        if policy.ordered:
            log.warning("SQS keeps no order: it holds within this process only", extra={"webhook": endpoint})
        await super().set_policy(endpoint, _fitting(policy))

    async def append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:  # noqa: D102
        await self._append(events, whole=False)

    async def append_once(self, key: OnceKey, events: Sequence[Append]) -> bytes | None:  # noqa: D102
        async with self._keys_lock:
            known = self._keys.find(key.app_id, key.digest, self._clock.wall())
            if known is None:
                await self._append(events, whole=True)
                self._keys.add(key, self._clock.wall())
            return known

    async def _append(self, events: Sequence[Append], *, whole: bool) -> None:
        now = self._now()
        self._sent.forget(now)
        fresh = self._sent.unknown(events)
        elsewhere = sum(await self._link.counts(self._store.url)) if fresh and self._max_queue_len else 0
        room = Headroom(self._book, self._max_queue_len, fresh, elsewhere=elsewhere)
        ids: dict[int, str] = {}
        drafts, refused = [], []
        for event in fresh:
            if not room.take(event):
                refused.append(event)
                continue
            draft = self._store.draft(jobs.encode_event(event), state=SOLO if event.solo else FRESH)
            ids[draft.order] = event.id
            drafts.append(draft)

        if refused and whole:
            raise QueueFull(refused)

        def note(draft: Draft) -> None:
            self._sent.add((ids[draft.order],), now)

        await self._store.send(drafts, note)
        self._count.duplicates.add(amount=len(events) - len(fresh))
        if fresh and self._store.polling is None:  # else the poll under way brings them
            self._waker.soon()
        if refused:
            raise QueueFull(refused)

    async def inherit(self) -> Sequence[Occupancy]:  # noqa: D102
        return ()

    async def claim(self, worker: str, limit: int, lease: float) -> list[Claim]:  # noqa: D102
        now = self._now()
        self._waker.begin()
        self._store.held.forget(self._store.held.lapsed(now), now)
        moved = self._book.tick(now)
        self._count.expired.add(amount=len(moved.returned) + len(moved.poisoned))
        await self._store.bury_crashed([held for held in moved.poisoned if isinstance(held, ReceivedMessage)])
        await self._store.write_merged()
        await self._store.fetch(now)
        claims: dict[str, ReceivedMessage] = {}
        order: dict[str, int] = {}
        try:
            for _ in range(_ROUNDS):
                merged = self._store.lease(worker, limit - len(claims), round(lease * 1000), now, claims, order)
                if not merged:
                    break
                await self._store.write_merged()
                await self._store.fetch(now)
        except BaseException:
            for token in reversed(claims):
                self._book.release(token, now)
            raise
        if self._store.merging:
            self._waker.soon()
        self._store.starved = len(claims) < limit
        due = self._book.next_due(worker, now)
        if due is not None:
            self._waker.soon(due / 1000)
        listed = sorted(claims.items(), key=lambda one: order[one[1].ident])
        return [Claim(token, jobs.revive(held.text)) for token, held in listed]

    async def ack(self, token: str) -> bool:  # noqa: D102
        held = self._store.held.leased(token, self._now())
        if held is None:
            return False
        deleted = await self._store.delete(held)
        self._end(token, held, good=True)
        return deleted

    async def ack_all(self, tokens: Sequence[str]) -> set[str]:  # noqa: D102
        answers = await asyncio.gather(*map(self.ack, tokens))
        return {token for token, done in zip(tokens, answers, strict=True) if not done}

    async def retry(self, token: str, job: bytes, delay: float, *, healthy: bool = False) -> bool:  # noqa: D102
        jobs.require_header(job)
        now = self._now()
        held = self._store.held.leased(token, now)
        if held is None:
            return False
        wait, good = round(delay * 1000), None if healthy else False
        if self._book.lanes[held.endpoint].policy.ordered:
            self._book.finish(token, now, good)
            held.text, held.changed, held.crashes = job, True, 0
            self._book.delay(held, now + wait, now)
        else:
            await self._store.send([self._store.draft(job, due_ms=self._clock.wall() + wait)])
            self._end(token, held, good=good)
            await self._store.discard([held])
        self._waker.soon(delay)
        return True

    async def fail(self, token: str, job: bytes, *, healthy: bool = False) -> bool:  # noqa: D102
        held = self._store.held.leased(token, self._now())
        if held is None:
            return False
        await self._store.bury([job])
        self._end(token, held, good=None if healthy else False)
        await self._store.discard([held])
        return True

    async def release(self, token: str, *, away: float = 0.0) -> bool:  # noqa: D102
        now = self._now()
        held = self._store.held.leased(token, now)
        if held is None:
            return False
        if not away:
            self._waker.soon()
            return self._book.release(token, now) is not None
        wait = round(away * 1000)
        self._book.gate(held.endpoint, now + wait, now)
        due = self._clock.wall() + wait
        await self._store.send([self._store.draft(held.text, due_ms=due)])  # here it would be hidden from the others
        self._book.lanes[held.endpoint].unnote_claim(token)
        self._end(token, held, good=None, tried=False)
        await self._store.discard([held])
        return True

    async def renew(self, tokens: Sequence[str], lease: float) -> set[str]:  # noqa: D102
        now = self._now()
        found = {token: held for token in tokens if (held := self._store.held.leased(token, now)) is not None}
        lost = await self._store.extend(list(found.values()))
        self._book.renew([token for token, held in found.items() if held not in lost], now + round(lease * 1000))
        return {token for token in tokens if token not in found or found[token] in lost}

    async def drop(self, endpoint: str, error_class: str) -> int:  # noqa: D102
        await self._store.fetch(self._now())
        now = self._now()
        taken = self._book.take_all(endpoint, now)
        try:
            wall = self._clock.wall()
            await self._store.bury([jobs.bury(entry.text, wall, jobs.dropped(error_class)) for entry in taken])
        except BaseException:
            for entry in taken:  # back where they come from, by SQS: the batches of ``taken`` were never written
                self._store.held.drop(self._store.held.parts(entry))
            raise
        await self._store.discard([held for entry in taken for held in self._store.held.parts(entry)])
        if error_class == ENDPOINT_DELETED:
            self._book.lanes.forget(endpoint, self._now())
        return len(taken)

    async def redrive(self, endpoint: str | None = None, limit: int = 1000) -> int:  # noqa: D102
        async def send(texts: Sequence[bytes]) -> None:
            await self._store.send([self._store.draft(text) for text in texts])

        done = await self._store.dead.take(endpoint, limit, send)
        self._count.redriven.add(amount=done)
        self._waker.soon()
        return done

    async def failed(self, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        return await self._store.dead.page(offset, limit) if limit > 0 else []

    async def purge(self, endpoint: str | None = None) -> int:  # noqa: D102
        return await self._store.dead.purge(endpoint)

    async def depths(self, lanes: int = 20) -> Depths:  # noqa: D102
        await self._store.fetch(self._now())
        self._waker.soon()
        visible, delayed = await self._link.counts(self._store.url)
        failed = await self._store.dead.count()
        oldest, deepest = self._book.deepest(lanes, self._now(), self._clock.wall())
        waiting = visible + self._book.lanes.waiting
        return Depths(waiting, len(self._book.active), delayed, failed, oldest, deepest)

    async def wait(self, timeout: float) -> None:  # noqa: D102
        self._store.poll()
        await super().wait(timeout)

    @property
    def _store(self) -> SqsStore:
        if self._opened is None:
            raise AssertionError("the queue is not open")
        return self._opened

    def _end(self, token: str, held: ReceivedMessage, *, good: bool | None, tried: bool = True) -> None:
        now = self._now()
        ended = self._book.finish(token, now, good) if tried else self._book.end(token, now)
        if ended is None:
            self._store.held.forget([held], now)  # its lease ran out meanwhile, and it is somewhere else in the books
        self._store.held.drop([held])
        self._waker.soon()


def _fitting(policy: LanePolicy) -> LanePolicy:
    """Return a policy whose batches fit into a message."""
    return replace(policy, max_bytes=min(policy.max_bytes, MOST_BYTES - _ROOM))
