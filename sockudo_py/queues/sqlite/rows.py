"""What the SQLite queue reads and writes: the statements."""

import sqlite3
from collections.abc import Iterable, Sequence

import orjson

from sockudo_py.queues.base import Append
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.sqlite.packs import pack

_GIVE_BACK = 200  # pages of 4 KiB at a time, a few milliseconds
_INCREMENTAL = 2  # PRAGMA auto_vacuum of a file that can give pages back
_KEEP = 1000  # free pages that stay in the file, for what comes next

_NEXT_DEATH = "(SELECT coalesce(max(died), 0) + 1 FROM queue_jobs WHERE died IS NOT NULL)"


class Db(sqlite3.Connection):
    """A connection that remembers how many dead jobs there are: counting them takes a millisecond for a thousand."""

    dead: int | None = None  # None: not counted since a transaction was undone


def load(db: Db) -> list[tuple[int, str, int, int, int, int | None, int, bytes]]:
    """Return all jobs that are alive, in the order in which they were made."""
    columns = "row, endpoint, claimed, crashes, due, wait, gated, text"
    return db.execute(f"SELECT {columns} FROM queue_jobs WHERE died IS NULL ORDER BY row").fetchall()  # noqa: S608


def load_packs(db: Db) -> list[tuple[int, str, str, int, bytes, bytes]]:
    """Return row, endpoint, app, number of events left, marks and text of all packs, in the order of their appends."""
    columns = "row, endpoint, app, -more, marks, text"
    return db.execute(f"SELECT {columns} FROM queue_packs ORDER BY row").fetchall()  # noqa: S608


def load_seen(db: Db) -> list[tuple[int, int, bytes]]:
    """Return row, time (ms) and ids (JSON) of all calls that are remembered, oldest first."""
    return db.execute("SELECT row, ms, ids FROM queue_seen ORDER BY row").fetchall()


def last_row(db: Db) -> int:
    """Return the highest number of a row in any table; the numbers of rows are given by the driver."""
    tables = ("queue_jobs", "queue_packs", "queue_seen")
    (row,) = db.execute(
        f"SELECT max({','.join(f'coalesce((SELECT max(row) FROM {table}), 0)' for table in tables)})"  # noqa: S608
    ).fetchone()
    return int(row)


def paused(db: Db) -> list[str]:
    """Return the paused endpoints."""
    return [endpoint for (endpoint,) in db.execute("SELECT endpoint FROM queue_paused")]


def count_dead(db: Db) -> int:
    """Return the number of dead jobs."""
    if db.dead is None:
        (db.dead,) = db.execute("SELECT count(*) FROM queue_jobs WHERE died IS NOT NULL").fetchone()
    return db.dead or 0


def forget(db: Db, row: int) -> None:
    """Forget the ids of all calls up to this row."""
    db.execute("DELETE FROM queue_seen WHERE row <= ?", (row,))


def tidy(db: Db) -> bool:
    """Give free pages back to the file system: as much as takes some milliseconds. Returns whether there is more."""
    (mode,) = db.execute("PRAGMA auto_vacuum").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone() if mode == _INCREMENTAL else (0,)  # an old file keeps them
    for _ in range(min(_GIVE_BACK, free - _KEEP)):  # Python's driver takes a single step of this statement
        db.execute("PRAGMA incremental_vacuum(1)")
    return bool(free - _GIVE_BACK > _KEEP)


def append(db: Db, packs: Sequence[tuple[int, Sequence[Append]]], row: int, now: int, ids: list[str]) -> None:
    """Write fresh events: packs with their rows, and under a row of its own the ids of all of them."""
    db.executemany(
        "INSERT INTO queue_packs (row, endpoint, app, more, marks, text) VALUES (?, ?, ?, ?, ?, ?)",
        [(row, events[0].endpoint, events[0].app_id, -len(events), *pack(events)) for row, events in packs],
    )
    db.execute("INSERT INTO queue_seen (row, ms, ids) VALUES (?, ?, ?)", (row, now, orjson.dumps(ids)))


def claim(db: Db, entries: Sequence[Entry]) -> None:
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


def take(db: Db, made: Iterable[Entry]) -> None:
    """Write that events became jobs, in this order."""
    changed = dict(change for entry in made for change in entry.packs)
    gone = [(row,) for row, left in changed.items() if not left]
    if gone:
        db.executemany("DELETE FROM queue_packs WHERE row = ?", gone)
    if len(gone) < len(changed):
        db.executemany(
            "UPDATE queue_packs SET more = ? WHERE row = ?", [(-left, row) for row, left in changed.items() if left]
        )


def delete(db: Db, entry: Entry) -> None:
    """Delete a job."""
    db.execute("DELETE FROM queue_jobs WHERE row = ?", (entry.row,))


def unclaim(db: Db, entry: Entry) -> None:
    """Write that a job was given back."""
    db.execute("UPDATE queue_jobs SET claimed = 0 WHERE row = ?", (entry.row,))


def replace(db: Db, entry: Entry, endpoint: str, text: bytes, due: int, wait: int, gated: bool) -> None:
    """Write the job that is to be tried again, when, and how long it was to wait (ms)."""
    db.execute(
        "UPDATE queue_jobs SET endpoint = ?, claimed = 0, crashes = 0, due = ?, wait = ?, gated = ?, text = ?"
        " WHERE row = ? AND died IS NULL",
        (endpoint, due, wait, gated, text, entry.row),
    )


def to_failed(db: Db, entry: Entry, text: bytes, most: int) -> int:
    """Write that a job is dead, keep at most ``most`` (0: all) of these; returns how many old ones had to go."""
    dead = count_dead(db) + 1
    db.execute(
        f"INSERT OR REPLACE INTO queue_jobs (row, endpoint, died, text) VALUES (?, ?, {_NEXT_DEATH}, ?)",  # noqa: S608
        (entry.row, entry.endpoint, text),
    )
    take(db, (entry,))
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
    alive = "UPDATE queue_jobs SET died = NULL, crashes = 0, due = 0, gated = 0 WHERE row = ?"
    dead = count_dead(db)
    db.executemany(alive, [(row,) for row, _, _ in rows])
    db.dead = dead - len(rows)
    return rows
