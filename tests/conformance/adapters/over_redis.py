"""Nodes in one process over one Redis, each with a connection of its own that can be cut."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from sockudo_py.adapters.redis.adapter import RedisAdapter
from sockudo_py.adapters.redis.figures import Figures
from sockudo_py.adapters.redis.partition import Partition, Timing
from sockudo_py.adapters.redis.servers import problem_of
from sockudo_py.errors import Unavailable
from sockudo_py.links.redis_address import RedisAddress
from sockudo_py.links.redis_lasting import LastingRedis
from sockudo_py.links.redis_stream import Listener, RedisStream, dialer
from tests.conformance.adapters.driven import Driven, running

NODE_TIMEOUT = 60.0  # seconds; those that matter pass by hand
RESPONSE_TIMEOUT = 10.0


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
    ) -> None:
        self.prefix = f"test-{uuid.uuid4().hex[:12]}:"
        self.timing = Timing(vacate_delay, node_timeout, node_timeout / 4)
        self._url = url
        self._response_timeout = response_timeout
        self._cut: set[Listener] = set()
        self.adapters: list[RedisAdapter] = []
        self.nodes: list[Driven] = []
        for _ in range(number):
            self.add()

    def add(self, url: str | RedisAddress | None = None) -> Driven:
        """Make one more node, not started yet."""
        dial = dialer(url or self._url, self._response_timeout, owner="adapter", keys="database.redis")

        async def connect(listener: Listener) -> RedisStream:
            if listener in self._cut:
                raise Unavailable("it is cut off")
            return await dial(listener)

        redis = LastingRedis(connect, self._response_timeout, problem_of, "the cluster's Redis")
        adapter = RedisAdapter(redis, self.prefix, self.timing, Figures())
        self.adapters.append(adapter)
        self.nodes.append(Driven(adapter, self.pass_time, self.timing.vacate_delay))
        return self.nodes[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[Driven]]:
        """Run them."""
        async with AsyncExitStack() as opened:
            yield [await opened.enter_async_context(running(node)) for node in self.nodes]

    def partition(self, node: Driven) -> Partition:
        return self.adapters[self.nodes.index(node)]._started

    def link(self, node: Driven) -> LastingRedis:
        return self.adapters[self.nodes.index(node)]._redis

    async def pass_time(self, seconds: float) -> None:
        """Let Redis' clock be later, in steps that are no surprise to nodes that beat."""
        while seconds > 0:
            step = min(seconds, self.timing.node_timeout / 5)
            seconds -= step
            partitions = [adapter._started for adapter in self.adapters]
            for partition in partitions:
                partition.shift_ms += round(step * 1000)
            for _ in range(3):  # what one takes apart, another one has to hear of
                for partition in partitions:
                    partition.beat()
                await self.settle()

    async def settle(self) -> None:
        """Wait until each node that is not cut off has its answers, and what Redis sent before."""
        for _ in range(3):
            for adapter in self.adapters:
                partition = adapter._started
                if partition.stopped or adapter._redis in self._cut:
                    continue
                answered = False
                while not answered:
                    await until(lambda partition=partition: partition.ready and partition.settled)  # type: ignore[misc]
                    with suppress(Unavailable):  # the connection is lost just now: it will be back
                        await partition.ask("EXISTS", "nothing")
                        answered = True

    def kill(self, node: Driven) -> None:
        """Let a node do nothing any more, as kill -9 does."""
        partition = self.partition(node)
        self.cut(node)
        partition.stopped = True
        partition._deliver = lambda envelope: None

    def cut(self, node: Driven) -> None:
        """Keep a node from Redis."""
        self._cut.add(self.link(node))
        self.link(node).fail("it is cut off")

    def mend(self, node: Driven) -> None:
        """Let it connect again."""
        self._cut.discard(self.link(node))


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - many things may bring it about
            await asyncio.sleep(0.002)
