"""The rate limiters that must pass the suite. A new driver is one function here and one line in ``DRIVERS``."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sockudo_py.limits.base import RateLimiter
from sockudo_py.limits.memory import MemoryRateLimiter
from tests.support.fake_loop import FakeLoop


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


DRIVERS: dict[str, Callable[[], AbstractAsyncContextManager[Driven]]] = {"memory": memory}
