"""The contract of what keeps the jobs of a queue whose books are in this process (``book_queue.py``)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sockudo_py.queues.base import Append, DeadLetters, Occupancy
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.once import OnceKey

LedgerChange = tuple[Sequence[Occupancy], Sequence[str]]  # rows to write, and ids of rows to delete


class SavedJob(NamedTuple):
    """A job that is alive. ``due`` (Unix ms) is when it may be tried, at most ``wait`` ms ahead when it was noted.

    ``gated``: its ordered lane waits for it.
    """

    entry: Entry
    due: int
    wait: int
    gated: bool


@dataclass(frozen=True, slots=True)
class Saved:
    """What a store has at its start, all in the order in which it came.

    ``gathering``: lists of events of one endpoint. ``calls``: of ``append``: row, Unix ms, and ids. ``paused``:
    endpoints.
    """

    jobs: Sequence[SavedJob] = ()
    gathering: Iterable[Sequence[Append]] = ()
    calls: Iterable[tuple[int, int, Sequence[str]]] = ()
    paused: Sequence[str] = ()


class JobStore(Protocol):
    """Keeps what the books say: each method returns once it is kept, and may raise ``Unavailable``."""

    @property
    def dead(self) -> int:
        """How many dead jobs there are."""

    @property
    def tidy_at(self) -> int:
        """From when on (ms of the queue's clock) ``tidy`` is to be called."""

    async def open(self) -> Saved:
        """Return what is there. Raises SockudoError with key and remedy when the store is not usable."""

    async def close(self) -> None:
        """Close the store."""

    async def append(
        self,
        groups: Sequence[Sequence[Append]],
        ids: list[str],
        old: int,
        wall: int,
        ledger: LedgerChange | None,
        key: OnceKey | None,
    ) -> int:
        """Add events: each group is of one endpoint, ``ids`` are those of all. Returns the row of this call.

        ``old``: forget the ids of the calls up to this row; 0: of none. ``wall``: now, Unix ms. ``key`` is added with
        the events; some of the oldest keys of its app go when there are too many.
        """

    async def find_key(self, app_id: str, digest: str, wall: int) -> bytes | None:
        """Return the value of a key of ``append_once``; None: it is not known."""

    async def inherit(self) -> Sequence[Occupancy]:
        """As ``Queue.inherit``."""

    def number(self, entries: Sequence[Entry]) -> None:
        """Note that events have become these jobs, as far as they are new. Called at once: in the order of a lane."""

    async def claim(self, entries: Sequence[Entry]) -> None:
        """Note that jobs are leased."""

    async def release(self, entry: Entry) -> None:
        """Note that a job is leased no more."""

    async def delete(self, entries: Sequence[Entry]) -> None:
        """Delete jobs that were delivered."""

    async def replace(self, entry: Entry, again: Entry, due: int, wait: int, gated: bool) -> None:
        """A job is to be tried again as another one, which gets its row; the rest as in ``SavedJob``."""

    async def bury(self, dead: Sequence[tuple[Entry, bytes]]) -> int:
        """Jobs are dead, with these texts, the last one the newest. Returns how many old ones had to go."""

    async def set_paused(self, endpoint: str, paused: bool) -> None:
        """Note that a lane is paused, or goes on."""

    async def tidy(self, now: int, old: int) -> None:
        """Do the housekeeping. ``now``: ms of the queue's clock; ``old`` as for ``append``."""

    async def find_dead(self, which: DeadLetters, offset: int, limit: int) -> list[bytes]:
        """As ``ChoosesDead``."""

    async def redrive_dead(self, which: DeadLetters, limit: int, place: int) -> tuple[list[Entry], int | None]:
        """Let dead jobs live, oldest first. Returns some, and from where to go on (None: that is all); 0: the start."""

    async def purge_dead(self, which: DeadLetters) -> int:
        """As ``ChoosesDead``."""
