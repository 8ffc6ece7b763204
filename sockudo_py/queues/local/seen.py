"""Ids of appended events that are remembered, so that none is added twice."""

from collections import deque
from collections.abc import Collection, Sequence

from sockudo_py.queues.base import Append, id_of

_MOST = 200_000


class SeenIds:
    """Ids, each remembered for ``ttl_ms`` of the caller's clock, which goes forward. Added and forgotten by calls.

    A call has a ``row`` where a store has its ids as well; rows ascend.
    """

    __slots__ = ("_calls", "_ids", "_ttl_ms")

    def __init__(self, ttl_ms: int) -> None:
        self._ids: set[str] = set()
        self._calls: deque[tuple[int, int, Collection[str]]] = deque()  # when they came, and row; oldest left
        self._ttl_ms = ttl_ms

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Collection[str], now: int, row: int = 0) -> None:
        """Remember ids that are not known yet."""
        self._ids.update(ids)
        self._calls.append((now, row, ids))

    def forget(self, now: int) -> int:
        """Forget what is older than the time to live, and the oldest calls when there are over 200,000 ids.

        Returns the row of the last call that went, 0 when none did.
        """
        calls = self._calls
        row = 0
        while calls and (calls[0][0] + self._ttl_ms <= now or len(self._ids) > _MOST):
            _, row, ids = calls.popleft()
            self._ids.difference_update(ids)
        return row

    def unknown(self, events: Sequence[Append]) -> Sequence[Append]:
        """Return the events that were not added before, each once."""
        ids = set(map(id_of, events))
        if len(ids) == len(events) and self._ids.isdisjoint(ids):
            return events
        return list({event.id: event for event in events if event.id not in self._ids}.values())
