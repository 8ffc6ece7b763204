"""The idempotency keys of a server that is alone."""

from collections import OrderedDict
from collections.abc import Callable

from sockudo_py.errors import Unavailable

_ENTRY_BYTES = 300  # overhead of Python for a key and its value


class MemoryKeys:
    """Values in a dict, an ``IdempotencyKeys``. Past its bound in bytes the oldest entries go."""

    def __init__(self, clock: Callable[[], float], max_bytes: int = 67_108_864) -> None:
        """``clock`` is in seconds and never goes back. 64 MiB hold the keys of about 160,000 events without info."""
        self._clock = clock
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[tuple[str, str], tuple[float, bytes]] = OrderedDict()

    def claim(
        self, app_id: str, key: str, value: bytes, ttl: float, done: Callable[[bytes | Unavailable | None], None]
    ) -> None:
        """Answer at once."""
        entry = self._entries.get((app_id, key))
        if entry is not None and entry[0] > self._clock():
            done(entry[1])
            return
        self.put(app_id, key, value, ttl)
        done(None)

    def put(self, app_id: str, key: str, value: bytes, ttl: float) -> None:
        """Keep ``value``."""
        self.remove(app_id, key)
        now = self._clock()
        entries = self._entries
        entries[app_id, key] = (now + ttl, value)
        self._bytes += _size(key, value)
        while entries:
            oldest = next(iter(entries))
            if self._bytes <= self._max_bytes and entries[oldest][0] > now:
                break
            self.remove(*oldest)

    def remove(self, app_id: str, key: str) -> None:
        """Forget the key."""
        entry = self._entries.pop((app_id, key), None)
        if entry is not None:
            self._bytes -= _size(key, entry[1])

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._entries)

    async def close(self) -> None:
        """Do nothing: there are no connections."""


def _size(key: str, value: bytes) -> int:
    return _ENTRY_BYTES + len(key.encode("utf-8", "replace")) + len(value)
