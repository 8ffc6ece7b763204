"""What every cache promises (``caches/base.py``), asked of each driver."""

from collections.abc import AsyncIterator

import pytest

from sockudo_py.caches.base import CachedEvent
from tests.conformance.caches.drivers import DRIVERS, Driven


@pytest.fixture(params=sorted(DRIVERS))
async def driven(request: pytest.FixtureRequest) -> AsyncIterator[Driven]:
    async with DRIVERS[request.param]() as made:
        yield made


async def test_a_channel_without_event_answers_none(driven: Driven) -> None:
    assert await driven.payload("cache-c") is None


async def test_the_last_event_is_remembered(driven: Driven) -> None:
    driven.cache.store("1", "cache-c", b"first", 60.0)
    driven.cache.store("1", "cache-c", b"last", 60.0)
    assert await driven.payload("cache-c") == b"last"


async def test_channels_and_apps_do_not_share_events(driven: Driven) -> None:
    driven.cache.store("1", "cache-c", b"x", 60.0)
    assert await driven.payload("cache-d") is None
    assert await driven.payload("cache-c", app_id="2") is None


async def test_bytes_come_back_as_they_were(driven: Driven) -> None:
    payload = bytes(range(256)) + "é".encode()
    driven.cache.store("1", "cache-c", payload, 60.0)
    assert await driven.payload("cache-c") == payload


async def test_the_answer_says_how_long_it_is_remembered_still(driven: Driven) -> None:
    driven.cache.store("1", "cache-c", b"x", 60.0)
    await driven.pass_time(50)
    found = await driven.fetch("cache-c")
    assert isinstance(found, CachedEvent)
    assert 0.0 < found.ttl <= 10.0


async def test_an_event_is_forgotten_after_its_time(driven: Driven) -> None:
    driven.cache.store("1", "cache-c", b"x", 30.0)
    await driven.pass_time(40)
    assert await driven.payload("cache-c") is None


async def test_storing_again_renews_the_time(driven: Driven) -> None:
    driven.cache.store("1", "cache-c", b"x", 40.0)
    await driven.pass_time(30)
    driven.cache.store("1", "cache-c", b"x", 40.0)
    await driven.pass_time(30)
    assert await driven.payload("cache-c") == b"x"
