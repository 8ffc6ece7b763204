"""The contracts of caches: the last event of each cache channel, and idempotency keys."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sockudo_py.errors import Unavailable


@dataclass(frozen=True, slots=True)
class CachedEvent:
    """The last event of a cache channel: the unframed message, and the seconds until it expires."""

    payload: bytes
    ttl: float


class Cache(Protocol):
    """Remembers one event per channel for a time. Bounded: a driver may forget the oldest entries when it is full.

    ``store`` never blocks or raises; a store that is lost because the service is away is logged and counted by the
    driver.
    """

    def store(self, app_id: str, channel: str, payload: bytes, ttl: float) -> None:
        """Remember ``payload`` for ``ttl`` seconds; it replaces the last one."""

    def fetch(self, app_id: str, channel: str, done: Callable[[CachedEvent | Unavailable | None], None]) -> None:
        """Answer the channel's event, or None. ``done`` is called exactly once, perhaps before this returns.

        A ``fetch`` after a ``store`` of the same node sees that store.
        """

    async def close(self) -> None:
        """Let go of connections."""


class IdempotencyKeys(Protocol):
    """Remembers a value per key of an app for a time. Bounded: a driver may forget the oldest when it is full.

    A ``claim`` holds for the whole cluster: of several simultaneous claims of one key, exactly one gets None.
    """

    def claim(
        self, app_id: str, key: str, value: bytes, ttl: float, done: Callable[[bytes | Unavailable | None], None]
    ) -> None:
        """Answer the value of a key; when it has none, give it ``value`` for ``ttl`` seconds and answer None.

        ``done`` is called exactly once, perhaps before this returns.
        """

    def put(self, app_id: str, key: str, value: bytes, ttl: float) -> None:
        """Give a key this value for ``ttl`` seconds. Never blocks or raises, like ``remove``."""

    def remove(self, app_id: str, key: str) -> None:
        """Forget a key."""

    async def close(self) -> None:
        """Let go of connections."""
