"""What the SQLite queue reads and writes: the statements."""

import sqlite3
from collections.abc import Sequence

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append
from sockudo_py.queues.lanes import Entry

FRESH, WHOLE, DEAD = 0, 1, 2  # the states: an event that gathers, a job, a dead job

_NEXT_DEATH = "(SELECT coalesce(max(died), 0) + 1 FROM queue_jobs)"


def load(db: sqlite3.Connection) -> list[tuple[int, int, str, int, int, int, int, int, bytes]]:
    """Return all that is alive, in the order in which it was appended."""
    columns = "row, state, endpoint, solo, claimed, crashes, due, gated, text"
    return db.execute(f"SELECT {columns} FROM queue_jobs WHERE died IS NULL ORDER BY row").fetchall()  # noqa: S608


def paused(db: sqlite3.Connection) -> list[str]:
    """Return the paused endpoints."""
    return [endpoint for (endpoint,) in db.execute("SELECT endpoint FROM queue_paused")]


def count_dead(db: sqlite3.Connection) -> int:
    """Return the number of dead jobs."""
    number: int = db.execute("SELECT count(*) FROM queue_jobs WHERE died IS NOT NULL").fetchone()[0]
    return number


def append(db: sqlite3.Connection, event: Append) -> Entry:
    """Write a fresh event; returns its entry."""
    text = jobs.encode_event(event)
    made = db.execute(
        "INSERT INTO queue_jobs (state, endpoint, solo, text) VALUES (?, ?, ?, ?)",
        (FRESH, event.endpoint, event.solo, text),
    )
    return Entry(event.endpoint, text, made.lastrowid or 0, event.solo)


def claim(db: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Write that jobs were leased, and what was merged for it."""
    for entry in entries:
        db.execute(
            "UPDATE queue_jobs SET state = ?, claimed = 1, crashes = ?, text = ? WHERE row = ?",
            (WHOLE, entry.crashes, entry.text, entry.row),
        )
        delete_spare(db, entry)


def delete_spare(db: sqlite3.Connection, entry: Entry) -> None:
    """Delete the rows of events that were merged into another."""
    db.executemany("DELETE FROM queue_jobs WHERE row = ?", [(row,) for row in entry.spare])


def delete(db: sqlite3.Connection, entry: Entry) -> None:
    """Delete a job."""
    db.execute("DELETE FROM queue_jobs WHERE row = ?", (entry.row,))
    delete_spare(db, entry)


def unclaim(db: sqlite3.Connection, entry: Entry) -> None:
    """Write that a job was given back."""
    db.execute("UPDATE queue_jobs SET claimed = 0 WHERE row = ?", (entry.row,))


def replace(db: sqlite3.Connection, entry: Entry, endpoint: str, text: bytes, due: int, gated: bool) -> None:
    """Write the job that is to be tried again, and when."""
    db.execute(
        "UPDATE queue_jobs SET state = ?, endpoint = ?, claimed = 0, crashes = 0, due = ?, gated = ?, text = ?"
        " WHERE row = ?",
        (WHOLE, endpoint, due, gated, text, entry.row),
    )
    delete_spare(db, entry)


def to_failed(db: sqlite3.Connection, entry: Entry, text: bytes, most: int) -> int:
    """Write that a job is dead, keep at most ``most`` (0: all) of these; returns how many old ones had to go."""
    db.execute(
        f"UPDATE queue_jobs SET state = ?, claimed = 0, died = {_NEXT_DEATH}, text = ? WHERE row = ?",  # noqa: S608
        (DEAD, text, entry.row),
    )
    delete_spare(db, entry)
    if most <= 0:
        return 0
    old = "SELECT row FROM queue_jobs WHERE died IS NOT NULL ORDER BY died DESC LIMIT -1 OFFSET ?"
    return db.execute(f"DELETE FROM queue_jobs WHERE row IN ({old})", (most,)).rowcount  # noqa: S608


def redrive(db: sqlite3.Connection, endpoint: str | None, limit: int) -> list[tuple[int, str, bytes]]:
    """Write that dead jobs live again, oldest first; returns their row, endpoint and text."""
    rows = db.execute(
        "SELECT row, endpoint, text FROM queue_jobs WHERE died IS NOT NULL AND endpoint = coalesce(?, endpoint)"
        " ORDER BY died LIMIT ?",
        (endpoint, limit),
    ).fetchall()
    alive = "UPDATE queue_jobs SET state = ?, died = NULL, crashes = 0, due = 0, gated = 0 WHERE row = ?"
    db.executemany(alive, [(WHOLE, row) for row, _, _ in rows])
    return rows
