"""The dead jobs in the file of the SQLite queue: the rows of ``queue_jobs`` with a number in ``died``."""

import sqlite3
import sys

from sockudo_py.queues import jobs
from sockudo_py.queues.base import DeadLetters
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.sqlite import statements

CHUNK = 1000  # dead jobs that one piece of work looks at: others wait for the file meanwhile
_NEXT_DEATH = "(SELECT coalesce(max(died), 0) + 1 FROM queue_jobs WHERE died IS NOT NULL)"


class DeadJobs:
    """The statements about dead jobs. All is called in the thread of the file, within a transaction.

    It remembers how many there are: counting them takes a millisecond for a thousand.
    """

    def __init__(self) -> None:
        self._number: int | None = None  # None: not counted since a transaction was undone

    def undone(self) -> None:
        """A transaction was rolled back: count again."""
        self._number = None

    def count(self, db: sqlite3.Connection) -> int:
        """Return how many there are."""
        if self._number is None:
            (self._number,) = db.execute("SELECT count(*) FROM queue_jobs WHERE died IS NOT NULL").fetchone()
        return self._number or 0

    def add(self, db: sqlite3.Connection, entry: Entry, text: bytes, most: int) -> int:
        """Write that a job is dead, keep at most ``most`` (0: all) of these; returns how many old ones had to go."""
        dead = self.count(db) + 1
        db.execute(
            f"INSERT OR REPLACE INTO queue_jobs (row, endpoint, died, text) VALUES (?, ?, {_NEXT_DEATH}, ?)",  # noqa: S608
            (entry.row, entry.endpoint, text),
        )
        statements.take(db, (entry,))
        self._number = dead
        if most <= 0 or dead <= most:
            return 0
        old = "SELECT row FROM queue_jobs WHERE died IS NOT NULL ORDER BY died LIMIT ?"
        gone = db.execute(f"DELETE FROM queue_jobs WHERE row IN ({old})", (dead - most,)).rowcount  # noqa: S608
        self._number = dead - gone
        return gone

    def purge(self, db: sqlite3.Connection, which: DeadLetters, after: int) -> tuple[int, int | None]:
        """Delete those of some dead jobs that are meant. Returns how many, and where to go on as ``look`` does."""
        dead = self.count(db)
        found, go_on = look(db, which, after)
        db.executemany("DELETE FROM queue_jobs WHERE row = ?", [(row,) for row, _, _ in found])
        self._number = dead - len(found)
        return len(found), go_on

    def redrive(
        self, db: sqlite3.Connection, which: DeadLetters, limit: int, after: int
    ) -> tuple[list[tuple[int, str, bytes]], int | None]:
        """Write that some of the chosen dead jobs live again; returns as ``look`` does."""
        dead = self.count(db)
        found, go_on = look(db, which, after)
        found = found[:limit]
        alive = "UPDATE queue_jobs SET died = NULL, crashes = 0, due = 0, gated = 0 WHERE row = ?"
        db.executemany(alive, [(row,) for row, _, _ in found])
        self._number = dead - len(found)
        return found, go_on


def look(
    db: sqlite3.Connection, which: DeadLetters, after: int = 0, *, newest_first: bool = False
) -> tuple[list[tuple[int, str, bytes]], int | None]:
    """Look at the next 1,000 dead jobs after a place: 0 is the start, of the oldest unless told otherwise.

    Returns row, endpoint and text of the chosen jobs, and the place to go on from; None at the end.
    """
    order = "died < ? ORDER BY died DESC" if newest_first else "died > ? ORDER BY died"
    page = db.execute(
        "SELECT row, endpoint, text, died FROM queue_jobs WHERE died IS NOT NULL"  # noqa: S608
        f" AND {order} LIMIT {CHUNK}",
        (sys.maxsize if newest_first and not after else after,),
    ).fetchall()
    found = [(row, endpoint, text) for row, endpoint, text, _ in page if jobs.fits(text, which)]
    return found, page[-1][3] if len(page) == CHUNK else None
