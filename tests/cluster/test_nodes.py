"""What a client or a backend sees of three nodes that behave as one server."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.site import Nodes, clients, nodes, until
from tests.support.client import eventually, member
from tests.support.redis_server import RedisServer


@pytest.fixture
def three(private_redis: RedisServer, tmp_path: Path) -> Iterator[Nodes]:
    with nodes(3, private_redis, tmp_path) as site:
        yield site


@pytest.fixture
def counting(private_redis: RedisServer, tmp_path: Path) -> Iterator[Nodes]:
    """Three nodes with an app whose clients hear of counts."""
    with nodes(3, private_redis, tmp_path, enable_subscription_count=True) as site:
        yield site


async def told(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that a receiver gets to hear."""
    await eventually(condition, what)


async def test_a_publish_reaches_the_subscribers_of_every_node_once(three: Nodes) -> None:
    async with clients(three, 0, 1, 1, 2) as all_of_them:
        for client in all_of_them:
            await client.subscribe("news")
        for client in all_of_them:
            await client.barrier()
        left_out = all_of_them[1]
        three.api(2).publish("news", "hello", "one")
        three.api(0).publish("news", "hello", "two", socket_id=left_out.socket_id)
        for client in all_of_them:
            got = [await until(client, "hello") for _ in range(1 if client is left_out else 2)]
            assert [frame.text for frame in got] == ["one"] if client is left_out else ["one", "two"]
        for client in all_of_them:
            assert [frame for frame in await client.barrier() if frame.event == "hello"] == []


async def test_members_counts_and_lists_are_those_of_the_cluster(three: Nodes) -> None:
    async with clients(three, 0, 1, 2) as (ann, bob, cid):
        await ann.subscribe("presence-room", member("ann", name="Ann"))
        seen = await bob.subscribe("presence-room", member("bob"))
        assert seen.data["presence"]["ids"] == ["ann", "bob"]
        assert (await until(ann, "pusher_internal:member_added")).data["user_id"] == "bob"
        await cid.subscribe("presence-room", member("ann"))  # the same user on another node
        assert three.api(0).users("presence-room") == ["ann", "bob"]
        assert three.api(1).get("/channels", filter_by_prefix="presence-", info="user_count").json == {
            "channels": {"presence-room": {"user_count": 2}}
        }
        await ann.unsubscribe("presence-room")
        await ann.barrier()
        await bob.unsubscribe("presence-room")
        assert (await until(cid, "pusher_internal:member_removed")).data["user_id"] == "bob"
        assert three.api(0).users("presence-room") == ["ann"]


async def test_client_events_and_messages_to_users_cross_nodes(three: Nodes) -> None:
    async with clients(three, 0, 1, 2) as (ann, bob, cid):
        await ann.subscribe("private-room")
        await bob.subscribe("private-room")
        await ann.trigger("private-room", "client-hi", {"x": 1})
        assert (await until(bob, "client-hi")).data == {"x": 1}
        await ann.sign_in("ann", watchlist=["cid"])
        await cid.sign_in("cid")
        for name in ("offline", "online"):  # as it was when she signed in, and as it is since he did
            news = await until(ann, "pusher_internal:watchlist_events")
            assert news.data == {"events": [{"name": name, "user_ids": ["cid"]}]}
        assert (
            three.api(1).post("/events", {"name": "mail", "channel": "#server-to-user-cid", "data": "1"}).status == 200
        )
        assert (await until(cid, "mail")).text == "1"
        assert three.api(1).post("/users/cid/terminate_connections", {}).status == 200
        await cid.expect_fatal(4009)
        news = await until(ann, "pusher_internal:watchlist_events")
        assert news.data == {"events": [{"name": "offline", "user_ids": ["cid"]}]}


async def test_fifty_sockets_on_two_nodes_occupy_a_channel_once_and_vacate_it_once(counting: Nodes) -> None:
    at = [number % 2 for number in range(50)]
    channels = [f"c-{number}" for number in range(100)]
    async with clients(counting, *at) as crowd:
        for channel in channels:
            await asyncio.gather(*(client.ask(channel) for client in crowd))
        for client in crowd:
            await client.barrier()
        api = counting.api(2)
        assert {channel: api.subscription_count(channel) for channel in channels} == dict.fromkeys(channels, 50)
        await asyncio.gather(*(client.unsubscribe(channel) for client in crowd for channel in channels))
        pairs = {channel: ["channel_occupied", "channel_vacated"] for channel in channels}
        await told(lambda: len(counting.events()) >= 2 * len(channels), "each channel is vacated")
        assert {channel: sorted(names) for channel, names in counting.by_channel().items()} == pairs


async def test_a_user_on_two_nodes_is_added_once_and_removed_once(three: Nodes) -> None:
    async with clients(three, 0, 1) as (here, there):
        await asyncio.gather(*(client.ask("presence-room", member("ann")) for client in (here, there)))
        for client in (here, there):
            await client.barrier()
        assert three.api(2).users("presence-room") == ["ann"]
        await asyncio.gather(*(client.unsubscribe("presence-room") for client in (here, there)))
        await told(lambda: len(three.events()) >= 4, "the channel is vacated")
        assert sorted(three.of("presence-room")) == sorted(
            ["channel_occupied", "member_added", "member_removed", "channel_vacated"]
        )


async def test_who_returns_on_another_node_within_the_delay_was_never_away(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    with nodes(2, private_redis, tmp_path, vacate_ms=60_000) as site:

        def pending() -> set[int]:
            return {json.loads(server.get("/usage")[1])["cluster"]["pending"] for server in site.servers}

        async with clients(site, 0, 1) as (here, there):
            await here.subscribe("presence-room", member("ann"))
            await here.subscribe("lonely")
            await told(lambda: len(site.events()) == 3, "she is there")
            await here.unsubscribe("presence-room")
            await here.unsubscribe("lonely")
            await told(lambda: pending() == {3}, "she is gone for the time being")
            await there.subscribe("presence-room", member("ann"))
            await there.subscribe("lonely")
            await told(lambda: pending() == {0}, "what was pending is called off")
            assert sorted(event["name"] for event in site.events()) == [*["channel_occupied"] * 2, "member_added"]


async def test_a_killed_node_is_swept_for_clients_counts_and_webhooks(three: Nodes) -> None:
    async with clients(three, 0, 1, 2) as (ann, bob, cid):
        await ann.subscribe("lonely")
        await ann.subscribe("presence-room", member("ann"))
        await bob.subscribe("presence-room", member("bob"))
        await cid.subscribe("presence-room", member("cid"))
        await told(lambda: len(three.events()) == 5, "all came")
        three.servers[0].kill()
        for client in (bob, cid):
            assert (await until(client, "pusher_internal:member_removed")).data["user_id"] == "ann"
        await told(lambda: len(three.events()) >= 7, "the ends are told")
        assert three.api(1).users("presence-room") == ["bob", "cid"]
        assert not three.api(1).occupied("lonely")
        late = three.start()
        assert late.get("/up")[0] == 200
    await told(lambda: len(three.events()) >= 10, "all are gone")
    ledger = [(event["name"], event["channel"], event.get("user_id")) for event in three.events()]
    assert sorted(ledger, key=json.dumps) == sorted(
        [
            *(("channel_occupied", channel, None) for channel in ("presence-room", "lonely")),
            *(("channel_vacated", channel, None) for channel in ("presence-room", "lonely")),
            *(("member_added", "presence-room", user) for user in ("ann", "bob", "cid")),
            *(("member_removed", "presence-room", user) for user in ("ann", "bob", "cid")),
        ],
        key=json.dumps,
    )
