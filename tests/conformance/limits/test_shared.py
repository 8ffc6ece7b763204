"""Limits that several nodes keep together."""

import asyncio
import time
import uuid
from collections.abc import Callable

import pytest

from sockudo_py.limits.redis import RedisRateLimiter
from sockudo_py.links.redis.lasting import LastingRedis
from tests.conformance.adapters.over_redis import until
from tests.conformance.limits.drivers import over_cluster, over_redis

Make = Callable[[str, Callable[[], float]], RedisRateLimiter]
HOUR = 3600.0  # a window that no slow machine sees the end of


@pytest.fixture(params=["redis", "redis-cluster"])
def make(request: pytest.FixtureRequest) -> Make:
    return over_cluster if request.param == "redis-cluster" else over_redis


async def test_what_one_node_has_spent_counts_on_the_others(make: Make) -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}:"
    one, two = make(prefix, time.monotonic), make(prefix, time.monotonic)
    await one.open()
    await two.open()
    assert [one.take("k", 5, HOUR).allowed for _ in range(4)] == [True] * 4
    await until(lambda: one._shared["k", HOUR].total == 4)
    assert two.take("k", 5, HOUR).allowed, "it has not heard of the others yet"
    await until(lambda: [node._shared["k", HOUR].total for node in (one, two)] == [5, 5])
    assert not one.take("k", 5, HOUR).allowed
    assert not two.take("k", 5, HOUR).allowed
    for number in range(20):  # over all partitions
        assert two.take(f"other-{number}", 5, HOUR).allowed
    await until(lambda: all(two._shared[f"other-{number}", HOUR].total == 1 for number in range(20)))
    await one.close()
    await two.close()


async def test_without_redis_each_node_keeps_its_own_view() -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}:"
    one = over_redis(prefix, time.monotonic)
    await one.open()
    redis = one._redis
    assert isinstance(redis, LastingRedis)
    redis._opening.closed = True
    redis.fail("it is gone")
    assert [one.take("k", 3, HOUR).allowed for _ in range(5)] == [True, True, True, False, False]
    await asyncio.sleep(0)
    await one.close()
