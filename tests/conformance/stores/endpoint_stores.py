"""The endpoint stores that must pass the suite, each behind one handle."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sockudo_py.links.redis.link import RedisLink
from sockudo_py.links.sqlite import SqliteFile
from sockudo_py.metrics import Metrics
from sockudo_py.queues.metrics import QueueMetrics
from sockudo_py.stores.endpoints.base import EndpointStore
from sockudo_py.stores.endpoints.memory import MemoryEndpoints
from sockudo_py.stores.endpoints.redis import RedisEndpoints
from sockudo_py.stores.endpoints.sqlite import SqliteEndpoints
from tests.support.redis_server import RedisServer


class EndpointStores:
    """Makes stores of one driver, over the same rows."""

    def __init__(self, kind: str, folder: Path, redis: RedisServer | None = None, prefix: str = "") -> None:
        self.kind = kind
        self.prefix = prefix
        self.redis = redis
        self._path = folder / "queue.sqlite3"
        self._made: list[EndpointStore] = []

    async def make(self) -> EndpointStore:
        """Return an open store. With ``redis`` several may be open; with the others close one before the next."""
        store: EndpointStore
        if self.kind == "memory":
            store = MemoryEndpoints()
        elif self.kind == "sqlite":
            store = SqliteEndpoints(SqliteFile(self._path, key="queue.sqlite.path", sync=False))
        else:
            assert self.redis is not None
            link = RedisLink(
                self.redis.url,
                owner="endpoint store",
                keys="database.redis",
                max_connections=3,
                response_timeout=30.0,
                errors=QueueMetrics(Metrics()).store_errors,
            )
            store = RedisEndpoints(link, self.prefix)
        await store.open()
        self._made.append(store)
        return store

    async def close(self) -> None:
        """Close all."""
        for store in self._made:
            await store.close()


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EndpointStores]:
    """The driver under test."""
    if request.param == "redis":
        made = EndpointStores(
            "redis", tmp_path, request.getfixturevalue("redis_server"), request.getfixturevalue("unique_prefix")
        )
    else:
        made = EndpointStores(request.param, tmp_path)
    yield made
    await made.close()
