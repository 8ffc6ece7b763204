"""Keys of ``append_once`` in the SQLite file, written in the transactions that take their events."""

import sqlite3
from collections import Counter

from sockudo_py.queues.once import GO_AT_ONCE, KEPT_MS, MOST_KEYS, OnceKey

_EXPIRED_AT_ONCE = 100


def find(db: sqlite3.Connection, app_id: str, digest: str, wall: int) -> bytes | None:
    """Return the value of a key; None: it is not known."""
    found = db.execute(
        "SELECT value FROM queue_keys WHERE app = ? AND digest = ? AND ms > ?", (app_id, digest, wall - KEPT_MS)
    ).fetchone()
    return None if found is None else found[0]


class Keys:
    """Adds keys. Called in the file's thread."""

    def __init__(self) -> None:
        self._unchecked: Counter[str] = Counter()  # app -> keys added since they were last counted

    def add(self, db: sqlite3.Connection, key: OnceKey, wall: int) -> None:
        """Write a key; delete some that are over, and the oldest of its app when there are too many."""
        db.execute(
            "DELETE FROM queue_keys WHERE key IN (SELECT key FROM queue_keys WHERE ms <= ? ORDER BY ms LIMIT ?)",
            (wall - KEPT_MS, _EXPIRED_AT_ONCE),
        )
        if key.app_id not in self._unchecked or self._unchecked[key.app_id] >= GO_AT_ONCE:
            # Walks along 100,000 entries of an index, a millisecond or two: so not each time.
            db.execute(
                "DELETE FROM queue_keys WHERE app = ? AND key <="
                " (SELECT key FROM queue_keys WHERE app = ? ORDER BY key DESC LIMIT 1 OFFSET ?)",
                (key.app_id, key.app_id, MOST_KEYS - GO_AT_ONCE - 1),
            )
            self._unchecked[key.app_id] = 0
        self._unchecked[key.app_id] += 1
        db.execute(
            "INSERT OR REPLACE INTO queue_keys (app, digest, ms, value) VALUES (?, ?, ?, ?)",
            (key.app_id, key.digest, wall, key.value),
        )
