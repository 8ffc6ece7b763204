"""The adapters that must pass the suite. A new driver is a function here and one line in ``DRIVERS``.

One that is shared by several nodes has a second one, which makes a cluster of three, and a line in ``CLUSTERS``.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from redis.exceptions import RedisError

from sockudo_py.adapters.base import Adapter, ChannelFull, Envelope, Joined, Left, SignedIn
from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.adapters.redis.adapter import RedisAdapter
from sockudo_py.adapters.redis.figures import Figures
from sockudo_py.adapters.redis.link import Link
from sockudo_py.adapters.redis.partition import Partition, Timing
from sockudo_py.changes import Change, Transition
from sockudo_py.errors import Unavailable
from sockudo_py.links.redis_stream import RedisStream, make_connection
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source
from tests.conformance.adapters.late import EagerNews, LaggingNews, LateAdapter, LateCluster
from tests.support.fake_loop import FakeLoop
from tests.support.redis_server import RedisServer

APP = "1"
REDIS: list[RedisServer] = []  # one, put there by a fixture
NODE_TIMEOUT = 60.0  # seconds; those that matter pass by hand
RESPONSE_TIMEOUT = 10.0


class Driven:
    """A started adapter, with answers to await, and what it told.

    ``pass_time`` lets seconds pass for the adapter: by hand where it takes a clock, by waiting where a service behind
    it has its own.
    """

    def __init__(self, adapter: Adapter, pass_time: Callable[[float], Awaitable[None]], vacate_delay: float) -> None:
        self.adapter = adapter
        self.vacate_delay = vacate_delay
        self.pass_time = pass_time
        self.changes: list[Change] = []
        self.unstored: list[Callable[[], None]] = []
        self.stores = True
        self.delivered: list[Envelope] = []
        self.heard: list[Callable[[Envelope], None]] = []
        self._sockets = 0
        self.sources: dict[str, Source] = {}

    def start(self) -> None:
        self.adapter.start(self._deliver, self._on_change)

    def _deliver(self, envelope: Envelope) -> None:
        self.delivered.append(envelope)
        for listener in self.heard:
            listener(envelope)

    def _on_change(self, change: Change, stored: Callable[[], None] | None = None) -> None:
        """Take note. ``stores`` False: as if the queue were away."""
        self.changes.append(change)
        if stored is not None:
            if self.stores:
                stored()
            else:
                self.unstored.append(stored)

    @property
    def transitions(self) -> list[Transition]:
        return [change for change in self.changes if isinstance(change, Transition)]

    def source(self, socket: str, app_id: str = APP) -> Source:
        """Return the source of a socket: the same one each time."""
        return self.sources.setdefault(socket, Source(app_id, socket, "192.0.2.1"))

    async def join(
        self,
        channel: str,
        member: Member | None = None,
        *,
        max_members: int = 100,
        app_id: str = APP,
        socket: str = "1.1",
        tell_count: bool = False,
    ) -> Joined | ChannelFull | Unavailable:
        """Join and return the answer; its roster, which is valid in the callback only, as a copy."""
        answer: asyncio.Future[Joined | ChannelFull | Unavailable] = asyncio.get_running_loop().create_future()

        def done(outcome: Joined | ChannelFull | Unavailable) -> None:
            if isinstance(outcome, Joined) and outcome.roster is not None:
                outcome = Joined(outcome.subscription_count, outcome.first_of_user, dict(outcome.roster))
            answer.set_result(outcome)  # raises when it is called twice

        self.adapter.join(app_id, channel, self.source(socket, app_id), member, max_members, tell_count, done)
        return await answer

    async def leave(
        self,
        channel: str,
        member: Member | None = None,
        *,
        app_id: str = APP,
        socket: str = "1.1",
        tell_count: bool = False,
    ) -> Left:
        answer: asyncio.Future[Left] = asyncio.get_running_loop().create_future()
        self.adapter.leave(app_id, channel, self.source(socket, app_id), member, tell_count, answer.set_result)
        return await answer

    async def sign_in(self, user_id: str, watchlist: Sequence[str] = (), app_id: str = APP) -> SignedIn | Unavailable:
        answer: asyncio.Future[SignedIn | Unavailable] = asyncio.get_running_loop().create_future()
        self.adapter.sign_in(app_id, user_id, watchlist, answer.set_result)
        return await answer

    async def sign_out(self, user_id: str, watchlist: Sequence[str] = (), app_id: str = APP) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.adapter.sign_out(app_id, user_id, watchlist, answer.set_result)
        return await answer

    def take(self) -> list[Change]:
        changes = list(self.changes)
        self.changes.clear()
        return changes


@dataclass
class Cluster:
    """Three nodes of one cluster.

    ``settle`` returns when everything that is under way has arrived. ``kill`` ends a node as kill -9 would; the others
    notice within ``node_timeout`` seconds. ``cut`` keeps a node from the service, ``mend`` undoes it in time.
    """

    one: Driven
    two: Driven
    three: Driven
    node_timeout: float
    pass_time: Callable[[float], Awaitable[None]]
    settle: Callable[[], Awaitable[None]]
    kill: Callable[[Driven], None]
    cut: Callable[[Driven], None]
    mend: Callable[[Driven], None]

    @property
    def nodes(self) -> list[Driven]:
        return [self.one, self.two, self.three]


@asynccontextmanager
async def running(driven: Driven) -> AsyncIterator[Driven]:
    driven.start()
    await driven.adapter.open()
    try:
        yield driven
    finally:
        await driven.adapter.stop()
        await driven.adapter.close()


@asynccontextmanager
async def local(vacate_delay: float) -> AsyncIterator[Driven]:
    loop = FakeLoop()
    adapter = LocalAdapter(vacate_delay, loop.call_later, loop.clock)
    async with running(Driven(adapter, loop.pass_time, vacate_delay)) as driven:
        yield driven


class Late:
    """A ``LateCluster`` of some nodes, on the event loop, with a clock that is moved by hand."""

    def __init__(self, vacate_delay: float, number: int, kind: type[LateAdapter] = LateAdapter) -> None:
        self.loop = FakeLoop()
        self.shared = LateCluster(vacate_delay, self.loop.call_later, self.loop.clock)
        soon = asyncio.get_running_loop().call_soon
        self.adapters = [kind(self.shared, soon) for _ in range(number)]
        self.nodes = [Driven(adapter, self.pass_time, vacate_delay) for adapter in self.adapters]

    async def settle(self) -> None:
        while any(adapter.waiting for adapter in self.adapters):  # noqa: ASYNC110 - something arrives in each turn
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        self.loop.advance(seconds)
        await self.settle()

    def kill(self, node: Driven) -> None:
        self.shared.kill(self._adapter(node))

    def cut(self, node: Driven) -> None:
        self._adapter(node).away = True

    def mend(self, node: Driven) -> None:
        self._adapter(node).away = False

    def _adapter(self, node: Driven) -> LateAdapter:
        return self.adapters[self.nodes.index(node)]


@asynccontextmanager
async def late(vacate_delay: float) -> AsyncIterator[Driven]:
    async with running(Late(vacate_delay, 1).nodes[0]) as driven:
        yield driven


@asynccontextmanager
async def late_cluster(vacate_delay: float, kind: type[LateAdapter] = LateAdapter) -> AsyncIterator[Cluster]:
    site = Late(vacate_delay, 3, kind)
    async with AsyncExitStack() as opened:
        one, two, three = [await opened.enter_async_context(running(node)) for node in site.nodes]
        timeout = site.shared.node_timeout
        yield Cluster(one, two, three, timeout, site.pass_time, site.settle, site.kill, site.cut, site.mend)


class OverRedis:
    """Nodes over one Redis, each with a connection of its own that can be cut."""

    def __init__(self, vacate_delay: float, number: int) -> None:
        self.prefix = f"test-{uuid.uuid4().hex[:12]}:"
        self.timing = Timing(vacate_delay, NODE_TIMEOUT, NODE_TIMEOUT / 4)
        self._cut: set[Link] = set()
        self.adapters = [
            RedisAdapter(self._connect, self.prefix, self.timing, RESPONSE_TIMEOUT, Figures()) for _ in range(number)
        ]
        self.nodes = [Driven(adapter, self.pass_time, vacate_delay) for adapter in self.adapters]

    async def pass_time(self, seconds: float) -> None:
        """Let Redis' clock be later, in steps that are no surprise to nodes that beat."""
        while seconds > 0:
            step = min(seconds, NODE_TIMEOUT / 5)
            seconds -= step
            partitions = [adapter._started for adapter in self.adapters]
            for partition in partitions:
                partition.shift_ms += round(step * 1000)
            for _ in range(3):  # what one takes apart, another one has to hear of
                for partition in partitions:
                    partition.beat()
                await self.settle()

    async def _connect(self, link: Link) -> RedisStream:
        if link in self._cut:
            raise Unavailable("it is cut off")
        connection = make_connection(REDIS[0].url, RESPONSE_TIMEOUT)
        try:
            return await RedisStream.connect(connection, RESPONSE_TIMEOUT, link)
        except (RedisError, OSError) as error:
            raise Unavailable(str(error)) from error

    def partition(self, node: Driven) -> Partition:
        return self.adapters[self.nodes.index(node)]._started

    async def settle(self) -> None:
        """Wait until each node that is not cut off has its answers, and what Redis sent before."""
        for _ in range(3):
            for adapter in self.adapters:
                partition = adapter._started
                if partition.stopped or adapter._link in self._cut:
                    continue
                async with asyncio.timeout(30):
                    while not (partition.ready and partition.settled):  # noqa: ASYNC110 - many things end it
                        await asyncio.sleep(0.002)
                    await partition.ask("EXISTS", "nothing")

    def kill(self, node: Driven) -> None:
        """Let a node do nothing any more, as kill -9 does."""
        partition = self.partition(node)
        self.cut(node)
        partition.stopped = True
        partition._deliver = lambda envelope: None

    def cut(self, node: Driven) -> None:
        link = self.adapters[self.nodes.index(node)]._link
        self._cut.add(link)
        link.fail("it is cut off")

    def mend(self, node: Driven) -> None:
        self._cut.discard(self.adapters[self.nodes.index(node)]._link)


@asynccontextmanager
async def over_redis(vacate_delay: float) -> AsyncIterator[Driven]:
    async with running(OverRedis(vacate_delay, 1).nodes[0]) as driven:
        yield driven


@asynccontextmanager
async def redis_cluster(vacate_delay: float) -> AsyncIterator[Cluster]:
    site = OverRedis(vacate_delay, 3)
    async with AsyncExitStack() as opened:
        one, two, three = [await opened.enter_async_context(running(node)) for node in site.nodes]
        yield Cluster(one, two, three, NODE_TIMEOUT, site.pass_time, site.settle, site.kill, site.cut, site.mend)


DRIVERS: dict[str, Callable[[float], AbstractAsyncContextManager[Driven]]] = {
    "late": late,
    "local": local,
    "redis": over_redis,
}
CLUSTERS: dict[str, Callable[[float], AbstractAsyncContextManager[Cluster]]] = {
    "late": late_cluster,
    "redis": redis_cluster,
}
BROKEN: dict[str, Callable[[float], AbstractAsyncContextManager[Cluster]]] = {
    "news before answers": partial(late_cluster, kind=EagerNews),
    "news after answers": partial(late_cluster, kind=LaggingNews),
}
