"""The clock was ahead by ten days, and is set right: nothing waits longer than it was to wait."""

from dataclasses import asdict, replace

import pytest

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Claim, LanePolicy, Queue
from tests.conformance.queues.conftest import AT_ONCE, LEASE, Driver, claim, claim_one, event

AHEAD = 10 * 86_400.0
ORDERED = replace(AT_ONCE, ordered=True)
HERE = pytest.mark.parametrize("driver", ["memory", "sqlite", "redis"], indirect=True)  # SQS has a clock of its own


class Ahead:
    """A queue whose clock is ahead. ``set_right`` sets it back; with ``restart`` another process goes on then."""

    def __init__(self, driver: Driver, queue: Queue) -> None:
        self.driver = driver
        self.queue = queue
        self.claims: list[Claim] = []

    async def set_right(self, policy: LanePolicy, *, restart: bool) -> None:
        self.driver.advance(-AHEAD)
        if restart:
            self.queue = await self.driver.restarted(self.queue, default_policy=policy)
        self.claims = await claim(self.queue)  # as workers do four times a second


async def ahead(driver: Driver, policy: LanePolicy) -> Ahead:
    driver.advance(AHEAD)
    return Ahead(driver, await driver.make(default_policy=policy))


@HERE
@pytest.mark.parametrize("policy", [AT_ONCE, ORDERED], ids=["usual", "ordered"])
async def test_a_retry_is_late_by_its_own_wait_at_most(driver: Driver, policy: LanePolicy) -> None:
    site = await ahead(driver, policy)
    await site.queue.append([event(1), event(2)])
    held, *others = await claim(site.queue)
    await site.queue.retry(held.token, held.job, 60)
    await site.set_right(policy, restart=False)
    driver.advance(61)
    assert "e1" in [jobs.decode(got.job).id for got in await claim(site.queue)]
    assert len(others) == (policy is AT_ONCE)


@pytest.mark.parametrize("driver", ["sqlite", "redis"], indirect=True)
@pytest.mark.parametrize("policy", [AT_ONCE, ORDERED], ids=["usual", "ordered"])
async def test_so_it_is_when_the_process_was_started_anew(driver: Driver, policy: LanePolicy) -> None:
    site = await ahead(driver, policy)
    await site.queue.append([event(1), event(2)])
    held = (await site.queue.claim("w", 1, LEASE))[0]
    await site.queue.retry(held.token, held.job, 60)
    await site.set_right(policy, restart=True)
    driver.advance(58)
    assert "e1" not in [jobs.decode(got.job).id for got in (*site.claims, *await claim(site.queue))]
    driver.advance(3)
    assert "e1" in [jobs.decode(got.job).id for got in await claim(site.queue)]


@HERE
async def test_a_gate_opens_in_time(driver: Driver) -> None:
    site = await ahead(driver, AT_ONCE)
    await site.queue.append([event(1)])
    await claim(site.queue)
    await site.queue.append([event(2)])
    await site.queue.gate("wh_a", 60)
    await site.set_right(AT_ONCE, restart=False)
    assert await claim(site.queue) == []
    driver.advance(61)
    assert "e2" in [jobs.decode(got.job).id for got in await claim(site.queue)]


@HERE
@pytest.mark.parametrize(("limit", "seconds"), [("per_second", 1), ("per_minute", 60), ("per_hour", 3600)])
async def test_a_rate_limit_lets_the_next_one_pass_in_time(driver: Driver, limit: str, seconds: int) -> None:
    policy = LanePolicy(**{**asdict(AT_ONCE), limit: 1})
    site = await ahead(driver, policy)
    await site.queue.append([event(1), event(2)])
    assert await site.queue.ack((await claim_one(site.queue)).token)
    assert await claim(site.queue) == []
    await site.set_right(policy, restart=False)
    driver.advance(seconds + 1)
    assert len(await claim(site.queue)) == 1


@HERE
async def test_a_lease_ends_in_time(driver: Driver) -> None:
    site = await ahead(driver, AT_ONCE)
    await site.queue.append([event(1)])
    first = await claim_one(site.queue)
    await site.set_right(AT_ONCE, restart=False)
    driver.advance(LEASE - 2)
    assert await claim(site.queue) == []
    driver.advance(3)
    assert (await claim_one(site.queue)).job == first.job


@HERE
async def test_a_lease_that_is_renewed_goes_on(driver: Driver) -> None:
    site = await ahead(driver, AT_ONCE)
    await site.queue.append([event(1)])
    first = await claim_one(site.queue)
    await site.set_right(AT_ONCE, restart=False)
    driver.advance(LEASE / 2)
    assert await site.queue.renew([first.token], LEASE) == set()
    driver.advance(LEASE - 2)
    assert await claim(site.queue) == []
    assert await site.queue.ack(first.token)


@HERE
@pytest.mark.parametrize("restart", [False, True])
async def test_gathering_ends_in_time(driver: Driver, restart: bool) -> None:
    if restart and driver.kind == "memory":
        pytest.skip("it forgets")
    policy = LanePolicy(window=10.0, size=100, slow_start=False)
    site = await ahead(driver, policy)
    await site.queue.append([event(1)])
    await claim(site.queue)
    await site.set_right(policy, restart=restart)
    driver.advance(11)
    assert len(await claim(site.queue)) == 1


@HERE
@pytest.mark.parametrize("restart", [False, True])
async def test_ids_are_known_for_as_long_as_usual(driver: Driver, restart: bool) -> None:
    if restart and driver.kind == "memory":
        pytest.skip("it forgets")
    site = await ahead(driver, AT_ONCE)
    await site.queue.append([event(1)])
    assert await site.queue.ack((await claim_one(site.queue)).token)
    await site.set_right(AT_ONCE, restart=restart)
    await site.queue.append([event(1)])
    assert await claim(site.queue) == []
    driver.advance(400)
    await site.queue.append([event(1)])
    assert len(await claim(site.queue)) == 1


@HERE
async def test_dead_letters_have_the_right_time(driver: Driver) -> None:
    site = await ahead(driver, AT_ONCE)
    await site.set_right(AT_ONCE, restart=False)
    await site.queue.append([event(1)])
    await site.queue.drop("wh_a", "expired")
    failed = [jobs.decode(text).failed_ms for text in await site.queue.failed()]
    assert failed
    assert all(abs((ms or 0) / 1000 - driver.now()) < 5 for ms in failed)


@HERE
async def test_events_of_a_clock_that_was_ahead_have_no_age_and_are_delivered(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE)
    await queue.append([event(1)._replace(created_ms=int((driver.now() + AHEAD) * 1000))])
    assert (await queue.depths()).oldest_waiting_ms == 0
    assert len(await claim(queue)) == 1


@HERE
async def test_a_clock_that_goes_to_and_fro_ends_no_wait_late(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE)
    for number, jump in enumerate([-AHEAD, AHEAD, -3600.0, -60.0, 86_400.0, -86_400.0]):
        await queue.append([event(number)])
        held = next(got for got in await claim(queue) if jobs.decode(got.job).id == f"e{number}")
        await queue.retry(held.token, held.job, 60)
        driver.advance(jump)
        await claim(queue)  # what is early is lost: its lease ends in time
        driver.advance(61)
        await claim(queue)
        driver.advance(LEASE + 61)
        assert (await queue.depths()).delayed == 0


@pytest.mark.parametrize("driver", ["sqs"], indirect=True)
async def test_with_sqs_a_retry_waits_no_longer_than_any_may(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, longest_wait=60)
    driver.advance(AHEAD, everywhere=False)
    await queue.append([event(1)])
    held = await claim_one(queue)
    await queue.retry(held.token, held.job, 5)
    await queue.close()
    driver.advance(-AHEAD, everywhere=False)
    queue = await driver.make(default_policy=AT_ONCE, longest_wait=60)
    driver.advance(6)
    assert await claim(queue) == []  # the message says that it is due in ten days
    driver.advance(61)
    assert len(await claim(queue)) == 1
