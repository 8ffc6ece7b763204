"""The history in a SQLite file of its own, beside that of the queue: why so, docs/decisions (history).

What is counted (rows of an endpoint, payload bytes of an app, statistics) is in memory, too, and written in the
transaction that changes it.
"""

import sqlite3
from collections.abc import Collection, Container, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from sockudo_py.links.sqlite import SchemaPart, SqliteFile
from sockudo_py.stores.history.base import Batch, Bounds, Link, Scope
from sockudo_py.stores.history.figures import Figures
from sockudo_py.stores.history.packs import Kept, unpack, wanted

VERSION = 1
_CHUNK = 1000  # packs that one piece of work deletes at most
_MOST_IDS = 500  # words of a statement
_FREE_PAGES = 500  # that are left for new rows; more go back to the file system

_TABLES = (
    "CREATE TABLE IF NOT EXISTS history_apps (id INTEGER PRIMARY KEY, app TEXT NOT NULL UNIQUE,"
    " bytes INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS history_endpoints (id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL UNIQUE,"
    " app INTEGER NOT NULL, rows INTEGER NOT NULL DEFAULT 0, figures BLOB)",
    "CREATE TABLE IF NOT EXISTS history_packs (place INTEGER PRIMARY KEY, endpoint INTEGER NOT NULL,"
    " app INTEGER NOT NULL, count INTEGER NOT NULL, newest_ms INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " deliveries TEXT NOT NULL, rows BLOB NOT NULL, payloads BLOB)",
    "CREATE INDEX IF NOT EXISTS history_of_endpoint ON history_packs (endpoint, place)",
    "CREATE INDEX IF NOT EXISTS history_of_app ON history_packs (app, place)",
    "CREATE TABLE IF NOT EXISTS history_links (delivery TEXT PRIMARY KEY, retry_of TEXT NOT NULL,"
    " endpoint TEXT NOT NULL, app TEXT NOT NULL, time_ms INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS history_link_times ON history_links (time_ms)",
    # The highest place ever, and the last batch: places are not used twice, when the newest rows are gone.
    "CREATE TABLE IF NOT EXISTS history_last (one INTEGER PRIMARY KEY, place INTEGER NOT NULL, batch TEXT NOT NULL)",
)
_INSERT = (
    "INSERT INTO history_packs (place, endpoint, app, count, newest_ms, bytes, deliveries, rows, payloads)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SELECT = "SELECT place, endpoint, count, rows, typeof(payloads) FROM history_packs"


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Make the tables. ``version``: of the file; 0: there are none."""
    for statement in _TABLES:
        db.execute(statement)


class _App:
    __slots__ = ("app_id", "bare", "bytes", "id")

    def __init__(self, ident: int, app_id: str, held: int) -> None:
        self.id = ident
        self.app_id = app_id
        self.bytes = held
        self.bare = 0  # no pack with a lower place than this has payloads


class _Lane:
    __slots__ = ("app", "endpoint", "figures", "id", "rows")

    def __init__(self, ident: int, endpoint: str, app: _App, rows: int, figures: Figures | None) -> None:
        self.id = ident
        self.endpoint = endpoint
        self.app = app
        self.rows = rows
        self.figures = figures


class _Books:
    """The counts in the file. Only the file's thread uses it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.apps: dict[str, _App] = {}
        self.lanes: dict[str, _Lane] = {}
        apps: dict[int, _App] = {}
        self.lanes_by_id: dict[int, _Lane] = {}
        for ident, app_id, held in db.execute("SELECT id, app, bytes FROM history_apps"):
            self.apps[app_id] = apps[ident] = _App(ident, app_id, held)
        for ident, endpoint, app, rows, text in db.execute(
            "SELECT id, endpoint, app, rows, figures FROM history_endpoints"
        ):
            figures = Figures.load(orjson.loads(text)) if text is not None else None
            lane = _Lane(ident, endpoint, apps[app], rows, figures)
            self.lanes[endpoint] = self.lanes_by_id[ident] = lane
        last = db.execute("SELECT place, batch FROM history_last").fetchone()
        self.place: int = last[0] if last is not None else 0
        self.batch: str = last[1] if last is not None else ""

    def lane(self, db: sqlite3.Connection, endpoint: str, app_id: str) -> _Lane:
        lane = self.lanes.get(endpoint)
        if lane is not None:
            return lane
        app = self.apps.get(app_id)
        if app is None:
            made = db.execute("INSERT INTO history_apps (app) VALUES (?)", (app_id,)).lastrowid
            app = self.apps[app_id] = _App(made or 0, app_id, 0)
        made = db.execute("INSERT INTO history_endpoints (endpoint, app) VALUES (?, ?)", (endpoint, app.id)).lastrowid
        lane = self.lanes[endpoint] = _Lane(made or 0, endpoint, app, 0, None)
        self.lanes_by_id[lane.id] = lane
        return lane


class SqliteHistory:
    """``History`` in a SQLite file.

    Args:
        path: The file; it and its folder are made when missing.
        sync: Wait for the disk (fsync) at each write; without it a power cut may lose the last moments.
        bounds: How much is kept.
        key: The configuration key that names the file, for messages.
    """

    def __init__(self, path: Path, bounds: Bounds, *, sync: bool = False, key: str = "queue.sqlite.path") -> None:
        self._file = SqliteFile(path, key=key, sync=sync)
        self._part = SchemaPart("history", VERSION, upgrade, undone=self._undone)
        self._bounds = bounds
        self._books: _Books | None = None
        self._opened = False

    async def open(self) -> None:  # noqa: D102
        await self._file.open(self._part)
        self._opened = True

    async def close(self) -> None:  # noqa: D102
        if self._opened:
            await self._file.close(self._part)

    async def write(self, batch: Batch) -> None:  # noqa: D102
        await self._file.run(lambda db: self._write(db, batch))

    async def page(self, scope: Scope, before: int | None, limit: int) -> list[Kept]:  # noqa: D102
        return await self._file.run(lambda db: self._page(db, scope, before, limit))

    async def delivery(self, delivery: str, scope: Scope) -> list[Kept]:  # noqa: D102
        return await self._file.run(lambda db: self._delivery(db, delivery, scope))

    async def payloads(self, rows: Sequence[Kept]) -> list[bytes | None]:  # noqa: D102
        return await self._file.run(lambda db: [_payload(db, kept) for kept in rows])

    async def link(self, links: Sequence[Link]) -> None:  # noqa: D102
        values = [(one.delivery, one.retry_of, one.endpoint, one.app_id, one.time_ms) for one in links]
        put = "INSERT OR REPLACE INTO history_links (delivery, retry_of, endpoint, app, time_ms) VALUES (?, ?, ?, ?, ?)"
        await self._file.run(lambda db: db.executemany(put, values) and None)

    async def links(self, deliveries: Sequence[str]) -> dict[str, Link]:  # noqa: D102
        found: list[Any] = []
        for some in _portions(deliveries):
            marks = ",".join("?" * len(some))
            query = f"SELECT delivery, retry_of, endpoint, app, time_ms FROM history_links WHERE delivery IN ({marks})"  # noqa: S608
            found += await self._file.run(partial(_rows, query=query, words=some))
        return {row[0]: Link(*row) for row in found}

    async def figures(self, endpoints: Sequence[str]) -> dict[str, Figures]:  # noqa: D102
        return await self._file.run(lambda db: self._figures(db, endpoints))

    async def forget(self, endpoint: str) -> None:  # noqa: D102
        await self._file.run(lambda db: self._forget(db, endpoint))

    async def prune(self, now_ms: int) -> bool:  # noqa: D102
        return await self._file.run(lambda db: self._prune(db, now_ms))

    # -- in the file's thread

    def _undone(self) -> None:
        self._books = None  # read again: a transaction was rolled back

    def _now(self, db: sqlite3.Connection) -> _Books:
        if self._books is None:
            self._books = _Books(db)
        return self._books

    def _write(self, db: sqlite3.Connection, batch: Batch) -> None:
        books = self._now(db)
        if batch.id == books.batch:
            return
        touched: dict[str, _Lane] = {}
        values = []
        for pack in batch.packs:
            lane = touched.get(pack.endpoint)
            if lane is None:
                lane = touched[pack.endpoint] = books.lane(db, pack.endpoint, pack.app_id)
            size = len(pack.payloads)
            values.append((books.place + 1, lane.id, lane.app.id, pack.number, pack.newest_ms, size, *pack[4:]))
            books.place += pack.number
            lane.rows += pack.number
            lane.app.bytes += size
        db.executemany(_INSERT, values)
        for endpoint, tally in batch.tallies.items():
            lane = touched[endpoint] = books.lane(db, endpoint, tally.app_id)
            if lane.figures is None:
                lane.figures = Figures()
            lane.figures.add(tally)
        slack = self._bounds.attempts + self._bounds.attempts // 10
        for lane in touched.values():
            if lane.rows > slack:
                self._trim(db, lane, _CHUNK)
        for app in {id(lane.app): lane.app for lane in touched.values()}.values():
            self._lighten(db, app)
        books.batch = batch.id
        _keep(db, books, touched.values(), (lane.app for lane in touched.values()), batch.tallies.keys())

    def _trim(self, db: sqlite3.Connection, lane: _Lane, most: int) -> int:
        """Delete the oldest packs of an endpoint that has too many rows. Returns how many packs."""
        oldest = "SELECT place, count, bytes FROM history_packs WHERE endpoint = ? ORDER BY place LIMIT ?"
        gone = 0
        for place, count, size in db.execute(oldest, (lane.id, most)).fetchall():
            if lane.rows <= self._bounds.attempts:
                break
            lane.rows -= count
            lane.app.bytes -= size
            last, gone = place, gone + 1
        if gone:
            db.execute("DELETE FROM history_packs WHERE endpoint = ? AND place <= ?", (lane.id, last))
        return gone

    def _lighten(self, db: sqlite3.Connection, app: _App) -> bool:
        """Delete the oldest payloads of an app that has too many bytes; return whether it still has."""
        if app.bytes <= self._bounds.bytes:
            return False
        found = db.execute(
            "SELECT place, bytes FROM history_packs WHERE app = ? AND place >= ? AND bytes > 0 ORDER BY place LIMIT ?",
            (app.id, app.bare, _CHUNK),
        ).fetchall()
        gone = []
        for place, size in found:
            if app.bytes <= self._bounds.bytes:
                break
            gone.append((place,))
            app.bytes -= size
            app.bare = place + 1
        db.executemany("UPDATE history_packs SET payloads = NULL, bytes = 0 WHERE place = ?", gone)
        return app.bytes > self._bounds.bytes

    def _page(self, db: sqlite3.Connection, scope: Scope, before: int | None, limit: int) -> list[Kept]:
        where = self._where(db, scope)
        if where is None:
            return []
        condition, words = where
        found: list[Kept] = []
        place = before
        while len(found) < limit:
            chosen, given = condition, words
            if place is not None:
                chosen, given = f"{condition} AND place < ?", (*words, place)
            packs = db.execute(f"{_SELECT} WHERE {chosen} ORDER BY place DESC LIMIT ?", (*given, _together(limit)))
            some = packs.fetchall()
            for pack in some:
                found += (kept for kept in reversed(self._rows(db, pack)) if before is None or kept.place < before)
            if len(some) < _together(limit):
                break
            place = some[-1][0]
        return found[:limit]

    def _delivery(self, db: sqlite3.Connection, delivery: str, scope: Scope) -> list[Kept]:
        where = self._where(db, scope)
        if where is None:
            return []
        condition, words = where
        query = f"{_SELECT} WHERE {condition} AND instr(deliveries, ?) > 0 ORDER BY place"
        packs = db.execute(query, (*words, wanted(delivery))).fetchall()
        return [kept for pack in packs for kept in self._rows(db, pack) if kept.delivery == delivery]

    def _where(self, db: sqlite3.Connection, scope: Scope) -> tuple[str, tuple[int, ...]] | None:
        """Return a condition for the packs of a scope, and its words; None: there are none."""
        books = self._now(db)
        if scope.endpoint is not None:
            lane = books.lanes.get(scope.endpoint)
            return None if lane is None else ("endpoint = ?", (lane.id,))
        if scope.app_id is not None:
            app = books.apps.get(scope.app_id)
            return None if app is None else ("app = ?", (app.id,))
        return "true", ()

    def _rows(self, db: sqlite3.Connection, pack: tuple[int, int, int, bytes, str]) -> list[Kept]:
        place, lane, _, rows, kind = pack
        of = self._now(db).lanes_by_id[lane]
        return unpack(place, of.endpoint, of.app.app_id, rows, there=kind != "null")

    def _figures(self, db: sqlite3.Connection, endpoints: Sequence[str]) -> dict[str, Figures]:
        lanes = self._now(db).lanes
        found = {}
        for endpoint in endpoints:
            lane = lanes.get(endpoint)
            if lane is not None and lane.figures is not None:
                found[endpoint] = lane.figures.copy()  # the original goes on growing in this thread
        return found

    def _forget(self, db: sqlite3.Connection, endpoint: str) -> None:
        lane = self._now(db).lanes.get(endpoint)
        if lane is not None:
            lane.figures = None
            db.execute("UPDATE history_endpoints SET figures = NULL WHERE id = ?", (lane.id,))
            self._drop_empty(db, lane)

    def _drop_empty(self, db: sqlite3.Connection, lane: _Lane) -> None:
        """Forget an endpoint that has no rows."""
        books = self._now(db)
        if lane.rows <= 0 and lane.figures is None:
            db.execute("DELETE FROM history_endpoints WHERE id = ?", (lane.id,))
            del books.lanes[lane.endpoint], books.lanes_by_id[lane.id]

    def _prune(self, db: sqlite3.Connection, now_ms: int) -> bool:
        books, old = self._now(db), now_ms - self._bounds.ttl_ms
        left, touched = _CHUNK, dict[str, _Lane]()
        gone = []
        # Places are in the order of the times, as far as the clock goes forward.
        oldest = "SELECT place, endpoint, count, bytes, newest_ms FROM history_packs ORDER BY place LIMIT ?"
        for place, endpoint, count, size, newest_ms in db.execute(oldest, (left,)):
            if newest_ms >= old:
                break
            lane = touched.setdefault(books.lanes_by_id[endpoint].endpoint, books.lanes_by_id[endpoint])
            lane.rows -= count
            lane.app.bytes -= size
            gone.append((place,))
        db.executemany("DELETE FROM history_packs WHERE place = ?", gone)
        left -= len(gone)
        for lane in list(books.lanes.values()):
            if lane.rows > self._bounds.attempts and left > 0:
                left -= self._trim(db, lane, left)
                touched[lane.endpoint] = lane
        heavy = {app.app_id: self._lighten(db, app) for app in books.apps.values() if app.bytes > self._bounds.bytes}
        links = db.execute(
            "DELETE FROM history_links WHERE delivery IN"
            " (SELECT delivery FROM history_links WHERE time_ms < ? ORDER BY time_ms LIMIT ?)",
            (old, _CHUNK),
        ).rowcount
        apps = (*(lane.app for lane in touched.values()), *(books.apps[app_id] for app_id in heavy))
        _keep(db, books, touched.values(), apps, ())
        for lane in touched.values():
            self._drop_empty(db, lane)
        more = left <= 0 or any(heavy.values()) or links >= _CHUNK
        if not more:
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
            if free > _FREE_PAGES:
                db.execute(f"PRAGMA incremental_vacuum({min(free - _FREE_PAGES, _FREE_PAGES)})").fetchall()
        return more


def _together(limit: int) -> int:
    """Return how many packs are read at once for a page."""
    return min(limit, 50)


def _payload(db: sqlite3.Connection, kept: Kept) -> bytes | None:
    if not kept.held:
        return None
    part = "SELECT substr(payloads, ?, ?) FROM history_packs WHERE place = ?"
    found = db.execute(part, (kept.start + 1, kept.held, kept.pack)).fetchone()
    return found[0] if found is not None else None


def _rows(db: sqlite3.Connection, query: str, words: Sequence[str]) -> list[Any]:
    return db.execute(query, words).fetchall()


def _keep(
    db: sqlite3.Connection,
    books: _Books,
    lanes: Collection[_Lane],
    apps: Iterable[_App],
    counted: Container[str],
) -> None:
    """Write what is counted. ``counted``: the endpoints whose figures have changed."""
    db.executemany("UPDATE history_endpoints SET rows = ? WHERE id = ?", [(lane.rows, lane.id) for lane in lanes])
    db.executemany(
        "UPDATE history_endpoints SET figures = ? WHERE id = ?",
        [
            (orjson.dumps(lane.figures.dump()), lane.id)
            for lane in lanes
            if lane.endpoint in counted and lane.figures is not None
        ],
    )
    held = {app.id: app.bytes for app in apps}
    db.executemany("UPDATE history_apps SET bytes = ? WHERE id = ?", [(size, ident) for ident, size in held.items()])
    db.execute("INSERT OR REPLACE INTO history_last VALUES (1, ?, ?)", (books.place, books.batch))


def _portions(words: Sequence[str]) -> Iterable[Sequence[str]]:
    return (words[start : start + _MOST_IDS] for start in range(0, len(words), _MOST_IDS))
