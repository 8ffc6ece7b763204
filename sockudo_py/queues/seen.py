"""Ids of appended events that are remembered, so that none is added twice."""

from collections import deque
from collections.abc import Collection, Sequence

from sockudo_py.queues.base import Append, id_of

_MOST = 200_000


class SeenIds:
    """Ids, each remembered for ``ttl_ms`` of the caller's clock, which goes forward. Added and forgotten by calls."""

    __slots__ = ("_calls", "_ids", "_ttl_ms")

    def __init__(self, ttl_ms: int) -> None:
        self._ids: set[str] = set()
        self._calls: deque[tuple[int, Collection[str]]] = deque()  # when they came, oldest left
        self._ttl_ms = ttl_ms

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Collection[str], now: int) -> None:
        """Remember ids, none of which is known."""
        self._ids.update(ids)
        self._calls.append((now, ids))

    def forget(self, now: int) -> None:
        """Let go of what is older than the time to live, and of the oldest calls when there are over 200,000 ids."""
        calls = self._calls
        while calls and (calls[0][0] + self._ttl_ms <= now or len(self._ids) > _MOST):
            self._ids.difference_update(calls.popleft()[1])

    def unknown(self, events: Sequence[Append]) -> Sequence[Append]:
        """Return the events that were not added before, each once."""
        ids = set(map(id_of, events))
        if len(ids) == len(events) and self._ids.isdisjoint(ids):
            return events
        return list({event.id: event for event in events if event.id not in self._ids}.values())
