"""The caches that must pass the suite. A new driver is one function here and one line in a table."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from sockudo_py.caches.base import Cache, CachedEvent, IdempotencyKeys
from sockudo_py.caches.memory import MemoryCache
from sockudo_py.caches.memory_keys import MemoryKeys
from sockudo_py.caches.redis import RedisCache, RedisKeys
from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.lasting import LastingRedis
from sockudo_py.links.redis.lasting_cluster import LastingCluster
from sockudo_py.links.redis.shared import Shared
from sockudo_py.links.redis.stream import dialer, dialer_of_masters, slots_of
from tests.support.fake_loop import FakeLoop
from tests.support.redis_cluster import RedisClusterServers
from tests.support.redis_server import RedisServer


class Driven:
    """A cache with answers to await. ``pass_time`` lets seconds pass for it, by hand or by waiting."""

    def __init__(self, cache: Cache, pass_time: Callable[[float], Awaitable[None]]) -> None:
        self.cache = cache
        self.pass_time = pass_time

    async def fetch(self, channel: str, app_id: str = "1") -> CachedEvent | Unavailable | None:
        answer: asyncio.Future[CachedEvent | Unavailable | None] = asyncio.get_running_loop().create_future()
        self.cache.fetch(app_id, channel, answer.set_result)  # raises when it is called twice
        return await answer

    async def payload(self, channel: str, app_id: str = "1") -> bytes | None:
        found = await self.fetch(channel, app_id)
        assert not isinstance(found, Unavailable)
        return None if found is None else found.payload


@asynccontextmanager
async def memory() -> AsyncIterator[Driven]:
    loop = FakeLoop()
    cache = MemoryCache(loop.clock)
    yield Driven(cache, loop.pass_time)
    await cache.close()


class DrivenKeys:
    """Idempotency keys with answers to await."""

    def __init__(self, keys: IdempotencyKeys, pass_time: Callable[[float], Awaitable[None]]) -> None:
        self.keys = keys
        self.pass_time = pass_time

    async def claim(self, key: str, value: bytes = b"x", ttl: float = 60.0, app_id: str = "1") -> bytes | None:
        answer: asyncio.Future[bytes | Unavailable | None] = asyncio.get_running_loop().create_future()
        self.keys.claim(app_id, key, value, ttl, answer.set_result)  # raises when it is called twice
        found = await answer
        assert not isinstance(found, Unavailable)
        return found


@asynccontextmanager
async def memory_keys() -> AsyncIterator[DrivenKeys]:
    loop = FakeLoop()
    keys = MemoryKeys(loop.clock)
    yield DrivenKeys(keys, loop.pass_time)
    await keys.close()


REDIS: list[RedisServer] = []  # one, put there by a fixture


CLUSTER: list[RedisClusterServers] = []  # the same


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[LastingRedis, str, Callable[[float], Awaitable[None]]]]:
    """Give a connection to Redis, a prefix of the test's own, and what lets time pass for the keys with it."""
    prefix = f"test-{uuid.uuid4().hex[:12]}:"

    dial = dialer(REDIS[0].url, 10.0, owner="cache", keys="database.redis")
    shared = LastingRedis(dial, 10.0, lambda info: None, "the cache's Redis")
    yield shared, prefix, partial(passes, shared, prefix, REDIS)


async def passes(shared: Shared, prefix: str, servers: Sequence[RedisServer], seconds: float) -> None:
    """Let time pass for the keys with a prefix."""
    await shared.query_each("PING")  # what was asked before has been carried out
    for server in servers:
        with server.client() as client:
            for key in client.keys(f"{prefix}*"):
                client.pexpire(key, client.pttl(key) - round(seconds * 1000))


@asynccontextmanager
async def redis() -> AsyncIterator[Driven]:
    async with connection() as (shared, prefix, pass_time):
        cache = RedisCache(shared, prefix)
        await cache.open()
        yield Driven(cache, pass_time)
        await cache.close()


@asynccontextmanager
async def redis_keys() -> AsyncIterator[DrivenKeys]:
    async with connection() as (shared, prefix, pass_time):
        keys = RedisKeys(shared, prefix)
        await keys.open()
        yield DrivenKeys(keys, pass_time)
        await keys.close()


def to_cluster() -> LastingCluster:
    """Return connections to the cluster."""
    address = CLUSTER[0].address
    slots = slots_of(address, 10.0, owner="cache", keys="database.redis")
    connect = dialer_of_masters(address, 10.0, owner="cache", keys="database.redis")
    return LastingCluster(slots, connect, 10.0, lambda info: None, "the cache's Redis")


@asynccontextmanager
async def redis_cluster() -> AsyncIterator[Driven]:
    prefix, shared = f"test-{uuid.uuid4().hex[:12]}:", to_cluster()
    cache = RedisCache(shared, prefix, partitions=16)
    await cache.open()
    yield Driven(cache, partial(passes, shared, prefix, CLUSTER[0].servers))
    await cache.close()


@asynccontextmanager
async def redis_cluster_keys() -> AsyncIterator[DrivenKeys]:
    prefix, shared = f"test-{uuid.uuid4().hex[:12]}:", to_cluster()
    keys = RedisKeys(shared, prefix, partitions=16)
    await keys.open()
    yield DrivenKeys(keys, partial(passes, shared, prefix, CLUSTER[0].servers))
    await keys.close()


KEY_DRIVERS: dict[str, Callable[[], AbstractAsyncContextManager[DrivenKeys]]] = {
    "memory": memory_keys,
    "redis": redis_keys,
    "redis-cluster": redis_cluster_keys,
}
DRIVERS: dict[str, Callable[[], AbstractAsyncContextManager[Driven]]] = {
    "memory": memory,
    "redis": redis,
    "redis-cluster": redis_cluster,
}
