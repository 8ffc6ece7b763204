"""Endpoints that the queue has no room for now, and when to ask again: waits of 50 ms to 5 s, few events at first."""

import heapq

from sockudo_py.webhooks.waits import FIRST_WAIT, LONGEST_WAIT

FEW = 10  # events with which a full lane is asked; twice as many each time that all of them were taken
MOST = 1000


class FullLanes:
    """Pure: times are seconds of whatever clock the caller has."""

    __slots__ = ("_due", "_sizes", "_waits")

    def __init__(self) -> None:
        self._waits: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._due: list[tuple[float, str]] = []

    def __contains__(self, endpoint: str) -> bool:
        return endpoint in self._waits

    def __len__(self) -> int:
        return len(self._waits)

    def refused(self, endpoint: str, now: float, *, progress: bool) -> bool:
        """Some of the endpoint's events were refused, all of them or (``progress``) not. Returns whether it is news."""
        before = self._waits.get(endpoint)
        wait = FIRST_WAIT if before is None else before if progress else min(before * 2, LONGEST_WAIT)
        self._waits[endpoint] = wait
        self._sizes[endpoint] = FEW
        heapq.heappush(self._due, (now + wait, endpoint))
        return before is None

    def passed(self, endpoint: str, now: float) -> None:
        """All that was asked for was taken, and there is more: ask again at once, for more."""
        self._waits[endpoint] = FIRST_WAIT
        self._sizes[endpoint] = min(MOST, self._sizes[endpoint] * 2)
        heapq.heappush(self._due, (now, endpoint))

    def over(self, endpoint: str) -> None:
        """Forget an endpoint that ``due`` has named: nothing of it waits any more."""
        del self._waits[endpoint], self._sizes[endpoint]

    def due(self, now: float) -> tuple[str, int] | None:
        """Return an endpoint that is to be asked now and with how many events; None when there is none.

        It is named once; then call ``refused``, ``passed`` or ``over`` with the outcome.
        """
        if not self._due or self._due[0][0] > now:
            return None
        endpoint = heapq.heappop(self._due)[1]
        return endpoint, self._sizes[endpoint]

    def next_due(self) -> float | None:
        """Return when ``due`` will name one."""
        return self._due[0][0] if self._due else None

    def hurry(self) -> None:
        """Make all of them due."""
        self._due = sorted((0.0, endpoint) for _, endpoint in self._due)
