"""Keeps the jobs of a queue in a SQLite file. What the file looks like: ``schema.py``; why so: docs/decisions/0016."""

import itertools
import sqlite3
from collections.abc import Sequence
from functools import partial

import orjson

from sockudo_py.links.sqlite import SchemaPart, SqliteFile
from sockudo_py.queues.base import ALL_DEAD, Append, DeadLetters, Occupancy
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.local.store import LedgerChange, Saved, SavedJob
from sockudo_py.queues.once import OnceKey
from sockudo_py.queues.sqlite import ledger as sqlite_ledger
from sockudo_py.queues.sqlite import schema, statements
from sockudo_py.queues.sqlite.dead import DeadJobs, look
from sockudo_py.queues.sqlite.keys import Keys
from sockudo_py.queues.sqlite.keys import find as find_key
from sockudo_py.queues.sqlite.packs import Packs, portions, unpack

_DELETE_WITHIN = 0.005  # seconds: meanwhile the next events come, and their transaction takes it along
_IDLE_TIDY, _BUSY_TIDY = 10_000, 200  # ms from one time that the file is tidied to the next


class SqliteStore:
    """``JobStore`` in a SQLite file.

    Args:
        file: Where to; other owners may use it, too.
        failed_max_len: How many dead jobs are kept; the oldest go first. 0: any number.
        longest_wait: ms. So long may a retry take that a file of version 1 holds: the clock may have been ahead.
    """

    def __init__(self, file: SqliteFile, failed_max_len: int, longest_wait: int) -> None:
        self.dead = 0
        self.tidy_at = 0
        self.dead_jobs = DeadJobs()
        self._part = SchemaPart("queue", schema.VERSION, schema.upgrade, in_header=True, undone=self.dead_jobs.undone)
        self._file = file
        self._failed_max_len = failed_max_len
        self._longest_wait = longest_wait
        self._packs = Packs()
        self._keys = Keys()
        self._rows = itertools.count(1)
        self._inherited = False

    async def open(self) -> Saved:
        """Open the file and return what is in it."""
        await self._file.open(self._part)
        self._rows = itertools.count(await self._file.run(statements.last_row) + 1)
        saved: list[SavedJob] = []
        for row, endpoint, claimed, crashes, due, wait, gated, text in await self._file.run(statements.load):
            entry = Entry(endpoint, text, row)
            entry.crashes = crashes + claimed
            saved.append(SavedJob(entry, due, self._longest_wait if wait is None else wait, bool(gated)))
        packs = await self._file.run(statements.load_packs)
        for row, endpoint, _, left, _, _ in packs:
            self._packs.add(endpoint, row, left)
        calls = await self._file.run(statements.load_seen)
        self.dead = await self._file.run(self.dead_jobs.count)
        return Saved(
            saved,
            (unpack(endpoint, app_id, left, marks, text) for _, endpoint, app_id, left, marks, text in packs),
            ((row, ms, orjson.loads(ids)) for row, ms, ids in calls),
            await self._file.run(statements.paused),
        )

    async def close(self) -> None:
        """Let go of the file."""
        await self._file.close(self._part)

    async def append(
        self,
        groups: Sequence[Sequence[Append]],
        ids: list[str],
        old: int,
        wall: int,
        ledger: LedgerChange | None,
        key: OnceKey | None,
    ) -> int:
        """Write events and ids, in one transaction with the ledger and the key."""
        packs = [(next(self._rows), some) for group in groups for some in portions(group)]
        row = next(self._rows)

        def work(db: sqlite3.Connection) -> None:
            if old:
                statements.forget(db, old)
            if ids:
                statements.append(db, packs, row, wall, ids)
            if ledger is not None:
                sqlite_ledger.write(db, *ledger)
            if key is not None:
                self._keys.add(db, key, wall)

        await self._file.run(work)
        for number, events in packs:
            self._packs.add(events[0].endpoint, number, len(events))
        return row

    async def find_key(self, app_id: str, digest: str, wall: int) -> bytes | None:
        """Return the value of a key."""
        return await self._file.run(lambda db: find_key(db, app_id, digest, wall))

    async def inherit(self) -> Sequence[Occupancy]:
        """Return what an earlier run left, once."""
        if self._inherited:
            return []
        found = await self._file.run(sqlite_ledger.load)
        self._inherited = True
        return found

    def number(self, entries: Sequence[Entry]) -> None:
        """Give those jobs a row that events have just become, and note what this changes in the file."""
        for entry in entries:
            if not entry.row:
                entry.row = next(self._rows)
                entry.packs = self._packs.take(entry.endpoint, entry.gathered)

    async def claim(self, entries: Sequence[Entry]) -> None:
        """Write that jobs were leased, and what became a job for it."""
        await self._file.run(lambda db: statements.claim(db, entries))
        for entry in entries:
            entry.packs = ()

    async def release(self, entry: Entry) -> None:
        """Write that a job was given back."""
        await self._file.run(lambda db: statements.unclaim(db, entry))

    async def delete(self, entries: Sequence[Entry]) -> None:
        """Delete jobs. A kill before that costs duplicates, as one a moment earlier would."""
        await self._file.run(lambda db: statements.delete(db, entries), patience=_DELETE_WITHIN)

    async def replace(self, entry: Entry, again: Entry, due: int, wait: int, gated: bool) -> None:
        """Write the job that is to be tried again, in the row of the one that was."""
        await self._file.run(lambda db: statements.replace(db, entry, again.endpoint, again.text, due, wait, gated))

    async def bury(self, dead: Sequence[tuple[Entry, bytes]]) -> int:
        """Write that jobs are dead, and delete the oldest when there are too many."""
        most = self._failed_max_len
        trimmed = await self._file.run(lambda db: sum(self.dead_jobs.add(db, one, text, most) for one, text in dead))
        self.dead += len(dead) - trimmed
        return trimmed

    async def set_paused(self, endpoint: str, paused: bool) -> None:
        """Write that a lane is paused, or is no more."""
        await self._file.run(lambda db: statements.set_paused(db, endpoint, paused))

    async def tidy(self, now: int, old: int) -> None:
        """Forget ids, and give free pages back to the file system."""
        self.tidy_at = now + _IDLE_TIDY

        def work(db: sqlite3.Connection) -> bool:
            if old:
                statements.forget(db, old)
            return statements.tidy(db)

        if await self._file.run(work):
            self.tidy_at = now + _BUSY_TIDY

    async def find_dead(self, which: DeadLetters, offset: int, limit: int) -> list[bytes]:
        """Return dead jobs, newest first."""
        if which == ALL_DEAD:
            return await self._file.run(lambda db: statements.dead_page(db, offset, limit))
        texts: list[bytes] = []
        place: int | None = 0
        while place is not None and len(texts) < offset + limit:
            some, place = await self._file.run(partial(look, which=which, after=place, newest_first=True))
            texts += [text for _, _, text in some]
        return texts[offset : offset + limit]

    async def redrive_dead(self, which: DeadLetters, limit: int, place: int) -> tuple[list[Entry], int | None]:
        """Write that dead jobs live again: of the next 1,000."""
        revived, go_on = await self._file.run(partial(self.dead_jobs.redrive, which=which, limit=limit, after=place))
        self.dead -= len(revived)
        return [Entry(endpoint, text, row) for row, endpoint, text in revived], go_on

    async def purge_dead(self, which: DeadLetters) -> int:
        """Delete dead jobs, 1,000 at a time."""
        done = 0
        place: int | None = 0
        while place is not None:
            gone, place = await self._file.run(partial(self.dead_jobs.purge, which=which, after=place))
            done += gone
            self.dead -= gone
        return done
