"""Turns, allowances, rate limits, order, and pauses."""

import asyncio
import time
from dataclasses import replace

import pytest

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Claim, LanePolicy, Queue
from tests.conformance.queues.conftest import AT_ONCE, LEASE, Driver, claim, claim_one, event

SLOW = LanePolicy(window=0.0, size=1, max_in_flight=4)
FREE = LanePolicy(window=0.0, size=1, max_in_flight=100, slow_start=False)


def ids(claims: list[Claim]) -> list[str]:
    return [jobs.decode(got.job).id for got in claims]


async def many(queue: Queue, number: int, endpoint: str = "wh_a") -> None:
    await queue.append([event(f"{endpoint}-{at}", endpoint) for at in range(number)])


async def test_lanes_are_served_in_turn(queue: Queue) -> None:
    for endpoint in ("wh_a", "wh_b", "wh_c"):
        await many(queue, 3, endpoint)
    first = [jobs.decode(got.job).endpoint for got in await claim(queue, 3)]
    assert sorted(first) == ["wh_a", "wh_b", "wh_c"]


async def test_who_was_not_served_last_time_is_served_first_now(queue: Queue) -> None:
    for endpoint in ("wh_a", "wh_b", "wh_c"):
        await many(queue, 3, endpoint)
    served = [jobs.decode((await claim(queue, 1))[0].job).endpoint for _ in range(6)]
    assert sorted(served[:3]) == sorted(served[3:]) == ["wh_a", "wh_b", "wh_c"]


async def test_a_lane_has_no_more_in_flight_than_it_may(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=0.0, size=1, max_in_flight=3, slow_start=False))
    await many(queue, 10)
    held = await claim(queue)
    assert len(held) == 3
    await queue.ack(held[0].token)
    assert len(await claim(queue)) == 1


async def test_a_slow_start_begins_with_one_and_adds_one_for_each_delivery(driver: Driver) -> None:
    queue = await driver.make(default_policy=SLOW)
    await many(queue, 30)
    sizes = []
    for _ in range(4):
        held = await claim(queue)
        sizes.append(len(held))
        await queue.ack(held[0].token)
        for one in held[1:]:
            await queue.release(one.token)
    assert sizes == [1, 2, 3, 4]


async def test_the_allowance_ends_at_the_most_that_may_be_in_flight(driver: Driver) -> None:
    queue = await driver.make(default_policy=SLOW)
    await many(queue, 60)
    for _ in range(10):
        held = await claim(queue)
        for one in held:
            await queue.ack(one.token)
    assert len(await claim(queue)) == 4


@pytest.mark.parametrize(("healthy", "next_round"), [(False, 2), (True, 4)])
async def test_an_unhealthy_retry_halves_the_allowance(driver: Driver, healthy: bool, next_round: int) -> None:
    queue = await driver.make(default_policy=SLOW)
    await many(queue, 60)
    for _ in range(4):
        for one in await claim(queue):
            await queue.ack(one.token)
    held = await claim(queue)
    await queue.retry(held[0].token, held[0].job, 1000, healthy=healthy)
    for one in held[1:]:
        await queue.release(one.token)
    assert len(await claim(queue)) == next_round


async def test_an_unhealthy_end_halves_the_allowance_too(driver: Driver) -> None:
    queue = await driver.make(default_policy=SLOW)
    await many(queue, 60)
    for _ in range(4):
        for one in await claim(queue):
            await queue.ack(one.token)
    held = await claim(queue)
    await queue.fail(held[0].token, jobs.bury(held[0].job, 1, jobs.JobError("timeout_read")))
    for one in held[1:]:
        await queue.release(one.token)
    assert len(await claim(queue)) == 2


async def test_lanes_on_probation_get_only_their_share_of_the_slots(driver: Driver) -> None:
    queue = await driver.make(default_policy=SLOW, slots=6, probation_share=0.5)
    for number in range(10):
        await many(queue, 2, f"wh_{number}")
    assert len(await claim(queue, 6)) == 3


async def test_trusted_lanes_are_served_while_hung_ones_fill_the_probation(driver: Driver) -> None:
    queue = await driver.make(default_policy=SLOW, slots=8, probation_share=0.25)
    await many(queue, 1, "wh_good")
    await queue.ack((await claim_one(queue)).token)
    for number in range(10):
        await many(queue, 2, f"wh_hung{number}")
    assert len(await claim(queue, 4)) == 2
    await many(queue, 3, "wh_good")
    assert [jobs.decode(got.job).endpoint for got in await claim(queue, 2)] == ["wh_good", "wh_good"]


async def test_a_lane_that_was_never_tried_goes_before_the_others_on_probation(driver: Driver) -> None:
    queue = await driver.make(default_policy=SLOW, slots=2, probation_share=0.5)
    await many(queue, 3, "wh_hung")
    held = await claim_one(queue)
    await queue.retry(held.token, held.job, 0)
    await many(queue, 1, "wh_new")
    assert [jobs.decode(got.job).endpoint for got in await claim(queue, 2)] == ["wh_new"]


async def test_the_share_is_of_each_worker(driver: Driver) -> None:
    queue = await driver.make(default_policy=SLOW, slots=4, probation_share=0.5)
    for number in range(10):
        await many(queue, 1, f"wh_{number}")
    assert len(await queue.claim("one", 4, LEASE)) == 2
    assert len(await queue.claim("other", 4, LEASE)) == 2


async def test_an_expired_probation_lease_frees_its_share(driver: Driver) -> None:
    queue = await driver.make(default_policy=SLOW, slots=2, probation_share=0.5)
    await many(queue, 1, "wh_a")
    await many(queue, 1, "wh_b")
    assert len(await claim(queue, 2)) == 1
    driver.advance(LEASE + 1)
    assert len(await claim(queue, 2)) == 1


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [(replace(FREE, per_second=3), 1.0), (replace(FREE, per_minute=3), 60.0), (replace(FREE, per_hour=3), 3600.0)],
)
async def test_a_rate_limit_holds_in_a_sliding_window(driver: Driver, policy: LanePolicy, seconds: float) -> None:
    queue = await driver.make(default_policy=policy)
    await many(queue, 10)
    assert len(await claim(queue)) == 3
    part = 0.1 if driver.kind == "sqs" else 0.5  # its clock runs on
    driver.advance(seconds * part)
    assert await claim(queue) == []
    driver.advance(seconds * (1 - part) + 0.001)
    assert len(await claim(queue)) == 3


async def test_a_rate_limit_lets_through_as_claims_leave_its_window_one_by_one(driver: Driver) -> None:
    policy = replace(FREE, per_minute=2)
    queue = await driver.make(default_policy=policy)
    await many(queue, 10)
    assert len(await claim(queue, 1)) == 1
    driver.advance(30)
    assert len(await claim(queue)) == 1
    driver.advance(31)
    assert len(await claim(queue)) == 1
    driver.advance(20)
    assert await claim(queue) == []


async def test_all_rate_limits_hold_together(driver: Driver) -> None:
    policy = replace(FREE, per_minute=2, per_hour=3)
    queue = await driver.make(default_policy=policy)
    await many(queue, 10)
    assert len(await claim(queue)) == 2
    driver.advance(61)
    assert len(await claim(queue)) == 1
    driver.advance(61)
    assert await claim(queue) == []
    driver.advance(3600)
    assert len(await claim(queue)) == 2


async def test_nothing_over_a_rate_limit_is_dropped(driver: Driver) -> None:
    policy = replace(FREE, per_second=4)
    queue = await driver.make(default_policy=policy)
    await many(queue, 10)
    got: list[str] = []
    for _ in range(3):
        held = await claim(queue)
        got += ids(held)
        for one in held:
            await queue.ack(one.token)
        driver.advance(1.001)
    assert got == [f"ewh_a-{at}" for at in range(10)]


async def test_a_retry_counts_for_the_rate_limit_and_a_release_does_not(driver: Driver) -> None:
    policy = LanePolicy(window=0.0, size=1, slow_start=False, per_minute=2)
    queue = await driver.make(default_policy=policy)
    await queue.append([event(1)])
    await queue.release((await claim_one(queue)).token)
    held = await claim_one(queue)
    await queue.retry(held.token, held.job, 0)
    held = await claim_one(queue)
    await queue.retry(held.token, held.job, 0)
    assert await claim(queue) == []


ORDERED = LanePolicy(window=0.0, size=2, ordered=True)


async def test_an_ordered_lane_has_one_job_in_flight(driver: Driver) -> None:
    queue = await driver.make(default_policy=ORDERED)
    await queue.append([event(number) for number in range(4)])
    for expected in ("e0", "e2"):
        held = await claim_one(queue)
        assert ids([held]) == [expected]
        await queue.ack(held.token)


async def test_a_retry_in_an_ordered_lane_holds_back_all_that_came_later(driver: Driver) -> None:
    queue = await driver.make(default_policy=ORDERED)
    await queue.append([event(number) for number in range(4)])
    held = await claim_one(queue)
    await queue.retry(held.token, held.job, 10)
    driver.advance(7)
    assert await claim(queue) == []
    driver.advance(3)
    again = await claim_one(queue)
    assert again.job == held.job
    await queue.ack(again.token)
    assert ids(await claim(queue)) == ["e2"]


async def test_the_gate_of_an_ordered_lane_shows_in_the_figures(driver: Driver) -> None:
    queue = await driver.make(default_policy=ORDERED)
    await queue.append([event(1)])
    held = await claim_one(queue)
    await queue.retry(held.token, held.job, 100)
    (lane,) = (await queue.depths()).lanes
    assert (lane.endpoint, lane.waiting, lane.in_flight) == ("wh_a", 1, 0)
    assert 60_000 < lane.gate_ms <= 100_000


async def test_a_paused_lane_keeps_its_jobs(queue: Queue) -> None:
    await many(queue, 2)
    await queue.pause("wh_a")
    assert await claim(queue) == []
    assert (await queue.depths()).waiting == 2
    await queue.resume("wh_a")
    assert len(await claim(queue)) == 2


async def test_a_pause_holds_for_what_comes_later(queue: Queue) -> None:
    await queue.pause("wh_a")
    await many(queue, 2)
    await many(queue, 1, "wh_b")
    assert [jobs.decode(got.job).endpoint for got in await claim(queue)] == ["wh_b"]


async def test_a_pause_holds_for_retries_and_expired_leases(queue: Queue, driver: Driver) -> None:
    await many(queue, 2)
    one, _ = await claim(queue)
    await queue.pause("wh_a")
    await queue.retry(one.token, one.job, 1)
    driver.advance(LEASE + 1)
    assert await claim(queue) == []
    await queue.resume("wh_a")
    assert len(await claim(queue)) == 2


async def test_a_gate_holds_back_what_waits_and_what_comes_and_ends_by_itself(queue: Queue, driver: Driver) -> None:
    await many(queue, 1)
    await queue.gate("wh_a", 10)
    await queue.append([event(5)])
    driver.advance(7)
    assert await claim(queue) == []
    assert (await queue.depths()).waiting == 2
    driver.advance(3)
    assert len(await claim(queue)) == 2


async def test_a_gate_can_be_opened_early_and_moved(queue: Queue, driver: Driver) -> None:
    await many(queue, 1)
    await queue.gate("wh_a", 10)
    await queue.gate("wh_a", 100)
    driver.advance(50)
    assert await claim(queue) == []
    await queue.gate("wh_a", 0)
    assert len(await claim(queue)) == 1


async def test_a_gate_is_of_one_lane_and_a_resume_does_not_open_it(queue: Queue) -> None:
    await many(queue, 1)
    await many(queue, 1, "wh_b")
    await queue.gate("wh_a", 10)
    await queue.resume("wh_a")
    assert [jobs.decode(got.job).endpoint for got in await claim(queue)] == ["wh_b"]


async def test_a_retry_of_an_ordered_lane_does_not_shorten_its_gate(driver: Driver) -> None:
    queue = await driver.make(default_policy=ORDERED)
    await queue.append([event(1)])
    held = await claim_one(queue)
    await queue.gate("wh_a", 10)
    await queue.retry(held.token, held.job, 1)
    driver.advance(7)
    assert await claim(queue) == []
    driver.advance(3)
    assert (await claim_one(queue)).job == held.job


async def test_a_released_job_waits_at_the_gate(queue: Queue, driver: Driver) -> None:
    await many(queue, 1)
    held = await claim_one(queue)
    await queue.gate("wh_a", 10)
    await queue.release(held.token)
    assert await claim(queue) == []
    driver.advance(10)
    assert (await claim_one(queue)).job == held.job


async def test_the_default_policy_is_the_one_of_the_contract(driver: Driver) -> None:
    queue = await driver.make()
    begun = time.monotonic()
    await queue.append([event(number) for number in range(3)])
    early = await claim(queue)
    assert early == [] or time.monotonic() - begun >= 0.05  # the clock of SQS runs on
    driver.advance(0.051)
    (held,) = early or await claim(queue)
    assert len(jobs.decode(held.job).events()) == 3


async def test_an_endpoint_policy_with_slow_start_off_is_trusted_at_once(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, slots=2, probation_share=0.5)
    await many(queue, 8)
    assert len(await claim(queue, 8)) == 8


async def test_paused_lanes_are_named_until_they_are_resumed(queue: Queue) -> None:
    await queue.pause("wh_a")
    await queue.pause("wh_b")
    await queue.resume("wh_a")
    assert await queue.paused_lanes() == ["wh_b"]


async def test_nothing_of_an_ordered_lane_is_claimed_while_its_retry_is_being_stored(driver: Driver) -> None:
    queue = await driver.make(default_policy=replace(FREE, ordered=True))
    await many(queue, 2)
    held = await claim_one(queue)
    _, claims = await asyncio.gather(queue.retry(held.token, held.job, 60), claim(queue))
    assert ids(claims) == []
