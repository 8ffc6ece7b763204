"""The directed tests (``test_directed.py``) of what several nodes do at once, and of what they do for a dead one."""

import asyncio

from sockudo_py.adapters.base import ChannelFull, Envelope, Joined, Left, MemberCame, MemberWent
from sockudo_py.changes import ChannelOccupied, ChannelVacated
from sockudo_py.protocol.effects import Member
from tests.cluster.in_process import Site, at_rest
from tests.conformance.adapters.driven import APP
from tests.conformance.adapters.over_redis import until
from tests.support.redis_server import RedisServer

ROOM = "presence-room"
ANN, CID = Member("ann", '{"name":"Ann"}'), Member("cid")
LARGE = 1500  # channels: a beat takes about 100 entries apart, but a small node at once


def ignore(outcome: object) -> None:
    pass


def beat(site: Site, *numbers: int) -> bool:
    """Let nodes look for the dead, one after the other; never true."""
    for number in numbers:
        site.partition(site.nodes[number]).beat()
    return False


async def test_01_a_user_that_changes_its_node_is_there_for_a_third_one(private_redis: RedisServer) -> None:
    site = Site(private_redis, 3)
    async with site.running() as (one, two, three):
        roster: set[str] = set()

        def hear(envelope: Envelope) -> None:
            if isinstance(envelope, MemberCame):
                roster.add(envelope.user_id)
            elif isinstance(envelope, MemberWent):
                roster.discard(envelope.user_id)

        three.heard.append(hear)
        answer = await three.join(ROOM, CID, socket="3.1")
        assert isinstance(answer, Joined)
        roster.update(answer.roster or ())
        await one.join(ROOM, ANN, socket="0.1")
        await site.settle()
        here, there = one, two
        wrong = 0
        for number in range(400):
            here.adapter.leave(APP, ROOM, here.source(f"{number}.1"), ANN, False, ignore)
            there.adapter.join(APP, ROOM, there.source(f"{number + 1}.1"), ANN, 100, False, ignore)
            here, there = there, here
            await site.settle()
            wrong += roster != {"ann", "cid"}
        assert wrong == 0
        await at_rest(site)


async def test_06_what_a_dead_node_had_not_stored_is_told_by_another(private_redis: RedisServer) -> None:
    site = Site(private_redis, 2)
    async with site.running() as (one, two):
        one.stores = False
        await one.join("c", socket="1.1")
        await two.join("c", socket="2.1")
        (told,) = one.transitions
        site.kill(one)
        await site.pass_time(site.timing.node_timeout * 1.5)
        assert [(change, change.id, change.time_ms) for change in two.transitions] == [(told, told.id, told.time_ms)]
        await at_rest(site)


async def test_12_two_nodes_that_sweep_a_third_one_at_once_take_turns(private_redis: RedisServer) -> None:
    site = Site(private_redis, 3, vacate_delay=0.0)
    async with site.running() as (one, two, three):
        for number in range(LARGE):
            one.adapter.join(APP, f"c{number}", one.source("1.1"), None, 100, False, ignore)
        await site.settle()
        await two.join("c0", socket="2.1")
        site.kill(one)
        site.redis().zadd(site.key("nodes"), {site.partition(one).node_id: 1})
        ended = LARGE - 1  # the other nodes are on c0
        await until(lambda: len(two.transitions) + len(three.transitions) >= ended or beat(site, 1, 2))
        await at_rest(site)
        assert two.transitions
        assert three.transitions
        changes = two.transitions + three.transitions
        assert {type(change) for change in changes} == {ChannelVacated}
        assert len({change.channel for change in changes}) == len(changes) == ended
        assert site.kinds("c0") == ["ChannelOccupied"]


async def test_12_a_node_that_dies_while_it_sweeps_leaves_the_rest_to_the_next(private_redis: RedisServer) -> None:
    site = Site(private_redis, 3, vacate_delay=0.0)
    async with site.running() as (one, two, three):
        for number in range(LARGE):
            one.adapter.join(APP, f"c{number}", one.source("1.1"), None, 100, False, ignore)
        await site.settle()
        names = [site.partition(node).node_id for node in (one, two)]
        site.kill(one)
        two.stores = False  # nothing that it tells comes as far as the queue
        site.redis().zadd(site.key("nodes"), {names[0]: 1})
        site.partition(two)._timers.stop()  # so that it is killed behind the first piece with an end in it
        await until(lambda: bool(two.transitions) or beat(site, 1))
        site.kill(two)
        assert len(two.transitions) < LARGE
        site.redis().zadd(site.key("nodes"), {names[1]: 1})
        await until(lambda: len(three.transitions) >= LARGE or beat(site, 2))
        await at_rest(site)
        assert sorted(change.channel for change in three.transitions) == sorted(f"c{n}" for n in range(LARGE))
        assert {change.id for change in two.transitions} <= {change.id for change in three.transitions}


async def test_16_fifty_that_join_and_leave_at_once_occupy_once_and_vacate_once(private_redis: RedisServer) -> None:
    site = Site(private_redis, 2, vacate_delay=0.0)
    async with site.running() as nodes:
        joined: list[object] = []
        left: list[object] = []
        for number in range(50):
            node = nodes[number % 2]
            node.adapter.join(APP, "c", node.source(f"{number}.1"), None, 100, True, joined.append)
        await until(lambda: len(joined) == 50)
        assert sorted(one.subscription_count for one in joined if isinstance(one, Joined)) == list(range(1, 51))
        for number in range(50):
            node = nodes[number % 2]
            node.adapter.leave(APP, "c", node.source(f"{number}.1"), None, True, left.append)
        await until(lambda: len(left) == 50)
        await at_rest(site)
        assert sorted(one.subscription_count for one in left if isinstance(one, Left)) == list(range(50))
        assert [type(change) for change in site.told()] == [ChannelOccupied, ChannelVacated]


async def test_16_a_channel_of_four_members_never_has_a_fifth(private_redis: RedisServer) -> None:
    site = Site(private_redis, 2)
    async with site.running() as nodes:
        outcomes: list[object] = []
        sizes: list[int] = []

        def done(outcome: object) -> None:
            outcomes.append(outcome)
            if isinstance(outcome, Joined):
                sizes.append(len(outcome.roster or ()))

        for number in range(60):
            node = nodes[number % 2]
            node.adapter.join(APP, ROOM, node.source(f"{number}.1"), Member(f"u{number // 3}"), 4, False, done)
        await until(lambda: len(outcomes) == 60)
        assert [type(outcome) for outcome in outcomes].count(ChannelFull) == 48
        assert max(sizes) == 4
        assert len(await nodes[0].adapter.members(APP, ROOM)) == 4
        assert site.redis().hget(site.key("totals"), f"{APP}\0{ROOM}") == "12"
        await at_rest(site)


async def test_17_a_node_that_was_stopped_does_not_come_back(private_redis: RedisServer) -> None:
    site = Site(private_redis, 2)
    async with site.running() as (one, two):
        await two.join("c", socket="2.1")
        await two.leave("c", socket="2.1")
        await two.adapter.stop()
        await two.adapter.close()
        names = [site.partition(one).node_id]
        assert site.redis().zrange(site.key("nodes"), 0, -1) == names
        site.redis().client_kill_filter(_type="normal", skipme=True)
        site.redis().client_kill_filter(_type="pubsub", skipme=True)
        site.look_again(one)
        await asyncio.sleep(1)  # longer than a node waits before it connects again
        await until(lambda: site.partition(one).ready)
        assert site.redis().zrange(site.key("nodes"), 0, -1) == names
