"""What clients and receivers of webhooks notice when a master of Redis dies under load and a replica takes over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cluster.site import Nodes, clients, nodes_over, until
from tests.support.client import Client, eventually, member
from tests.support.redis_sentinel import watched

pytestmark = pytest.mark.slow

PAIR = ["channel_occupied", "channel_vacated"]
ALONE = "an-event-that-waits-for-a-replica"


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


async def test_a_master_that_dies_under_load_is_followed_by_its_replica(tmp_path: Path) -> None:
    with (
        watched(tmp_path / "redis", password="only-for-this-test") as redis,
        nodes_over(redis.settings, 2, tmp_path) as site,
    ):
        async with clients(site, 0, 1, 0) as (ann, bob, busy):
            await ann.subscribe("presence-room", member("ann"))
            await bob.subscribe("presence-room", member("bob"))
            await until(ann, "pusher_internal:member_added")
            await bob.subscribe("lonely")
            async with coming_and_going(busy) as left:
                await asyncio.sleep(0.5)
                await asyncio.to_thread(redis.master.cli, "WAIT", 1, 10_000)
                await asyncio.to_thread(redis.kill_master)
                await eventually(
                    lambda: all(node.get("/up") == (200, b"OK") for node in site.servers), "all is well again"
                )
                before = len(left)
                await eventually(lambda: len(left) > before + 50, "clients come and go")
            site.api(0).publish("presence-room", "hello", "1")
            assert (await until(bob, "hello")).text == "1"
            assert site.api(1).users("presence-room") == ["ann", "bob"]
            assert site.api(0).occupied("lonely")
            await busy.barrier()
        await eventually(lambda: site.of("lonely") == PAIR, "the end of a channel that was there all the time")
        await paired(site, left)
        members = sorted(["member_added", "member_removed"] * 2)
        await eventually(lambda: sorted(site.of("presence-room")) == sorted([*PAIR, *members]), "the room")
        for server in site.servers:
            assert "only-for-this-test" not in server.log()
