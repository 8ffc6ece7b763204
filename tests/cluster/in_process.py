"""Nodes in one process over a Redis of the test's own, whose keys the test looks at."""

from typing import Any

from redis import Redis

from sockudo_py.changes import Transition
from sockudo_py.links.redis.address import RedisAddress
from tests.conformance.adapters.over_redis import OverRedis, until
from tests.support.redis_server import RedisServer

VACATE = 60.0


class Site(OverRedis):
    """Nodes over a Redis of the test's own, whose keys the test looks at.

    ``address``: how the nodes find the server, where that is not its URL.
    """

    def __init__(
        self,
        server: RedisServer,
        number: int,
        *,
        vacate_delay: float = VACATE,
        address: RedisAddress | None = None,
        **timing: float,
    ) -> None:
        super().__init__(address or server.address or server.url, vacate_delay, number, partitions=1, **timing)
        self.server = server

    def redis(self) -> Any:
        return Redis.from_url(self.server.url, decode_responses=True, socket_timeout=60)

    def key(self, name: str) -> str:
        return f"{self.prefix}{{0}}:{name}"

    def told(self) -> list[Transition]:
        """Return all transitions that were told on any node, in the order of their decision, repetitions included."""
        changes = [change for node in self.nodes for change in node.transitions]
        return sorted(changes, key=lambda change: (change.time_ms or 0, int((change.id or "0-0").rsplit("-", 1)[1])))

    def kinds(self, channel: str) -> list[str]:
        """Return the names of what was told of a channel."""
        return [type(change).__name__ for change in self.told() if getattr(change, "channel", "") == channel]


async def at_rest(site: Site) -> None:
    """Wait until nothing is under way, and hold Redis' books against each other."""
    await site.settle()
    redis = site.redis()
    totals: dict[str, int] = {}
    users: dict[str, int] = {}
    for name in redis.zrange(site.key("nodes"), 0, -1):
        for field, value in redis.hgetall(site.key(f"n:{name}")).items():
            if field[0] == "c":
                totals[field[1:]] = totals.get(field[1:], 0) + int(value)
            elif field[0] == "m":
                users[field[1:]] = users.get(field[1:], 0) + 1
        await until(lambda name=name: not redis.hlen(site.key(f"o:{name}")))  # type: ignore[misc]
    assert {field: int(value) for field, value in redis.hgetall(site.key("totals")).items()} == totals
    assert {field: int(value) for field, value in redis.hgetall(site.key("h")).items()} == {
        field: count for field, count in users.items() if count > 1
    }
    rosters = {
        f"{key.split(':r:', 1)[1]}\0{user}" for key in redis.scan_iter(site.key("r:*")) for user in redis.hkeys(key)
    }
    assert rosters == set(users)
    for adapter in site.adapters:
        partition = adapter.partitions[0]
        if not partition.stopped:
            for channel in partition.state.channels.values():
                assert channel.own == channel.told, channel.name
