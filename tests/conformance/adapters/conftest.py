"""The Redis that the shared adapters of the suite run over."""

import pytest

from tests.conformance.adapters.drivers import ADDRESSES, KINDS, REDIS
from tests.support.redis_cluster import redis_cluster as redis_cluster
from tests.support.redis_sentinel import redis_sentinel as redis_sentinel
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server


@pytest.fixture(autouse=True)
def _over_redis(request: pytest.FixtureRequest, redis_server: RedisServer) -> None:
    REDIS[:] = [redis_server]
    for name in KINDS:
        if f"[{name}" in request.node.name:
            ADDRESSES[name] = request.getfixturevalue(name.replace("-", "_")).address
