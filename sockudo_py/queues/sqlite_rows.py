"""What the SQLite queue reads and writes: the statements."""

import sqlite3
from collections.abc import Sequence

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append
from sockudo_py.queues.lanes import Entry

FRESH, WHOLE, DEAD = 0, 1, 2  # the states: an event that gathers, a job, a dead job

_FORGET = 1000  # ids at a time
_GIVE_BACK = 200  # pages of 4 KiB at a time, a few milliseconds
_INCREMENTAL = 2  # PRAGMA auto_vacuum of a file that can give pages back
_KEEP = 1000  # free pages that stay in the file, for what comes next

_NEXT_DEATH = "(SELECT coalesce(max(died), 0) + 1 FROM queue_jobs WHERE died IS NOT NULL)"


class Db(sqlite3.Connection):
    """A connection that remembers how many dead jobs there are: counting them takes a millisecond for a thousand."""

    dead: int | None = None  # None: not counted since a transaction was undone


def load(db: Db) -> list[tuple[int, int, str, int, int, int, int, int, bytes]]:
    """Return all that is alive, in the order in which it was appended."""
    columns = "row, state, endpoint, solo, claimed, crashes, due, gated, text"
    return db.execute(f"SELECT {columns} FROM queue_jobs WHERE died IS NULL ORDER BY row").fetchall()  # noqa: S608


def paused(db: Db) -> list[str]:
    """Return the paused endpoints."""
    return [endpoint for (endpoint,) in db.execute("SELECT endpoint FROM queue_paused")]


def count_dead(db: Db) -> int:
    """Return the number of dead jobs."""
    if db.dead is None:
        (db.dead,) = db.execute("SELECT count(*) FROM queue_jobs WHERE died IS NOT NULL").fetchone()
    return db.dead or 0


def forget(db: Db, until: int, most: int) -> int:
    """Forget at most so many of the ids that were appended until then (ms); returns how many."""
    old = "SELECT id FROM queue_seen WHERE ms <= ? ORDER BY ms LIMIT ?"
    return db.execute(f"DELETE FROM queue_seen WHERE id IN ({old})", (until, most)).rowcount  # noqa: S608


def tidy(db: Db, until: int) -> bool:
    """Forget ids, and give free pages back to the file system: as much as takes some milliseconds.

    Returns whether there is more to do.
    """
    forgotten = forget(db, until, _FORGET)
    (mode,) = db.execute("PRAGMA auto_vacuum").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone() if mode == _INCREMENTAL else (0,)  # an old file keeps them
    for _ in range(min(_GIVE_BACK, free - _KEEP)):  # Python's driver takes a single step of this statement
        db.execute("PRAGMA incremental_vacuum(1)")
    return bool(forgotten == _FORGET or free - _GIVE_BACK > _KEEP)


def append(db: Db, event: Append) -> Entry:
    """Write a fresh event; returns its entry."""
    text = jobs.encode_event(event)
    made = db.execute(
        "INSERT INTO queue_jobs (state, endpoint, solo, text) VALUES (?, ?, ?, ?)",
        (FRESH, event.endpoint, event.solo, text),
    )
    return Entry(event.endpoint, text, made.lastrowid or 0, event.solo)


def claim(db: Db, entries: Sequence[Entry]) -> None:
    """Write that jobs were leased, and what was merged for it."""
    for entry in entries:
        db.execute(
            "UPDATE queue_jobs SET state = ?, claimed = 1, crashes = ?, text = ? WHERE row = ?",
            (WHOLE, entry.crashes, entry.text, entry.row),
        )
        delete_spare(db, entry)


def delete_spare(db: Db, entry: Entry) -> None:
    """Delete the rows of events that were merged into another."""
    db.executemany("DELETE FROM queue_jobs WHERE row = ?", [(row,) for row in entry.spare])


def delete(db: Db, entry: Entry) -> None:
    """Delete a job."""
    db.execute("DELETE FROM queue_jobs WHERE row = ?", (entry.row,))
    delete_spare(db, entry)


def unclaim(db: Db, entry: Entry) -> None:
    """Write that a job was given back."""
    db.execute("UPDATE queue_jobs SET claimed = 0 WHERE row = ?", (entry.row,))


def replace(db: Db, entry: Entry, endpoint: str, text: bytes, due: int, gated: bool) -> None:
    """Write the job that is to be tried again, and when."""
    db.execute(
        "UPDATE queue_jobs SET state = ?, endpoint = ?, claimed = 0, crashes = 0, due = ?, gated = ?, text = ?"
        " WHERE row = ? AND died IS NULL",
        (WHOLE, endpoint, due, gated, text, entry.row),
    )
    delete_spare(db, entry)


def to_failed(db: Db, entry: Entry, text: bytes, most: int) -> int:
    """Write that a job is dead, keep at most ``most`` (0: all) of these; returns how many old ones had to go."""
    dead = count_dead(db) + 1
    db.execute(
        f"UPDATE queue_jobs SET state = ?, claimed = 0, died = {_NEXT_DEATH}, text = ? WHERE row = ?",  # noqa: S608
        (DEAD, text, entry.row),
    )
    delete_spare(db, entry)
    db.dead = dead
    if most <= 0 or dead <= most:
        return 0
    old = "SELECT row FROM queue_jobs WHERE died IS NOT NULL ORDER BY died LIMIT ?"
    gone = db.execute(f"DELETE FROM queue_jobs WHERE row IN ({old})", (dead - most,)).rowcount  # noqa: S608
    db.dead = dead - gone
    return gone


def purge(db: Db, endpoint: str | None) -> int:
    """Delete dead jobs (of one endpoint); returns how many."""
    dead = count_dead(db)
    which = "died IS NOT NULL AND endpoint = coalesce(?, endpoint)"
    gone = db.execute(f"DELETE FROM queue_jobs WHERE {which}", (endpoint,)).rowcount  # noqa: S608
    db.dead = dead - gone
    return gone


def redrive(db: Db, endpoint: str | None, limit: int) -> list[tuple[int, str, bytes]]:
    """Write that dead jobs live again, oldest first; returns their row, endpoint and text."""
    rows = db.execute(
        "SELECT row, endpoint, text FROM queue_jobs WHERE died IS NOT NULL AND endpoint = coalesce(?, endpoint)"
        " ORDER BY died LIMIT ?",
        (endpoint, limit),
    ).fetchall()
    alive = "UPDATE queue_jobs SET state = ?, died = NULL, crashes = 0, due = 0, gated = 0 WHERE row = ?"
    dead = count_dead(db)
    db.executemany(alive, [(WHOLE, row) for row, _, _ in rows])
    db.dead = dead - len(rows)
    return rows
