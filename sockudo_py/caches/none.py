"""The cache driver ``none``: cache channels remember nothing."""

from collections.abc import Callable

from sockudo_py.caches.base import CachedEvent
from sockudo_py.errors import Unavailable


class NoCache:
    """A ``Cache`` that forgets everything at once, so that each join of a cache channel is a miss."""

    __slots__ = ()

    def store(self, app_id: str, channel: str, payload: bytes, ttl: float) -> None:
        """Forget it."""

    def fetch(self, app_id: str, channel: str, done: Callable[[CachedEvent | Unavailable | None], None]) -> None:
        """Answer at once that there is nothing."""
        done(None)

    async def close(self) -> None:
        """Do nothing: there are no connections."""
