"""What the stores of the drivers hold, looked at behind their backs: ids of events, each as often as it is there."""

import re
import sqlite3
from pathlib import Path

from redis import Redis

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append
from sockudo_py.queues.local.book import LeaseBook
from sockudo_py.queues.sqlite.packs import unpack

EVENT = re.compile(rb'\{"event":"(e\d+)"\}')


def events_in(texts: list[bytes]) -> list[str]:
    """Return the ids of all events in these job texts, each as often as it is there."""
    return [ident.decode() for text in texts for ident in EVENT.findall(text)]


def in_redis(admin: Redis, prefix: str) -> list[str]:
    def ask(*words: str) -> list[bytes]:
        answer: list[bytes] = admin.execute_command(*words)  # type: ignore[no-untyped-call]
        return answer

    texts: list[bytes] = []
    for key in (key.decode() for key in ask("KEYS", f"{prefix}*")):
        name = key.removeprefix(prefix)
        if name in ("default", "failed") or name.startswith(("lane:", "gather:")):
            texts += ask("LRANGE", key, "0", "-1")
        elif name == "active":
            texts += ask("HVALS", key)
        elif name == "delayed":
            texts += ask("ZRANGE", key, "0", "-1")
    return events_in(texts)


def in_sqlite(path: Path, book: LeaseBook) -> tuple[list[str], list[str]]:
    """Return what the file holds, and what the driver thinks."""
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT text, died FROM queue_jobs").fetchall()
        packs = db.execute("SELECT endpoint, app, -more, marks, text FROM queue_packs").fetchall()
    db.close()
    texts = [text for text, _ in rows] + [event.event for pack in packs for event in unpack(*pack)]
    return events_in(texts), in_book(book, [text for text, died in rows if died is not None])


def in_book(book: LeaseBook, dead: list[bytes]) -> list[str]:
    """Return what a driver's book and its dead jobs hold."""
    entries = [entry for lane in book.lanes for entry in (*lane.ready, *lane.fresh)]
    entries += [lease.entry for lease in book.active.values()]
    entries += [entry for _, _, entry in book.delayed]
    texts = [jobs.encode_event(entry) if isinstance(entry, Append) else entry.text for entry in entries]
    return events_in(texts + dead)
