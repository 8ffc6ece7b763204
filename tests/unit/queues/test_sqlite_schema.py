"""A file of the first version opens, and has all that it had; one of a later version is refused, here and there."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from sockudo_py.errors import SockudoError
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.jobs import JobError
from sockudo_py.queues.sqlite import schema as sqlite_schema
from sockudo_py.queues.sqlite.queue import SqliteQueue
from sockudo_py.queues.sqlite.view import SqliteView

NOW = 1_800_000_000
BATCHES = LanePolicy(window=0.0, size=1000, slow_start=False)
VERSION_1 = """
PRAGMA auto_vacuum=INCREMENTAL;
PRAGMA journal_mode=WAL;
CREATE TABLE queue_jobs (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    state INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    solo INTEGER NOT NULL DEFAULT 0,
    claimed INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL DEFAULT 0,
    gated INTEGER NOT NULL DEFAULT 0,
    died INTEGER,
    text BLOB NOT NULL
);
CREATE INDEX queue_dead ON queue_jobs (died) WHERE died IS NOT NULL;
CREATE TABLE queue_seen (id TEXT PRIMARY KEY, ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX queue_seen_ms ON queue_seen (ms);
CREATE TABLE queue_paused (endpoint TEXT PRIMARY KEY) WITHOUT ROWID;
PRAGMA user_version=1;
"""
FRESH, WHOLE, DEAD = 0, 1, 2


class OldFile:
    """A file as the first version wrote it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(sqlite3.connect(path)) as db:
            db.executescript(VERSION_1)

    def fresh(self, number: int, endpoint: str = "wh_a", *, solo: bool = False, text: bytes | None = None) -> None:
        text = text or jobs.encode_event(event(number, endpoint))
        self._insert("state, endpoint, solo, text", FRESH, endpoint, solo, text)

    def whole(self, number: int, *, claimed: int = 0, crashes: int = 0, due: int = 0) -> None:
        text = jobs.encode_event(event(number))
        self._insert("state, endpoint, claimed, crashes, due, text", WHOLE, "wh_a", claimed, crashes, due, text)

    def dead(self, number: int, died: int) -> None:
        text = jobs.bury(jobs.encode_event(event(number)), 1, JobError("http_5xx"))
        self._insert("state, endpoint, died, text", DEAD, "wh_a", died, text)

    def seen(self, ident: str, ms: int) -> None:
        self._do("INSERT INTO queue_seen VALUES (?, ?)", ident, ms)

    def paused(self, endpoint: str) -> None:
        self._do("INSERT INTO queue_paused VALUES (?)", endpoint)

    def _insert(self, columns: str, *values: object) -> None:
        self._do(f"INSERT INTO queue_jobs ({columns}) VALUES ({','.join('?' * len(values))})", *values)  # noqa: S608

    def _do(self, sql: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path)) as db:
            db.execute(sql, values)
            db.commit()


def event(number: int, endpoint: str = "wh_a") -> Append:
    return Append(f"e{number}", endpoint, "app", b'{"n":%d}' % number, 1700 + number)


@asynccontextmanager
async def opened(path: Path, **options: object) -> AsyncIterator[SqliteQueue]:
    queue = SqliteQueue(path, clock=lambda: NOW, default_policy=BATCHES, **options)  # type: ignore[arg-type]
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


@pytest.fixture
def old(tmp_path: Path) -> OldFile:
    return OldFile(tmp_path / "queue.sqlite3")


async def numbers(queue: SqliteQueue) -> list[list[int]]:
    """Claim all there is; return the numbers of the events of each job."""
    return [[one["n"] for one in jobs.decode(got.job).events()] for got in await queue.claim("w", 1000, 30)]


async def test_events_that_gathered_gather_on_in_their_order(old: OldFile) -> None:
    for number in range(250):
        old.fresh(number)
    async with opened(old.path) as queue:
        assert (await queue.depths()).waiting == 250
        await queue.append([event(250)])
        (got,) = await queue.claim("w", 1000, 30)
    job = jobs.decode(got.job)
    assert (job.id, job.app_id, job.created_ms) == ("e0", "app", 1700)
    assert [one["n"] for one in job.events()] == list(range(251))


async def test_lanes_and_solo_events_stay_apart(old: OldFile) -> None:
    old.fresh(1)
    old.fresh(2, "wh_b")
    old.fresh(3, solo=True)
    old.fresh(4)
    async with opened(old.path) as queue:
        assert sorted(await numbers(queue)) == [[1], [2], [3], [4]]


async def test_an_event_whose_text_is_none_of_a_job_is_handed_out_as_it_was(old: OldFile) -> None:
    old.fresh(1, text=b"no job")
    old.fresh(2)
    async with opened(old.path) as queue:
        claims = await queue.claim("w", 1000, 30)
    assert [got.job for got in claims] == [b"no job", jobs.encode_event(event(2))]


async def test_jobs_keep_what_they_have_been_through(old: OldFile) -> None:
    old.whole(1, claimed=1, crashes=4)
    old.whole(2, due=(NOW + 60) * 1000)
    old.whole(3)
    async with opened(old.path, max_crash_redeliveries=4) as queue:
        depths = await queue.depths()
        assert (depths.waiting, depths.delayed, depths.failed) == (1, 1, 1)
        assert await numbers(queue) == [[3]]


async def test_a_retry_of_a_clock_that_was_ahead_waits_no_longer_than_any_may(old: OldFile) -> None:
    now = NOW
    old.whole(1, due=(NOW + 10 * 86_400) * 1000)
    queue = SqliteQueue(old.path, clock=lambda: now, default_policy=BATCHES, longest_wait=60)
    await queue.open()
    try:
        now += 59
        assert await queue.claim("w", 10, 30) == []
        now += 1
        assert await numbers(queue) == [[1]]
    finally:
        await queue.close()


async def test_ids_of_a_clock_that_was_ahead_are_forgotten_in_time(old: OldFile) -> None:
    now = NOW
    old.seen("e1", (NOW + 10 * 86_400) * 1000)
    queue = SqliteQueue(old.path, clock=lambda: now, default_policy=BATCHES)
    await queue.open()
    try:
        await queue.append([event(1)])
        assert await numbers(queue) == []
        now += 301
        await queue.append([event(1)])
        assert await numbers(queue) == [[1]]
    finally:
        await queue.close()


async def test_dead_letters_keep_their_order(old: OldFile) -> None:
    old.dead(1, died=2)
    old.dead(2, died=1)
    async with opened(old.path) as queue:
        assert [jobs.decode(text).id for text in await queue.failed()] == ["e1", "e2"]


async def test_ids_that_were_known_are_known_and_forgotten_in_time(old: OldFile) -> None:
    old.seen("e1", NOW * 1000)
    old.seen("e2", (NOW - 301) * 1000)
    async with opened(old.path) as queue:
        await queue.append([event(1), event(2)])
        assert await numbers(queue) == [[2]]


async def test_a_paused_lane_stays_paused(old: OldFile) -> None:
    old.paused("wh_a")
    async with opened(old.path) as queue:
        assert await queue.paused_lanes() == ["wh_a"]


async def test_what_is_new_comes_after_what_was_there_at_the_next_restart_too(old: OldFile) -> None:
    old.fresh(1)
    async with opened(old.path) as queue:
        await queue.append([event(2)])
    async with opened(old.path) as queue:
        assert await numbers(queue) == [[1, 2]]


async def test_an_upgrade_that_fails_leaves_the_file_as_it_was(old: OldFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    old.fresh(1)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_schema, "_ids_of_version_1", full)
        with pytest.raises(SockudoError, match="disk is full"):
            await SqliteQueue(old.path).open()
    async with opened(old.path) as queue:
        assert await numbers(queue) == [[1]]


async def test_a_server_of_the_first_version_refuses_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path / "queue.sqlite3"):
        pass
    with closing(sqlite3.connect(tmp_path / "queue.sqlite3")) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    assert version not in (0, 1)  # what it takes


async def test_who_only_looks_says_that_the_server_has_to_open_an_old_file_first(old: OldFile) -> None:
    with pytest.raises(SockudoError, match=r"is of version 1, .*: start the server on it first"):
        await SqliteView(old.path).depths()
