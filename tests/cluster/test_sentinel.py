"""Nodes whose Redis is a master that sentinels know: a failover costs nobody anything but the time that it takes."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from sockudo_py.adapters.base import Joined
from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.address import RedisAddress, Sentinels
from sockudo_py.protocol.effects import Member
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.redis.queue import RedisQueue
from tests.cluster.in_process import Site, at_rest
from tests.conformance.adapters.driven import APP
from tests.conformance.adapters.over_redis import OverRedis, until
from tests.support.ports import free_port
from tests.support.redis_sentinel import NAME, Watched, follows, wait_until, watched

ROOM = "presence-room"
ANN, BOB, CID = Member("ann"), Member("bob"), Member("cid")
PASSWORD = "only-for-this-test"
Answer = TypeVar("Answer")
TIMING = {"vacate_delay": 0.3, "node_timeout": 4.0, "response_timeout": 1.0}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path, password=PASSWORD) as servers:
        yield servers


async def replicated(redis: Watched) -> None:
    """Wait until the replica has all that the master has."""
    await asyncio.to_thread(redis.master.cli, "WAIT", 1, 10_000)


def site_over(redis: Watched, number: int) -> Site:
    return Site(redis.master, number, address=redis.address, **TIMING)


async def test_a_replica_takes_over_and_no_transition_is_lost_or_told_twice(redis: Watched) -> None:
    site = site_over(redis, 2)
    async with site.running() as (one, two):
        await one.join(ROOM, ANN, socket="1.1")
        await two.join(ROOM, BOB, socket="2.1")
        await one.join("left", socket="1.2")
        await site.settle()
        await replicated(redis)
        await asyncio.to_thread(redis.kill_master)
        site.server = redis.master
        await one.leave("left", socket="1.2")
        assert isinstance(await one.join(ROOM, CID, socket="1.3"), Joined)
        await site.settle()
        await until(lambda: site.kinds("left") == ["ChannelOccupied", "ChannelVacated"])
        await until(lambda: site.kinds(ROOM) == ["ChannelOccupied", *["MemberAdded"] * 3])
        assert sorted(await two.adapter.members(APP, ROOM)) == ["ann", "bob", "cid"]
        await at_rest(site)


@pytest.mark.slow
async def test_the_old_master_comes_back_as_a_replica_and_is_left_alone(redis: Watched) -> None:
    site = site_over(redis, 2)
    async with site.running() as (one, two):
        await one.join(ROOM, ANN, socket="1.1")
        await two.join(ROOM, BOB, socket="2.1")
        await site.settle()
        await replicated(redis)
        dead = await asyncio.to_thread(redis.kill_master)
        site.server = redis.master
        await asyncio.to_thread(dead.start)  # as the master that it was, until the Sentinel sees it
        site.look_again(one)
        await two.leave(ROOM, BOB, socket="2.1")
        await at_rest(site)
        await asyncio.to_thread(wait_until, lambda: follows(dead), "the old master to follow the new one")
        site.look_again(two)
        await two.join(ROOM, CID, socket="2.2")
        await until(lambda: sorted(site.kinds(ROOM)) == ["ChannelOccupied", *["MemberAdded"] * 3, "MemberRemoved"])
        assert await one.adapter.members(APP, ROOM) == ["ann", "cid"]
        await at_rest(site)


async def test_a_failover_that_an_operator_wants_is_followed_at_once(redis: Watched) -> None:
    site = site_over(redis, 2)
    async with site.running() as (one, two):
        await one.join(ROOM, ANN, socket="1.1")
        heir = redis.replica
        redis.sentinel.fail_over()
        await asyncio.to_thread(wait_until, lambda: redis.sentinel.settled_on(heir.port), "the failover")
        site.server = heir
        assert isinstance(await two.join(ROOM, BOB, socket="2.1"), Joined)
        await site.settle()
        assert sorted(await one.adapter.members(APP, ROOM)) == ["ann", "bob"]
        await at_rest(site)
        assert site.kinds(ROOM) == ["ChannelOccupied", "MemberAdded", "MemberAdded"]


async def test_the_queue_goes_on_at_the_replica(redis: Watched) -> None:
    policy = LanePolicy(window=0.0, size=1, slow_start=False)
    queue = RedisQueue(redis.address, prefix="q:", response_timeout=1.0, default_policy=policy)
    events = [Append(f"e{number}", "wh_a", APP, b"{}", 1) for number in range(20)]
    try:
        await queue.open()
        await queue.append(events[:10])
        (held, *_) = await queue.claim("w", 4, 60)
        await replicated(redis)
        await asyncio.to_thread(redis.kill_master)
        assert await patiently(lambda: queue.ack(held.token))
        await patiently(lambda: queue.append(events[10:]))
        kept = 3  # by "w"
        async with asyncio.timeout(30):
            while (await queue.depths()).active + (await queue.depths()).waiting > kept:
                for claim in await patiently(lambda: queue.claim("v", 100, 60)):
                    assert await queue.ack(claim.token)
        assert await queue.paused_lanes() == []  # over redis-py's pool
    finally:
        await queue.close()


async def patiently(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeat a call until the queue is there again, as its users do."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(0.05)


async def refused(address: RedisAddress) -> str:
    with pytest.raises(Unavailable) as caught:
        async with OverRedis(address, 1.0, 1, response_timeout=2.0).running():
            pass
    assert PASSWORD not in repr(caught.value)
    return str(caught.value)


async def test_a_start_says_that_no_sentinel_answers() -> None:
    port = free_port()
    said = await refused(RedisAddress("redis://h", Sentinels((("127.0.0.1", port),), NAME)))
    assert f"no sentinel says where the master is (127.0.0.1:{port}: no connection); check database.redis" in said


async def test_a_start_says_what_the_sentinels_do_not_know_or_allow(redis: Watched) -> None:
    right = redis.address.sentinels
    assert right is not None
    url = redis.address.url
    unknown = Sentinels(right.hosts, "nobody", None, PASSWORD)
    assert "know no master with the name nobody; check database.redis" in await refused(RedisAddress(url, unknown))
    wrong = Sentinels(right.hosts, NAME, None, f"{PASSWORD}-not")
    assert "it refuses user or password" in await refused(RedisAddress(url, wrong))
    without = Sentinels(right.hosts, NAME)
    assert re.search("it refuses user or password", await refused(RedisAddress(url, without)))
    assert "it refuses user or password; check database.redis" in await refused(RedisAddress("redis://h", right))
