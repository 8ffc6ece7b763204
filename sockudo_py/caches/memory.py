"""The cache of a server that is alone."""

from collections import OrderedDict
from collections.abc import Callable

from sockudo_py.caches.base import CachedEvent
from sockudo_py.compact import compact
from sockudo_py.errors import Unavailable


class MemoryCache:
    """Events in a dict, a ``Cache``. When it is full, the entry that was stored longest ago goes."""

    def __init__(self, clock: Callable[[], float], max_entries: int = 10_000) -> None:
        """``clock`` is in seconds and never goes back."""
        self._clock = clock
        self._max_entries = max_entries
        self._entries: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()

    def store(self, app_id: str, channel: str, payload: bytes, ttl: float) -> None:
        """Remember ``payload``."""
        key = (app_id, channel)
        self._entries[key] = (self._clock() + ttl, compact(payload))
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def fetch(self, app_id: str, channel: str, done: Callable[[CachedEvent | Unavailable | None], None]) -> None:
        """Answer at once."""
        key = (app_id, channel)
        entry = self._entries.get(key)
        if entry is None:
            done(None)
            return
        expires, payload = entry
        left = expires - self._clock()
        if left <= 0:
            del self._entries[key]
            done(None)
            return
        done(CachedEvent(payload, left))

    async def close(self) -> None:
        """Do nothing: there are no connections."""
