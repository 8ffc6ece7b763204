"""The caches of several nodes, in Redis: the last event of each cache channel, and idempotency keys.

They ask on the connection of the adapter: an event is stored before it is published, and who joins gets it from one of
both, once.
"""

import logging
from collections.abc import Callable
from typing import Any

from sockudo_py.caches.base import CachedEvent
from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.address import tagged
from sockudo_py.links.redis.shared import Shared
from sockudo_py.links.redis.stream import ReplyError

_log = logging.getLogger(__name__)


class _Values:
    """Values that expire, by app and name.

    ``partitions``: of the adapter, in a cluster; a key has the hash tag of its channel there. None: it is no cluster.
    """

    def __init__(self, redis: Shared, prefix: str, *, partitions: int | None = None) -> None:
        self._redis = redis
        self._prefix = prefix.encode()
        self._partitions = partitions
        self._losing = False

    async def open(self) -> None:
        """Connect. Raises ``Unavailable``."""
        await self._redis.open()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._redis.close()

    def _key(self, app_id: str, name: str) -> bytes:
        key = f"{app_id}\0{name}".encode("utf-8", "surrogatepass")
        return self._prefix + tagged(key, self._partitions)

    def _change(self, *words: str | bytes | int) -> None:
        self._redis.command(*words, then=self._changed)

    def _changed(self, answer: Any) -> None:
        lost = isinstance(answer, Unavailable | ReplyError)
        if lost and not self._losing:
            _log.warning("the cache lost an entry: %s", answer)
        self._losing = lost


class RedisCache(_Values):
    """A ``Cache``."""

    def store(self, app_id: str, channel: str, payload: bytes, ttl: float) -> None:
        """Keep ``payload``."""
        self._change("SET", self._key(app_id, channel), payload, "PX", max(1, round(ttl * 1000)))

    def fetch(self, app_id: str, channel: str, done: Callable[[CachedEvent | Unavailable | None], None]) -> None:
        """Ask for the event and for its time."""
        key = self._key(app_id, channel)
        found: list[Any] = []

        def answered(answer: Any) -> None:
            found.append(answer)
            if len(found) < 2:
                return
            payload, left = found
            if isinstance(left, Unavailable | ReplyError):
                done(left if isinstance(left, Unavailable) else Unavailable(str(left)))
            elif not isinstance(payload, bytes) or left == -2:
                done(None)
            else:
                done(CachedEvent(payload, max(0, left) / 1000))

        self._redis.command("GET", key, then=answered)
        self._redis.command("PTTL", key, then=answered)


class RedisKeys(_Values):
    """``IdempotencyKeys``."""

    def claim(
        self, app_id: str, key: str, value: bytes, ttl: float, done: Callable[[bytes | Unavailable | None], None]
    ) -> None:
        """Set the value if there is none; return the one before."""

        def answered(answer: Any) -> None:
            if isinstance(answer, ReplyError):
                done(Unavailable(str(answer)))
            else:
                done(answer)

        words = ("SET", self._key(app_id, key), value, "NX", "GET", "PX", max(1, round(ttl * 1000)))
        self._redis.command(*words, then=answered)

    def put(self, app_id: str, key: str, value: bytes, ttl: float) -> None:
        """Keep ``value``."""
        self._change("SET", self._key(app_id, key), value, "PX", max(1, round(ttl * 1000)))

    def remove(self, app_id: str, key: str) -> None:
        """Forget the key."""
        self._change("DEL", self._key(app_id, key))
