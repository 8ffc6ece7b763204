"""The ledger in the file of the SQLite queue. All of it is this server's: one process uses a file at a time."""

import sqlite3
from collections.abc import Sequence

import orjson

from sockudo_py.queues.base import Occupancy


def write(db: sqlite3.Connection, there: Sequence[Occupancy], gone: Sequence[str]) -> None:
    """Write what is there from now on, and what is not."""
    if there:
        db.executemany(
            "INSERT OR REPLACE INTO present VALUES (?, ?, ?, ?, ?, ?)",
            [(*fields, orjson.dumps(owed).decode() if owed else None) for *fields, owed in there],
        )
    if gone:
        db.executemany("DELETE FROM present WHERE id = ?", [(ident,) for ident in gone])


def load(db: sqlite3.Connection) -> list[Occupancy]:
    """Return what is there, oldest first."""
    rows = db.execute("SELECT id, app, channel, user, socket, owed FROM present ORDER BY id")
    return [
        Occupancy(ident, app_id, channel, user_id, socket_id, tuple(orjson.loads(owed)) if owed else ())
        for ident, app_id, channel, user_id, socket_id, owed in rows
    ]
