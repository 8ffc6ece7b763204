"""A reader takes the first jobs of a lane, whatever holds it back from workers."""

import pytest

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Claim, LanePolicy, Queue, ServesLanes
from tests.conformance.queues.conftest import AT_ONCE, LEASE, Driver, claim, event

GATHERING = LanePolicy(window=60.0, size=3)


@pytest.fixture(autouse=True)
def no_sqs(driver: Driver) -> None:
    if driver.kind == "sqs":
        pytest.skip("SQS serves no lanes")


def ids(claims: list[Claim]) -> list[str]:
    return [jobs.decode(one.job).id for one in claims]


async def read(queue: Queue, limit: int = 100, size: int | None = None) -> list[Claim]:
    assert isinstance(queue, ServesLanes)
    return await queue.claim_lane("wh_a", limit, LEASE, size)


async def test_it_reads_a_paused_lane_in_order_and_nothing_of_others(queue: Queue) -> None:
    await queue.pause("wh_a")
    await queue.append([event(1), event(2), event(3, "wh_b"), event(4)])
    assert ids(await read(queue, 2)) == ["e1", "e2"]
    assert ids(await claim(queue)) == ["e3"]
    depth = await queue.lane("wh_a")
    assert (depth.waiting, depth.in_flight) == (1, 2)


async def test_what_is_read_again_comes_again_in_order(queue: Queue) -> None:
    await queue.pause("wh_a")
    await queue.append([event(number) for number in range(1, 6)])
    first = await read(queue, 3)
    assert ids(await read(queue, 2)) == ["e1", "e2"]
    assert ids(await read(queue)) == ["e1", "e2", "e3", "e4", "e5"]
    assert not await queue.ack(first[0].token), "its lease was taken back"
    depth = await queue.lane("wh_a")
    assert (depth.waiting, depth.in_flight) == (0, 5)


async def test_what_is_acknowledged_never_comes_again(queue: Queue, driver: Driver) -> None:
    await queue.pause("wh_a")
    await queue.append([event(1), event(2), event(3)])
    read_now = await read(queue)
    assert await queue.ack_all([read_now[0].token, read_now[1].token]) == set()
    assert ids(await read(queue)) == ["e3"]
    driver.advance(LEASE + 1)
    assert ids(await read(queue)) == ["e3"]


async def test_neither_window_nor_rate_limit_nor_allowance_holds_it_back(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=60.0, size=1, per_minute=1, max_in_flight=1))
    await queue.append([event(1), event(2), event(3)])
    assert ids(await read(queue)) == ["e1", "e2", "e3"]


async def test_events_gather_as_the_policy_says_or_fewer(driver: Driver) -> None:
    queue = await driver.make(default_policy=GATHERING)
    await queue.append([event(number) for number in range(1, 8)])
    one = await read(queue, 1, size=2)
    assert [jobs.decode(got.job).count() for got in one] == [2]
    assert [jobs.decode(got.job).count() for got in await read(queue)] == [2, 3, 2]
    depth = await queue.lane("wh_a")
    assert (depth.waiting, depth.in_flight) == (0, 3)


async def test_no_number_of_expired_leases_makes_it_poison(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_crash_redeliveries=1)
    await queue.pause("wh_a")
    await queue.append([event(1), event(2)])
    for _ in range(4):
        assert ids(await read(queue)) == ["e1", "e2"]
        driver.advance(LEASE + 1)
        assert await claim(queue) == []
    assert await queue.failed() == []


async def test_what_was_read_outlives_the_process_that_read_it(driver: Driver) -> None:
    queue = await driver.make(default_policy=GATHERING)
    if driver.kind == "memory":
        pytest.skip("memory outlives nothing")
    await queue.pause("wh_a")
    await queue.append([event(number) for number in range(1, 6)])
    before = await read(queue)
    assert await queue.ack(before[0].token)
    again = await driver.restarted(queue, default_policy=GATHERING)
    await again.append([event(6)])
    assert [jobs.decode(got.job).count() for got in await read(again)] == [2, 1]
    assert ids(await read(again))[0] == jobs.decode(before[1].job).id


async def test_a_job_that_is_put_to_the_dead_letters_leaves_the_lane(queue: Queue) -> None:
    await queue.append([event(1), event(2)])
    first, _ = await read(queue)
    assert await queue.fail(first.token, jobs.bury(first.job, 1_800_000_000_000, jobs.JobError("expired", "late")))
    assert ids(await read(queue)) == ["e2"]
    assert len(await queue.failed()) == 1


async def test_what_is_paused_makes_no_queue_old(queue: Queue, driver: Driver) -> None:
    await queue.append([event(1)])
    driver.advance(100)
    assert (await queue.depths()).oldest_waiting_ms >= 100_000
    await queue.pause("wh_a")
    depths = await queue.depths()
    assert (depths.waiting, depths.oldest_waiting_ms) == (1, 0)
