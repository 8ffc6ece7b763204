"""The queue in a SQLite file: durable on one machine with nothing to install. One process uses a file at a time.

The books (``book.py``) are in memory; every step is written to the file before it is reported done, and the books are
made again from the file at start. Jobs that were in flight when the process died come back then, as after a lost lease.
What the file looks like: ``schema.py``; why so: docs/decisions/0016.
"""

import asyncio
import itertools
import sqlite3
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import orjson

from sockudo_py.links.sqlite import SchemaPart, SqliteFile
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import (
    ENDPOINT_DELETED,
    LONGEST_WAIT,
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
from sockudo_py.queues.ledger import written
from sockudo_py.queues.local.book import Book
from sockudo_py.queues.local.book_lanes import BookLanes
from sockudo_py.queues.local.classes import Shares
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.local.room import Room
from sockudo_py.queues.local.seen import SeenIds
from sockudo_py.queues.sqlite import ledger as sqlite_ledger
from sockudo_py.queues.sqlite import rows, schema
from sockudo_py.queues.sqlite.dead import DeadJobs, look
from sockudo_py.queues.sqlite.packs import Packs, portions, unpack
from sockudo_py.queues.waker import Waker

_IDLE_TIDY, _BUSY_TIDY = 10_000, 200  # ms from one time that the file is tidied to the next
_POLL = 0.25  # seconds; as the other durable driver


class SqliteQueue(BookLanes):
    """``Queue`` in a SQLite file.

    Args:
        path: The file; it and its folder are made when missing.
        sync: Wait for the disk (fsync) at each step; without it a power cut may lose the last moments.
        metrics: Where to count.
        clock: As of ``QueueClock``. What the file keeps is of the system's time.
        slots: How many jobs a worker holds at once; the shares of the classes are taken of it.
        probation_share: The share of lanes on probation, 0 to 1.
        max_queue_len: How many jobs and events there may be, dead ones apart; 0: any number. See ``room.py``.
        failed_max_len: How many dead jobs are kept; the oldest go first, and are counted. 0: any number.
        max_crash_redeliveries: A job whose lease expired more often than this is poison.
        dedup_ttl: Seconds for which an appended id is known, if fewer than 200,000 came since.
        default_policy: Of lanes without one.
        longest_wait: Seconds. So long may a retry take that a file of version 1 holds: the clock may have been ahead.
    """

    durable = True
    keeps_ledger = True
    at_once = sys.maxsize

    def __init__(
        self,
        path: str | Path,
        *,
        sync: bool = False,
        metrics: Metrics | None = None,
        clock: Callable[[], float] | None = None,
        slots: int = 80,
        probation_share: float = 0.5,
        max_queue_len: int = 1_000_000,
        failed_max_len: int = 0,
        max_crash_redeliveries: int = 5,
        dedup_ttl: float = 300.0,
        default_policy: LanePolicy | None = None,
        longest_wait: float = LONGEST_WAIT,
    ) -> None:
        self._dead_jobs = DeadJobs()
        self._part = SchemaPart("queue", schema.VERSION, schema.upgrade, in_header=True, undone=self._dead_jobs.undone)
        self._file = SqliteFile(Path(path), key="queue.sqlite.path", sync=sync)
        book = Book(Shares(slots, probation_share), max_crash_redeliveries, default_policy or LanePolicy())
        super().__init__(book, Waker(_POLL), clock)
        self._max_queue_len = max_queue_len
        self._failed_max_len = failed_max_len
        self._max_crashes = max_crash_redeliveries
        self._longest_wait = round(longest_wait * 1000)
        self._seen = SeenIds(round(dedup_ttl * 1000))
        self._packs = Packs()
        self._rows = itertools.count(1)
        self._dead = 0
        self._inherited = False
        self._tidy_at = 0  # ms
        self._appending = asyncio.Lock()  # one call at a time looks at the room
        # One call at a time makes jobs of events. When it fails, they go back before the next one looks: else that one
        # writes that later events left their pack, and those before them would be in memory alone.
        self._taking = asyncio.Lock()
        self._count = Counters(metrics or Metrics())

    async def open(self) -> None:
        """Open the file and make the books from it."""
        await self._file.open(self._part)
        now = self._now()
        self._rows = itertools.count(await self._file.run(rows.last_row) + 1)
        for row, endpoint, claimed, crashes, due, wait, gated, text in await self._file.run(rows.load):
            entry = Entry(endpoint, text, row)
            entry.crashes = crashes + claimed
            if self._book.lanes[endpoint].app.id is None and (app_id := jobs.app_of(text)) is not None:
                self._book.lanes.owned(endpoint, app_id)
            if entry.crashes > self._max_crashes:
                await self._bury(entry, jobs.bury(text, self._clock.wall(), jobs.crashed(entry.crashes)))
                self._count.poison.add()
                continue
            left = self._clock.left(due, self._longest_wait if wait is None else wait)
            if gated or not left:
                self._book.lanes.put(entry, now, head=False)
                if gated:
                    self._book.gate(endpoint, now + left, now)
            else:
                self._book.delay(entry, now + left, now)
        for row, endpoint, app_id, left, marks, text in await self._file.run(rows.load_packs):
            self._book.lanes.owned(endpoint, app_id)
            self._packs.add(endpoint, row, left)
            self._book.lanes.extend(endpoint, unpack(endpoint, app_id, left, marks, text), now)
        for row, ms, ids in await self._file.run(rows.load_seen):
            self._seen.add(orjson.loads(ids), now - max(0, self._clock.wall() - ms), row)
            self._seen.forget(now)
        for endpoint in await self._file.run(rows.paused):
            self._book.set_paused(endpoint, True, now)
        self._dead = await self._file.run(self._dead_jobs.count)

    async def close(self) -> None:
        """Let go of the file."""
        await self._file.close(self._part)

    async def append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:  # noqa: D102
        async with self._appending:
            await self._append(events, ledger)

    async def _append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry]) -> None:
        now = self._now()
        old = self._seen.forget(now)
        fresh = self._seen.unknown(events)
        self._count.duplicates.add(amount=len(events) - len(fresh))
        room = Room(self._book, self._max_queue_len, fresh)
        packs: list[tuple[int, Sequence[Append]]] = []
        refused: list[Append] = []
        for _, group in itertools.groupby(fresh, endpoint_of):
            taken, rest = room.split(list(group))
            packs += [(next(self._rows), some) for some in portions(taken)]
            refused += rest
        if packs or ledger:
            await self._write(packs, old, now, written(ledger, refused) if ledger else None)
        if refused:
            raise QueueFull(refused)

    async def _write(
        self,
        packs: Sequence[tuple[int, Sequence[Append]]],
        old: int,
        now: int,
        ledger: tuple[Sequence[Occupancy], Sequence[str]] | None,
    ) -> None:
        """Add events to the file and then to the books, and forget the ids of calls up to the row ``old``.

        ``ledger``: what is to be in it, and the ids of what is not.
        """
        row, wall = next(self._rows), self._clock.wall()
        ids = [ident for _, events in packs for ident in map(id_of, events)]

        def work(db: sqlite3.Connection) -> None:
            if old:
                rows.forget(db, old)
            if ids:
                rows.append(db, packs, row, wall, ids)
            if ledger is not None:
                sqlite_ledger.write(db, *ledger)

        await self._file.run(work)
        self._seen.add(ids, now, row)
        now = self._now()
        for row, events in packs:
            endpoint = events[0].endpoint
            self._packs.add(endpoint, row, len(events))
            opens = self._book.lanes.extend(endpoint, events, now)
            if opens is not None:
                self._waker.soon((opens - now) / 1000)

    async def inherit(self) -> Sequence[Occupancy]:  # noqa: D102
        if self._inherited:
            return []
        found = await self._file.run(sqlite_ledger.load)
        self._inherited = True
        return found

    async def claim(self, worker: str, limit: int, lease: float) -> list[Claim]:  # noqa: D102
        async with self._taking:
            return await self._claim(worker, limit, lease)

    async def _claim(self, worker: str, limit: int, lease: float) -> list[Claim]:
        now = self._now()
        self._waker.begin()
        moved = self._book.tick(now)
        self._count.expired.add(amount=len(moved.returned) + len(moved.poisoned))
        for entry in moved.poisoned:
            self._count.poison.add()
            await self._bury(entry, jobs.bury(entry.text, self._clock.wall(), jobs.crashed(entry.crashes)))
        await self._tidy(now)
        claims = self._book.claim(worker, limit, round(lease * 1000), now)
        due = self._book.next_due(worker, now)
        if due is not None:
            self._waker.soon(due / 1000)
        entries = [entry for _, entry in claims]
        self._number(entries)
        try:
            if entries:
                await self._file.run(lambda db: rows.claim(db, entries))
        except BaseException:
            for token, _ in reversed(claims):
                self._book.release(token, now)
            raise
        for entry in entries:
            entry.packs = ()
        return [
            Claim(token, entry.text if entry.own else jobs.revive(entry.text), entry.own) for token, entry in claims
        ]

    async def ack(self, token: str) -> bool:  # noqa: D102
        entry = self._finish(token, good=True)
        if entry is None:
            return False
        await self._keep(entry, lambda db: rows.delete(db, entry))
        return True

    async def retry(self, token: str, job: bytes, delay: float, *, healthy: bool = False) -> bool:  # noqa: D102
        endpoint = jobs.require_header(job)[1]
        lease = self._book.active.get(token)
        if lease is None:
            return False
        row = lease.entry.row
        wait = round(delay * 1000)
        due, wall = self._now() + wait, self._clock.wall() + wait
        gated = self._book.lanes[endpoint].policy.ordered
        # It stays leased until this is written: else the next job of an ordered lane would overtake it.
        await self._file.run(lambda db: rows.replace(db, lease.entry, endpoint, job, wall, wait, gated))
        if self._finish(token, good=None if healthy else False) is None:
            return False
        self._book.delay(Entry(endpoint, job, row), due, self._now())
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
        await self._file.run(lambda db: rows.unclaim(db, entry))
        return True

    async def renew(self, tokens: Sequence[str], lease: float) -> set[str]:  # noqa: D102
        return self._book.renew(tokens, self._now() + round(lease * 1000))

    async def pause(self, endpoint: str) -> None:  # noqa: D102
        await self._file.run(
            lambda db: db.execute("INSERT OR IGNORE INTO queue_paused VALUES (?)", (endpoint,)).rowcount
        )
        await super().pause(endpoint)

    async def resume(self, endpoint: str) -> None:  # noqa: D102
        await self._file.run(lambda db: db.execute("DELETE FROM queue_paused WHERE endpoint = ?", (endpoint,)).rowcount)
        await super().resume(endpoint)

    async def drop(self, endpoint: str, error_class: str) -> int:  # noqa: D102
        async with self._taking:
            number = await self._drop(endpoint, error_class)
        if error_class == ENDPOINT_DELETED:
            await self.resume(endpoint)
            self._book.lanes.forget(endpoint, self._now())
        return number

    async def _drop(self, endpoint: str, error_class: str) -> int:
        now = self._now()
        taken = self._book.take_all(endpoint, now)
        self._number(taken)
        error, wall = jobs.dropped(error_class), self._clock.wall()

        def work(db: sqlite3.Connection) -> int:
            return sum(
                self._dead_jobs.add(db, one, jobs.bury(one.text, wall, error), self._failed_max_len) for one in taken
            )

        try:
            trimmed = await self._file.run(work)
        except BaseException:
            for entry in taken:
                self._book.lanes.put(entry, now, head=False)
            raise
        self._died(len(taken), trimmed)
        return len(taken)

    async def redrive(self, endpoint: str | None = None, limit: int = 1000) -> int:  # noqa: D102
        return await self.redrive_dead(DeadLetters(endpoint=endpoint), limit)

    async def failed(self, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        def work(db: sqlite3.Connection) -> list[bytes]:
            page = "SELECT text FROM queue_jobs WHERE died IS NOT NULL ORDER BY died DESC LIMIT ? OFFSET ?"
            return [text for (text,) in db.execute(page, (max(0, limit), offset))]

        return await self._file.run(work)

    async def purge(self, endpoint: str | None = None) -> int:  # noqa: D102
        return await self.purge_dead(DeadLetters(endpoint=endpoint))

    async def find_dead(self, which: DeadLetters, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        texts: list[bytes] = []
        place: int | None = 0
        while place is not None and len(texts) < offset + limit:
            some, place = await self._file.run(partial(look, which=which, after=place, newest_first=True))
            texts += [text for _, _, text in some]
        return texts[offset : offset + max(0, limit)]

    async def redrive_dead(self, which: DeadLetters, limit: int = 1000) -> int:  # noqa: D102
        done, place = 0, 0
        while done < limit:
            work = partial(self._dead_jobs.redrive, which=which, limit=limit - done, after=place)
            revived, go_on = await self._file.run(work)
            now = self._now()
            for row, target, text in revived:
                self._book.lanes.put(Entry(target, text, row), now, head=False)
            done += len(revived)
            self._dead -= len(revived)
            self._count.redriven.add(amount=len(revived))
            self._waker.soon()
            if go_on is None:
                break
            place = go_on
        return done

    async def purge_dead(self, which: DeadLetters) -> int:  # noqa: D102
        done = 0
        place: int | None = 0
        while place is not None:
            gone, place = await self._file.run(partial(self._dead_jobs.purge, which=which, after=place))
            done += gone
            self._dead -= gone
        return done

    async def depths(self, lanes: int = 20) -> Depths:  # noqa: D102
        oldest, deepest = self._book.deepest(lanes, self._now(), self._clock.wall())
        book = self._book
        return Depths(book.lanes.waiting, len(book.active), len(book.delayed), self._dead, oldest, deepest)

    async def _tidy(self, now: int) -> None:
        if now >= self._tidy_at:
            self._tidy_at = now + _IDLE_TIDY
            old = self._seen.forget(now)

            def work(db: sqlite3.Connection) -> bool:
                if old:
                    rows.forget(db, old)
                return rows.tidy(db)

            if await self._file.run(work):
                self._tidy_at = now + _BUSY_TIDY

    def _number(self, entries: Sequence[Entry]) -> None:
        """Give those jobs a row that events have just become, and note what this changes in the file.

        To be called at once: so the events of a lane leave the books in the same order as the packs.
        """
        for entry in entries:
            if not entry.row:
                entry.row = next(self._rows)
                entry.packs = self._packs.take(entry.endpoint, entry.gathered)

    def _finish(self, token: str, *, good: bool | None) -> Entry | None:
        self._waker.soon()
        return self._book.finish(token, self._now(), good)

    async def _keep(self, entry: Entry, work: Callable[[sqlite3.Connection], None]) -> None:
        """Write how a lease ended. When that fails, the job is claimable again: delivered twice rather than lost."""
        try:
            await self._file.run(work)
        except BaseException:
            self._book.lanes.put(entry, self._now(), head=True)
            raise

    async def _bury(self, entry: Entry, text: bytes) -> None:
        try:
            trimmed = await self._file.run(lambda db: self._dead_jobs.add(db, entry, text, self._failed_max_len))
        except BaseException:
            self._book.lanes.put(entry, self._now(), head=True)
            raise
        self._died(1, trimmed)

    def _died(self, number: int, trimmed: int) -> None:
        self._dead += number - trimmed
        self._count.trimmed.add(amount=trimmed)
