"""The adapter over Redis: many nodes, one truth. ``lua/adapter_common.lua`` has the keys."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sockudo_py.adapters.base import (
    ChannelStats,
    Envelope,
    JoinDone,
    LeaveDone,
    Message,
    SignInDone,
    SignOutDone,
)
from sockudo_py.adapters.redis.channels import pairs, roster_of
from sockudo_py.adapters.redis.figures import Figures
from sockudo_py.adapters.redis.link import Link
from sockudo_py.adapters.redis.partition import Partition, Timing
from sockudo_py.adapters.redis.servers import policy_problem
from sockudo_py.adapters.redis.transitions import Outbox, text
from sockudo_py.changes import OnChange
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.links.redis_lasting import LastingRedis
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

_AT_ONCE: Final = 1000  # channels whose figures one command asks for
_LAST_STEPS: Final = 2.0  # seconds for the answers to the last steps, at a stop


class RedisAdapter:
    """An ``Adapter`` over one Redis (or a master found by Sentinel).

    Args:
        redis: The connection, which others may use too.
        prefix: Of all keys and topics.
        timing: Delays.
        figures: Counts for operators.
        connections: Returns how many clients of each app are connected to this node; the others hear of it.
    """

    alone = False

    def __init__(
        self,
        redis: LastingRedis,
        prefix: str,
        timing: Timing,
        figures: Figures,
        *,
        connections: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._redis = redis
        self._connections = connections
        self._timing = timing
        self._figures = figures
        self._link = Link(redis, f"{prefix}{{0}}:")
        self._partition: Partition | None = None

    def start(self, deliver: Callable[[Envelope], None], on_change: OnChange) -> None:
        """See ``Adapter.start``."""
        self._partition = Partition(
            self._link, self._timing, self._figures, deliver, lambda acknowledge: Outbox(on_change, acknowledge)
        )
        self._partition.counts_connections = self._connections

    async def open(self) -> None:
        """Connect, check the server and register. Raises ``Unavailable``, or ``SockudoError`` for one of no use."""
        await self._redis.open()
        try:
            found = await self._redis.query("CONFIG", "GET", "maxmemory-policy")
        except Unavailable:
            return  # managed services and ACLs do not let it be asked
        policy = found.get(b"maxmemory-policy") if isinstance(found, dict) else None
        problem = None if policy is None else policy_problem(policy.decode())
        if problem is not None:
            raise SockudoError(f"{self._redis.name}: {problem}")

    async def stop(self) -> None:
        """See ``Adapter.stop``."""
        if self._partition is not None:
            await self._partition.stop(_LAST_STEPS)

    async def close(self) -> None:
        """See ``Adapter.close``."""
        if self._partition is not None:
            await self._partition.close(_LAST_STEPS)
        await self._redis.close()

    @property
    def _started(self) -> Partition:
        if self._partition is None:
            raise RuntimeError("RedisAdapter was used before start()")
        return self._partition

    def join(
        self,
        app_id: str,
        channel: str,
        source: Source,
        member: Member | None,
        max_members: int,
        tell_count: bool,
        done: JoinDone,
    ) -> None:
        """See ``Adapter.join``."""
        self._started.join(app_id, channel, source, member, max_members, tell_count, done)

    def leave(
        self, app_id: str, channel: str, source: Source, member: Member | None, tell_count: bool, done: LeaveDone
    ) -> None:
        """See ``Adapter.leave``."""
        self._started.leave(app_id, channel, source, member, tell_count, done)

    def sign_in(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignInDone) -> None:
        """See ``Adapter.sign_in``."""
        self._started.sign_in(app_id, user_id, watchlist, done)

    def sign_out(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignOutDone) -> None:
        """See ``Adapter.sign_out``."""
        self._started.sign_out(app_id, user_id, watchlist, done)

    def publish(self, message: Message) -> None:
        """See ``Adapter.publish``."""
        self._started.publish(message)

    async def channels(self, app_id: str, prefix: str = "") -> dict[str, ChannelStats]:
        """See ``Adapter.channels``."""
        first = prefix.encode("utf-8", "surrogatepass")
        last = b"(" + first + b"\xff" if first else b"+"
        names = await self._ask("ZRANGEBYLEX", f"names:{app_id}", b"[" + first if first else b"-", last)
        found: dict[str, ChannelStats] = {}
        for start in range(0, len(names), _AT_ONCE):
            some = [text(name) for name in names[start : start + _AT_ONCE]]
            totals, *users = await asyncio.gather(
                self._ask("HMGET", "totals", *(_key(app_id, name) for name in some)),
                *(self._ask("HLEN", b"r:" + _key(app_id, name)) for name in some if name.startswith("presence-")),
            )
            members = iter(users)
            for name, total in zip(some, totals, strict=True):
                user_count = next(members) if name.startswith("presence-") else None
                if total is not None:
                    found[name] = ChannelStats(int(total), user_count)
        return found

    async def channel(self, app_id: str, channel: str) -> ChannelStats | None:
        """See ``Adapter.channel``."""
        presence = channel.startswith("presence-")
        key = _key(app_id, channel)
        total, *users = await asyncio.gather(
            self._ask("HGET", "totals", key), *([self._ask("HLEN", b"r:" + key)] if presence else [])
        )
        return None if total is None else ChannelStats(int(total), users[0] if users else None)

    async def members(self, app_id: str, channel: str) -> list[str]:
        """See ``Adapter.members``."""
        return list(roster_of(pairs(await self._ask("HGETALL", b"r:" + _key(app_id, channel)))))

    async def connections_elsewhere(self, app_id: str) -> int:
        """See ``Adapter.connections_elsewhere``."""
        own = self._started.node_id.encode()
        nodes = await self._ask("ZRANGE", "nodes", 0, -1)
        counts = await asyncio.gather(*(self._ask("HGET", b"conns:" + node, app_id) for node in nodes if node != own))
        return sum(int(count or 0) for count in counts)

    def put_off(self, waits: Callable[[Source], bool] | None) -> None:
        """See ``Adapter.put_off``."""
        self._started.outbox.put_off(waits)

    def tell_put_off(self, most: int) -> bool:
        """See ``Adapter.tell_put_off``."""
        return self._started.outbox.tell_put_off(most)

    def names(self) -> Sequence[str]:
        """See ``Sweeping.names``."""
        return [] if self._partition is None else [self._partition.node_id]

    def expire(self, names: Sequence[str]) -> bool:
        """See ``Sweeping.expire``."""
        return self._partition is not None and self._partition.expire(names)

    def healthy(self) -> bool:
        """See ``Adapter.healthy``."""
        return self._partition is not None and self._partition.ready

    async def _ask(self, *words: bytes | str | int) -> Any:
        return await self._started.ask(*words)


def _key(app_id: str, name: str) -> bytes:
    return b"%b\0%b" % (app_id.encode("utf-8", "surrogatepass"), name.encode("utf-8", "surrogatepass"))
