"""The Redis that the shared caches of the suite run over."""

import pytest

from tests.conformance.caches.drivers import REDIS
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server


@pytest.fixture(autouse=True)
def _over_redis(redis_server: RedisServer) -> None:
    REDIS[:] = [redis_server]
