"""Random steps and faults, for a minute; and deaths between a decision and the queue, one after the other."""

import asyncio
import logging
import os
import random
from pathlib import Path

import pytest

from sockudo_py.protocol.effects import Member
from tests.cluster.chaos import FAULTS, play
from tests.cluster.in_process import Site, at_rest
from tests.conformance.adapters.driven import APP, Driven, running
from tests.conformance.adapters.over_redis import until
from tests.support.redis_server import RedisServer

SECONDS = 8.0  # of each profile, its rest left aside
ALL = ["ChannelOccupied", "ChannelVacated", "MemberAdded", "MemberRemoved"]
DEATHS = int(os.environ.get("CLUSTER_DEATHS", "50"))


@pytest.mark.slow
@pytest.mark.parametrize("profile", sorted(FAULTS))
def test_18_at_rest_everything_agrees(profile: str, tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    happened: list[str] = []
    problems = asyncio.run(play(tmp_path, seed, profile, SECONDS, happened.append))
    again = f"python -m tests.cluster.chaos --seed {seed} --profile {profile}"
    assert problems == [], f"{again}; faults: {' '.join(happened)}"


async def test_a_node_that_dies_between_a_decision_and_the_queue_loses_nothing(
    private_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    site = Site(private_redis, 1, vacate_delay=0.0)
    ann = Member("ann")
    async with site.running() as (survivor,):
        for number in range(DEATHS):
            room = f"presence-{number}"
            node = site.add()
            async with running(node):
                node.stores = number % 3 == 0  # else it dies before the queue has anything
                await node.join(room, ann)
                if number % 2:
                    await node.leave(room, ann)
                site.kill(node)
                site.redis().zadd(site.key("nodes"), {site.partition(node).node_id: 1})
                # What was stored may be told again, with the same ids: its acknowledgement died with the node.
                by = [survivor] if not node.stores else site.nodes
                await until(lambda room=room, by=by: told(by, room) == ALL or survivor_beats(site))  # type: ignore[misc]
        await at_rest(site)
        assert await survivor.adapter.channels(APP) == {}


def told(nodes: list[Driven], room: str) -> list[str]:
    """Return what these nodes have told of a room, copies left out."""
    changes = [change for node in nodes for change in node.transitions if change.channel == room]
    return sorted({change.id: type(change).__name__ for change in changes}.values())


def survivor_beats(site: Site) -> bool:
    """Let the survivor look for the dead."""
    site.partition(site.nodes[0]).beat()
    return False
