"""The caches that must pass the suite. A new driver is one function here and one line in a table."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sockudo_py.caches.base import Cache, CachedEvent, IdempotencyKeys
from sockudo_py.caches.memory import MemoryCache
from sockudo_py.caches.memory_keys import MemoryKeys
from sockudo_py.errors import Unavailable
from tests.support.fake_loop import FakeLoop


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


KEY_DRIVERS: dict[str, Callable[[], AbstractAsyncContextManager[DrivenKeys]]] = {"memory": memory_keys}
DRIVERS: dict[str, Callable[[], AbstractAsyncContextManager[Driven]]] = {"memory": memory}
