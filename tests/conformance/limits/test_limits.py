"""What every rate limiter promises (``limits/base.py``), asked of each driver."""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.limits.drivers import DRIVERS, Driven


@pytest.fixture(params=sorted(DRIVERS))
async def driven(request: pytest.FixtureRequest) -> AsyncIterator[Driven]:
    async with DRIVERS[request.param]() as made:
        yield made


async def test_no_more_than_the_limit_is_allowed(driven: Driven) -> None:
    assert driven.allowed(10) == 3


async def test_keys_have_their_limits_each(driven: Driven) -> None:
    assert driven.allowed(3, key="a") == 3
    assert driven.allowed(3, key="b") == 3


async def test_after_the_window_everything_is_allowed_again(driven: Driven) -> None:
    driven.allowed(3)
    await driven.pass_time(0.6)
    assert driven.allowed(10) == 3


async def test_the_window_slides(driven: Driven) -> None:
    """A counter that is reset at fixed times would allow six within one window."""
    driven.allowed(1)
    await driven.pass_time(0.4)
    assert driven.allowed(2) == 2
    await driven.pass_time(0.2)
    assert driven.allowed(3) <= 1


async def test_a_refusal_spends_nothing(driven: Driven) -> None:
    driven.allowed(2)
    assert driven.allowed(1, cost=2) == 0
    assert driven.allowed(1) == 1


async def test_a_cost_counts_as_so_many(driven: Driven) -> None:
    assert driven.allowed(10, limit=10, cost=3) == 3


async def test_a_refusal_says_when_it_is_worth_asking_again(driven: Driven) -> None:
    driven.allowed(3)
    refused = driven.limiter.take("k", 3, 0.5)
    assert 0.0 < refused.retry_after <= 0.5
    await driven.pass_time(refused.retry_after + 0.02)
    assert driven.allowed(1) == 1


async def test_an_allowance_asks_for_no_wait(driven: Driven) -> None:
    assert driven.limiter.take("k", 3, 0.5).retry_after == 0.0


async def test_a_cost_over_the_limit_is_never_allowed(driven: Driven) -> None:
    assert driven.allowed(1, cost=4) == 0
    assert driven.allowed(3) == 3


async def test_a_limit_of_nothing_allows_nothing(driven: Driven) -> None:
    assert driven.allowed(2, limit=0) == 0
