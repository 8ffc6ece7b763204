"""Keys under which events are appended once, kept beside the jobs: the idempotency keys of triggered events."""

from collections import OrderedDict
from typing import NamedTuple

KEPT_MS = 24 * 3600 * 1000  # how long a key is known
MOST_KEYS = 100_000  # of one app; past it the oldest go
GO_AT_ONCE = 1_000  # how many of them


class OnceKey(NamedTuple):
    """A key of one app. ``digest`` stands for the key itself, ``value`` is what later calls under it get."""

    app_id: str
    digest: str
    value: bytes


class OnceBook:
    """Keys in memory, for stores that have no place for them."""

    def __init__(self) -> None:
        self._apps: dict[str, OrderedDict[str, tuple[int, bytes]]] = {}

    def find(self, app_id: str, digest: str, now: int) -> bytes | None:
        """Return the value of a key; None: it is not known. ``now``: ms."""
        keys = self._apps.get(app_id)
        found = None if keys is None else keys.get(digest)
        return None if found is None or found[0] + KEPT_MS <= now else found[1]

    def add(self, key: OnceKey, now: int) -> None:
        """Remember a key."""
        keys = self._apps.setdefault(key.app_id, OrderedDict())
        keys.pop(key.digest, None)
        keys[key.digest] = (now, key.value)
        if len(keys) > MOST_KEYS:
            for _ in range(GO_AT_ONCE):
                keys.popitem(last=False)
        while keys and next(iter(keys.values()))[0] + KEPT_MS <= now:
            keys.popitem(last=False)
