"""The file of the SQLite queue stays as small as what it holds, and counting dead jobs costs nothing."""

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from sockudo_py.errors import Unavailable
from sockudo_py.queues import jobs
from sockudo_py.queues.base import ALL_DEAD, Append, LanePolicy
from sockudo_py.queues.sqlite import statements
from sockudo_py.queues.sqlite.dead import DeadJobs
from sockudo_py.queues.sqlite.queue import SqliteQueue
from sockudo_py.queues.sqlite.store import SqliteStore

AT_ONCE = LanePolicy(window=0.0, size=100, slow_start=False, max_in_flight=1000)
ERROR = jobs.JobError("http_5xx")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Site:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.queue = SqliteQueue(
            path, clock=self.clock, default_policy=AT_ONCE, failed_max_len=5, max_queue_len=1_000_000
        )

    async def look(self, sql: str) -> int:
        number: int = await self.queue._file.run(lambda db: db.execute(sql).fetchone()[0])
        return number

    async def plan(self, sql: str) -> list[str]:
        def work(db: sqlite3.Connection) -> list[str]:
            return [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]

        return await self.queue._file.run(work)

    async def append(self, first: int, count: int, size: int = 0) -> None:
        event = b'{"data":"%b"}' % (b"x" * size)
        await self.queue.append([Append(f"e{at}", "wh_a", "app", event, 1) for at in range(first, first + count)])

    async def fail_one(self, number: int) -> None:
        await self.append(number, 1)
        (held,) = await self.queue.claim("w", 1, 30)
        await self.queue.fail(held.token, jobs.bury(held.job, 1, ERROR))

    async def dead(self) -> list[str]:
        return [jobs.decode(text).id for text in await self.queue.failed()]


def dead_jobs(site: Site) -> DeadJobs:
    assert isinstance(site.queue._store, SqliteStore)
    return site.queue._store.dead_jobs


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path / "queue.sqlite3")
    await made.queue.open()
    yield made
    await made.queue.close()


async def test_after_a_large_backlog_the_file_shrinks_a_little_at_a_time(site: Site) -> None:
    for start in range(0, 12_000, 1000):
        await site.append(start, 1000, size=1000)
    while claims := await site.queue.claim("w", 200, 30):
        for held in claims:
            await site.queue.ack(held.token)
    before = await site.look("PRAGMA page_count")
    assert before > 3000
    site.clock.now += 301
    sizes = [before]
    for _ in range(100):
        site.clock.now += 10
        await site.queue.claim("w", 1, 30)
        sizes.append(await site.look("PRAGMA page_count"))
    assert sizes[-1] < 1300
    assert max(earlier - later for earlier, later in itertools.pairwise(sizes)) <= statements._GIVE_BACK + 50
    assert await site.look("SELECT count(*) FROM queue_seen") == 0
    await site.queue.close()
    assert site.path.stat().st_size < 1300 * 4096


async def test_what_an_app_holds_is_known_after_a_restart(site: Site) -> None:
    await site.append(0, 30)
    await site.queue.close()
    again = Site(site.path)
    await again.queue.open()
    try:
        assert again.queue._book.lanes.owned("wh_other", "app").app.held == 30
    finally:
        await again.queue.close()


async def test_a_file_that_can_not_shrink_is_not_tidied_all_the_time(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "queue.sqlite3")  # as made before files could shrink
    old.execute("CREATE TABLE used (text)")
    old.executemany("INSERT INTO used VALUES (?)", [("x" * 4000,)] * 3000)
    old.execute("DELETE FROM used")
    old.commit()
    old.close()
    site = Site(tmp_path / "queue.sqlite3")
    await site.queue.open()
    try:
        assert await site.look("PRAGMA freelist_count") > 2 * statements._KEEP
        assert not await site.queue._file.run(statements.tidy)
    finally:
        await site.queue.close()


async def test_ids_that_are_forgotten_never_pile_up_while_events_come(site: Site) -> None:
    for start in range(0, 5000, 100):
        await site.append(start, 100)
        site.clock.now += 30
    assert await site.look("SELECT count(*) FROM queue_seen") <= 11  # five minutes of a call in 30 seconds, and a call


async def test_the_oldest_dead_jobs_go_when_there_are_too_many(site: Site) -> None:
    for number in range(8):
        await site.fail_one(number)
    assert await site.dead() == ["e7", "e6", "e5", "e4", "e3"]
    assert (await site.queue.depths()).failed == 5


async def test_the_count_of_dead_jobs_is_right_after_redrive_purge_and_a_transaction_that_was_undone(
    site: Site,
) -> None:
    def undo(db: sqlite3.Connection) -> None:
        dead_jobs(site).purge(db, ALL_DEAD, 0)
        raise sqlite3.OperationalError("disk I/O error")

    for number in range(5):
        await site.fail_one(number)
    with pytest.raises(Unavailable):
        await site.queue._file.run(undo)
    await site.queue.redrive(limit=2)
    await site.queue.purge("wh_b")
    assert await site.queue._file.run(dead_jobs(site).count) == 3
    assert await site.look("SELECT count(*) FROM queue_jobs WHERE died IS NOT NULL") == 3
    assert await site.queue.purge() == 3
    assert await site.queue._file.run(dead_jobs(site).count) == 0


async def test_a_failure_looks_at_no_other_dead_job(site: Site) -> None:
    for number in range(3):
        await site.fail_one(number)
    seen: list[str] = []
    await site.queue._file.run(lambda db: db.set_trace_callback(seen.append))
    await site.fail_one(3)
    await site.queue._file.run(lambda db: db.set_trace_callback(None))
    assert any(", died," in statement for statement in seen)
    plans: list[str] = []
    for statement in seen:
        if statement.startswith(("INSERT OR REPLACE INTO queue_jobs", "DELETE FROM queue_jobs")):
            plans += await site.plan(statement)
    assert plans
    assert not [plan for plan in plans if plan.startswith("SCAN")]
    assert not [statement for statement in seen if "count(*)" in statement]


@pytest.mark.parametrize("second", ["claim", "drop"])
async def test_what_a_claim_could_not_write_stays_in_the_file_when_another_call_takes_what_comes_after(
    site: Site, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    await site.queue.set_policy("wh_a", replace(AT_ONCE, size=5))
    await site.append(0, 10)
    await site.queue.claim("w", 0, 30)  # tidies, so that the next one only claims
    works = site.queue._file.run

    async def fails_once(work: object) -> object:
        monkeypatch.setattr(site.queue._file, "run", works)
        await asyncio.sleep(0.01)
        raise Unavailable("the disk is full")

    monkeypatch.setattr(site.queue._file, "run", fails_once)
    failing = asyncio.create_task(site.queue.claim("w", 1, 30))
    await asyncio.sleep(0)
    if second == "claim":
        await site.queue.claim("w", 1, 30)
    else:
        await site.queue.drop("wh_a", "endpoint_disabled")
    with pytest.raises(Unavailable):
        await failing
    await site.queue.close()  # as after a kill: what is in memory alone is gone
    again = SqliteQueue(site.path, clock=site.clock, default_policy=AT_ONCE)
    await again.open()
    claims = await again.claim("w", 100, 30)
    texts = [*(claim.job for claim in claims), *await again.failed()]
    assert sum(len(orjson.loads(text)["events"]) for text in texts) == 10
    await again.close()
