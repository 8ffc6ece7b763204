"""The tables of the SQLite queue's file, and how those of an earlier version become these.

``queue_packs``  Events that gather, see ``packs.py``. ``more`` is how many are left, as a negative number:
                 SQLite keeps these in one byte, and changes a row in place when its size stays the same.
``queue_jobs``   Jobs; dead ones have a number in ``died``, the newest the highest. ``claimed`` ones are in flight.
                 One that waits to be tried again has ``due`` (Unix ms) and how many ms that was ahead (``wait``; NULL
                 when an earlier version wrote it); ``gated``: its ordered lane waits for it.
``queue_seen``   For each call of ``append``, when it was (Unix ms), and the ids of the events that it added, as JSON.
``queue_paused`` Endpoints whose lanes are paused.
``queue_keys``   Keys of ``append_once`` (as digests) with their values, and when they were added (Unix ms).
``present``      The ledger, see ``Occupancy``; ``owed`` is a JSON array, or NULL for none.

Rows are numbered by the driver, through all tables: what came later has a higher number.
"""

import itertools
import sqlite3
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import orjson

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append
from sockudo_py.queues.sqlite.packs import pack, portions

VERSION = 2

_TABLES = (
    "CREATE TABLE IF NOT EXISTS queue_packs (row INTEGER PRIMARY KEY, endpoint TEXT NOT NULL, app TEXT NOT NULL,"
    " more INTEGER NOT NULL, marks BLOB NOT NULL, text BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS queue_jobs (row INTEGER PRIMARY KEY, endpoint TEXT NOT NULL,"
    " claimed INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0,"
    " wait INTEGER, gated INTEGER NOT NULL DEFAULT 0, died INTEGER, text BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS queue_dead ON queue_jobs (died) WHERE died IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS queue_seen (row INTEGER PRIMARY KEY, ms INTEGER NOT NULL, ids BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS queue_paused (endpoint TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS queue_keys (key INTEGER PRIMARY KEY, app TEXT NOT NULL, digest TEXT NOT NULL,"
    " ms INTEGER NOT NULL, value BLOB NOT NULL, UNIQUE (app, digest))",
    "CREATE INDEX IF NOT EXISTS queue_keys_age ON queue_keys (ms)",
    "CREATE INDEX IF NOT EXISTS queue_keys_of_app ON queue_keys (app, key)",
    "CREATE TABLE IF NOT EXISTS present (id TEXT PRIMARY KEY, app TEXT NOT NULL, channel TEXT NOT NULL, user TEXT,"
    " socket TEXT, owed TEXT) WITHOUT ROWID",
)
_FRESH = 0  # in version 1: the state of an event that gathers


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Make the tables of this version, of those of the file's version (0: there are none). Raises sqlite3.Error."""
    if version == 1:
        db.execute("DROP INDEX queue_dead")
        for table in ("queue_jobs", "queue_seen"):
            db.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    for statement in _TABLES:
        db.execute(statement)
    if version == 1:
        _jobs_of_version_1(db)
        _ids_of_version_1(db)
        for table in ("queue_jobs", "queue_seen"):
            db.execute(f"DROP TABLE {table}_1")


def _jobs_of_version_1(db: sqlite3.Connection) -> None:
    """There an event that gathered had a row of its own, with the text of the job that it would be alone."""
    keep = (
        "INSERT INTO queue_jobs (row, endpoint, claimed, crashes, due, gated, died, text)"
        " SELECT row, endpoint, claimed, crashes, due, gated, died, text FROM queue_jobs_1 WHERE "
    )
    db.execute(f"{keep} state != ?", (_FRESH,))
    fresh = db.execute("SELECT row, endpoint, solo, text FROM queue_jobs_1 WHERE state = ? ORDER BY row", (_FRESH,))
    for (endpoint, app_id), group in itertools.groupby(_events(fresh), key=itemgetter(0, 1)):
        rows = list(group)
        if not app_id:  # no text of a job: its claim reports that
            db.executemany(f"{keep} row = ?", [(row,) for _, _, row, _ in rows])
            continue
        at = 0
        for some in portions([event for _, _, _, event in rows]):
            db.execute(
                "INSERT INTO queue_packs (row, endpoint, app, more, marks, text) VALUES (?, ?, ?, ?, ?, ?)",
                (rows[at][2], endpoint, app_id, -len(some), *pack(some)),
            )
            at += len(some)


def _events(rows: sqlite3.Cursor) -> Iterator[tuple[str, str, int, Append]]:
    """Yield endpoint, app ("" when the text is none of a job), row and event."""
    for row, endpoint, solo, text in rows:
        try:
            job = jobs.decode(text)
        except jobs.PoisonJob:
            yield endpoint, "", row, Append("", endpoint, "", b"", 0)
            continue
        event = Append(job.id, endpoint, job.app_id, job.events_text[1:-1], job.created_ms, bool(solo))
        yield endpoint, job.app_id, row, event


def _ids_of_version_1(db: sqlite3.Connection) -> None:
    """There each id had a row of its own."""
    (first,) = db.execute("SELECT coalesce(max(row), 0) FROM queue_jobs_1").fetchone()
    old: Any = db.execute("SELECT ms, id FROM queue_seen_1 ORDER BY ms")
    for row, (ms, group) in enumerate(itertools.groupby(old, key=itemgetter(0)), first + 1):
        ids = orjson.dumps([ident for _, ident in group])
        db.execute("INSERT INTO queue_seen (row, ms, ids) VALUES (?, ?, ?)", (row, ms, ids))
