"""A resync tells the truth of the whole cluster, also while a node is killed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.site import APP, HOOK, Nodes, clients, nodes
from tests.support.client import eventually, member
from tests.support.management import admin_key, ask, made
from tests.support.redis_server import RedisServer


@pytest.fixture
def three(private_redis: RedisServer, tmp_path: Path) -> Iterator[Nodes]:
    with nodes(0, private_redis, tmp_path) as site:
        site.settings["webhooks"]["admin"] = {"api_keys": [admin_key()], "rate_limit": {"per_minute": 100_000}}
        site.settings["webhooks"]["security"] = {"allowed_cidrs": ["127.0.0.0/8"]}
        for _ in range(3):
            site.start()
        yield site


def resynced(three: Nodes, ident: str) -> list[tuple[str, str, str | None]]:
    """Return what a resync has told so far: name, channel, user."""
    return [
        (event["name"], event["channel"], event.get("user_id"))
        for hook in three.hooks.hooks(HOOK)
        for event in hook.events
        if event.get("resync") == ident
    ]


async def test_what_is_there_on_every_node_is_told(three: Nodes) -> None:
    async with clients(three, 0, 1, 2) as (ann, bob, cid):
        await ann.subscribe("on-0")
        await ann.subscribe("presence-room", member("ann", name="Ann"))
        await bob.subscribe("on-1")
        await cid.subscribe("on-2")
        await cid.ask("presence-room", member("cid"))
        await cid.barrier()
        (endpoint,) = ask(three.servers[1], "GET", "/api/webhooks").json["webhooks"]
        answer = await asyncio.to_thread(ask, three.servers[1], "POST", f"/api/webhooks/{endpoint['uid']}/resync")
        assert answer.status == 202, answer.json
        ident = answer.json["resync_id"]
        await eventually(lambda: "resync_completed" in {name for name, _, _ in resynced(three, ident)}, "its end")
        told = resynced(three, ident)
        assert told[0][0] == "resync_started"
        assert told[-1][0] == "resync_completed"
        assert {one for one in told if one[1]} == {
            ("channel_occupied", "on-0", None),
            ("channel_occupied", "on-1", None),
            ("channel_occupied", "on-2", None),
            ("channel_occupied", "presence-room", None),
            ("member_added", "presence-room", "ann"),
            ("member_added", "presence-room", "cid"),
        }


async def test_a_node_that_is_killed_is_told_until_it_is_swept(three: Nodes) -> None:
    async with clients(three, 0) as (ann,):
        await ann.subscribe("lives")
        async with clients(three, 2) as (cid,):
            await cid.subscribe("dies")
            three.servers[2].kill()
        (endpoint,) = ask(three.servers[0], "GET", "/api/webhooks").json["webhooks"]
        answer = await asyncio.to_thread(ask, three.servers[0], "POST", f"/api/webhooks/{endpoint['uid']}/resync")
        assert answer.status == 202, answer.json
        ident = answer.json["resync_id"]
        await eventually(lambda: "resync_completed" in {name for name, _, _ in resynced(three, ident)}, "its end")
        told = {channel for name, channel, _ in resynced(three, ident) if name == "channel_occupied"}
        # Told in the resync, and vacated afterwards; or it was swept before.
        assert told - {"dies"} == {"lives"}
        await eventually(lambda: three.of("dies")[-1:] == ["channel_vacated"], "the dead node's channel to be vacated")


async def test_of_three_nodes_one_makes_the_resync_of_an_endpoint_that_was_disabled(three: Nodes) -> None:
    box = "/auto"
    async with clients(three, 0, 2) as (ann, cid):
        await ann.subscribe("on-0")
        hook = made(three.servers[0], three.hooks.url + box, f"/apps/{APP.id}/webhooks", auto_resync=True)
        path = f"/api/webhooks/{hook['uid']}"

        def there(number: int, enabled: bool) -> bool:
            said = ask(three.servers[number], "GET", path)
            return said.status == 200 and said.json["enabled"] is enabled

        assert ask(three.servers[0], "POST", f"{path}/disable").status == 200
        for number in range(3):
            await eventually(lambda number=number: there(number, False), "the switch on every node")  # type: ignore[misc]
        await cid.subscribe("on-2")
        assert ask(three.servers[1], "POST", f"{path}/enable").status == 200
        await eventually(lambda: told(three, box).count("resync_completed") >= 1, "the resync")
        for number in range(3):
            await eventually(lambda number=number: there(number, True), "the switch on every node")  # type: ignore[misc]
        channels = {event["channel"] for event in three.hooks.events(box) if event["name"] == "channel_occupied"}
        assert channels == {"on-0", "on-2"}
        assert told(three, box).count("resync_started") == 1


def told(three: Nodes, box: str) -> list[str]:
    return [event["name"] for event in three.hooks.events(box)]
