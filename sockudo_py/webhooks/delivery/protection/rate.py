"""A limit on the deliveries of one process. Pure: times are arguments."""

from collections import deque


class RateWindow:
    """At most ``limit`` in any ``window`` seconds."""

    __slots__ = ("_limit", "_taken", "_window")

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._taken: deque[float] = deque()

    def left(self, now: float) -> int:
        """Return how many may be taken now."""
        while self._taken and self._taken[0] <= now - self._window:
            self._taken.popleft()
        return max(0, self._limit - len(self._taken))

    def take(self, now: float) -> None:
        """Take one."""
        self._taken.append(now)

    def give_back(self) -> None:
        """Give back the one taken last, unused."""
        if self._taken:
            self._taken.pop()

    def wait(self, now: float) -> float:
        """Return the seconds until one may be taken."""
        if self.left(now):
            return 0.0
        return max(0.0, self._taken[0] + self._window - now)
