"""An event loop's clock and calls, moved by hand."""

import heapq
from collections.abc import Callable
from itertools import count


class FakeLoop:
    """``call_soon``, ``call_later`` and ``clock`` for what takes them as arguments. Nothing runs by itself."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.soon: list[Callable[[], None]] = []
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def clock(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self.timers, (self.now + delay, next(self._order), callback))

    def turn(self) -> None:
        """Run what was to be called soon, but not what that leads to."""
        callbacks, self.soon = self.soon, []
        for callback in callbacks:
            callback()

    def settle(self) -> None:
        """Take turns until nothing is to be called soon."""
        while self.soon:
            self.turn()

    def advance(self, seconds: float) -> None:
        """Let time pass, running timers at their times."""
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            self.now, _, callback = heapq.heappop(self.timers)
            callback()
            self.settle()
        self.now = end

    async def pass_time(self, seconds: float) -> None:
        """``advance``, for suites whose other drivers have to wait."""
        self.advance(seconds)
