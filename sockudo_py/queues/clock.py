"""The clock of the queues in this process: one time that never jumps, and the system's for all that others read."""

import time
from collections.abc import Callable


class QueueClock:
    """Tells two times, in Unix milliseconds.

    Windows, gates, rate limits, leases and waits are moments of ``steady``. When the system's time is set back by an
    hour, lanes must not stay closed for that hour; when it is set forward, leases must not end while a request runs.
    What a store or a job keeps beyond this process is of ``wall``.
    """

    __slots__ = ("_clock", "_last", "_skew")

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """``clock``: Unix seconds; None: the system's. One that is given can't be told from a jump when it goes on, so
        it only goes forward: when the system clock is set back, the difference is added from then on."""
        self._clock = clock
        self._last = 0.0
        self._skew = time.time() - time.monotonic() if clock is None else 0.0

    def steady(self) -> int:
        """Return the time that never jumps. It starts at the system's."""
        if self._clock is None:
            return int((self._skew + time.monotonic()) * 1000)
        now = self._clock()
        if now < self._last:
            self._skew += self._last - now
        self._last = now
        return round((now + self._skew) * 1000)

    def wall(self) -> int:
        """Return the system's time."""
        return int((time.time() if self._clock is None else self._clock()) * 1000)

    def left(self, moment: int, most: int) -> int:
        """Return how many ms are left until a moment of ``wall`` that was at most ``most`` ahead when it was noted."""
        return max(0, min(moment - self.wall(), most))
