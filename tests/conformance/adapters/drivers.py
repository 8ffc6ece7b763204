"""The adapters that must pass the suite. A new driver is a function here and one line in ``DRIVERS``.

One that is shared by several nodes has a second one, which makes a cluster of three, and a line in ``CLUSTERS``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.links.redis.address import RedisAddress
from tests.conformance.adapters.driven import APP as APP
from tests.conformance.adapters.driven import Driven as Driven
from tests.conformance.adapters.driven import running
from tests.conformance.adapters.late import EagerNews, LaggingNews, LateAdapter, LateCluster
from tests.conformance.adapters.over_redis import NODE_TIMEOUT, OverRedis
from tests.support.fake_loop import FakeLoop
from tests.support.redis_cluster import EVERYWHERE
from tests.support.redis_server import RedisServer

REDIS: list[RedisServer] = []  # one, put there by a fixture
ADDRESSES: dict[str, RedisAddress] = {}  # of the other kinds of Redis, by the names of their drivers


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


@asynccontextmanager
async def over_redis(vacate_delay: float) -> AsyncIterator[Driven]:
    async with running(OverRedis(REDIS[0].url, vacate_delay, 1).nodes[0]) as driven:
        yield driven


@asynccontextmanager
async def at(name: str, vacate_delay: float) -> AsyncIterator[Driven]:
    async with running(OverRedis(ADDRESSES[name], vacate_delay, 1).nodes[0]) as driven:
        yield driven


def redis_nodes(vacate_delay: float) -> AbstractAsyncContextManager[Cluster]:
    return three_nodes(OverRedis(REDIS[0].url, vacate_delay, 3))


def nodes_at(name: str, vacate_delay: float) -> AbstractAsyncContextManager[Cluster]:
    return three_nodes(OverRedis(ADDRESSES[name], vacate_delay, 3))


@asynccontextmanager
async def three_nodes(site: OverRedis) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as opened:
        one, two, three = [await opened.enter_async_context(running(node)) for node in site.nodes]
        yield Cluster(one, two, three, NODE_TIMEOUT, site.pass_time, site.settle, site.kill, site.cut, site.mend)


KINDS = ["redis-cluster", *(["redis-sentinel"] if EVERYWHERE else [])]  # each has a fixture
DRIVERS: dict[str, Callable[[float], AbstractAsyncContextManager[Driven]]] = {
    "late": late,
    "local": local,
    "redis": over_redis,
    **{name: partial(at, name) for name in KINDS},
}
CLUSTERS: dict[str, Callable[[float], AbstractAsyncContextManager[Cluster]]] = {
    "late": late_cluster,
    "redis": redis_nodes,
    **{name: partial(nodes_at, name) for name in KINDS},
}
BROKEN: dict[str, Callable[[float], AbstractAsyncContextManager[Cluster]]] = {
    "news before answers": partial(late_cluster, kind=EagerNews),
    "news after answers": partial(late_cluster, kind=LaggingNews),
}
