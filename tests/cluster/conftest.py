"""A Redis for each test of the folder: nodes that a test kills leave their keys behind.

``TEST_REDIS_KIND`` says how the nodes find it: ``sentinel``, or ``cluster`` (of one master, with one partition).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_cluster import cluster
from tests.support.redis_sentinel import Sentinel, address_by
from tests.support.redis_server import RedisServer

KIND = os.environ.get("TEST_REDIS_KIND", "")


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis-server for this test alone, with an append-only file."""
    if KIND == "cluster":
        with cluster(tmp_path, masters=1, aof=True) as servers:
            (server,) = servers.servers
            server.address = servers.address
            yield server
        return
    server = RedisServer(tmp_path / "redis", aof=True)
    server.start()
    try:
        if KIND == "sentinel":
            with Sentinel(tmp_path / "sentinel", server.port, down_after=120_000, replicas=0) as sentinel:
                server.address = address_by(sentinel)
                yield server
        else:
            yield server
    finally:
        server.kill()
