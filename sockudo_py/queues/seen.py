"""Ids of appended events that are remembered, so that none is added twice."""

from collections import OrderedDict

_MOST = 200_000


class SeenIds(OrderedDict[str, int]):
    """Id -> when it came, in milliseconds of the caller's clock, which goes forward: the oldest first."""

    def __init__(self, ttl_ms: int) -> None:
        super().__init__()
        self._ttl_ms = ttl_ms

    def forget(self, now: int) -> None:
        """Let go of what is older than ``ttl_ms``, and of the oldest beyond 200,000."""
        while self:
            ident, seen_ms = next(iter(self.items()))
            if seen_ms + self._ttl_ms > now and len(self) <= _MOST:
                return
            del self[ident]
