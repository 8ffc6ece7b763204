"""The contract of queues for those whose books (``book.py``) are in this process, over a store that keeps the jobs.

Every step is kept by the store before it is reported done. Where it has to be seen by the books first, and the store
fails, the books take it back.
"""

import asyncio
import itertools
import sys
from collections.abc import Callable, Sequence
from typing import TypedDict

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
from sockudo_py.queues.ledger import written
from sockudo_py.queues.local.book import LeaseBook
from sockudo_py.queues.local.book_lanes import BookLanes
from sockudo_py.queues.local.classes import SlotPolicy
from sockudo_py.queues.local.headroom import Headroom
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.local.seen import SeenIds
from sockudo_py.queues.local.store import JobStore
from sockudo_py.queues.metrics import QueueMetrics
from sockudo_py.queues.once import OnceKey
from sockudo_py.queues.waker import Waker


class BookOptions(TypedDict, total=False):
    """Arguments of ``BookQueue`` that its drivers hand on unchanged."""

    metrics: Metrics | None
    clock: Callable[[], float] | None
    slots: int
    probation_share: float
    max_crash_redeliveries: int
    dedup_ttl: float
    default_policy: LanePolicy | None


class BookQueue(BookLanes):
    """``Queue``, ``ServesLanes`` and ``ChoosesDead``, without ``durable`` and ``keeps_ledger``, which each driver sets.

    Args:
        store: Where the jobs are kept.
        poll: Seconds after which ``wait`` returns at the latest.
        metrics: Where to count.
        clock: As of ``QueueClock``.
        slots: How many jobs a worker holds at once; the shares of the classes are taken of it.
        probation_share: The share of lanes on probation, 0 to 1.
        max_queue_len: How many jobs and events there may be, dead ones apart; 0: any number. See ``headroom.py``.
        max_crash_redeliveries: A job whose lease expired more often than this is poison.
        dedup_ttl: Seconds for which an appended id is known, if fewer than 200,000 came since.
        default_policy: Of lanes without one.
    """

    at_once = sys.maxsize

    def __init__(
        self,
        store: JobStore,
        poll: float,
        *,
        max_queue_len: int,
        metrics: Metrics | None = None,
        clock: Callable[[], float] | None = None,
        slots: int = 80,
        probation_share: float = 0.5,
        max_crash_redeliveries: int = 5,
        dedup_ttl: float = 300.0,
        default_policy: LanePolicy | None = None,
    ) -> None:
        book = LeaseBook(SlotPolicy(slots, probation_share), max_crash_redeliveries, default_policy or LanePolicy())
        super().__init__(book, Waker(poll), clock)
        self._store = store
        self._max_queue_len = max_queue_len
        self._max_crashes = max_crash_redeliveries
        self._seen = SeenIds(round(dedup_ttl * 1000))
        self._count = QueueMetrics(metrics or Metrics())
        self._appending = asyncio.Lock()  # one call at a time looks at the room
        # One call at a time makes jobs of events. When it fails, they go back before the next one looks: else that one
        # notes in the store that later events have become jobs, and those before them would be in memory alone.
        self._taking = asyncio.Lock()

    async def open(self) -> None:
        """Open the store and make the books from it."""
        saved = await self._store.open()
        now, book = self._now(), self._book
        for entry, due, wait, gated in saved.jobs:
            endpoint = entry.endpoint
            if book.lanes[endpoint].app.id is None and (app_id := jobs.app_of(entry.text)) is not None:
                book.lanes.owned(endpoint, app_id)
            if entry.crashes > self._max_crashes:
                await self._crashed(entry)
                continue
            left = self._clock.left(due, wait)
            if gated or not left:
                book.lanes.put(entry, now, head=False)
                if gated:
                    book.gate(endpoint, now + left, now)
            else:
                book.delay(entry, now + left, now)
        for events in saved.gathering:
            first = events[0]
            book.lanes.owned(first.endpoint, first.app_id)
            book.lanes.extend(first.endpoint, events, now)
        for row, ms, ids in saved.calls:
            self._seen.add(ids, now - max(0, self._clock.wall() - ms), row)
            self._seen.forget(now)
        for endpoint in saved.paused:
            book.set_paused(endpoint, True, now)

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()

    async def append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:  # noqa: D102
        async with self._appending:
            await self._append(events, ledger, None)

    async def append_once(self, key: OnceKey, events: Sequence[Append]) -> bytes | None:  # noqa: D102
        async with self._appending:
            known = await self._store.find_key(key.app_id, key.digest, self._clock.wall())
            if known is None:
                await self._append(events, (), key)
            return known

    async def _append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry], key: OnceKey | None) -> None:
        now = self._now()
        old = self._seen.forget(now)
        fresh = self._seen.unknown(events)
        self._count.duplicates.add(amount=len(events) - len(fresh))
        lots = [list(same) for _, same in itertools.groupby(fresh, endpoint_of)]
        room = Headroom(self._book, self._max_queue_len, [lot[0] for lot in lots], number=len(fresh))
        groups: list[Sequence[Append]] = []
        refused: list[Append] = []
        for lot in lots:
            taken, rest = room.split(lot)
            if taken:
                groups.append(taken)
            refused += rest
        if refused and key is not None:
            raise QueueFull(refused)
        if groups or ledger or key is not None:
            ids = list(map(id_of, itertools.chain.from_iterable(groups)))
            change = written(ledger, refused) if ledger else None
            row = await self._store.append(groups, ids, old, self._clock.wall(), change, key)
            self._seen.add(ids, now, row)
            now = self._now()
            for group in groups:
                opens = self._book.lanes.extend(group[0].endpoint, group, now)
                if opens is not None:
                    self._waker.soon((opens - now) / 1000)
        if refused:
            raise QueueFull(refused)

    async def inherit(self) -> Sequence[Occupancy]:  # noqa: D102
        return await self._store.inherit()

    async def claim(self, worker: str, limit: int, lease: float) -> list[Claim]:  # noqa: D102
        async with self._taking:
            now = self._now()
            self._waker.begin()
            moved = self._book.tick(now)
            self._count.expired.add(amount=len(moved.returned) + len(moved.poisoned))
            for entry in moved.poisoned:
                await self._crashed(entry)
            if now >= self._store.tidy_at:
                await self._store.tidy(now, self._seen.forget(now))
            claims = self._book.claim(worker, limit, round(lease * 1000), now)
            due = self._book.next_due(worker, now)
            if due is not None:
                self._waker.soon(due / 1000)
            if claims:
                entries = [entry for _, entry in claims]
                self._store.number(entries)
                try:
                    await self._store.claim(entries)
                except BaseException:
                    for token, _ in reversed(claims):
                        self._book.release(token, now)
                    raise
        return _claimed(claims)

    async def claim_lane(  # noqa: D102
        self, endpoint: str, limit: int, lease: float, size: int | None = None
    ) -> list[Claim]:
        async with self._taking:
            now = self._now()
            claims, back = self._book.claim_lane(endpoint, limit, round(lease * 1000), now, size)
            entries = [entry for _, entry in claims]
            self._store.number(entries)
            try:
                if entries:
                    await self._store.claim(entries)
                for entry in back:
                    await self._store.release(entry)
            except BaseException:
                for token, _ in reversed(claims):
                    self._book.release(token, now)
                raise
        return _claimed(claims)

    async def ack(self, token: str) -> bool:  # noqa: D102
        return not await self.ack_all((token,))

    async def ack_all(self, tokens: Sequence[str]) -> set[str]:  # noqa: D102
        ended = self._book.deliver(tokens, self._now())
        self._freed()
        entries = [entry for entry in ended.values() if entry is not None]
        if entries:
            try:
                await self._store.delete(entries)
            except BaseException:
                for entry in entries:
                    self._back(entry)
                raise
        return {token for token, entry in ended.items() if entry is None}

    async def retry(self, token: str, job: bytes, delay: float, *, healthy: bool = False) -> bool:  # noqa: D102
        endpoint = jobs.require_header(job)[1]
        lease = self._book.active.get(token)
        if lease is None:
            return False
        again = Entry(endpoint, job, lease.entry.row)
        wait = round(delay * 1000)
        due, wall = self._now() + wait, self._clock.wall() + wait
        gated = self._book.lanes[endpoint].policy.ordered
        # It stays leased until this is written: else the next job of an ordered lane would overtake it.
        await self._store.replace(lease.entry, again, wall, wait, gated)
        if self._finish(token, good=None if healthy else False) is None:
            return False
        self._book.delay(again, due, self._now())
        self._waker.soon(delay)
        return True

    async def fail(self, token: str, job: bytes, *, healthy: bool = False) -> bool:  # noqa: D102
        entry = self._finish(token, good=None if healthy else False)
        if entry is None:
            return False
        await self._bury(entry, job)
        return True

    async def release(self, token: str, *, away: float = 0.0) -> bool:  # noqa: D102
        entry = self._book.release(token, self._now(), round(away * 1000))
        self._waker.soon()
        if entry is None:
            return False
        await self._store.release(entry)
        return True

    async def renew(self, tokens: Sequence[str], lease: float) -> set[str]:  # noqa: D102
        return self._book.renew(tokens, self._now() + round(lease * 1000))

    async def pause(self, endpoint: str) -> None:  # noqa: D102
        await self._store.set_paused(endpoint, True)
        await super().pause(endpoint)

    async def resume(self, endpoint: str) -> None:  # noqa: D102
        await self._store.set_paused(endpoint, False)
        await super().resume(endpoint)

    async def drop(self, endpoint: str, error_class: str) -> int:  # noqa: D102
        async with self._taking:
            now = self._now()
            taken = self._book.take_all(endpoint, now)
            self._store.number(taken)
            error, wall = jobs.dropped(error_class), self._clock.wall()
            try:
                trimmed = await self._store.bury([(entry, jobs.bury(entry.text, wall, error)) for entry in taken])
            except BaseException:
                for entry in taken:
                    self._book.lanes.put(entry, now, head=False)
                raise
        self._count.trimmed.add(amount=trimmed)
        if error_class == ENDPOINT_DELETED:
            await self.resume(endpoint)
            self._book.lanes.forget(endpoint, self._now())
        return len(taken)

    async def redrive(self, endpoint: str | None = None, limit: int = 1000) -> int:  # noqa: D102
        return await self.redrive_dead(DeadLetters(endpoint=endpoint), limit)

    async def failed(self, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        return await self.find_dead(ALL_DEAD, offset, limit)

    async def purge(self, endpoint: str | None = None) -> int:  # noqa: D102
        return await self.purge_dead(DeadLetters(endpoint=endpoint))

    async def find_dead(self, which: DeadLetters, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        return await self._store.find_dead(which, offset, max(0, limit))

    async def redrive_dead(self, which: DeadLetters, limit: int = 1000) -> int:  # noqa: D102
        done = 0
        place: int | None = 0
        while place is not None and done < limit:
            revived, place = await self._store.redrive_dead(which, limit - done, place)
            now = self._now()
            for entry in revived:
                self._book.lanes.put(entry, now, head=False)
            done += len(revived)
            self._count.redriven.add(amount=len(revived))
            self._waker.soon()
        return done

    async def purge_dead(self, which: DeadLetters) -> int:  # noqa: D102
        return await self._store.purge_dead(which)

    async def depths(self, lanes: int = 20) -> Depths:  # noqa: D102
        oldest, deepest = self._book.deepest(lanes, self._now(), self._clock.wall())
        book = self._book
        return Depths(book.lanes.waiting, len(book.active), len(book.delayed), self._store.dead, oldest, deepest)

    def _finish(self, token: str, *, good: bool | None) -> Entry | None:
        entry = self._book.finish(token, self._now(), good)
        self._freed()
        return entry

    def _freed(self) -> None:
        if self._book.lanes.waiting:  # else there is nothing that a free slot makes claimable
            self._waker.soon()

    async def _crashed(self, entry: Entry) -> None:
        self._count.poison.add()
        await self._bury(entry, jobs.bury(entry.text, self._clock.wall(), jobs.crashed(entry.crashes)))

    async def _bury(self, entry: Entry, text: bytes) -> None:
        try:
            self._count.trimmed.add(amount=await self._store.bury([(entry, text)]))
        except BaseException:
            self._back(entry)
            raise

    def _back(self, entry: Entry) -> None:
        """The store could not keep how a lease ended: the job is claimable again, delivered twice rather than lost."""
        self._book.lanes.put(entry, self._now(), head=True)


def _claimed(claims: Sequence[tuple[str, Entry]]) -> list[Claim]:
    return [
        Claim(token, entry.text if entry.own else jobs.revive(entry.text), entry.own, entry.fresh)
        for token, entry in claims
    ]
