"""What receivers of webhooks and clients notice when nodes and Redis die, as real processes do."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.site import NODE_TIMEOUT_MS, Nodes, clients, nodes, until
from tests.support.client import eventually, member
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.slow

PAIR = ["channel_occupied", "channel_vacated"]
CHANNELS = [f"c-{number}" for number in range(100)]


@pytest.fixture
def three(private_redis: RedisServer, tmp_path: Path) -> Iterator[Nodes]:
    with nodes(3, private_redis, tmp_path) as site:
        yield site


async def heard(site: Nodes, count: int) -> None:
    """Wait until the receiver has so many events."""
    await eventually(lambda: len(site.events()) >= count, f"{count} events")


async def test_a_node_that_dies_while_it_sweeps_another_leaves_that_to_the_next(three: Nodes) -> None:
    async with clients(three, 0, 1, 2) as (first, second, third):
        for channel in CHANNELS:
            await first.ask(channel)
        await first.barrier()
        await second.subscribe("presence-room", member("bob"))
        await third.subscribe("presence-room", member("cid"))
        await heard(three, len(CHANNELS) + 3)
        three.servers[0].kill()
        await eventually(lambda: len(three.events()) > len(CHANNELS) + 3, "somebody sweeps")
        three.servers[1].kill()  # it may be the one
        assert (await until(third, "pusher_internal:member_removed")).data["user_id"] == "bob"
        await eventually(
            lambda: {channel: three.of(channel) for channel in CHANNELS} == dict.fromkeys(CHANNELS, PAIR),
            "each channel has its pair",
        )
    await heard(three, 2 * len(CHANNELS) + 6)
    assert sorted(three.of("presence-room")) == sorted([*PAIR, *["member_added", "member_removed"] * 2])


async def test_a_frozen_node_is_taken_out_and_comes_back_in_pairs(three: Nodes) -> None:
    async with clients(three, 0, 1) as (frozen, watching):
        await watching.subscribe("presence-room", member("bob"))
        await frozen.subscribe("lonely")
        await frozen.subscribe("presence-room", member("ann"))
        await heard(three, 4)
        os.kill(three.servers[0].process.pid, signal.SIGSTOP)
        assert (await until(watching, "pusher_internal:member_removed")).data["user_id"] == "ann"
        await heard(three, 6)
        os.kill(three.servers[0].process.pid, signal.SIGCONT)
        assert (await until(watching, "pusher_internal:member_added")).data["user_id"] == "ann"
        await heard(three, 8)
        assert three.of("lonely") == [*PAIR, "channel_occupied"]
        assert three.api(2).users("presence-room") == ["ann", "bob"]
    await heard(three, 12)
    assert three.of("lonely") == PAIR * 2


async def test_an_empty_redis_is_told_what_there_is_and_receivers_hear_nothing(
    tmp_path: Path,
) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    try:
        with nodes(2, redis, tmp_path) as site:
            async with clients(site, 0, 1) as (ann, bob):
                await ann.subscribe("presence-room", member("ann"))
                await bob.subscribe("presence-room", member("bob"))
                await bob.subscribe("lonely")
                await heard(site, 4)
                before = site.events()
                redis.restart()  # with nothing: it keeps no file
                await eventually(lambda: all(node.get("/up") == (200, b"OK") for node in site.servers), "all is well")
                await asyncio.sleep(NODE_TIMEOUT_MS / 1000 * 1.5)  # what is in doubt would be told by then
                assert site.events() == before
                site.api(0).publish("presence-room", "hello", "1")
                assert (await until(bob, "hello")).text == "1"
                assert site.api(0).users("presence-room") == ["ann", "bob"]
            await heard(site, 8)
            assert site.of("lonely") == PAIR
    finally:
        redis.kill()


async def test_clients_that_move_when_their_node_stops_cause_no_webhooks(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    with nodes(2, private_redis, tmp_path, vacate_ms=5000) as site:
        async with clients(site, 1) as (staying,):
            async with clients(site, 0) as (moving,):
                await moving.subscribe("lonely")
                await moving.subscribe("presence-room", member("ann"))
                await staying.subscribe("presence-room", member("bob"))
                await heard(site, 4)
                site.servers[0].terminate()
                await until(moving, "pusher:error")
            async with clients(site, 1) as (moved,):
                await moved.subscribe("presence-room", member("ann"))
                await moved.subscribe("lonely")
                site.servers[0].wait()
                await moved.barrier()
                assert len(site.events()) == 4
                assert site.api(1).users("presence-room") == ["ann", "bob"]
                assert site.api(1).occupied("lonely")
