"""A Redis that is full, or that others write to: what nodes make of it, and that they go on when it is mended."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from sockudo_py.adapters.base import Envelope, Joined, Publication
from sockudo_py.adapters.redis.partition import FORMAT
from sockudo_py.errors import SockudoError
from sockudo_py.links.redis.shared import HELD
from sockudo_py.protocol.effects import Member
from tests.cluster.in_process import Site, at_rest
from tests.cluster.site import clients, nodes, nodes_over
from tests.conformance.adapters.driven import APP, running
from tests.conformance.adapters.over_redis import until
from tests.support.redis_server import RedisServer

ROOM = "presence-room"
ROSTER = f"r:{APP}\0{ROOM}"
ANN, BOB = Member("ann", '{"name":"Ann"}'), Member("bob")


def fill(site: Site) -> None:
    """Let Redis have no memory left for commands that need some."""
    redis = site.redis()
    redis.config_set("maxmemory", str(int(redis.info("memory")["used_memory"]) // 2))


async def beaten(site: Site, *numbers: int) -> None:
    """Let nodes beat, and wait for the answers."""
    for number in numbers:
        site.partition(site.nodes[number]).beat()
    await site.settle()
    await site.settle()


async def test_a_full_redis_keeps_nobody_from_joining_and_no_node_from_its_lease(private_redis: RedisServer) -> None:
    site = Site(private_redis, 2, vacate_delay=0.0)
    async with site.running() as (one, two):
        for node in (one, two):
            site.partition(node).counts_connections = lambda: {APP: 7}
        await one.join("c")
        fill(site)
        await beaten(site, 0, 1)
        assert await two.join(ROOM, ANN) == Joined(1, True, {"ann": ANN.user_info})
        await one.leave("c")
        assert await two.adapter.connections_elsewhere(APP) == 7
        await at_rest(site)
        assert [site.partition(node).figures.gaps for node in (one, two)] == [0, 0]
        assert site.kinds("c") == ["ChannelOccupied", "ChannelVacated"]


async def test_in_a_full_redis_a_node_that_has_ended_is_taken_out(private_redis: RedisServer) -> None:
    site = Site(private_redis, 2, vacate_delay=0.0)
    async with site.running() as (one, two):
        await one.join("c")
        await at_rest(site)
        fill(site)
        site.kill(one)
        assert site.adapters[1].expire(site.adapters[0].names())  # as a supervisor asks
        await until(lambda: site.kinds("c") == ["ChannelOccupied", "ChannelVacated"])
        assert site.partition(two).figures.gaps == 0


async def test_a_node_that_is_refused_again_and_again_asks_ever_more_seldom(
    private_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    site = Site(private_redis, 1)
    async with site.running() as (one,):
        site.redis().delete(site.key("dead"))
        site.redis().set(site.key("dead"), "no set")
        begun = asyncio.get_running_loop().time()
        site.partition(one).beat()
        await until(lambda: site.partition(one).figures.gaps >= 6)
        took = asyncio.get_running_loop().time() - begun
        assert took > 0.02 + 0.04 + 0.08 + 0.16 + 0.32
        assert "WRONGTYPE" in caplog.text
        site.redis().delete(site.key("dead"))
        await asyncio.wait_for(one.join("c"), 60)
        gaps = site.partition(one).figures.gaps
        await asyncio.sleep(HELD)
        assert site.partition(one).figures.gaps == gaps


def poison_of_a_roster(site: Site) -> None:
    site.redis().hset(site.key(ROSTER), "eve", "no order and no info")


def poison_of_connections(site: Site) -> None:
    site.redis().hset(site.key(f"conns:{site.partition(site.nodes[0]).node_id}"), APP, "many")


def poison_of_an_outbox(site: Site) -> None:
    site.redis().hset(site.key(f"o:{site.partition(site.nodes[0]).node_id}"), "an id", "no transition")


def poison_of_what_is_pending(site: Site) -> None:
    site.redis().zadd(site.key("pending"), {"rubbish": 1, "mrubbish": 1})


def poison_of_names(site: Site) -> None:
    site.redis().zadd(site.key(f"names:{APP}"), {"nothing": 0})


def poison_of_dead_nodes(site: Site) -> None:
    redis = site.redis()
    redis.sadd(site.key("dead"), "x")
    redis.hset(site.key("n:x"), mapping={"mfoo": "1", "cfoo": "1", f"c{APP}\0foo": "one", "?": "?"})
    redis.hset(site.key("cursors"), "x", "nowhere")


POISONS = [
    poison_of_a_roster,
    poison_of_connections,
    poison_of_an_outbox,
    poison_of_what_is_pending,
    poison_of_names,
    poison_of_dead_nodes,
]


@pytest.mark.parametrize("poison", POISONS)
async def test_what_no_node_writes_is_left_out(private_redis: RedisServer, poison: Callable[[Site], None]) -> None:
    site = Site(private_redis, 2, vacate_delay=0.0)
    async with site.running() as (one, two):
        await one.join(ROOM, ANN)
        poison(site)
        site.look_again(one)
        await beaten(site, 0, 1)
        assert await two.join(ROOM, BOB) == Joined(2, True, {"ann": ANN.user_info, "bob": "null"})
        assert await two.adapter.members(APP, ROOM) == ["ann", "bob"]
        assert list(await two.adapter.channels(APP)) == [ROOM]
        assert await two.adapter.connections_elsewhere(APP) == 0
        await until(lambda: site.redis().exists(site.key("dead")) == 0)
        assert [site.partition(node).figures.gaps for node in (one, two)] == [1, 0]


async def test_a_name_that_can_not_be_read_is_said_and_the_node_goes_on_without_it(
    private_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    site = Site(private_redis, 2)
    async with site.running() as (one, two):
        await one.join("c")
        inventory = site.key(f"n:{site.partition(one).node_id}")
        private_redis.cli("HSET", inventory, b"c1\0\xff\xfe", "1")
        site.look_again(one)
        await until(lambda: not one.adapter.healthy() and "what no node writes" in site.links[0]._last_reason)
        assert two.adapter.healthy()
        private_redis.cli("HDEL", inventory, b"c1\0\xff\xfe")
        await until(one.adapter.healthy)
        assert await two.join("c") == Joined(2, False, None)


async def test_a_node_of_another_format_is_refused_while_somebody_is_there(private_redis: RedisServer) -> None:
    site = Site(private_redis, 1)
    async with site.running() as (one,):
        site.redis().hset(site.key("meta"), "format", FORMAT + 1)  # as if the others were newer
        with pytest.raises(SockudoError, match=f"format {FORMAT + 1}, and this one in format {FORMAT}"):
            async with running(site.add()):
                pass
        assert one.adapter.healthy()
    site.redis().hset(site.key("meta"), "format", FORMAT + 1)
    async with running(site.add()) as node:
        assert node.adapter.healthy()
        assert site.redis().hget(site.key("meta"), "format") == str(FORMAT)


async def test_two_clusters_on_one_redis_know_nothing_of_each_other(private_redis: RedisServer) -> None:
    sites = [Site(private_redis, 2, vacate_delay=0.0), Site(private_redis, 2, vacate_delay=0.0)]
    async with sites[0].running() as (one, two), sites[1].running() as (three, four):
        heard: list[Envelope] = []
        three.heard.append(heard.append)
        await three.join(ROOM, BOB)
        await one.join(ROOM, ANN)
        two.adapter.publish(Publication(APP, ROOM, b"{}", None))
        await sites[0].pass_time(200.0)
        sites[0].kill(one)
        await sites[0].pass_time(200.0)
        assert sites[0].kinds(ROOM) == ["ChannelOccupied", "MemberAdded", "MemberRemoved", "ChannelVacated"]
        assert sites[1].kinds(ROOM) == ["ChannelOccupied", "MemberAdded"]
        assert await four.adapter.members(APP, ROOM) == ["bob"]
        assert heard == []


async def test_two_databases_of_one_redis_are_two_clusters(private_redis: RedisServer, tmp_path: Path) -> None:
    other = private_redis.url.removesuffix("/0") + "/1"
    with (
        nodes(2, private_redis, tmp_path / "zero") as zero,
        nodes_over({"url": other}, 2, tmp_path / "one") as one,
    ):
        async with clients(zero, 0) as (here,), clients(one, 0) as (there,):
            for client in (here, there):
                await client.subscribe("c")
            zero.api(1).publish("c", "first")
            await here.expect("first", "c")
            one.api(1).publish("c", "second")  # comes behind the first one, were that sent there
            await there.expect("second", "c")
