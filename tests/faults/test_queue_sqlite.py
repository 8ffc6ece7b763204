"""The SQLite queue loses its process, its disk, or its place: no event is lost."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, Claim, LanePolicy
from sockudo_py.queues.sqlite.queue import SqliteQueue

NOW = 1_800_000_000.0
AT_ONCE = LanePolicy(window=0.0, size=1, slow_start=False, max_in_flight=1000)

Make = Callable[..., SqliteQueue]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "queue.sqlite3"


@pytest.fixture
async def make(path: Path, clock: Clock) -> AsyncIterator[Make]:
    """Makes queues on one file; not opened."""
    made = []

    def make(**options: object) -> SqliteQueue:
        options = {"default_policy": AT_ONCE, "clock": clock, **options}
        queue = SqliteQueue(path, **options)  # type: ignore[arg-type]
        made.append(queue)
        return queue

    yield make
    for queue in made:
        await queue.close()


async def reopened(make: Make, queue: SqliteQueue, **options: object) -> SqliteQueue:
    """Return what a new process finds when the old one died: nothing is written at its end."""
    await queue.close()
    again = make(**options)
    await again.open()
    return again


def event(number: int, endpoint: str = "wh_a", *, solo: bool = False) -> Append:
    return Append(f"e{number:04}", endpoint, "app", b'{"n":%d}' % number, 1700, solo)


def ids(claims: list[Claim]) -> list[str]:
    return [jobs.decode(got.job).id for got in claims]


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


async def claim(queue: SqliteQueue) -> list[Claim]:
    return await queue.claim("w", 1000, 30)


async def test_what_waits_is_delayed_or_is_dead_is_there_after_a_restart(make: Make, clock: Clock) -> None:
    queue = make()
    await queue.open()
    await queue.append([event(number) for number in range(4)])
    one, other, *_ = await queue.claim("w", 2, 30)
    await queue.retry(one.token, one.job, 60)
    await queue.fail(other.token, jobs.bury(other.job, 1, jobs.JobError("http_5xx")))
    queue = await reopened(make, queue)
    depths = await queue.depths()
    assert (depths.waiting, depths.active, depths.delayed, depths.failed) == (2, 0, 1, 1)
    waiting = await claim(queue)
    assert ids(waiting) == ["e0002", "e0003"]
    assert [await queue.ack(held.token) for held in waiting] == [True, True]
    clock.now += 60
    assert ids(await claim(queue)) == ["e0000"]
    assert await queue.redrive() == 1
    assert ids(await claim(queue)) == ["e0001"]


async def test_a_job_in_flight_comes_back_whole_after_a_restart(make: Make) -> None:
    batches = LanePolicy(window=0.0, size=10, slow_start=False)
    queue = make(default_policy=batches)
    await queue.open()
    await queue.append([event(1), event(2)])
    (held,) = await claim(queue)
    await queue.append([event(3)])
    queue = await reopened(make, queue, default_policy=batches)
    assert [got.job for got in await claim(queue)][0:1] == [held.job]


async def test_an_old_token_is_worth_nothing_after_a_restart(make: Make) -> None:
    queue = make()
    await queue.open()
    await queue.append([event(1)])
    (held,) = await claim(queue)
    queue = await reopened(make, queue)
    assert not await queue.ack(held.token)
    assert len(await claim(queue)) == 1


async def test_a_job_that_takes_the_process_down_each_time_is_poison_in_the_end(make: Make) -> None:
    queue = make(max_crash_redeliveries=2)
    await queue.open()
    await queue.append([event(1)])
    for _ in range(3):
        assert len(await claim(queue)) == 1
        queue = await reopened(make, queue, max_crash_redeliveries=2)
    assert await claim(queue) == []
    error = jobs.decode((await queue.failed())[0]).error
    assert error is not None
    assert error.error_class == "poison"


async def test_a_released_job_is_no_crash_after_a_restart(make: Make) -> None:
    queue = make(max_crash_redeliveries=0)
    await queue.open()
    await queue.append([event(1)])
    await queue.release((await claim(queue))[0].token)
    queue = await reopened(make, queue, max_crash_redeliveries=0)
    assert len(await claim(queue)) == 1


async def test_an_event_that_was_delivered_is_known_after_a_restart(make: Make) -> None:
    queue = make()
    await queue.open()
    await queue.append([event(1)])
    await queue.ack((await claim(queue))[0].token)
    queue = await reopened(make, queue)
    await queue.append([event(1), event(2)])
    assert ids(await claim(queue)) == ["e0002"]


async def test_ids_are_forgotten_in_the_end(make: Make, clock: Clock, path: Path) -> None:
    queue = make()
    await queue.open()
    await queue.append([event(1)])
    clock.now += 301
    await queue.append([event(2)])
    await queue.close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT ids FROM queue_seen").fetchall() == [(b'["e0002"]',)]
    db.close()


async def test_an_ordered_retry_still_holds_back_the_rest_after_a_restart(make: Make, clock: Clock) -> None:
    ordered = LanePolicy(window=0.0, size=1, ordered=True, slow_start=False)
    queue = make(default_policy=ordered)
    await queue.open()
    await queue.append([event(1), event(2)])
    (held,) = await claim(queue)
    await queue.retry(held.token, held.job, 60)
    queue = await reopened(make, queue, default_policy=ordered)
    assert await claim(queue) == []
    clock.now += 60
    assert ids(await claim(queue)) == ["e0001"]


async def test_a_pause_and_solo_marks_survive_a_restart(make: Make) -> None:
    batches = LanePolicy(window=0.0, size=10, slow_start=False)
    queue = make(default_policy=batches)
    await queue.open()
    await queue.append([event(1, solo=True), event(2)])
    await queue.pause("wh_a")
    queue = await reopened(make, queue, default_policy=batches)
    assert await claim(queue) == []
    await queue.resume("wh_a")
    assert ids(await claim(queue)) == ["e0001", "e0002"]


async def test_two_queues_on_one_file_are_refused(make: Make) -> None:
    first, second = make(), make()
    await first.open()
    with pytest.raises(SockudoError, match=r"queue\.sqlite\.path: .* is in use by another process"):
        await second.open()
    await first.close()
    await second.open()


async def test_a_file_that_is_no_database_is_a_clear_error(make: Make, path: Path) -> None:
    put(path, b"this is not a database, but it is long enough to be looked at" * 10)
    with pytest.raises(SockudoError, match=r"queue\.sqlite\.path: .* can't be used: file is not a database"):
        await make().open()


async def test_a_folder_that_can_not_be_made_is_a_clear_error(make: Make, path: Path) -> None:
    put(path.parent, b"a file where a folder should be")
    with pytest.raises(SockudoError, match=r"queue\.sqlite\.path: .*queue\.sqlite3: "):
        await make().open()


async def test_a_file_of_a_newer_version_is_left_alone(make: Make, path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(SockudoError, match=r"is of a newer version \(99\)"):
        await make().open()


async def pragma(queue: SqliteQueue, setting: str) -> None:
    """Change a setting of the queue's own connection, in its thread, outside of any transaction."""
    file = queue._file

    def change() -> None:
        assert file._connection is not None
        file._connection.execute(f"PRAGMA {setting}").fetchone()

    await file._thread.call(change)


async def test_on_a_full_disk_an_append_is_unavailable_and_may_be_repeated(make: Make) -> None:
    queue = make()
    await queue.open()
    big = Append("big", "wh_a", "app", b'{"data":"%b"}' % (b"x" * 100_000), 1)
    await pragma(queue, "max_page_count=1")
    with pytest.raises(Unavailable, match="can't be written: database or disk is full"):
        await queue.append([event(1), big])
    assert (await queue.depths()).waiting == 0
    await pragma(queue, "max_page_count=1000000")
    await queue.append([event(1), big])
    assert len(await claim(queue)) == 2


@asynccontextmanager
async def unwritable(queue: SqliteQueue) -> AsyncIterator[None]:
    """Let the one call within find a file that can't be written, and say so."""
    await pragma(queue, "query_only=1")
    with pytest.raises(Unavailable, match="can't be written"):
        yield
    await pragma(queue, "query_only=0")


Answer = Callable[[SqliteQueue, Claim], Awaitable[object]]
ANSWERS: dict[str, Answer] = {
    "ack": lambda queue, held: queue.ack(held.token),
    "fail": lambda queue, held: queue.fail(held.token, held.job),
    "release": lambda queue, held: queue.release(held.token),
}


@pytest.mark.parametrize("answer", list(ANSWERS))
async def test_when_an_answer_can_not_be_written_the_job_is_claimable_again(make: Make, answer: str) -> None:
    queue = make()
    await queue.open()
    await queue.append([event(1)])
    (held,) = await claim(queue)
    async with unwritable(queue):
        await ANSWERS[answer](queue, held)
    (again,) = await claim(queue)
    assert again.job == held.job
    assert await queue.ack(again.token)
    assert (await queue.depths()).waiting == 0


async def test_when_a_retry_can_not_be_written_the_job_stays_leased_and_the_retry_may_be_repeated(make: Make) -> None:
    queue = make()
    await queue.open()
    await queue.append([event(1)])
    (held,) = await claim(queue)
    async with unwritable(queue):
        await queue.retry(held.token, held.job, 100)
    assert await claim(queue) == []
    assert await queue.retry(held.token, held.job, 100)
    depths = await queue.depths()
    assert (depths.delayed, depths.active) == (1, 0)


async def test_a_claim_that_can_not_be_written_leases_nothing(make: Make) -> None:
    batches = LanePolicy(window=0.0, size=10, slow_start=False)
    queue = make(default_policy=batches)
    await queue.open()
    await queue.append([event(1), event(2)])
    async with unwritable(queue):
        await claim(queue)
    queue = await reopened(make, queue, default_policy=batches)
    (held,) = await claim(queue)
    assert len(jobs.decode(held.job).events()) == 2
    assert await queue.ack(held.token)
    assert await claim(await reopened(make, queue, default_policy=batches)) == []


async def test_a_merge_that_could_not_be_written_is_written_with_the_next_claim(make: Make) -> None:
    batches = LanePolicy(window=0.0, size=10, slow_start=False)
    queue = make(default_policy=batches)
    await queue.open()
    await queue.append([event(1), event(2)])
    async with unwritable(queue):
        await claim(queue)
    (held,) = await claim(queue)
    assert len(jobs.decode(held.job).events()) == 2
    assert await queue.ack(held.token)
    assert await claim(await reopened(make, queue, default_policy=batches)) == []


async def test_what_a_claim_left_of_the_events_of_one_append_is_there_after_a_restart(make: Make) -> None:
    batches = LanePolicy(window=0.0, size=3, slow_start=False)
    queue = make(default_policy=batches)
    await queue.open()
    await queue.append([event(number) for number in range(8)])
    first, second, _ = [await queue.claim("w", 1, 30) for _ in range(3)]
    assert await queue.ack(first[0].token)
    queue = await reopened(make, queue, default_policy=batches)
    await queue.append([event(8)])
    again = await claim(queue)
    assert again[0].job == second[0].job
    assert [[one["n"] for one in jobs.decode(got.job).events()] for got in again] == [[3, 4, 5], [6, 7], [8]]


async def test_batches_that_could_not_be_written_are_dropped_as_what_they_became(make: Make) -> None:
    batches = LanePolicy(window=0.0, size=3, slow_start=False)
    queue = make(default_policy=batches)
    await queue.open()
    await queue.append([event(number) for number in range(5)])
    async with unwritable(queue):
        await queue.claim("w", 1, 30)
    async with unwritable(queue):
        await queue.drop("wh_a", "expired")
    assert await queue.drop("wh_a", "expired") == 2
    queue = await reopened(make, queue, default_policy=batches)
    assert await claim(queue) == []
    assert [len(jobs.decode(text).events()) for text in await queue.failed()] == [2, 3]


async def test_large_events_and_many_lanes_come_back_in_their_order(make: Make) -> None:
    queue = make(default_policy=LanePolicy(window=0.0, size=1000, max_bytes=10**8, slow_start=False))
    await queue.open()
    events = [
        event(number, f"wh_{number % 3}")._replace(event=b'{"n":%d,"x":"%b"}' % (number, b"x" * 9000))
        for number in range(300)
    ]
    for start in range(0, 300, 60):
        await queue.append(sorted(events[start : start + 60], key=lambda one: one.endpoint))
    queue = await reopened(make, queue, default_policy=LanePolicy(window=0.0, size=1000, max_bytes=10**8))
    jobs_of = {job.endpoint: job for job in (jobs.decode(got.job) for got in await claim(queue))}
    for lane in range(3):
        assert [one["n"] for one in jobs_of[f"wh_{lane}"].events()] == list(range(lane, 300, 3))


async def test_a_call_before_open_is_unavailable(make: Make) -> None:
    with pytest.raises(Unavailable, match="is not open"):
        await make().append([event(1)])


WRITER = """
import asyncio, sys
from sockudo_py.queues.base import Append
from sockudo_py.queues.sqlite.queue import SqliteQueue

async def main():
    queue = SqliteQueue(sys.argv[1])
    await queue.open()
    number = 0
    while True:
        await queue.append([Append(f"e{number + at}", "wh_a", "app", b"{}", 1) for at in range(10)])
        number += 10
        print(number, flush=True)

asyncio.run(main())
"""


async def test_no_event_whose_append_returned_is_lost_by_a_sigkill(make: Make, path: Path) -> None:
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    async with asyncio.timeout(60):
        while int(await writer.stdout.readline() or b"-1") not in range(300, 10**9):
            pass
    writer.send_signal(signal.SIGKILL)
    rest, _ = await writer.communicate()
    promised = max([300, *(int(line) for line in rest.split(b"\n")[:-1])])
    queue = make()
    await queue.open()
    assert (await queue.depths()).waiting >= promised
    assert ids(await queue.claim("w", 300, 30)) == [f"e{number}" for number in range(300)]
