"""The connections to Redis that adapter, cache and rate limiter share: one for each URL."""

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from sockudo_py.config import Config
from sockudo_py.config.model import RedisUser

if TYPE_CHECKING:
    from sockudo_py.links.redis_lasting import LastingRedis

_KEYS: Final = "{user}.redis.url_override, database.redis"


@runtime_checkable
class Opens(Protocol):
    """A driver that connects before it is used."""

    async def open(self) -> None:
        """Connect. Raises ``SockudoError``."""


class SharedRedis:
    """See above. ``of`` must be called in a running loop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._by_url: dict[str, LastingRedis] = {}

    def of(self, user: RedisUser) -> "LastingRedis":
        """Return the connection of a driver, not open yet."""
        from sockudo_py.adapters.redis.servers import problem_of
        from sockudo_py.links.redis_lasting import LastingRedis
        from sockudo_py.links.redis_stream import dialer

        url = self._config.redis_url(user)
        if url not in self._by_url:
            timeout = self._config.adapter.redis.response_timeout_ms / 1000
            dial = dialer(url, timeout, owner=user.replace("_", " "), keys=_KEYS.format(user=user))
            self._by_url[url] = LastingRedis(dial, timeout, problem_of, f"the {user.replace('_', ' ')}'s Redis")
        return self._by_url[url]
