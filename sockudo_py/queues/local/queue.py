"""The queue in this process: for tests, trials and servers that may forget their webhooks at a crash. Not durable."""

import itertools
import sys
from collections import deque
from collections.abc import Sequence
from typing import Unpack

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, DeadLetters, Occupancy
from sockudo_py.queues.local.book_queue import BookOptions, BookQueue
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.local.store import LedgerChange, Saved
from sockudo_py.queues.once import OnceBook, OnceKey

_POLL = 3600.0  # seconds; no other process can append


class MemoryQueue(BookQueue):
    """``Queue`` in memory.

    Args:
        failed_max_len: How many dead jobs are kept; the oldest go first, and are counted.

    The other arguments are those of ``BookQueue``.
    """

    durable = False
    keeps_ledger = False

    def __init__(
        self,
        *,
        max_queue_len: int = 100_000,
        failed_max_len: int = 10_000,
        **options: Unpack[BookOptions],
    ) -> None:
        super().__init__(NoStore(failed_max_len), _POLL, max_queue_len=max_queue_len, **options)


class NoStore:
    """``JobStore`` that keeps dead jobs and keys only: all others are in the books."""

    tidy_at = sys.maxsize

    def __init__(self, failed_max_len: int) -> None:
        self.failed: deque[bytes] = deque()  # newest left
        self._failed_max_len = failed_max_len
        self._keys = OnceBook()

    @property
    def dead(self) -> int:
        """How many dead jobs there are."""
        return len(self.failed)

    async def open(self) -> Saved:
        """Return an empty state: nothing outlives the process."""
        return Saved()

    async def close(self) -> None:
        """Nothing to do."""

    async def append(
        self,
        groups: Sequence[Sequence[Append]],
        ids: list[str],
        old: int,
        wall: int,
        ledger: LedgerChange | None,
        key: OnceKey | None,
    ) -> int:
        """Keep the key."""
        if key is not None:
            self._keys.add(key, wall)
        return 0

    async def find_key(self, app_id: str, digest: str, wall: int) -> bytes | None:
        """Return the value of a key."""
        return self._keys.find(app_id, digest, wall)

    async def inherit(self) -> Sequence[Occupancy]:
        """Return nothing: no earlier process left anything."""
        return ()

    def number(self, entries: Sequence[Entry]) -> None:
        """Nothing to do."""

    async def claim(self, entries: Sequence[Entry]) -> None:
        """Nothing to do."""

    async def release(self, entry: Entry) -> None:
        """Nothing to do."""

    async def delete(self, entries: Sequence[Entry]) -> None:
        """Nothing to do."""

    async def replace(self, entry: Entry, again: Entry, due: int, wait: int, gated: bool) -> None:
        """Nothing to do."""

    async def bury(self, dead: Sequence[tuple[Entry, bytes]]) -> int:
        """Keep dead jobs, and let the oldest go when there are too many."""
        self.failed.extendleft(text for _, text in dead)
        too_many = max(0, len(self.failed) - self._failed_max_len)
        for _ in range(too_many):
            self.failed.pop()
        return too_many

    async def set_paused(self, endpoint: str, paused: bool) -> None:
        """Nothing to do."""

    async def tidy(self, now: int, old: int) -> None:
        """Nothing to do."""

    async def find_dead(self, which: DeadLetters, offset: int, limit: int) -> list[bytes]:
        """Return dead jobs, newest first."""
        found = (text for text in self.failed if jobs.fits(text, which))
        return list(itertools.islice(found, offset, offset + limit))

    async def redrive_dead(self, which: DeadLetters, limit: int, place: int) -> tuple[list[Entry], int | None]:
        """Take dead jobs out, oldest first; those without an endpoint stay."""
        revived: list[Entry] = []
        kept: deque[bytes] = deque()
        for text in reversed(self.failed):
            head = jobs.header(text)
            if len(revived) < limit and head is not None and jobs.fits(text, which):
                revived.append(Entry(head[1], text))
            else:
                kept.appendleft(text)
        self.failed = kept
        return revived, None

    async def purge_dead(self, which: DeadLetters) -> int:
        """Delete dead jobs."""
        before = len(self.failed)
        self.failed = deque(text for text in self.failed if not jobs.fits(text, which))
        return before - len(self.failed)
