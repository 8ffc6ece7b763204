"""Rate limits that all nodes share, in Redis.

``take`` never waits: it spends here, and every ``INTERVAL`` seconds all nodes hear what the others have spent. So a
limit is exceeded by no more than they spend within that time. While Redis is away each node keeps its own view.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from sockudo_py.errors import Unavailable
from sockudo_py.limits.base import Allowance
from sockudo_py.limits.memory import MemoryRateLimiter
from sockudo_py.links.redis.address import partition_of
from sockudo_py.links.redis.link import Script
from sockudo_py.links.redis.shared import Shared
from sockudo_py.links.redis.stream import ReplyError

INTERVAL: Final = 0.1  # seconds
_AT_ONCE: Final = 500  # limits that one call settles
_STALE: Final = 10 * INTERVAL  # seconds after which what the others have spent is not believed any more


class _Shared:
    """One limit of one key: what was spent here and is not settled, and what all nodes had spent by the last answer."""

    __slots__ = ("answered_at", "name", "spent", "total", "under_way", "used_at", "window")

    def __init__(self, name: str, window: float) -> None:
        self.name = name
        self.window = window
        self.spent = 0
        self.under_way = 0
        self.total = 0
        self.answered_at = float("-inf")
        self.used_at = 0.0


class RedisRateLimiter:
    """A ``RateLimiter``. Keys that were not used for a window are forgotten."""

    def __init__(
        self, redis: Shared, prefix: str, clock: Callable[[], float], *, partitions: int | None = None
    ) -> None:
        """``clock`` is in seconds and never goes back. ``partitions``: over how many a cluster's keys are spread."""
        self._redis = redis
        self._prefix = prefix.encode()
        self._clock = clock
        self._partitions = partitions
        self._here = MemoryRateLimiter(clock)
        self._shared: dict[tuple[str, float], _Shared] = {}
        self._script = Script("limit_settle")
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        """Connect. Raises ``Unavailable``."""
        await self._redis.open()

    async def close(self) -> None:
        """Let go of the connection."""
        if self._timer is not None:
            self._timer.cancel()
        await self._redis.close()

    def take(self, key: str, limit: int, window: float, cost: int = 1) -> Allowance:
        """Spend, where neither this node nor all of them together have reached the limit; a refusal spends nothing."""
        now = self._clock()
        shared = self._shared.get((key, window))
        if shared is None:
            shared = self._shared[key, window] = _Shared(key, window)
        shared.used_at = now
        together = shared.total + shared.under_way + shared.spent
        if now - shared.answered_at < _STALE and together + cost > limit:
            self._arm()
            return Allowance(False, min(window, max(INTERVAL, window / max(1, limit))))
        allowance = self._here.take(key, limit, window, cost)
        if allowance.allowed:
            shared.spent += cost
            self._arm()
        return allowance

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(INTERVAL, self._settle)

    def _settle(self) -> None:
        """Add what was spent here to Redis, and get what the others have spent."""
        self._timer = None
        now = self._clock()
        for name, shared in list(self._shared.items()):
            if now - shared.used_at > shared.window:
                del self._shared[name]
        if not self._shared:
            return
        self._arm()
        if not self._redis.ready:
            return
        idle: dict[bytes, list[_Shared]] = {}
        for shared in self._shared.values():
            if not shared.under_way:
                idle.setdefault(self._prefix_of(shared.name), []).append(shared)
        for prefix, those in idle.items():
            for start in range(0, len(those), _AT_ONCE):
                self._ask(prefix, those[start : start + _AT_ONCE])

    def _prefix_of(self, name: str) -> bytes:
        """Return what stands before the keys of a limit: in a cluster it ends with the tag of its slot."""
        if self._partitions is None:
            return self._prefix
        number = partition_of(name.encode("utf-8", "surrogatepass"), self._partitions)
        return b"%b{%d}:" % (self._prefix, number)

    def _ask(self, prefix: bytes, some: list[_Shared]) -> None:
        words: list[str | bytes | int] = []
        for shared in some:
            shared.under_way, shared.spent = shared.spent, 0
            words += [shared.name.encode("utf-8", "surrogatepass"), round(shared.window * 1000), shared.under_way]

        def answered(answer: Any) -> None:
            if isinstance(answer, ReplyError) and str(answer).startswith("NOSCRIPT"):
                self._redis.command("EVAL", self._script.text, 1, prefix, *words, then=answered)
                return
            now = self._clock()
            lost = isinstance(answer, Unavailable | ReplyError)
            for number, shared in enumerate(some):
                if not lost:
                    shared.total, shared.answered_at = int(answer[number]), now
                shared.under_way = 0  # lost with the connection: the limit is a little wider for once

        self._redis.command("EVALSHA", self._script.digest, 1, prefix, *words, then=answered)
