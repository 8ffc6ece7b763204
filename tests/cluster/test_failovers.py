"""What clients and receivers of webhooks notice when a master of Redis dies under load and a replica takes over."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cluster.site import Nodes, clients, nodes_over, until
from tests.support.client import Client, eventually, member
from tests.support.redis_cluster import cluster
from tests.support.redis_sentinel import watched

pytestmark = pytest.mark.slow

PAIR = ["channel_occupied", "channel_vacated"]
PASSWORD = "only-for-this-test"


@asynccontextmanager
async def coming_and_going(client: Client) -> AsyncIterator[list[str]]:
    """Let a client join and leave channels without a pause; give the names of those that it has left."""
    left: list[str] = []

    async def run() -> None:
        number = 0
        while True:
            name = f"c-{number}"
            number += 1
            await client.ask(name)
            await client.unsubscribe(name)
            left.append(name)
            await asyncio.sleep(0.005)

    task = asyncio.create_task(run())
    try:
        yield left
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def paired(site: Nodes, channels: list[str]) -> None:
    """Wait until each channel has been told as occupied and vacated, or as neither."""

    def complete() -> bool:
        told = site.by_channel()
        return all(sorted(told.get(channel, PAIR)) == PAIR for channel in channels)

    await eventually(complete, "each channel that was occupied is vacated, once")


async def play(site: Nodes, kill: Callable[[], object]) -> None:
    """Let clients come and go while a master dies; at the end each beginning must have its end."""
    rooms = [f"presence-{number}" for number in range(12)]
    async with clients(site, 0, 1, 0) as (ann, bob, busy):
        for room in rooms:
            await ann.subscribe(room, member("ann"))
            await bob.subscribe(room, member("bob"))
            await until(ann, "pusher_internal:member_added")
        await bob.subscribe("lonely")
        async with coming_and_going(busy) as left:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(kill)
            await eventually(lambda: all(node.get("/up") == (200, b"OK") for node in site.servers), "all is well again")
            before = len(left)
            await eventually(lambda: len(left) > before + 50, "clients come and go")
        for room in rooms:
            site.api(0).publish(room, "hello", "1")
            assert (await until(bob, "hello")).text == "1"
            assert site.api(1).users(room) == ["ann", "bob"]
        assert site.api(0).occupied("lonely")
        await busy.barrier()
    await eventually(lambda: site.of("lonely") == PAIR, "the end of a channel that was there all the time")
    await paired(site, left)
    all_of_it = sorted([*PAIR, *["member_added", "member_removed"] * 2])
    await eventually(lambda: all(sorted(site.of(room)) == all_of_it for room in rooms), "each room's ends")
    for server in site.servers:
        assert PASSWORD not in server.log()


async def test_a_master_that_dies_under_load_is_followed_by_its_replica(tmp_path: Path) -> None:
    with watched(tmp_path / "redis", password=PASSWORD) as redis, nodes_over(redis.settings, 2, tmp_path) as site:

        def kill() -> None:
            redis.master.cli("WAIT", 1, 10_000)
            redis.kill_master()

        await play(site, kill)


@pytest.mark.parametrize("with_the_queue", [True, False])
async def test_a_master_of_a_cluster_that_dies_under_load_is_followed_by_its_replica(
    tmp_path: Path, with_the_queue: bool
) -> None:
    with (
        cluster(tmp_path / "redis", replicas=1, password=PASSWORD, aof=True) as redis,
        nodes_over(redis.settings, 2, tmp_path, cluster_mode=True) as site,
    ):
        owners = redis.servers[:3]
        of_queue = redis.owner("{sockudo_queue}:")
        dead = of_queue if with_the_queue else next(one for one in owners if one is not of_queue)

        def kill() -> None:
            dead.cli("WAIT", 1, 10_000)
            dead.kill()

        await play(site, kill)
