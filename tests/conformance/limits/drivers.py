"""The rate limiters that must pass the suite. A new driver is one function here and one line in ``DRIVERS``."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sockudo_py.limits.base import RateLimiter
from sockudo_py.limits.memory import MemoryRateLimiter
from sockudo_py.limits.redis import RedisRateLimiter
from sockudo_py.links.redis.lasting import LastingRedis
from sockudo_py.links.redis.lasting_cluster import LastingCluster
from sockudo_py.links.redis.stream import dialer, dialer_of_masters, slots_of
from tests.support.fake_loop import FakeLoop
from tests.support.redis_cluster import RedisClusterServers
from tests.support.redis_server import RedisServer


class Driven:
    """A limiter. ``pass_time`` lets seconds pass for it, by hand or by waiting."""

    def __init__(self, limiter: RateLimiter, pass_time: Callable[[float], Awaitable[None]]) -> None:
        self.limiter = limiter
        self.pass_time = pass_time

    def allowed(self, number: int, *, key: str = "k", limit: int = 3, window: float = 0.5, cost: int = 1) -> int:
        """Take ``number`` times; return how often it was allowed."""
        return sum(self.limiter.take(key, limit, window, cost).allowed for _ in range(number))


@asynccontextmanager
async def memory() -> AsyncIterator[Driven]:
    loop = FakeLoop()
    limiter = MemoryRateLimiter(loop.clock)
    yield Driven(limiter, loop.pass_time)
    await limiter.close()


REDIS: list[RedisServer] = []  # one, put there by a fixture
CLUSTER: list[RedisClusterServers] = []  # the same


def over_redis(prefix: str, clock: Callable[[], float]) -> RedisRateLimiter:
    """Return a limiter with a connection of its own."""
    dial = dialer(REDIS[0].url, 10.0, owner="rate limiter", keys="database.redis")
    return RedisRateLimiter(LastingRedis(dial, 10.0, lambda info: None, "the rate limiter's Redis"), prefix, clock)


def over_cluster(prefix: str, clock: Callable[[], float]) -> RedisRateLimiter:
    """Return one with connections of its own to the masters of a cluster."""
    address = CLUSTER[0].address
    slots = slots_of(address, 10.0, owner="rate limiter", keys="database.redis")
    connect = dialer_of_masters(address, 10.0, owner="rate limiter", keys="database.redis")
    shared = LastingCluster(slots, connect, 10.0, lambda info: None, "the rate limiter's Redis")
    return RedisRateLimiter(shared, prefix, clock, partitions=16)


@asynccontextmanager
async def redis() -> AsyncIterator[Driven]:
    """One node alone: what it allows is what its own view allows."""
    loop = FakeLoop()
    limiter = over_redis(f"test-{uuid.uuid4().hex[:12]}:", loop.clock)
    await limiter.open()
    yield Driven(limiter, loop.pass_time)
    await limiter.close()


DRIVERS: dict[str, Callable[[], AbstractAsyncContextManager[Driven]]] = {"memory": memory, "redis": redis}
