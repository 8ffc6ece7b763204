"""What operators see of a node in the cluster, in ``/usage`` and as metrics."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.adapters.base import Measured
from tests.cluster.in_process import Site
from tests.cluster.site import NODE_TIMEOUT_MS, Nodes, clients, nodes
from tests.conformance.adapters.over_redis import until
from tests.docs.pages import blocks, page
from tests.support.client import eventually
from tests.support.redis_server import RedisServer


@pytest.fixture
def two(private_redis: RedisServer, tmp_path: Path) -> Iterator[Nodes]:
    with nodes(2, private_redis, tmp_path) as site:
        yield site


async def test_usage_and_metrics_show_the_cluster(two: Nodes) -> None:
    def usage() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(two.servers[0].get("/usage")[1])["cluster"]
        return found

    async with clients(two, 0, 1) as (ann, bob):
        await ann.subscribe("room")
        await bob.subscribe("room")
        two.api(0).publish("room", "hello", "1")
        await eventually(lambda: usage()["nodes"] == 2, "both nodes")
        await eventually(lambda: usage()["delivery_seconds"] > 0, "a message that came back")
        shown = usage()
        answer = page("cluster.md").split("as `cluster`:")[1]
        assert set(shown) == set(json.loads(blocks(answer, "text")[0]))
        assert shown["published"] >= 1
        assert shown["batches"] >= 1
        assert shown["transitions"] == 1  # the channel was occupied by the node that ann is on
        assert shown["gaps"] == 0
        assert 0 < shown["lease_seconds"] <= NODE_TIMEOUT_MS / 1000
        text = two.servers[0].get("/metrics", two.servers[0].metrics_port)[1].decode()
        (count,) = (line for line in text.splitlines() if line.startswith("sockudo_cluster_delivery_seconds_count"))
        assert float(count.rpartition(" ")[2]) >= 1


async def test_a_node_that_is_cut_off_sees_its_lease_end(private_redis: RedisServer) -> None:
    site = Site(private_redis, 1, node_timeout=1.0)
    async with site.running() as (one,):
        assert isinstance(one.adapter, Measured)
        usage = one.adapter.usage
        await until(lambda: usage()["delivery_seconds"] > 0)
        assert usage()["lease_seconds"] > 0
        site.cut(one)
        await until(lambda: usage()["lease_seconds"] == 0)
        assert usage()["gaps"] == 1
        site.mend(one)
        await site.settle()
        assert usage()["lease_seconds"] > 0
        assert usage()["gap_seconds"] > 0
