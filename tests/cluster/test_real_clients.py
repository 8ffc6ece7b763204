"""The clients and backends that people have, publisher and subscriber on different nodes."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import pusher
import pytest

from tests.cluster.site import APP, Nodes, nodes
from tests.support.node import Program, Report, program, scenario
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.clients
ROOM = "presence-room"
ENDS = {"pusher:member_removed", "offline"}
MASTER_KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@pytest.fixture
def three(private_redis: RedisServer, tmp_path: Path) -> Iterator[Nodes]:
    with nodes(3, private_redis, tmp_path) as site:
        yield site


@pytest.fixture
def sdk(three: Nodes) -> Iterator[pusher.Pusher]:
    """The Python SDK, which asks the third node."""
    server = three.servers[2]
    made = pusher.Pusher(APP.id, APP.key, APP.secret, ssl=False, host=server.host, port=server.port, timeout=60)
    try:
        yield made
    finally:
        made._pusher_client.http.session.close()


async def subscribed(client: Program, channel: str) -> None:
    await client.value("subscribe", channel=channel)
    await client.expect(on="event", channel=channel, event="pusher:subscription_succeeded")


def name_of(report: Report) -> object:
    """Return what a report is about: an event of a channel, or of the watchlist."""
    return report.get("event", report.get("name"))


async def test_pusher_js_on_two_nodes_and_the_python_sdk_on_a_third(three: Nodes, sdk: pusher.Pusher) -> None:
    one = {"members": {ROOM: {"user_id": "1", "user_info": {"name": "One"}}}, "user": {"id": "1", "watchlist": ["2"]}}
    two = {"members": {ROOM: {"user_id": "2", "user_info": {"name": "Two"}}}, "user": {"id": "2"}}
    async with (
        program("client", scenario(three.servers[0], APP, **one)) as first,
        program("client", scenario(three.servers[1], APP, **two)) as second,
    ):
        for client in (first, second):
            await client.expect(on="state", current="connected")
            await subscribed(client, ROOM)
        joined = await first.expect(on="event", event="pusher:member_added")
        assert joined["data"] == {"id": "2", "info": {"name": "Two"}}
        await second.value("trigger", channel=ROOM, event="client-typing", data={"on": True})
        assert (await first.expect(on="event", event="client-typing"))["data"] == {"on": True}
        left_out = await first.value("socketId")
        assert await asyncio.to_thread(sdk.trigger, ROOM, "news", {"n": 1}, left_out) == {}
        assert await asyncio.to_thread(sdk.trigger, ROOM, "news", {"n": 2}) == {}
        assert [(await second.expect(on="event", event="news"))["data"] for _ in range(2)] == [{"n": 1}, {"n": 2}]
        assert (await first.expect(on="event", event="news"))["data"] == {"n": 2}
        users = await asyncio.to_thread(sdk.users_info, ROOM)
        assert users == {"users": [{"id": "1"}, {"id": "2"}]}
        await first.value("signin")
        await first.expect(on="watchlist", name="offline")
        await second.value("signin")
        await first.expect(on="watchlist", name="online")
        await asyncio.to_thread(sdk.terminate_user_connections, "2")
        ends = [await first.wait_for(lambda said: name_of(said) in ENDS, "an end") for _ in ENDS]
        assert {name_of(report) for report in ends} == ENDS


async def test_pusher_js_decrypts_what_the_node_sdk_encrypts_on_another_node(three: Nodes) -> None:
    channel = "private-encrypted-x"
    extras = {"build": "with-encryption", "masterKey": MASTER_KEY}
    async with (
        program("client", scenario(three.servers[0], APP, **extras)) as client,
        program("backend", scenario(three.servers[1], APP, **extras)) as backend,
    ):
        await client.expect(on="state", current="connected")
        await subscribed(client, channel)
        answer = await backend.value("trigger", channels=channel, event="e", data={"secret": "é ☃"})
        assert (answer["status"], answer["body"]) == (200, "{}")
        assert (await client.expect(on="event", channel=channel, event="e"))["data"] == {"secret": "é ☃"}


@pytest.mark.parametrize("broadcaster", ["pusher", "reverb"])
async def test_laravel_echo_on_two_nodes(three: Nodes, broadcaster: str) -> None:
    people = [{"id": number, "name": name} for number, name in ((1, "One"), (2, "Two"))]
    settings = [{ROOM: {"user_id": str(one["id"]), "user_info": one}} for one in people]
    async with (
        program("echo", scenario(three.servers[0], APP, broadcaster=broadcaster, members=settings[0])) as first,
        program("echo", scenario(three.servers[1], APP, broadcaster=broadcaster, members=settings[1])) as second,
    ):
        await first.value("join", name="room")
        assert (await first.expect(on="here"))["users"] == people[:1]
        await second.value("join", name="room")
        here = await second.expect(on="here")
        assert sorted(here["users"], key=lambda user: int(user["id"])) == people
        assert (await first.expect(on="joining"))["user"] == people[1]
        for client in (first, second):
            await client.value("private", name="room")
            await client.expect(on="subscribed", name="room")
        await first.value("listenForWhisper", name="room", event="typing")
        await second.value("whisper", name="room", event="typing", data={"on": True})
        assert (await first.expect(on="whisper"))["data"] == {"on": True}
        for client in (first, second):
            await client.value("channel", name="orders")
            await client.expect(on="subscribed", name="orders")
            await client.value("listen", name="orders", event="OrderShipped")
        name = "App\\Events\\OrderShipped"
        api = three.api(2)
        left_out = await first.value("socketId")
        await asyncio.to_thread(api.publish, "orders", name, '{"n":1}', socket_id=left_out)
        await asyncio.to_thread(api.publish, "orders", name, '{"n":2}')
        assert [(await second.expect(on="heard"))["data"] for _ in range(2)] == [{"n": 1}, {"n": 2}]
        assert (await first.expect(on="heard"))["data"] == {"n": 2}
        await second.value("leave", name="room")
        assert (await first.expect(on="leaving"))["user"] == people[1]
