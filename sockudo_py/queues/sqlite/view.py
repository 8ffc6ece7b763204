"""Reads the file of a SQLite queue while a server uses it: dead letters and figures. Changes nothing."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from sockudo_py.errors import SockudoError
from sockudo_py.queues import jobs
from sockudo_py.queues.base import DeadLetters, Depths, LaneDepth
from sockudo_py.queues.sqlite.dead import look
from sockudo_py.queues.sqlite.packs import unpack
from sockudo_py.queues.sqlite.schema import VERSION
from sockudo_py.queues.sqlite.statements import dead_page

T = TypeVar("T")
_LOOKING = "the file of the queue is open for reading only"
_WAITS, _RUNS, _LATER = (
    "died IS NULL AND claimed = 0 AND due <= :now",
    "died IS NULL AND claimed > 0",
    "died IS NULL AND claimed = 0 AND due > :now",
)


class SqliteView:
    """``failed`` and ``depths`` of a queue, read from its file. Windows and gates of lanes are not in the file."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock

    async def failed(self, offset: int = 0, limit: int = 50) -> list[bytes]:
        """Return dead jobs, newest first. Raises SockudoError when the file can't be read."""

        return await self._read(lambda db: dead_page(db, offset, max(0, limit)))

    async def find_dead(self, which: DeadLetters, offset: int = 0, limit: int = 50) -> list[bytes]:
        """Return dead jobs that are meant, newest first. Raises SockudoError when the file can't be read."""

        def work(db: sqlite3.Connection) -> list[bytes]:
            found: list[bytes] = []
            place: int | None = 0
            while place is not None and len(found) < offset + limit:
                some, place = look(db, which, place, newest_first=True)
                found += [text for _, _, text in some]
            return found[offset : offset + limit]

        return await self._read(work)

    async def redrive_dead(self, which: DeadLetters, limit: int = 1000) -> int:
        """Raise SockudoError: this is for looking."""
        raise SockudoError(_LOOKING)

    async def purge_dead(self, which: DeadLetters) -> int:
        """Raise SockudoError: this is for looking."""
        raise SockudoError(_LOOKING)

    async def depths(self, lanes: int = 20) -> Depths:
        """Return figures, with the ``lanes`` deepest lanes. Raises SockudoError when the file can't be read."""
        now = int(self._clock() * 1000)

        def work(db: sqlite3.Connection) -> Depths:
            def count(where: str) -> int:
                number: int = db.execute(f"SELECT count(*) FROM queue_jobs WHERE {where}", {"now": now}).fetchone()[0]  # noqa: S608
                return number

            (gathering,) = db.execute("SELECT coalesce(-sum(more), 0) FROM queue_packs").fetchone()
            first = db.execute(f"SELECT text FROM queue_jobs WHERE {_WAITS} ORDER BY row LIMIT 1", {"now": now})  # noqa: S608
            oldest = [jobs.created_ms(text) for (text,) in first]
            for pack in db.execute("SELECT endpoint, app, -more, marks, text FROM queue_packs ORDER BY row LIMIT 1"):
                oldest.append(unpack(*pack)[0].created_ms)
            deepest = db.execute(
                "SELECT endpoint, sum(waits) AS waiting, sum(runs) AS running FROM"  # noqa: S608
                f" (SELECT endpoint, {_WAITS} AS waits, {_RUNS} AS runs FROM queue_jobs"
                " UNION ALL SELECT endpoint, -more, 0 FROM queue_packs)"
                " GROUP BY endpoint HAVING waiting OR running ORDER BY waiting DESC, endpoint LIMIT :lanes",
                {"now": now, "lanes": lanes},
            )
            return Depths(
                gathering + count(_WAITS),
                count(_RUNS),
                count(_LATER),
                count("died IS NOT NULL"),
                max(0, now - min(oldest, default=now)),
                tuple(LaneDepth(endpoint, waiting, running) for endpoint, waiting, running in deepest),
            )

        return await self._read(work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            try:
                uri = f"file:{quote(str(self._path))}?mode=ro"
                with closing(sqlite3.connect(uri, uri=True, timeout=5.0)) as db:
                    (version,) = db.execute("PRAGMA user_version").fetchone()
                    if version != VERSION:
                        raise SockudoError(
                            f"queue.sqlite.path: {self._path} is of version {version}, this program reads {VERSION}: "
                            + ("start the server on it first" if version < VERSION else "use the one of the server")
                        )
                    return work(db)
            except sqlite3.Error as error:
                raise SockudoError(f"queue.sqlite.path: {self._path} can't be read: {error}") from error

        return await asyncio.to_thread(run)
