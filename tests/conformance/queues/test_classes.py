"""Lanes whose attempts take long leave slots to those that are faster."""

import asyncio
from collections import Counter

import pytest

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Claim, LaneDepth, LanePolicy, Queue
from tests.conformance.queues.conftest import LEASE, Driver, claim, claim_one, event

POLICY = LanePolicy(window=0.0, size=1, max_in_flight=4)
SLOTS = 16  # 8 for probation, up to 12 with the slowest, 14 and 15 with the two faster classes
TAKES = {"slow": 5.0, "medium": 0.5, "brisk": 0.12, "fast": 0.0}  # seconds; one of each class


async def make(driver: Driver) -> Queue:
    return await driver.make(default_policy=POLICY, slots=SLOTS, probation_share=0.5)


async def append(queue: Queue, endpoint: str, number: int, first: int = 0) -> None:
    await queue.append([event(f"{endpoint}-{first + at}", endpoint) for at in range(number)])


async def delivered(driver: Driver, queue: Queue, claims: list[Claim], seconds: float) -> None:
    """Let these attempts take so long, and succeed."""
    driver.advance(seconds)
    await asyncio.gather(*(queue.ack(one.token) for one in claims))


async def tried(driver: Driver, queue: Queue, kind: str, number: int) -> None:
    """Let ``number`` endpoints answer once; each may then have two in flight."""
    for at in range(number):
        await append(queue, f"{kind}{at}", 1)
    left = number
    while left:
        claims = await claim(queue, SLOTS)
        await delivered(driver, queue, claims, TAKES[kind])
        left -= len(claims)


async def busy(queue: Queue, kind: str, number: int) -> None:
    """Give each of these endpoints more than it may have in flight."""
    for at in range(number):
        await append(queue, f"{kind}{at}", 3, first=1)


def kinds(claims: list[Claim]) -> dict[str, int]:
    return Counter(jobs.decode(one.job).endpoint.rstrip("0123456789") for one in claims)


async def the_lane(queue: Queue) -> LaneDepth:
    (lane,) = (await queue.depths()).lanes
    return lane


def about(ms: int) -> object:
    """Equal to so many milliseconds, give or take one for rounding."""
    return pytest.approx(ms, abs=1)


@pytest.mark.parametrize(("kind", "most"), [("slow", 12), ("medium", 14), ("brisk", 15), ("fast", 16)])
async def test_the_slower_lanes_are_the_more_slots_they_leave_free(driver: Driver, kind: str, most: int) -> None:
    queue = await make(driver)
    await tried(driver, queue, kind, 10)
    await busy(queue, kind, 10)
    assert len(await claim(queue, SLOTS)) == most


async def test_every_class_finds_a_slot_when_all_slower_ones_are_full(driver: Driver) -> None:
    queue = await make(driver)
    for kind in TAKES:
        await tried(driver, queue, kind, 8)
    got = []
    await busy(queue, "new", 10)
    got.append(len(await claim(queue, SLOTS)))
    for kind in TAKES:
        await busy(queue, kind, 8)
        claims = await claim(queue, SLOTS - sum(got))
        assert set(kinds(claims)) == {kind}
        got.append(len(claims))
    assert got == [8, 4, 2, 1, 1]


async def test_every_class_has_a_share_that_no_faster_one_takes(driver: Driver) -> None:
    queue = await make(driver)
    for kind in TAKES:
        await tried(driver, queue, kind, 8)
    for kind in TAKES:
        await busy(queue, kind, 8)
    assert kinds(await claim(queue, SLOTS)) == {"slow": 4, "medium": 2, "brisk": 1, "fast": 9}


async def test_what_nobody_owns_goes_to_the_fastest_first(driver: Driver) -> None:
    queue = await make(driver)
    await tried(driver, queue, "slow", 8)
    await tried(driver, queue, "fast", 3)
    await busy(queue, "slow", 8)
    await busy(queue, "fast", 3)
    assert kinds(await claim(queue, SLOTS)) == {"slow": 10, "fast": 6}


async def test_what_a_slow_lane_has_done_or_lost_frees_its_share(driver: Driver) -> None:
    queue = await make(driver)
    await tried(driver, queue, "slow", 10)
    await busy(queue, "slow", 10)
    held = await claim(queue, SLOTS)
    await delivered(driver, queue, held[:1], 5.0)
    await queue.release(held[1].token)
    assert len(await claim(queue, SLOTS)) == 2
    driver.advance(LEASE + 1)
    assert len(await claim(queue, SLOTS)) == 12


async def test_the_pace_is_smoothed_over_the_last_attempts(driver: Driver) -> None:
    queue = await make(driver)
    paces = []
    await append(queue, "wh_a", 10)
    for seconds in (3.0, 0.02, 0.02, 1.0):
        await delivered(driver, queue, await claim(queue, 1), seconds)
        paces.append((await the_lane(queue)).pace_ms)
    assert paces == [about(ms) for ms in (3000, 2627, 2301, 2138)]


async def test_one_attempt_counts_as_no_more_than_four_seconds(driver: Driver) -> None:
    queue = await make(driver)
    await append(queue, "wh_a", 10)
    await delivered(driver, queue, await claim(queue, 1), 20.0)
    assert (await the_lane(queue)).pace_ms == 4096


async def test_attempts_that_hang_count_while_others_of_their_lane_are_answered(driver: Driver) -> None:
    queue = await make(driver)
    await append(queue, "wh_a", 10)
    await delivered(driver, queue, await claim(queue, 1), 0.0)
    both = await claim(queue, 2)
    await delivered(driver, queue, both[1:], 2.0)
    assert (await the_lane(queue)).pace_ms == about(4000 // 8)


async def test_failed_attempts_count_too_and_what_was_not_tried_does_not(driver: Driver) -> None:
    queue = await make(driver)
    await append(queue, "wh_a", 10)
    held = await claim_one(queue)
    driver.advance(4.0)
    await queue.retry(held.token, held.job, 1000)
    held = await claim_one(queue)
    await queue.release(held.token)
    assert (await the_lane(queue)).pace_ms == about(4000)
    held = await claim_one(queue)
    await queue.fail(held.token, jobs.bury(held.job, 1, jobs.JobError("http_4xx")), healthy=True)
    assert (await the_lane(queue)).pace_ms == about(3500)


async def test_the_time_of_a_dead_worker_is_not_the_endpoints(driver: Driver) -> None:
    queue = await make(driver)
    await append(queue, "wh_a", 10)
    await claim_one(queue)
    driver.advance(LEASE + 1)
    await delivered(driver, queue, await claim(queue, 1), 1.0)
    assert (await the_lane(queue)).pace_ms == about(1000)


@pytest.mark.parametrize(("seconds", "then"), [(5.0, "wh_b"), (0.0, "wh_a")])
async def test_who_is_much_faster_than_usual_keeps_its_turn(driver: Driver, seconds: float, then: str) -> None:
    queue = await make(driver)
    for endpoint in ("wh_a", "wh_b"):
        await append(queue, endpoint, 1)
        await delivered(driver, queue, await claim(queue), 5.0)
    for endpoint in ("wh_a", "wh_b"):
        await append(queue, endpoint, 5, first=1)
    first = await claim(queue, 1)
    assert jobs.decode(first[0].job).endpoint == "wh_a"
    await delivered(driver, queue, first, seconds)
    (third,) = await claim(queue, 1)
    assert jobs.decode(third.job).endpoint == then


async def test_with_fixed_caps_all_lanes_are_of_one_class(driver: Driver) -> None:
    policy = LanePolicy(window=0.0, size=1, max_in_flight=2, slow_start=False)
    queue = await driver.make(default_policy=policy, slots=SLOTS, probation_share=0.5)
    await tried(driver, queue, "slow", 10)
    await busy(queue, "slow", 10)
    assert len(await claim(queue, SLOTS)) == SLOTS


@pytest.mark.parametrize(("slots", "share"), [(1, 0.5), (2, 0.0), (2, 0.5), (4, 0.5), (8, 0.5), (8, 1.0)])
async def test_with_few_slots_no_class_starves_while_all_others_are_busy(
    driver: Driver, slots: int, share: float
) -> None:
    queue = await driver.make(default_policy=POLICY, slots=slots, probation_share=share)
    takes = {"hung": 2.0, "slow": 1.5, "medium": 0.5, "brisk": 0.12, "fast": 0.06}  # seconds
    lanes = [f"{kind}{at}" for kind in takes for at in range(2 if kind == "fast" else 1)]
    now, served = 0.0, Counter[str]()
    flying: list[tuple[float, str, Claim]] = []  # when it ends
    for number in range(300):
        for endpoint in lanes:
            await append(queue, endpoint, 1, first=number)
        for one in await claim(queue, slots - len(flying)) if len(flying) < slots else []:
            kind = jobs.decode(one.job).endpoint.rstrip("0123456789")
            served[kind] += 1
            flying.append((now + takes[kind], one.token, one))
        end, _, one = flying.pop(flying.index(min(flying, key=lambda item: item[0])))
        await queue.renew([token for _, token, _ in flying], LEASE)
        driver.advance(end - now)
        now = end
        if "hung" in jobs.decode(one.job).endpoint:
            await queue.fail(one.token, jobs.bury(one.job, 1, jobs.JobError("timeout_read")))
        else:
            await queue.ack(one.token)
    assert min(served[kind] for kind in takes) >= 3, served
