"""The queue in this process: for tests, trials and servers that may forget their webhooks at a crash. Not durable."""

import itertools
import sys
from collections import deque
from collections.abc import Callable, Sequence

from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import (
    ALL_DEAD,
    ENDPOINT_DELETED,
    Append,
    Claim,
    DeadLetters,
    Depths,
    LanePolicy,
    LedgerEntry,
    Occupancy,
    QueueFull,
    endpoint_of,
    id_of,
)
from sockudo_py.queues.counters import Counters
from sockudo_py.queues.local.book import Book
from sockudo_py.queues.local.book_lanes import BookLanes
from sockudo_py.queues.local.classes import Shares
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.local.room import Room
from sockudo_py.queues.local.seen import SeenIds
from sockudo_py.queues.waker import Waker

_POLL = 3600.0  # seconds; nobody else can put anything here


class MemoryQueue(BookLanes):
    """``Queue`` in memory.

    Args:
        metrics: Where to count.
        clock: As of ``QueueClock``.
        slots: How many jobs a worker holds at once; the shares of the classes are taken of it.
        probation_share: The share of lanes on probation, 0 to 1.
        max_queue_len: How many jobs and events there may be, dead ones apart; 0: any number. See ``room.py``.
        failed_max_len: How many dead jobs are kept; the oldest go first, and are counted.
        max_crash_redeliveries: A job whose lease expired more often than this is poison.
        dedup_ttl: Seconds for which an appended id is known.
        default_policy: Of lanes without one.
    """

    durable = False
    keeps_ledger = False
    at_once = sys.maxsize

    def __init__(
        self,
        *,
        metrics: Metrics | None = None,
        clock: Callable[[], float] | None = None,
        slots: int = 80,
        probation_share: float = 0.5,
        max_queue_len: int = 100_000,
        failed_max_len: int = 10_000,
        max_crash_redeliveries: int = 5,
        dedup_ttl: float = 300.0,
        default_policy: LanePolicy | None = None,
    ) -> None:
        book = Book(Shares(slots, probation_share), max_crash_redeliveries, default_policy or LanePolicy())
        super().__init__(book, Waker(_POLL), clock)
        self._max_queue_len = max_queue_len
        self._failed_max_len = failed_max_len
        self._failed: deque[bytes] = deque()  # newest left
        self._seen = SeenIds(round(dedup_ttl * 1000))
        self._count = Counters(metrics or Metrics())

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:  # noqa: D102
        now = self._now()
        self._seen.forget(now)
        fresh = self._seen.unknown(events)
        self._count.duplicates.add(amount=len(events) - len(fresh))
        room = Room(self._book, self._max_queue_len, fresh)
        refused: list[Append] = []
        for endpoint, group in itertools.groupby(fresh, endpoint_of):
            taken, rest = room.split(list(group))
            refused += rest
            if not taken:
                continue
            self._seen.add(list(map(id_of, taken)), now)
            opens = self._book.lanes.extend(endpoint, taken, now)
            if opens is not None:
                self._waker.soon((opens - now) / 1000)
        if refused:
            raise QueueFull(refused)

    async def inherit(self) -> Sequence[Occupancy]:  # noqa: D102
        return ()

    async def claim(self, worker: str, limit: int, lease: float) -> list[Claim]:  # noqa: D102
        now = self._now()
        self._waker.begin()
        moved = self._book.tick(now)
        self._count.expired.add(amount=len(moved.returned) + len(moved.poisoned))
        for entry in moved.poisoned:
            self._count.poison.add()
            self._to_failed(jobs.bury(entry.text, self._clock.wall(), jobs.crashed(entry.crashes)))
        claims = self._book.claim(worker, limit, round(lease * 1000), now)
        due = self._book.next_due(worker, now)
        if due is not None:
            self._waker.soon(due / 1000)
        return [
            Claim(token, entry.text if entry.own else jobs.revive(entry.text), entry.own) for token, entry in claims
        ]

    async def ack(self, token: str) -> bool:  # noqa: D102
        return self._finish(token, good=True) is not None

    async def retry(self, token: str, job: bytes, delay: float, *, healthy: bool = False) -> bool:  # noqa: D102
        head = jobs.require_header(job)
        if self._finish(token, good=None if healthy else False) is None:
            return False
        now = self._now()
        self._book.delay(Entry(head[1], job), now + round(delay * 1000), now)
        self._waker.soon(delay)
        return True

    async def fail(self, token: str, job: bytes, *, healthy: bool = False) -> bool:  # noqa: D102
        if self._finish(token, good=None if healthy else False) is None:
            return False
        self._to_failed(job)
        return True

    async def release(self, token: str, *, away: float = 0.0) -> bool:  # noqa: D102
        self._waker.soon()
        return self._book.release(token, self._now(), round(away * 1000)) is not None

    async def renew(self, tokens: Sequence[str], lease: float) -> set[str]:  # noqa: D102
        return self._book.renew(tokens, self._now() + round(lease * 1000))

    async def drop(self, endpoint: str, error_class: str) -> int:  # noqa: D102
        now = self._now()
        taken = self._book.take_all(endpoint, now)
        for entry in taken:
            self._to_failed(jobs.bury(entry.text, self._clock.wall(), jobs.dropped(error_class)))
        if error_class == ENDPOINT_DELETED:
            self._book.lanes.forget(endpoint, now)
        return len(taken)

    async def redrive(self, endpoint: str | None = None, limit: int = 1000) -> int:  # noqa: D102
        return await self.redrive_dead(DeadLetters(endpoint=endpoint), limit)

    async def failed(self, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        return await self.find_dead(ALL_DEAD, offset, limit)

    async def purge(self, endpoint: str | None = None) -> int:  # noqa: D102
        return await self.purge_dead(DeadLetters(endpoint=endpoint))

    async def find_dead(self, which: DeadLetters, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        found = (text for text in self._failed if jobs.fits(text, which))
        return list(itertools.islice(found, offset, offset + limit))

    async def redrive_dead(self, which: DeadLetters, limit: int = 1000) -> int:  # noqa: D102
        now = self._now()
        done = 0
        kept: deque[bytes] = deque()
        for text in reversed(self._failed):
            head = jobs.header(text)
            if done < limit and head is not None and jobs.fits(text, which):
                self._book.lanes.put(Entry(head[1], text), now, head=False)
                done += 1
            else:
                kept.appendleft(text)
        self._failed = kept
        self._count.redriven.add(amount=done)
        self._waker.soon()
        return done

    async def purge_dead(self, which: DeadLetters) -> int:  # noqa: D102
        before = len(self._failed)
        self._failed = deque(text for text in self._failed if not jobs.fits(text, which))
        return before - len(self._failed)

    async def depths(self, lanes: int = 20) -> Depths:  # noqa: D102
        oldest, deepest = self._book.deepest(lanes, self._now(), self._clock.wall())
        book = self._book
        return Depths(book.lanes.waiting, len(book.active), len(book.delayed), len(self._failed), oldest, deepest)

    def _finish(self, token: str, *, good: bool | None) -> Entry | None:
        self._waker.soon()
        return self._book.finish(token, self._now(), good)

    def _to_failed(self, text: bytes) -> None:
        self._failed.appendleft(text)
        while len(self._failed) > self._failed_max_len:
            self._failed.pop()
            self._count.trimmed.add()
