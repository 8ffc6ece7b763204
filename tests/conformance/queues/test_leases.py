"""A claimed job is answered once, by whoever holds its lease."""

import pytest

from sockudo_py.queues import jobs
from sockudo_py.queues.base import LanePolicy, Queue
from tests.conformance.queues.conftest import AT_ONCE, LEASE, Driver, claim, claim_one, event

DEAD = jobs.JobError("http_5xx", "Internal Server Error", 500)


def dead(text: bytes) -> bytes:
    return jobs.bury(text, 1_800_000_000_000, DEAD)


async def test_a_leased_job_is_not_handed_out_again(queue: Queue) -> None:
    await queue.append([event(1)])
    await claim_one(queue)
    assert await claim(queue) == []


async def test_an_acknowledged_job_is_gone(queue: Queue, driver: Driver) -> None:
    await queue.append([event(1)])
    assert await queue.ack((await claim_one(queue)).token)
    driver.advance(1000)
    assert await claim(queue) == []


async def test_a_job_whose_lease_expired_comes_back_with_the_same_id_and_events(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=0.0, slow_start=False))
    await queue.append([event(1), event(2)])
    first = await claim_one(queue)
    await queue.append([event(3)])
    driver.advance(LEASE + 1)
    again = await claim(queue)
    assert again[0].job == first.job
    assert len(again) == 2


async def test_an_expired_job_goes_before_those_that_wait(queue: Queue, driver: Driver) -> None:
    await queue.append([event(1)])
    await claim_one(queue)
    await queue.append([event(2)])
    driver.advance(LEASE + 1)
    assert [jobs.decode(got.job).id for got in await claim(queue)] == ["e1", "e2"]


@pytest.mark.parametrize("answer", ["ack", "retry", "fail", "release"])
async def test_who_lost_the_lease_changes_nothing(queue: Queue, driver: Driver, answer: str) -> None:
    await queue.append([event(1)])
    lost = await claim_one(queue)
    driver.advance(LEASE + 1)
    held = await claim_one(queue)
    match answer:
        case "ack":
            assert not await queue.ack(lost.token)
        case "retry":
            assert not await queue.retry(lost.token, lost.job, 0)
        case "fail":
            assert not await queue.fail(lost.token, dead(lost.job))
        case _:
            assert not await queue.release(lost.token)
    depths = await queue.depths()
    assert (depths.waiting, depths.active, depths.delayed, depths.failed) == (0, 1, 0, 0)
    assert await queue.ack(held.token)


async def test_an_answer_counts_once(queue: Queue) -> None:
    await queue.append([event(1)])
    held = await claim_one(queue)
    assert await queue.ack(held.token)
    assert not await queue.ack(held.token)


async def test_a_token_that_never_was_is_answered_with_no(queue: Queue) -> None:
    assert not await queue.ack("nobody:1:1")


async def test_a_renewed_lease_does_not_expire(queue: Queue, driver: Driver) -> None:
    await queue.append([event(1)])
    held = await claim_one(queue)
    driver.advance(20)
    assert await queue.renew([held.token], LEASE) == set()
    driver.advance(20)
    assert await claim(queue) == []
    assert await queue.ack(held.token)


async def test_renewing_tells_which_leases_are_gone(queue: Queue, driver: Driver) -> None:
    await queue.append([event(1), event(2)])
    one, other = await claim(queue)
    await queue.ack(one.token)
    assert await queue.renew([one.token, other.token], LEASE) == {one.token}


async def test_a_released_job_comes_back_first_and_as_it_was(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=0.0, size=2, slow_start=False))
    await queue.append([event(1), event(2), event(3)])
    first, _ = await claim(queue)
    await queue.append([event(4)])
    assert await queue.release(first.token)
    assert (await claim(queue))[0].job == first.job


async def test_a_job_that_kills_its_workers_is_poison_in_the_end(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_crash_redeliveries=2)
    await queue.append([event(1)])
    for _ in range(3):
        await claim_one(queue)
        driver.advance(LEASE + 1)
    assert await claim(queue) == []
    (buried,) = await queue.failed()
    job = jobs.decode(buried)
    assert job.id == "e1"
    assert job.error is not None
    assert job.error.error_class == "poison"


async def test_a_release_is_no_crash(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_crash_redeliveries=0)
    await queue.append([event(1)])
    for _ in range(3):
        await queue.release((await claim_one(queue)).token)
    assert (await queue.depths()).failed == 0


async def test_an_answered_attempt_ends_the_row_of_crashes(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE, max_crash_redeliveries=1)
    await queue.append([event(1)])
    for _ in range(3):
        await claim_one(queue)
        driver.advance(LEASE + 1)
        held = await claim_one(queue)
        assert await queue.retry(held.token, held.job, 0)
    assert (await queue.depths()).failed == 0


async def test_a_claim_hands_out_no_more_than_asked_for(queue: Queue) -> None:
    await queue.append([event(number) for number in range(5)])
    assert len(await claim(queue, 2)) == 2
    assert len(await claim(queue, 2)) == 2
    assert len(await claim(queue, 2)) == 1


async def test_two_workers_never_get_the_same_job(queue: Queue) -> None:
    await queue.append([event(number) for number in range(6)])
    one = await queue.claim("one", 3, LEASE)
    other = await queue.claim("other", 3, LEASE)
    assert len({jobs.decode(got.job).id for got in one + other}) == 6


async def test_a_retry_replaces_the_job_and_waits_its_delay(queue: Queue, driver: Driver) -> None:
    await queue.append([event(1)])
    held = await claim_one(queue)
    job = jobs.decode(held.job)
    again = jobs.encode(jobs.Job(job.id, job.endpoint, job.app_id, job.created_ms, job.events_text, attempt=1))
    assert await queue.retry(held.token, again, 10)
    driver.advance(7)
    assert await claim(queue) == []
    driver.advance(3)
    assert (await claim_one(queue)).job == again


async def test_a_retried_job_is_not_merged_with_fresh_events(driver: Driver) -> None:
    queue = await driver.make(default_policy=LanePolicy(window=0.0, slow_start=False))
    await queue.append([event(1)])
    held = await claim_one(queue)
    await queue.retry(held.token, held.job, 1)
    await queue.append([event(2)])
    driver.advance(1)
    assert held.job in [got.job for got in await claim(queue)]


async def test_a_retry_needs_the_text_of_a_job(queue: Queue) -> None:
    await queue.append([event(1)])
    held = await claim_one(queue)
    with pytest.raises(ValueError, match="not the text of a job"):
        await queue.retry(held.token, b"{}", 1)
    assert await queue.ack(held.token)


async def test_fail_puts_the_job_at_the_head_of_failed(queue: Queue) -> None:
    await queue.append([event(1), event(2)])
    for held in await claim(queue):
        assert await queue.fail(held.token, dead(held.job))
    failed = [jobs.decode(text) for text in await queue.failed()]
    assert [job.id for job in failed] == ["e2", "e1"]
    assert failed[0].error == DEAD
    assert failed[0].failed_ms == 1_800_000_000_000


async def test_a_job_that_is_left_to_others_comes_back_here_later(queue: Queue, driver: Driver) -> None:
    await queue.append([event(1)])
    first = await claim_one(queue)
    assert await queue.release(first.token, away=20.0)
    assert await claim(queue) == []
    driver.advance(20.5)
    assert (await claim_one(queue)).job == first.job


async def test_leaving_a_lane_to_others_holds_up_no_other_lane(queue: Queue) -> None:
    await queue.append([event(1, "wh_a")])
    await queue.release((await claim_one(queue)).token, away=20.0)
    await queue.append([event(2, "wh_b")])
    assert jobs.decode((await claim_one(queue)).job).endpoint == "wh_b"


async def test_a_lost_lease_leaves_no_lane_to_others(queue: Queue, driver: Driver) -> None:
    await queue.append([event(1)])
    lost = await claim_one(queue)
    driver.advance(LEASE + 1)
    held = await claim_one(queue)
    assert not await queue.release(lost.token, away=20.0)
    await queue.release(held.token)
    assert (await claim_one(queue)).job == held.job
