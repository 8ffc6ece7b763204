"""The ledger in the file of the SQLite queue. All of it is this server's: one process uses a file at a time."""

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain

import orjson

from sockudo_py.queues.base import Occupancy

_THERE = "INSERT OR REPLACE INTO present (id, app, channel, user, socket) VALUES "
_TOGETHER = 32  # rows in one statement: each takes and gives away the interpreter's lock


def write(db: sqlite3.Connection, there: Sequence[Occupancy], gone: Sequence[str]) -> None:
    """Write what is there from now on, and what is not."""
    owed = [occupancy for occupancy in there if occupancy.owed]
    if len(owed) < len(there):
        rest = [occupancy[:-1] for occupancy in there if not occupancy.owed]
        for at in range(0, len(rest), _TOGETHER):
            some = rest[at : at + _TOGETHER]
            db.execute(_THERE + _marks("(?, ?, ?, ?, ?)", len(some)), tuple(chain.from_iterable(some)))
    if owed:
        db.executemany(
            "INSERT OR REPLACE INTO present VALUES (?, ?, ?, ?, ?, ?)",
            [(*occupancy[:-1], orjson.dumps(occupancy.owed).decode()) for occupancy in owed],
        )
    for at in range(0, len(gone), _TOGETHER):
        ids = gone[at : at + _TOGETHER]
        db.execute(f"DELETE FROM present WHERE id IN ({_marks('?', len(ids))})", ids)  # noqa: S608


@cache
def _marks(one: str, number: int) -> str:
    return ",".join([one] * number)


def load(db: sqlite3.Connection) -> list[Occupancy]:
    """Return what is there, oldest first."""
    rows = db.execute("SELECT id, app, channel, user, socket, owed FROM present ORDER BY id")
    return [
        Occupancy(ident, app_id, channel, user_id, socket_id, tuple(orjson.loads(owed)) if owed else ())
        for ident, app_id, channel, user_id, socket_id, owed in rows
    ]
