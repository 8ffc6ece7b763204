"""The Redis that the shared caches of the suite run over."""

import pytest

from tests.conformance.caches.drivers import CLUSTER, REDIS
from tests.support.redis_cluster import redis_cluster as redis_cluster
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server


@pytest.fixture(autouse=True)
def _over_redis(request: pytest.FixtureRequest, redis_server: RedisServer) -> None:
    REDIS[:] = [redis_server]
    if "[redis-cluster" in request.node.name:
        CLUSTER[:] = [request.getfixturevalue("redis_cluster")]
