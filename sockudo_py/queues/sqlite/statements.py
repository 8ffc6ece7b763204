"""What the SQLite queue reads and writes: the statements. Those about dead jobs are in ``dead.py``."""

import sqlite3
from collections.abc import Iterable, Sequence

import orjson

from sockudo_py.queues.base import Append
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.sqlite.packs import pack

_GIVE_BACK = 200  # pages of 4 KiB at a time, a few milliseconds
_INCREMENTAL = 2  # PRAGMA auto_vacuum of a file that can give pages back
_KEEP = 1000  # free pages that stay in the file, for what comes next


def load(db: sqlite3.Connection) -> list[tuple[int, str, int, int, int, int | None, int, bytes]]:
    """Return all jobs that are alive, in the order in which they were made."""
    columns = "row, endpoint, claimed, crashes, due, wait, gated, text"
    return db.execute(f"SELECT {columns} FROM queue_jobs WHERE died IS NULL ORDER BY row").fetchall()  # noqa: S608


def load_packs(db: sqlite3.Connection) -> list[tuple[int, str, str, int, bytes, bytes]]:
    """Return row, endpoint, app, number of events left, marks and text of all packs, in the order of their appends."""
    columns = "row, endpoint, app, -more, marks, text"
    return db.execute(f"SELECT {columns} FROM queue_packs ORDER BY row").fetchall()  # noqa: S608


def load_seen(db: sqlite3.Connection) -> list[tuple[int, int, bytes]]:
    """Return row, time (ms) and ids (JSON) of all calls that are remembered, oldest first."""
    return db.execute("SELECT row, ms, ids FROM queue_seen ORDER BY row").fetchall()


def last_row(db: sqlite3.Connection) -> int:
    """Return the highest number of a row in any table; the numbers of rows are given by the driver."""
    tables = ("queue_jobs", "queue_packs", "queue_seen")
    (row,) = db.execute(
        f"SELECT max({','.join(f'coalesce((SELECT max(row) FROM {table}), 0)' for table in tables)})"  # noqa: S608
    ).fetchone()
    return int(row)


def paused(db: sqlite3.Connection) -> list[str]:
    """Return the paused endpoints."""
    return [endpoint for (endpoint,) in db.execute("SELECT endpoint FROM queue_paused")]


def set_paused(db: sqlite3.Connection, endpoint: str, paused: bool) -> None:
    """Write that an endpoint is paused, or is no more."""
    if paused:
        db.execute("INSERT OR IGNORE INTO queue_paused VALUES (?)", (endpoint,))
    else:
        db.execute("DELETE FROM queue_paused WHERE endpoint = ?", (endpoint,))


def dead_page(db: sqlite3.Connection, offset: int, limit: int) -> list[bytes]:
    """Return a page of dead jobs, newest first."""
    page = "SELECT text FROM queue_jobs WHERE died IS NOT NULL ORDER BY died DESC LIMIT ? OFFSET ?"
    return [text for (text,) in db.execute(page, (limit, offset))]


def forget(db: sqlite3.Connection, row: int) -> None:
    """Forget the ids of all calls up to this row."""
    db.execute("DELETE FROM queue_seen WHERE row <= ?", (row,))


def tidy(db: sqlite3.Connection) -> bool:
    """Give free pages back to the file system: as much as takes some milliseconds. Returns whether there is more."""
    (mode,) = db.execute("PRAGMA auto_vacuum").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone() if mode == _INCREMENTAL else (0,)  # an old file keeps them
    for _ in range(min(_GIVE_BACK, free - _KEEP)):  # Python's driver takes a single step of this statement
        db.execute("PRAGMA incremental_vacuum(1)")
    return bool(free - _GIVE_BACK > _KEEP)


def append(
    db: sqlite3.Connection, packs: Sequence[tuple[int, Sequence[Append]]], row: int, now: int, ids: list[str]
) -> None:
    """Write fresh events: packs with their rows, and under a row of its own the ids of all of them."""
    db.executemany(
        "INSERT INTO queue_packs (row, endpoint, app, more, marks, text) VALUES (?, ?, ?, ?, ?, ?)",
        [(row, events[0].endpoint, events[0].app_id, -len(events), *pack(events)) for row, events in packs],
    )
    db.execute("INSERT INTO queue_seen (row, ms, ids) VALUES (?, ?, ?)", (row, now, orjson.dumps(ids)))


def claim(db: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Write that jobs were leased, and what became a job for it."""
    made = [entry for entry in entries if entry.packs]
    if made:
        db.executemany(
            "INSERT OR REPLACE INTO queue_jobs (row, endpoint, claimed, crashes, text) VALUES (?, ?, 1, ?, ?)",
            [(entry.row, entry.endpoint, entry.crashes, entry.text) for entry in made],
        )
        take(db, made)
    if len(made) < len(entries):
        db.executemany(
            "UPDATE queue_jobs SET claimed = 1, crashes = ? WHERE row = ?",
            [(entry.crashes, entry.row) for entry in entries if not entry.packs],
        )


def take(db: sqlite3.Connection, made: Iterable[Entry]) -> None:
    """Write that events became jobs, in this order."""
    changed = dict(change for entry in made for change in entry.packs)
    gone = [(row,) for row, left in changed.items() if not left]
    if gone:
        db.executemany("DELETE FROM queue_packs WHERE row = ?", gone)
    if len(gone) < len(changed):
        db.executemany(
            "UPDATE queue_packs SET more = ? WHERE row = ?", [(-left, row) for row, left in changed.items() if left]
        )


def delete(db: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Delete jobs."""
    db.executemany("DELETE FROM queue_jobs WHERE row = ?", [(entry.row,) for entry in entries])


def unclaim(db: sqlite3.Connection, entry: Entry) -> None:
    """Write that a job was given back."""
    db.execute("UPDATE queue_jobs SET claimed = 0 WHERE row = ?", (entry.row,))


def replace(db: sqlite3.Connection, entry: Entry, endpoint: str, text: bytes, due: int, wait: int, gated: bool) -> None:
    """Write the job that is to be tried again, when, and how long it was to wait (ms)."""
    db.execute(
        "UPDATE queue_jobs SET endpoint = ?, claimed = 0, crashes = 0, due = ?, wait = ?, gated = ?, text = ?"
        " WHERE row = ? AND died IS NULL",
        (endpoint, due, wait, gated, text, entry.row),
    )
