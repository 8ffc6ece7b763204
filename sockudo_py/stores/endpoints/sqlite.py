"""The endpoint store in a SQLite file, that of the queue. One process uses a file at a time."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sockudo_py.errors import SockudoError
from sockudo_py.links.sqlite import SchemaPart, SqliteFile
from sockudo_py.stores.endpoints.base import (
    MOST_AUDITED,
    MOST_ROWS,
    Audited,
    AuditLine,
    Conflict,
    Contents,
    Row,
    StoreFull,
    Write,
    check,
)

_VERSION = 1
_TABLES = (
    "CREATE TABLE IF NOT EXISTS endpoint_rows (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, text BLOB NOT NULL)"
    " WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS endpoint_counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS endpoint_audit (number INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT NOT NULL,"
    " text BLOB NOT NULL)",
)
_COUNT = (
    "INSERT INTO endpoint_counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
)


def _upgrade(db: sqlite3.Connection, version: int) -> None:
    for statement in _TABLES:
        db.execute(statement)


class SqliteEndpoints:
    """``EndpointStore`` in a SQLite file.

    Args:
        file: Where to; other owners may use it, too.
    """

    shared = False

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._part = SchemaPart("endpoints", _VERSION, _upgrade)

    async def open(self) -> None:  # noqa: D102
        await self._file.open(self._part)

    async def close(self) -> None:  # noqa: D102
        await self._file.close(self._part)

    async def version(self) -> int:  # noqa: D102
        return await self._file.run(_version)

    async def load(self) -> Contents:  # noqa: D102
        def work(db: sqlite3.Connection) -> Contents:
            rows = db.execute("SELECT key, revision, text FROM endpoint_rows").fetchall()
            return Contents(_version(db), {key: Row(revision, bytes(text)) for key, revision, text in rows})

        return await self._file.run(work)

    async def write(self, writes: Sequence[Write], audit: AuditLine | None = None) -> int:  # noqa: D102
        check(writes)

        def work(db: sqlite3.Connection) -> int | _Problem:
            problem = _problem(db, writes)  # looked for before anything is written: others share the transaction
            if problem is not None:
                return problem
            version = _count(db, "version") if writes else _version(db)
            for write in writes:
                if write.text is None:
                    db.execute("DELETE FROM endpoint_rows WHERE key = ?", (write.key,))
                else:
                    db.execute(
                        "INSERT OR REPLACE INTO endpoint_rows VALUES (?, ?, ?)", (write.key, version, write.text)
                    )
            if audit is not None:
                _audit(db, audit)
            return version

        answer = await self._file.run(work)
        if isinstance(answer, (Conflict, StoreFull)):
            raise answer
        return answer

    async def allot(self) -> int:  # noqa: D102
        return await self._file.run(lambda db: _count(db, "number"))

    async def audit(self, limit: int, before: int | None = None, apps: frozenset[str] | None = None) -> list[Audited]:  # noqa: D102
        where: list[str] = []
        words: list[int | str] = []
        if before is not None:
            where.append("number < ?")
            words.append(before)
        if apps is not None:
            where.append(f"app IN ({','.join('?' * len(apps))})")
            words += sorted(apps)
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        query = f"SELECT number, app, text FROM endpoint_audit{condition} ORDER BY number DESC LIMIT ?"  # noqa: S608 - of our own words

        def work(db: sqlite3.Connection) -> list[Audited]:
            rows = db.execute(query, (*words, limit)).fetchall()
            return [Audited(number, AuditLine(app, bytes(text))) for number, app, text in rows]

        return await self._file.run(work)


_Problem = Conflict | StoreFull


def _problem(db: sqlite3.Connection, writes: Sequence[Write]) -> _Problem | None:
    grows = 0
    for write in writes:
        found = db.execute("SELECT revision FROM endpoint_rows WHERE key = ?", (write.key,)).fetchone()
        if (found[0] if found else 0) != write.seen:
            return Conflict(f"{write.key} has changed meanwhile")
        grows += (write.text is not None) - (write.seen > 0)
    if grows > 0:
        (rows,) = db.execute("SELECT count(*) FROM endpoint_rows").fetchone()
        if rows + grows > MOST_ROWS:
            return StoreFull(f"the store has {MOST_ROWS} rows already")
    return None


def _audit(db: sqlite3.Connection, line: AuditLine) -> None:
    number = db.execute("INSERT INTO endpoint_audit (app, text) VALUES (?, ?)", (line.app_id, line.text)).lastrowid
    db.execute("DELETE FROM endpoint_audit WHERE number <= ?", ((number or 0) - MOST_AUDITED,))


def _count(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(_COUNT, (name,)).fetchone()[0])


def _version(db: sqlite3.Connection) -> int:
    found = db.execute("SELECT value FROM endpoint_counters WHERE name = 'version'").fetchone()
    return int(found[0]) if found else 0


def look(path: Path) -> dict[str, Row]:
    """Return the rows in a file, which is opened for reading only: a server may have it. None when it has no store.

    Raises SockudoError when the file can't be read.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5.0)) as db:
            there = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'endpoint_rows'").fetchone()
            rows = db.execute("SELECT key, revision, text FROM endpoint_rows").fetchall() if there else []
    except sqlite3.Error as problem:
        raise SockudoError(f"queue.sqlite.path: {path} can't be read: {problem}") from problem
    return {key: Row(revision, bytes(text)) for key, revision, text in rows}
