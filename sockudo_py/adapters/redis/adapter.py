"""The adapter over Redis: many nodes, one truth. ``lua/adapter_common.lua`` has the keys."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from sockudo_py.adapters.base import (
    ChannelStats,
    Envelope,
    Held,
    JoinDone,
    LeaveDone,
    Message,
    Publication,
    SignInDone,
    SignOutDone,
)
from sockudo_py.adapters.redis.figures import Figures, named, together
from sockudo_py.adapters.redis.held import held_of
from sockudo_py.adapters.redis.link import Link
from sockudo_py.adapters.redis.partition import Partition, Timing
from sockudo_py.adapters.redis.servers import policy_problem
from sockudo_py.adapters.redis.spread import SignIn, number_of
from sockudo_py.adapters.redis.teller import Teller
from sockudo_py.adapters.redis.view.channels import pairs, roster_of
from sockudo_py.adapters.redis.view.transitions import Outbox, PutOff, text
from sockudo_py.changes import OnChange
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.links.redis.shared import Shared
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

_AT_ONCE: Final = 1000  # channels whose figures one command asks for
_LAST_STEPS: Final = 2.0  # seconds for the answers to the last steps, at a stop


class RedisAdapter:
    """An ``Adapter`` over a Redis, or a Redis Cluster.

    Args:
        redis: The connections, which others may use too.
        prefix: Of all keys and topics.
        timing: Delays.
        partitions: Into how many the state is split in a cluster; None: it is no cluster.
        connections: Returns how many clients of each app are connected to this node; other nodes get the numbers.
        delivered: Gets, at each heartbeat, the seconds that a message takes from here to a node.
    """

    alone = False

    def __init__(
        self,
        redis: Shared,
        prefix: str,
        timing: Timing,
        *,
        partitions: int | None = None,
        connections: Callable[[], Mapping[str, int]] = dict,
        delivered: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._redis = redis
        self._connections = connections
        self._delivered = delivered
        self._timing = timing
        self._links = []
        for number in range(partitions or 1):
            tagged = f"{prefix}{{{number}}}:"
            self._links.append(Link(redis.way(tagged.encode()), tagged))
        self._put_off = PutOff()
        self._partitions: list[Partition] = []

    def start(self, deliver: Callable[[Envelope], None], on_change: OnChange) -> None:
        """See ``Adapter.start``."""
        log = Teller(logging.getLogger(__name__))
        self._partitions = [
            Partition(
                link,
                self._timing,
                deliver,
                partial(Outbox, on_change, self._put_off),
                partitions=len(self._links),
                log=log,
            )
            for link in self._links
        ]
        self._partitions[0].counts_connections = self._connections
        for partition in self._partitions:
            partition.observe_delivery = self._delivered

    async def open(self) -> None:
        """Connect, check the server and register. Raises ``Unavailable``, or ``SockudoError`` for one of no use."""
        await self._redis.open()
        try:
            answers = await self._redis.query_each("CONFIG", "GET", "maxmemory-policy")
        except Unavailable:
            return  # managed services and ACLs do not let it be asked
        for found in answers:
            policy = found.get(b"maxmemory-policy") if isinstance(found, dict) else None
            problem = None if policy is None else policy_problem(policy.decode())
            if problem is not None:
                raise SockudoError(f"{self._redis.name}: {problem}")

    async def stop(self) -> None:
        """See ``Adapter.stop``."""
        await asyncio.gather(*(partition.stop(_LAST_STEPS, self._put_off) for partition in self._partitions))

    async def close(self) -> None:
        """See ``Adapter.close``."""
        await asyncio.gather(*(partition.close(_LAST_STEPS) for partition in self._partitions))
        await self._redis.close()

    @property
    def partitions(self) -> Sequence[Partition]:
        """The partitions, when it has been started."""
        return self._partitions

    def figures(self) -> Figures:
        """Return what operators see, of all partitions together."""
        return together(partition.look() for partition in self._partitions)

    def usage(self) -> Mapping[str, float]:
        """See ``Measured.usage``."""
        return named(self.figures())

    def _of(self, app_id: str, name: str) -> Partition:
        """Return the partition of a channel or user."""
        partitions = self._partitions
        if len(partitions) == 1:
            return partitions[0]
        if not partitions:
            raise RuntimeError("RedisAdapter was used before start()")
        return partitions[number_of(app_id, name, len(partitions))]

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
        self._of(app_id, channel).join(app_id, channel, source, member, max_members, tell_count, done)

    def leave(
        self, app_id: str, channel: str, source: Source, member: Member | None, tell_count: bool, done: LeaveDone
    ) -> None:
        """See ``Adapter.leave``."""
        self._of(app_id, channel).leave(app_id, channel, source, member, tell_count, done)

    def sign_in(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignInDone) -> None:
        """See ``Adapter.sign_in``."""
        home, friends = self._of(app_id, user_id), self._by_partition(app_id, watchlist)
        if friends.keys() <= {home}:
            home.sign_in(app_id, user_id, watchlist, done)
        else:
            SignIn(home, app_id, user_id, friends, done)

    def sign_out(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignOutDone) -> None:
        """See ``Adapter.sign_out``."""
        home, friends = self._of(app_id, user_id), self._by_partition(app_id, watchlist)
        home.sign_out(app_id, user_id, friends.pop(home, ()), done)
        for partition, user_ids in friends.items():
            partition.unwatch(app_id, user_ids)

    def _by_partition(self, app_id: str, user_ids: Sequence[str]) -> dict[Partition, list[str]]:
        found: dict[Partition, list[str]] = {}
        for user_id in user_ids:
            found.setdefault(self._of(app_id, user_id), []).append(user_id)
        return found

    def publish(self, message: Message) -> None:
        """See ``Adapter.publish``."""
        name = message.channel if isinstance(message, Publication) else message.user_id
        self._of(message.app_id, name).publish(message)

    async def channels(self, app_id: str, prefix: str = "") -> dict[str, ChannelStats]:
        """See ``Adapter.channels``."""
        parts = await asyncio.gather(*(self._channels(one, app_id, prefix) for one in self._of_all()))
        return {name: stats for part in parts for name, stats in part.items()}

    async def _channels(self, partition: Partition, app_id: str, prefix: str) -> dict[str, ChannelStats]:
        first = prefix.encode("utf-8", "surrogatepass")
        last = b"(" + first + b"\xff" if first else b"+"
        names = await partition.ask("ZRANGEBYLEX", f"names:{app_id}", b"[" + first if first else b"-", last)
        found: dict[str, ChannelStats] = {}
        for start in range(0, len(names), _AT_ONCE):
            some = [text(name) for name in names[start : start + _AT_ONCE]]
            totals, *users = await asyncio.gather(
                partition.ask("HMGET", "totals", *(_key(app_id, name) for name in some)),
                *(partition.ask("HLEN", b"r:" + _key(app_id, name)) for name in some if name.startswith("presence-")),
            )
            members = iter(users)
            for name, total in zip(some, totals, strict=True):
                user_count = next(members) if name.startswith("presence-") else None
                if total is not None:
                    found[name] = ChannelStats(int(total), user_count)
        return found

    async def held(self, app_id: str) -> AsyncIterator[tuple[int | None, list[Held]]]:
        """See ``Tells.held``."""
        for partition in self._of_all():
            async for moment, held in held_of(partition, app_id):
                yield moment, held

    async def channel(self, app_id: str, channel: str) -> ChannelStats | None:
        """See ``Adapter.channel``."""
        presence = channel.startswith("presence-")
        key = _key(app_id, channel)
        total, *users = await asyncio.gather(
            self._of(app_id, channel).ask("HGET", "totals", key),
            *([self._of(app_id, channel).ask("HLEN", b"r:" + key)] if presence else []),
        )
        return None if total is None else ChannelStats(int(total), users[0] if users else None)

    async def members(self, app_id: str, channel: str) -> list[str]:
        """See ``Adapter.members``."""
        return list(roster_of(pairs(await self._of(app_id, channel).ask("HGETALL", b"r:" + _key(app_id, channel)))))

    async def connections_elsewhere(self, app_id: str) -> int:
        """See ``Adapter.connections_elsewhere``."""
        first = self._of_all()[0]
        own = first.node_id.encode()
        nodes = await first.ask("ZRANGE", "nodes", 0, -1)
        counts = await asyncio.gather(*(first.ask("HGET", b"conns:" + node, app_id) for node in nodes if node != own))
        return sum(int(count) for count in counts if count is not None and count.isdigit())

    def put_off(self, waits: Callable[[Source], bool] | None) -> None:
        """See ``Adapter.put_off``."""
        self._put_off.waits = waits

    def tell_put_off(self, most: int) -> bool:
        """See ``Adapter.tell_put_off``."""
        return self._put_off.tell(most)

    def names(self) -> Sequence[str]:
        """See ``Sweeping.names``."""
        return [partition.node_id for partition in self._partitions]

    def expire(self, names: Sequence[str]) -> bool:
        """See ``Sweeping.expire``."""
        done = [partition.expire(names) for partition in self._partitions]
        return bool(done) and all(done)

    def healthy(self) -> bool:
        """See ``Adapter.healthy``."""
        return bool(self._partitions) and all(partition.ready for partition in self._partitions)

    def _of_all(self) -> Sequence[Partition]:
        if not self._partitions:
            raise RuntimeError("RedisAdapter was used before start()")
        return self._partitions


def _key(app_id: str, name: str) -> bytes:
    return b"%b\0%b" % (app_id.encode("utf-8", "surrogatepass"), name.encode("utf-8", "surrogatepass"))
