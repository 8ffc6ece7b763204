"""The connections to Redis that adapter, cache and rate limiter share: one for each address."""

from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sockudo_py.config import Config
from sockudo_py.config.model import RedisUser
from sockudo_py.links.redis.address import RedisAddress
from sockudo_py.wiring.drivers.redis_address import address_of_driver, keys_of_driver

if TYPE_CHECKING:
    from sockudo_py.links.redis.shared import Shared


@runtime_checkable
class Opens(Protocol):
    """A driver that connects before it is used."""

    async def open(self) -> None:
        """Connect. Raises ``SockudoError``."""


class SharedRedis:
    """See above. ``of`` must be called in a running loop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._by_address: dict[RedisAddress, Shared] = {}

    def of(self, user: RedisUser) -> "Shared":
        """Return the connections of a driver, not open yet. Raises ConfigError for an address that can't be."""
        address = address_of_driver(self._config, user)
        if address not in self._by_address:
            self._by_address[address] = self._make(address, user)
        return self._by_address[address]

    def _make(self, address: RedisAddress, user: RedisUser) -> "Shared":
        from sockudo_py.adapters.redis.servers import problem_of, problem_of_node
        from sockudo_py.links.redis.lasting import LastingRedis
        from sockudo_py.links.redis.lasting_cluster import LastingCluster
        from sockudo_py.links.redis.stream import dialer, dialer_of_masters, slots_of

        timeout = self._config.adapter.redis.response_timeout_ms / 1000
        owner, keys = user.replace("_", " "), keys_of_driver(self._config, user)
        name = f"the {owner}'s Redis"
        if not address.nodes:
            dial = dialer(address, timeout, owner=owner, keys=keys)
            return LastingRedis(dial, timeout, partial(problem_of, key=f"{user}.redis.cluster_mode"), name)
        slots = slots_of(address, timeout, owner=owner, keys=keys)
        connect = dialer_of_masters(address, timeout, owner=owner, keys=keys)
        return LastingCluster(slots, connect, timeout, problem_of_node, name)
