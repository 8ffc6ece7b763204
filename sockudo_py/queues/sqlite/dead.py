"""The dead jobs in the file of the SQLite queue: the rows of ``queue_jobs`` with a number in ``died``."""

import sqlite3

from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.sqlite import rows

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
        rows.take(db, (entry,))
        self._number = dead
        if most <= 0 or dead <= most:
            return 0
        old = "SELECT row FROM queue_jobs WHERE died IS NOT NULL ORDER BY died LIMIT ?"
        gone = db.execute(f"DELETE FROM queue_jobs WHERE row IN ({old})", (dead - most,)).rowcount  # noqa: S608
        self._number = dead - gone
        return gone

    def purge(self, db: sqlite3.Connection, endpoint: str | None) -> int:
        """Delete dead jobs (of one endpoint); returns how many."""
        dead = self.count(db)
        which = "died IS NOT NULL AND endpoint = coalesce(?, endpoint)"
        gone = db.execute(f"DELETE FROM queue_jobs WHERE {which}", (endpoint,)).rowcount  # noqa: S608
        self._number = dead - gone
        return gone

    def redrive(self, db: sqlite3.Connection, endpoint: str | None, limit: int) -> list[tuple[int, str, bytes]]:
        """Write that dead jobs live again, oldest first; returns their row, endpoint and text."""
        found = db.execute(
            "SELECT row, endpoint, text FROM queue_jobs WHERE died IS NOT NULL AND endpoint = coalesce(?, endpoint)"
            " ORDER BY died LIMIT ?",
            (endpoint, limit),
        ).fetchall()
        alive = "UPDATE queue_jobs SET died = NULL, crashes = 0, due = 0, gated = 0 WHERE row = ?"
        dead = self.count(db)
        db.executemany(alive, [(row,) for row, _, _ in found])
        self._number = dead - len(found)
        return found
