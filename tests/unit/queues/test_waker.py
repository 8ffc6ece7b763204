"""When a worker looks into the queue again."""

import asyncio

import pytest

from sockudo_py.queues.waker import Waker


async def returns(waker: Waker, timeout: float) -> float:
    """Wait, and return how long it took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.timeout(30):
        await waker.wait(timeout)
    return loop.time() - start


async def test_without_news_it_waits_for_its_timeout() -> None:
    assert await returns(Waker(60), 0.02) >= 0.02


async def test_it_looks_at_least_as_often_as_it_polls() -> None:
    assert await returns(Waker(0.01), 60) < 30


async def test_what_is_due_already_does_not_wait() -> None:
    waker = Waker(60)
    waker.soon()
    assert await returns(waker, 60) < 30


async def test_it_waits_until_something_is_due() -> None:
    waker = Waker(60)
    waker.soon(0.02)
    assert await returns(waker, 60) >= 0.019


async def test_something_earlier_wakes_one_that_waits() -> None:
    waker = Waker(60)
    waker.soon(50)
    waiting = asyncio.create_task(returns(waker, 60))
    await asyncio.sleep(0)
    waker.soon(0.01)
    assert await waiting < 30


async def test_something_later_changes_nothing() -> None:
    waker = Waker(60)
    waker.soon(0.01)
    waker.soon(50)
    assert await returns(waker, 60) < 30


async def test_a_claim_checks_what_was_known_and_keeps_what_is_told_meanwhile() -> None:
    waker = Waker(60)
    waker.soon(0)
    waker.begin()
    assert await returns(waker, 0.02) >= 0.02
    waker.begin()
    waker.soon(0)
    waker.soon(30)
    assert await returns(waker, 60) < 30


@pytest.mark.parametrize("waiters", [1, 3])
async def test_all_that_wait_are_woken(waiters: int) -> None:
    waker = Waker(60)
    tasks = [asyncio.create_task(returns(waker, 60)) for _ in range(waiters)]
    await asyncio.sleep(0)
    waker.soon()
    assert all(taken < 30 for taken in await asyncio.gather(*tasks))
