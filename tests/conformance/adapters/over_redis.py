"""Nodes in one process over one Redis, each with a connection of its own that can be cut."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from sockudo_py.adapters.redis.adapter import RedisAdapter
from sockudo_py.adapters.redis.partition import Partition, Timing
from sockudo_py.adapters.redis.servers import problem_of, problem_of_node
from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.address import Host, RedisAddress, address_of
from sockudo_py.links.redis.lasting import LastingRedis
from sockudo_py.links.redis.lasting_cluster import LastingCluster
from sockudo_py.links.redis.stream import Listener, RedisStream, dialer, dialer_of_masters, slots_of
from tests.conformance.adapters.driven import Driven, running

NODE_TIMEOUT = 60.0  # seconds; those that matter pass by hand
RESPONSE_TIMEOUT = 10.0
PARTITIONS = 8
PATIENCE = float(os.environ.get("TEST_PATIENCE", "60"))  # seconds: less where a test is expected to fail


class OverRedis:
    """Some nodes of one cluster. ``pass_time`` moves Redis' clock for their scripts."""

    def __init__(
        self,
        url: str | RedisAddress,
        vacate_delay: float,
        number: int,
        *,
        node_timeout: float = NODE_TIMEOUT,
        response_timeout: float = RESPONSE_TIMEOUT,
        partitions: int = PARTITIONS,
    ) -> None:
        """``partitions``: into which the state is split where the address is a cluster's."""
        self._partitions = partitions
        self.prefix = f"test-{uuid.uuid4().hex[:12]}:"
        self.timing = Timing(vacate_delay, node_timeout, node_timeout / 4)
        self._url = url
        self._response_timeout = response_timeout
        self._cut: set[object] = set()
        self.adapters: list[RedisAdapter] = []
        self.links: list[LastingRedis | LastingCluster] = []
        self.nodes: list[Driven] = []
        for _ in range(number):
            self.add()

    def add(self, url: str | RedisAddress | None = None) -> Driven:
        """Make one more node, not started yet."""
        address, timeout = address_of(url or self._url), self._response_timeout
        redis: LastingRedis | LastingCluster

        def allow() -> None:
            if redis in self._cut:
                raise Unavailable("it is cut off")

        def allowed(stream: RedisStream) -> RedisStream:
            if redis in self._cut:  # it was cut off while it connected
                stream.close()
                raise Unavailable("it is cut off")
            return stream

        if address.nodes:
            dial_master = dialer_of_masters(address, timeout, owner="adapter", keys="database.redis")

            async def connect_to(host: Host, listener: Listener) -> RedisStream:
                allow()
                return allowed(await dial_master(host, listener))

            slots = slots_of(address, timeout, owner="adapter", keys="database.redis")
            redis = LastingCluster(slots, connect_to, timeout, problem_of_node, "the cluster's Redis")
        else:
            dial = dialer(address, timeout, owner="adapter", keys="database.redis")

            async def connect(listener: Listener) -> RedisStream:
                allow()
                return allowed(await dial(listener))

            redis = LastingRedis(connect, timeout, problem_of, "the cluster's Redis")
        partitions = self._partitions if address.nodes else None
        adapter = RedisAdapter(redis, self.prefix, self.timing, partitions=partitions)
        self.adapters.append(adapter)
        self.links.append(redis)
        self.nodes.append(Driven(adapter, self.pass_time, self.timing.vacate_delay))
        return self.nodes[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[Driven]]:
        """Run them."""
        async with AsyncExitStack() as opened:
            yield [await opened.enter_async_context(running(node)) for node in self.nodes]

    def partition(self, node: Driven) -> Partition:
        """Return the partition of a node that has only one."""
        (found,) = self.partitions(node)
        return found

    def partitions(self, node: Driven) -> Sequence[Partition]:
        return self.adapters[self.nodes.index(node)].partitions

    async def pass_time(self, seconds: float) -> None:
        """Let Redis' clock be later, in steps that are no surprise to nodes that beat."""
        while seconds > 0:
            step = min(seconds, self.timing.node_timeout / 5)
            seconds -= step
            partitions = [partition for adapter in self.adapters for partition in adapter.partitions]
            for partition in partitions:
                partition.shift_ms += round(step * 1000)
            for _ in range(3):  # what one takes apart, another one has to hear of
                for partition in partitions:
                    partition.beat()
                await self.settle()

    async def settle(self) -> None:
        """Wait until each node that is not cut off has its answers, and what Redis sent before."""
        for _ in range(3):
            for adapter, link in zip(self.adapters, self.links, strict=True):
                if link not in self._cut:
                    await asyncio.gather(*map(self._settled, adapter.partitions))

    async def _settled(self, partition: Partition) -> None:
        answered = partition.stopped
        while not answered:
            await until(lambda: partition.ready and partition.settled)
            with suppress(Unavailable):  # the connection is lost just now: it will be back
                await partition.ask("EXISTS", "nothing")
                answered = True

    def kill(self, node: Driven) -> None:
        """Let a node do nothing any more, as kill -9 does."""
        self.cut(node)
        for partition in self.partitions(node):
            partition.stopped = True
            partition._deliver = lambda envelope: None

    def cut(self, node: Driven) -> None:
        """Keep a node from Redis."""
        self._cut.add(self.links[self.nodes.index(node)])
        self.look_again(node, "it is cut off")

    def look_again(self, node: Driven, reason: str = "look again") -> None:
        """Let a node lose its connections."""
        link = self.links[self.nodes.index(node)]
        streams = [link._stream] if isinstance(link, LastingRedis) else [one.stream for one in link._masters.values()]
        for stream in streams:
            if stream is not None:
                stream.fail(reason)

    def mend(self, node: Driven) -> None:
        """Let it connect again."""
        self._cut.discard(self.links[self.nodes.index(node)])


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - many things may bring it about
            await asyncio.sleep(0.002)
