"""What every store of idempotency keys promises (``caches/base.py``), asked of each driver."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conformance.caches.drivers import KEY_DRIVERS, DrivenKeys


@pytest.fixture(params=sorted(KEY_DRIVERS))
async def driven(request: pytest.FixtureRequest) -> AsyncIterator[DrivenKeys]:
    async with KEY_DRIVERS[request.param]() as made:
        yield made


async def test_the_first_claim_of_a_key_gets_it_and_the_second_gets_the_value_of_the_first(driven: DrivenKeys) -> None:
    assert await driven.claim("k", b"first") is None
    assert await driven.claim("k", b"second") == b"first"


async def test_of_claims_at_the_same_time_one_gets_the_key(driven: DrivenKeys) -> None:
    answers = await asyncio.gather(*(driven.claim("k", b"%d" % number) for number in range(10)))
    assert answers.count(None) == 1


async def test_keys_and_apps_do_not_share_values(driven: DrivenKeys) -> None:
    assert await driven.claim("k") is None
    assert await driven.claim("l") is None
    assert await driven.claim("k", app_id="2") is None


async def test_what_is_put_takes_the_place_of_what_was_there(driven: DrivenKeys) -> None:
    await driven.claim("k", b"claimed")
    driven.keys.put("1", "k", bytes(range(256)), 60.0)
    assert await driven.claim("k") == bytes(range(256))


async def test_a_key_that_was_removed_can_be_claimed_again(driven: DrivenKeys) -> None:
    await driven.claim("k")
    driven.keys.remove("1", "k")
    driven.keys.remove("1", "never there")
    assert await driven.claim("k") is None


async def test_a_claim_ends_after_its_time(driven: DrivenKeys) -> None:
    await driven.claim("k", ttl=30.0)
    await driven.pass_time(40)
    assert await driven.claim("k") is None


async def test_putting_renews_the_time(driven: DrivenKeys) -> None:
    await driven.claim("k", ttl=30.0)
    driven.keys.put("1", "k", b"kept", 60.0)
    await driven.pass_time(40)
    assert await driven.claim("k") == b"kept"
