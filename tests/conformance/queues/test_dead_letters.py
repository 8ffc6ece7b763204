"""Dead jobs, bounds, and figures."""

import asyncio

from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import ENDPOINT_DELETED, LanePolicy, Queue
from tests.conformance.queues.conftest import AT_ONCE, Driver, claim, claim_one, event


async def bury(queue: Queue, *numbers: int, endpoint: str = "wh_a") -> None:
    """Append events and let them fail for good, in this order."""
    for number in numbers:
        await queue.append([event(number, endpoint)])
        held = await claim_one(queue)
        await queue.fail(held.token, jobs.bury(held.job, 1_800_000_000_000, jobs.JobError("http_4xx", "gone", 410)))


async def test_failed_shows_pages_newest_first(queue: Queue) -> None:
    await bury(queue, 1, 2, 3, 4)
    assert [jobs.decode(text).id for text in await queue.failed(1, 2)] == ["e3", "e2"]
    assert await queue.failed(4, 10) == []
    assert await queue.failed(0, 0) == []


async def test_a_redriven_job_starts_again_with_one_more_redrive(queue: Queue) -> None:
    await bury(queue, 1)
    assert await queue.redrive() == 1
    job = jobs.decode((await claim_one(queue)).job)
    assert (job.id, job.attempt, job.redrives, job.failed_ms, job.error) == ("e1", 0, 1, None, None)
    assert job.events_text == b'[{"name":"e1"}]'


async def test_a_job_that_is_redriven_twice_says_so(queue: Queue) -> None:
    await bury(queue, 1)
    for redrives in (1, 2):
        await queue.redrive()
        held = await claim_one(queue)
        assert jobs.decode(held.job).redrives == redrives
        await queue.fail(held.token, jobs.bury(held.job, 1, jobs.JobError("http_5xx")))


async def test_redrive_takes_the_oldest_first_and_no_more_than_asked_for(queue: Queue) -> None:
    await bury(queue, 1, 2, 3)
    assert await queue.redrive(limit=2) == 2
    assert [jobs.decode(got.job).id for got in await claim(queue)] == ["e1", "e2"]
    assert [jobs.decode(text).id for text in await queue.failed()] == ["e3"]


async def test_redrive_of_one_endpoint_leaves_the_others(queue: Queue) -> None:
    await bury(queue, 1, 2)
    await bury(queue, 3, 4, endpoint="wh_b")
    assert await queue.redrive("wh_b") == 2
    assert [jobs.decode(got.job).id for got in await claim(queue)] == ["e3", "e4"]
    assert [jobs.decode(text).id for text in await queue.failed()] == ["e2", "e1"]


async def test_purge_deletes_the_dead_of_one_endpoint_or_of_all(queue: Queue) -> None:
    await bury(queue, 1, 2)
    await bury(queue, 3, endpoint="wh_b")
    assert await queue.purge("wh_a") == 2
    assert [jobs.decode(text).id for text in await queue.failed()] == ["e3"]
    assert await queue.purge() == 1
    assert await queue.failed() == []


async def test_more_dead_jobs_than_one_script_moves_are_all_purged_and_redriven(queue: Queue) -> None:
    await queue.set_policy("wh_a", LanePolicy(window=0.0, size=1, max_in_flight=1000, slow_start=False))
    for endpoint in ("wh_a", "wh_b"):
        await queue.append([event(f"{endpoint}{number}", endpoint) for number in range(450)])
        assert await queue.drop(endpoint, "expired") == 450
    assert await queue.redrive("wh_a", limit=1000) == 450
    assert await queue.purge("wh_b") == 450
    got = [one for _ in range(4) for one in await claim(queue, 200)]
    assert [jobs.decode(one.job).id for one in got] == [f"ewh_a{number}" for number in range(450)]


async def test_drop_moves_waiting_and_delayed_jobs_with_their_error_class(queue: Queue) -> None:
    await queue.append([event(number) for number in range(3)])
    held = (await claim(queue, 1))[0]
    await queue.retry(held.token, held.job, 100)
    await queue.append([event(9, "wh_b")])
    assert await queue.drop("wh_a", ENDPOINT_DELETED) == 3
    dead = [jobs.decode(text) for text in await queue.failed()]
    assert {(job.id, job.error.error_class if job.error else "") for job in dead} == {
        ("e0", ENDPOINT_DELETED),
        ("e1", ENDPOINT_DELETED),
        ("e2", ENDPOINT_DELETED),
    }
    assert [jobs.decode(got.job).endpoint for got in await claim(queue)] == ["wh_b"]


async def test_drop_leaves_what_is_in_flight_to_its_worker(queue: Queue) -> None:
    await queue.append([event(1), event(2)])
    held = (await claim(queue, 1))[0]
    assert await queue.drop("wh_a", ENDPOINT_DELETED) == 1
    assert await queue.ack(held.token)
    depths = await queue.depths()
    assert (depths.waiting, depths.active, depths.failed) == (0, 0, 1)


async def test_drop_keeps_gathered_events_together(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=100.0, size=2))
    await queue.append([event(number) for number in range(3)])
    assert await queue.drop("wh_a", "expired") == 2
    assert sorted(len(jobs.decode(text).events()) for text in await queue.failed()) == [1, 2]


async def test_a_deleted_endpoint_leaves_neither_pause_nor_policy(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE)
    await queue.set_policy("wh_a", LanePolicy(window=1000.0))
    await queue.pause("wh_a")
    await queue.drop("wh_a", ENDPOINT_DELETED)
    await queue.append([event(1)])
    assert len(await claim(queue)) == 1


async def test_too_many_dead_jobs_push_out_the_oldest_and_are_counted(driver: Driver) -> None:
    metrics = Metrics()
    queue = await driver.make(default_policy=AT_ONCE, failed_max_len=2, metrics=metrics)
    await bury(queue, 1, 2, 3, 4)
    assert [jobs.decode(text).id for text in await queue.failed()] == ["e4", "e3"]
    assert metrics.series["webhook_dlq_trimmed_total"].values[()] == 2


async def test_what_happened_is_counted(driver: Driver) -> None:
    metrics = Metrics()
    queue = await driver.make(default_policy=AT_ONCE, max_crash_redeliveries=0, metrics=metrics)
    await queue.append([event(1), event(1)])
    await claim_one(queue)
    driver.advance(31)
    await claim(queue)
    await queue.redrive()
    totals = {name: series.values.get((), 0) for name, series in metrics.series.items()}
    assert totals["webhook_duplicate_enqueue_suppressed_total"] == 1
    assert totals["webhook_lease_expired_total"] == 1
    assert totals["webhook_poison_total"] == 1
    assert totals["webhook_redriven_total"] == 1


async def test_depths_count_each_place(queue: Queue) -> None:
    await bury(queue, 1)
    await queue.append([event(number) for number in range(2, 7)])
    one, _ = await claim(queue, 2)
    await queue.retry(one.token, one.job, 100)
    depths = await queue.depths()
    assert (depths.waiting, depths.active, depths.delayed, depths.failed) == (3, 1, 1, 1)


async def test_depths_show_the_deepest_lanes(queue: Queue) -> None:
    for size, endpoint in ((1, "wh_a"), (3, "wh_b"), (2, "wh_c")):
        await queue.append([event(f"{endpoint}{number}", endpoint) for number in range(size)])
    depths = await queue.depths(lanes=2)
    assert [(lane.endpoint, lane.waiting) for lane in depths.lanes] == [("wh_b", 3), ("wh_c", 2)]


async def test_depths_tell_the_age_of_the_oldest(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE)
    await queue.append([event(1)._replace(created_ms=int(driver.now() * 1000))])
    driver.advance(60)
    assert 60_000 <= (await queue.depths()).oldest_waiting_ms < 90_000


async def test_wait_returns_at_the_end_of_its_timeout(queue: Queue) -> None:
    await claim(queue)
    async with asyncio.timeout(30):
        await queue.wait(0.01)


async def test_wait_wakes_for_an_event_that_is_appended(queue: Queue) -> None:
    await claim(queue)
    waiting = asyncio.create_task(queue.wait(30))
    await asyncio.sleep(0)
    await queue.append([event(1)])
    async with asyncio.timeout(30):
        await waiting
    assert len(await claim(queue)) == 1


async def test_wait_knows_when_the_window_of_a_lane_ends(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=3.0, slow_start=False))
    await queue.append([event(1)])
    assert await claim(queue) == []
    driver.advance(2.95)
    async with asyncio.timeout(30):
        await queue.wait(30)
    driver.advance(0.06)
    assert len(await claim(queue)) == 1
