"""Limits that several nodes keep together."""

import asyncio
import time
import uuid

from tests.conformance.adapters.over_redis import until
from tests.conformance.limits.drivers import REDIS, over_redis

HOUR = 3600.0  # a window that no slow machine sees the end of


async def test_what_one_node_has_spent_counts_on_the_others() -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}:"
    one, two = over_redis(prefix, time.monotonic), over_redis(prefix, time.monotonic)
    await one.open()
    await two.open()
    assert [one.take("k", 5, HOUR).allowed for _ in range(4)] == [True] * 4
    await until(lambda: _total(prefix) == 4)
    assert two.take("k", 5, HOUR).allowed, "it has not heard of the others yet"
    await until(lambda: [node._shared["k", HOUR].total for node in (one, two)] == [5, 5])
    assert not one.take("k", 5, HOUR).allowed
    assert not two.take("k", 5, HOUR).allowed
    assert two.take("other", 5, HOUR).allowed
    await one.close()
    await two.close()


async def test_without_redis_each_node_keeps_its_own_view() -> None:
    prefix = f"test-{uuid.uuid4().hex[:12]}:"
    one = over_redis(prefix, time.monotonic)
    await one.open()
    one._redis._closed = True
    one._redis.fail("it is gone")
    assert [one.take("k", 3, HOUR).allowed for _ in range(5)] == [True, True, True, False, False]
    await asyncio.sleep(0)
    await one.close()


def _total(prefix: str) -> int:
    with REDIS[0].client() as client:
        return sum(int(client.get(key) or 0) for key in client.keys(f"{prefix}k:*"))
