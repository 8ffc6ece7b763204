"""Nodes over a Redis Cluster: slots move, masters die, and the state is in one place and whole all the time."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sockudo_py.adapters.base import Joined, SignedIn, UserStatus
from sockudo_py.adapters.redis.spread import number_of
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.links.redis.address import RedisAddress
from sockudo_py.protocol.effects import Member
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.redis.queue import RedisQueue
from sockudo_py.relays.redis import RedisRelay
from sockudo_py.relays.redis_board import RedisBoard
from tests.conformance.adapters.driven import APP, Driven
from tests.conformance.adapters.over_redis import PARTITIONS, OverRedis, until
from tests.support.ports import free_port
from tests.support.redis_cluster import RedisClusterServers, cluster
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis

ANN, BOB = Member("ann"), Member("bob")
CHANNELS = [f"presence-{number}" for number in range(40)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[RedisClusterServers]:
    with cluster(tmp_path, password="only-for-this-test") as found:
        yield found


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[RedisClusterServers]:
    with cluster(tmp_path, replicas=1) as found:
        yield found


@asynccontextmanager
async def two_nodes(servers: RedisClusterServers, **timing: float) -> AsyncIterator[tuple[OverRedis, Driven, Driven]]:
    options = {"vacate_delay": 0.0, "node_timeout": 8.0, "response_timeout": 1.0, **timing}
    site = OverRedis(servers.address, number=2, **options)  # type: ignore[arg-type]
    async with site.running() as (one, two):
        yield site, one, two


def tag(site: OverRedis, number: int) -> str:
    return f"{site.prefix}{{{number}}}:"


def in_partition(number: int) -> str:
    """Return a channel of a partition."""
    return next(name for name in (f"c{at}" for at in range(1000)) if number_of(APP, name, PARTITIONS) == number)


async def everybody_joins(site: OverRedis, one: Driven, two: Driven) -> None:
    for name in CHANNELS:
        assert isinstance(await one.join(name, ANN, socket="1.1"), Joined)
        assert isinstance(await two.join(name, BOB, socket="2.1"), Joined)
    await site.settle()


async def everybody_leaves(site: OverRedis, one: Driven, two: Driven) -> None:
    """Let all leave, and look at what was told: each occupied with its vacated, each added with its removed."""
    for name in CHANNELS:
        await one.leave(name, ANN, socket="1.1")
        await two.leave(name, BOB, socket="2.1")
    ends = ["ChannelOccupied", "ChannelVacated", *["MemberAdded"] * 2, *["MemberRemoved"] * 2]
    await until(lambda: all(kinds(site, name) == ends for name in CHANNELS))
    await site.settle()
    assert await one.adapter.channels(APP, "presence-") == {}


def kinds(site: OverRedis, channel: str) -> list[str]:
    changes = [change for node in site.nodes for change in node.transitions if change.channel == channel]
    return sorted(type(change).__name__ for change in changes)


async def test_the_state_is_spread_over_the_masters(servers: RedisClusterServers) -> None:
    async with two_nodes(servers) as (site, one, two):
        await everybody_joins(site, one, two)
        totals = [servers.owner(tag(site, number)).cli("HLEN", f"{tag(site, number)}totals") for number in range(8)]
        assert sum(int(str(total)) for total in totals) == len(CHANNELS)
        assert all(len(list(server.client().scan_iter(f"{site.prefix}*"))) for server in servers.servers)
        assert len(await two.adapter.channels(APP, "presence-1")) == 11
        assert len(site.links[0]._masters) == 3, "one connection to each master"  # type: ignore[union-attr]
        await everybody_leaves(site, one, two)


async def test_a_user_and_friends_in_all_partitions(servers: RedisClusterServers) -> None:
    friends = [f"friend-{number}" for number in range(20)]
    async with two_nodes(servers) as (site, one, two):
        for friend in friends[:10]:
            await two.sign_in(friend)
        assert await one.sign_in("ann", friends) == SignedIn(True, frozenset(friends[:10]))
        await two.sign_in(friends[12])
        await two.sign_out(friends[3])
        await until(lambda: len([one for one in one.delivered if isinstance(one, UserStatus)]) == 2)
        assert await two.sign_in("ann", friends) == SignedIn(
            False, frozenset({*friends[:10], friends[12]} - {friends[3]})
        )
        assert not await one.sign_out("ann", friends)
        await site.settle()
        assert all(not list(partition.state.watched) for partition in site.partitions(one))


async def test_slots_that_move_are_followed_and_nothing_is_told_twice(servers: RedisClusterServers) -> None:
    async with two_nodes(servers) as (site, one, two):
        await everybody_joins(site, one, two)
        for number in range(PARTITIONS):
            owner = servers.owner(tag(site, number))
            target = servers.servers[(servers.servers.index(owner) + 1) % 3]
            await asyncio.to_thread(servers.move_slot, tag(site, number), target)
        for name in CHANNELS:
            stats = await patiently(two, name)
            assert stats == (2, 2)
        await everybody_leaves(site, one, two)


async def patiently(node: Driven, channel: str) -> tuple[int, int | None]:
    """Ask until the part of the cluster is there again."""
    async with asyncio.timeout(30):
        while True:
            try:
                stats = await node.adapter.channel(APP, channel)
                assert stats is not None
                return stats.subscription_count, stats.user_count
            except Unavailable:
                await asyncio.sleep(0.02)


async def test_while_a_slot_is_being_moved_the_others_are_not_disturbed(servers: RedisClusterServers) -> None:
    async with two_nodes(servers) as (site, one, two):
        moving, owner = tag(site, 0), servers.owner(tag(site, 0))
        neighbours = [number for number in range(1, PARTITIONS) if servers.owner(tag(site, number)) is owner]
        assert neighbours
        target = servers.servers[(servers.servers.index(owner) + 1) % 3]
        await one.join(in_partition(0), socket="1.1")
        await site.settle()
        await asyncio.to_thread(servers.move_slot, moving, target, halfway=True)
        late: list[object] = []
        one.adapter.join(APP, "late-" + in_partition(0), one.source("1.2"), None, 9, False, late.append)
        waiting = site.partitions(one)[number_of(APP, "late-" + in_partition(0), PARTITIONS)]
        site.partitions(one)[0].beat()
        await until(lambda: not site.partitions(one)[0].ready)
        assert not one.adapter.healthy()
        await until(lambda: all(site.partitions(one)[number].ready for number in neighbours))
        gaps = [site.partitions(one)[number].figures.gaps for number in neighbours]
        await asyncio.sleep(1.0)  # while it tries again and again
        assert [site.partitions(one)[number].figures.gaps for number in neighbours] == gaps
        for number in neighbours:
            assert isinstance(await one.join(in_partition(number), socket="1.3"), Joined)
        await asyncio.to_thread(servers.move_slot, moving, target)
        await until(lambda: one.adapter.healthy() and two.adapter.healthy())
        await until(lambda: bool(late) and waiting.ready)
        await one.leave(in_partition(0), socket="1.1")
        await until(lambda: kinds(site, in_partition(0)) == ["ChannelOccupied", "ChannelVacated"])


async def test_a_replica_that_takes_over_a_master_is_followed(replicated: RedisClusterServers) -> None:
    async with two_nodes(replicated) as (site, one, two):
        await everybody_joins(site, one, two)
        dead = replicated.owner(tag(site, 0))
        others = [number for number in range(PARTITIONS) if replicated.owner(tag(site, number)) is not dead]
        assert others
        await asyncio.to_thread(dead.cli, "WAIT", 1, 10_000)
        dead.kill()
        for number in others:
            assert isinstance(await one.join(in_partition(number), socket="1.3"), Joined)
        await until(lambda: one.adapter.healthy() and two.adapter.healthy())
        assert {await patiently(two, name) for name in CHANNELS} == {(2, 2)}
        await everybody_leaves(site, one, two)


async def test_a_failover_that_an_operator_wants_is_followed(replicated: RedisClusterServers) -> None:
    async with two_nodes(replicated) as (site, one, two):
        await everybody_joins(site, one, two)
        master = replicated.owner(tag(site, 0))
        replica = replicated.replica_of(master)
        replica.cli("CLUSTER", "FAILOVER")
        await until(lambda: replicated.owner(tag(site, 0)) is replica)
        for number in range(PARTITIONS):
            for node in (one, two):
                site.partitions(node)[number].beat()
        await until(lambda: all(way.master.host[1] != master.port for way in ways(site) if way.master is not None))
        await until(lambda: one.adapter.healthy() and two.adapter.healthy())
        assert {await patiently(two, name) for name in CHANNELS} == {(2, 2)}
        await everybody_leaves(site, one, two)


async def test_the_queue_is_on_one_master_and_follows_its_slot(replicated: RedisClusterServers) -> None:
    policy = LanePolicy(window=0.0, size=1, slow_start=False)
    queue = RedisQueue(replicated.address, prefix="{q}:", wait_replicas=1, response_timeout=1.0, default_policy=policy)
    events = [Append(f"e{number}", "wh_a", APP, b"{}", 1) for number in range(4)]

    async def appended(some: list[Append]) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    return await queue.append(some)
                except Unavailable:
                    await asyncio.sleep(0.05)

    try:
        await queue.open()
        await queue.append(events[:2])
        owner = replicated.owner("{q}:")
        assert len(list(owner.client().scan_iter("{q}:*"))) > 0
        target = next(one for one in replicated.servers[:3] if one is not owner)
        await asyncio.to_thread(replicated.move_slot, "{q}:", target)
        await appended(events[2:3])
        await asyncio.to_thread(target.cli, "WAIT", 1, 10_000)
        target.kill()
        await until(lambda: replicated.owner("{q}:") not in (owner, target))
        said = ""
        async with asyncio.timeout(30):
            while "only 0 of 1 replicas (wait_replicas) have it" not in said:  # its replica is the master now
                with pytest.raises(Unavailable) as refused_:
                    await queue.append(events[3:])
                said = str(refused_.value)
        assert (await queue.depths()).waiting >= 3
    finally:
        await queue.close()


async def test_a_relay_and_a_board_reach_other_nodes(servers: RedisClusterServers) -> None:
    site = OverRedis(servers.address, 0.0, 2)
    one, two = (RedisRelay(link, "sockudo:{http}:") for link in site.links)
    heard: list[bytes] = []
    board_one, board_two = (RedisBoard(link, "sockudo:{board}:") for link in site.links)
    two.start(Hearing(heard))
    board_two.start(lambda topic, payload: heard.append(payload))
    board_two.follow("news")
    async with site.running():
        found: list[object] = []
        two.take("session")
        one.owner("session", found.append)  # on another connection: it may come first
        await until(lambda: bool(found))
        assert found[0] in (None, two.node_id)
        sent: list[bool] = []
        one.send(two.node_id, b"frame", sent.append)
        await until(lambda: sent == [True] and heard == [b"frame"])
        board_one.tell("news", b"tap")
        await until(lambda: heard == [b"frame", b"tap"])
        board_two.post(b"note")
        async with asyncio.timeout(10):
            while await board_one.read() != {board_two.node_id: b"note"}:  # noqa: ASYNC110 - Redis says when
                await asyncio.sleep(0.01)


class Hearing:
    """A listener of a relay."""

    def __init__(self, heard: list[bytes]) -> None:
        self._heard = heard

    def message(self, payload: bytes) -> None:
        self._heard.append(payload)

    def cut_off(self) -> None:
        pass


def ways(site: OverRedis) -> list:  # type: ignore[type-arg]
    return [way for link in site.links for way in link._ways.values()]  # type: ignore[union-attr]


async def refused(site: OverRedis) -> str:
    with pytest.raises(SockudoError) as caught:
        async with site.running():
            pass
    return str(caught.value)


async def test_all_nodes_split_the_state_into_as_many_partitions(servers: RedisClusterServers) -> None:
    async with two_nodes(servers) as (site, _, _):
        other = OverRedis(servers.address, 0.0, 0, response_timeout=1.0, partitions=PARTITIONS + 1)
        other.prefix = site.prefix
        other.add()
        assert "adapter.redis.partitions 8, and this one 9; write the same number" in await refused(other)
    later = OverRedis(servers.address, 0.0, 0, partitions=PARTITIONS + 1)
    later.prefix = site.prefix
    later.add()
    async with later.running():
        pass  # all others have stopped


async def test_a_start_says_what_is_wrong_with_a_cluster(private_redis: RedisServer) -> None:
    gone = ("127.0.0.1", free_port())
    said = await refused(OverRedis(RedisAddress("redis://h", nodes=(gone,)), 0.0, 1, response_timeout=0.3))
    assert re.search(rf"no node of the cluster says .*127.0.0.1:{gone[1]}: no connection.*check database.redis", said)
    single = RedisAddress(private_redis.url, nodes=(("127.0.0.1", private_redis.port),))
    said = await refused(OverRedis(single, 0.0, 1, response_timeout=0.3))
    assert "cluster support disabled" in said


async def test_a_node_of_a_cluster_is_no_single_server(tmp_path: Path) -> None:
    with cluster(tmp_path, masters=1) as servers:
        said = await refused(OverRedis(servers.servers[0].url, 0.0, 1))
        assert "it is a node of a Redis Cluster; set adapter.redis.cluster_mode to true" in said
