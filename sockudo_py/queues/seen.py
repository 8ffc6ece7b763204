"""Ids of appended events that are remembered, so that none is added twice."""

from collections import OrderedDict

_MOST = 200_000


class SeenIds:
    """Remembers ids for ``ttl_ms``, and the newest 200,000 at most. Times are milliseconds of the caller's clock."""

    def __init__(self, ttl_ms: int) -> None:
        self._ttl_ms = ttl_ms
        self._seen: OrderedDict[str, int] = OrderedDict()  # id -> ms

    def __contains__(self, ident: str) -> bool:
        return ident in self._seen

    def add(self, ident: str, now: int) -> None:
        """Remember an id from now on."""
        self._seen[ident] = now

    def forget(self, now: int) -> None:
        """Let go of what is too old, or too much."""
        while self._seen:
            ident, seen_ms = next(iter(self._seen.items()))
            if seen_ms + self._ttl_ms > now and len(self._seen) <= _MOST:
                return
            del self._seen[ident]
