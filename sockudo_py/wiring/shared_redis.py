"""The connections to Redis that adapter, cache and rate limiter share: one for each address."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sockudo_py.config import Config
from sockudo_py.config.model import RedisUser
from sockudo_py.links.redis_address import RedisAddress
from sockudo_py.wiring.redis_address import address_of_driver, keys_of_driver

if TYPE_CHECKING:
    from sockudo_py.links.redis_lasting import LastingRedis


@runtime_checkable
class Opens(Protocol):
    """A driver that connects before it is used."""

    async def open(self) -> None:
        """Connect. Raises ``SockudoError``."""


class SharedRedis:
    """See above. ``of`` must be called in a running loop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._by_address: dict[RedisAddress, LastingRedis] = {}

    def of(self, user: RedisUser) -> "LastingRedis":
        """Return the connection of a driver, not open yet."""
        from sockudo_py.adapters.redis.servers import problem_of
        from sockudo_py.links.redis_lasting import LastingRedis
        from sockudo_py.links.redis_stream import dialer

        address = address_of_driver(self._config, user)
        if address not in self._by_address:
            timeout = self._config.adapter.redis.response_timeout_ms / 1000
            owner = user.replace("_", " ")
            dial = dialer(address, timeout, owner=owner, keys=keys_of_driver(self._config, user))
            self._by_address[address] = LastingRedis(dial, timeout, problem_of, f"the {owner}'s Redis")
        return self._by_address[address]
