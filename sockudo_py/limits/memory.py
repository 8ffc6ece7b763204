"""The rate limiter of a server that is alone."""

from collections import deque
from collections.abc import Callable
from typing import Final

from sockudo_py.limits.base import Allowance

_MAX_ENTRIES: Final = 64  # per key, before takings close together are kept as one
_SWEEP_EVERY: Final = 1024  # takings, at least, between two searches for idle keys

_YES: Final = Allowance(True)


class _Taken:
    """The cost taken from ``first`` to ``last``. All of it counts until ``last`` is a window ago."""

    __slots__ = ("cost", "first", "last")

    def __init__(self, now: float, cost: int) -> None:
        self.first = now
        self.last = now
        self.cost = cost


class _Window:
    """The takings of one key within its window."""

    __slots__ = ("entries", "expires", "used")

    def __init__(self) -> None:
        self.entries: deque[_Taken] = deque()
        self.used = 0
        self.expires = 0.0


class MemoryRateLimiter:
    """An exact sliding window, a ``RateLimiter``: never more than the limit in any window, wherever it begins.

    A key holds up to about 128 entries. Once it has 64, takings within 1/64 of the window become one entry that expires
    with its youngest, so a busy key may wait up to 1/64 of its window too long.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` is in seconds and never goes back."""
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._until_sweep = _SWEEP_EVERY

    def take(self, key: str, limit: int, window: float, cost: int = 1) -> Allowance:
        """Spend; a refusal spends nothing."""
        now = self._clock()
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._sweep(now)
        state = self._windows.get(key)
        if state is None:
            state = self._windows[key] = _Window()
        entries = state.entries
        while entries and entries[0].last + window <= now:
            state.used -= entries.popleft().cost
        state.expires = now + window
        if state.used + cost > limit:
            return Allowance(False, _wait(state, limit, window, cost, now))
        state.used += cost
        if len(entries) >= _MAX_ENTRIES and now - entries[-1].first < window / _MAX_ENTRIES:
            entries[-1].last = now
            entries[-1].cost += cost
        else:
            entries.append(_Taken(now, cost))
        return _YES

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    def __len__(self) -> int:
        """Return the number of keys that are remembered."""
        return len(self._windows)

    def _sweep(self, now: float) -> None:
        """Forget keys that were not used for a window, after at least as many takings as there were keys."""
        self._windows = {key: state for key, state in self._windows.items() if state.expires > now}
        self._until_sweep = max(_SWEEP_EVERY, len(self._windows))


def _wait(state: _Window, limit: int, window: float, cost: int, now: float) -> float:
    """Return the seconds until ``cost`` fits, or a whole window when it never will."""
    if cost > limit:
        return window
    excess = state.used + cost - limit
    for entry in state.entries:
        excess -= entry.cost
        if excess <= 0:
            return entry.last + window - now
    return window
