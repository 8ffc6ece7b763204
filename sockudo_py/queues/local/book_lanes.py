"""The calls about lanes that all drivers with books in this process (``book.py``) share."""

from collections.abc import Callable

from sockudo_py.queues.base import LaneDepth, LanePolicy
from sockudo_py.queues.clock import QueueClock
from sockudo_py.queues.local.book import LeaseBook
from sockudo_py.queues.waker import Waker


class BookLanes:
    """The calls of ``Queue`` that need nothing but the books. ``clock``: as of ``QueueClock``."""

    def __init__(self, book: LeaseBook, waker: Waker, clock: Callable[[], float] | None) -> None:
        self._book = book
        self._waker = waker
        self._clock = QueueClock(clock)

    async def set_policy(self, endpoint: str, policy: LanePolicy) -> None:  # noqa: D102
        self._book.set_policy(endpoint, policy, self._now())
        self._waker.soon()

    async def pause(self, endpoint: str) -> None:  # noqa: D102
        self._book.set_paused(endpoint, True, self._now())

    async def resume(self, endpoint: str) -> None:  # noqa: D102
        self._book.set_paused(endpoint, False, self._now())
        self._waker.soon()

    async def paused_lanes(self) -> list[str]:  # noqa: D102
        return self._book.paused()

    async def gate(self, endpoint: str, seconds: float) -> None:  # noqa: D102
        now = self._now()
        self._book.gate(endpoint, now + round(seconds * 1000), now)
        self._waker.soon(seconds)

    async def lane(self, endpoint: str) -> LaneDepth:  # noqa: D102
        return self._book.depth(endpoint, self._now())

    async def wait(self, timeout: float) -> None:  # noqa: D102
        await self._waker.wait(timeout)

    def _now(self) -> int:
        return self._clock.steady()
