"""pusher-js by its HTTP transports against three nodes behind a balancer that sends each request to another node."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.site import APP, Nodes, nodes
from tests.support.balancer import balanced
from tests.support.node import Program, program, scenario
from tests.support.redis_server import RedisServer
from tests.support.server import Server

pytestmark = pytest.mark.clients
TRANSPORTS = pytest.mark.parametrize("transport", ["xhr_streaming", "xhr_polling"])
ROOM = "presence-room"


@pytest.fixture
def three(private_redis: RedisServer, tmp_path: Path) -> Iterator[Nodes]:
    with nodes(3, private_redis, tmp_path) as site:
        yield site


def figure(server: Server, name: str) -> int:
    """Return a figure of a node's HTTP transports."""
    page = server.get("/metrics", server.metrics_port)[1].decode()
    return sum(map(int, re.findall(rf"^sockudo_http_transport_{name}\{{.*\}} (\d+)", page, re.MULTILINE)))


async def subscribed(client: Program, channel: str) -> None:
    await client.value("subscribe", channel=channel)
    await client.expect(on="event", channel=channel, event="pusher:subscription_succeeded")


async def numbers(client: Program, count: int) -> list[int]:
    """Return the numbers of the next events."""
    return [(await client.expect(on="event", event="n"))["data"]["n"] for _ in range(count)]


@TRANSPORTS
async def test_a_client_whose_requests_land_on_every_node_is_one_client(three: Nodes, transport: str) -> None:
    one = {"members": {ROOM: {"user_id": "1", "user_info": {"name": "One"}}}, "user": {"id": "1"}}
    two = {"members": {ROOM: {"user_id": "2", "user_info": {"name": "Two"}}}}
    async with balanced(three.servers) as port:
        options = {"httpHost": "127.0.0.1", "httpPort": port}
        async with (
            program("client", scenario(three.servers[0], APP, **one, transport=transport, options=options)) as first,
            program("client", scenario(three.servers[0], APP, **two, transport=transport, options=options)) as second,
        ):
            for client in (first, second):
                await client.expect(on="state", current="connected")
                await subscribed(client, ROOM)
                await subscribed(client, "news")
            joined = await first.expect(on="event", event="pusher:member_added")
            assert joined["data"] == {"id": "2", "info": {"name": "Two"}}
            await second.value("trigger", channel=ROOM, event="client-typing", data={"on": True})
            assert (await first.expect(on="event", event="client-typing"))["data"] == {"on": True}
            api = three.api(0)  # one node: what several publish has no order
            heard = [asyncio.create_task(numbers(client, 600)) for client in (first, second)]
            for number in range(600):  # 1,000 characters each: a stream is changed more than once
                await asyncio.to_thread(api.publish, "news", "n", f'{{"n":{number},"fill":"{"é☃" * 500}"}}')
            for got in await asyncio.gather(*heard):
                assert got == list(range(600))
            for client in (first, second):
                assert not [report for report in client.reports if report.get("current") == "connecting"]
            assert sum(figure(server, "requests_passed_on_total") for server in three.servers) > 0
            assert sum(figure(server, "sessions") for server in three.servers) == 2
            await second.value("disconnect")
            left = await first.expect(on="event", event="pusher:member_removed")
            assert left["data"]["id"] == "2"


@TRANSPORTS
async def test_when_the_node_of_a_session_is_killed_its_client_comes_back(three: Nodes, transport: str) -> None:
    async with balanced(three.servers) as port:
        options = {"httpHost": "127.0.0.1", "httpPort": port}
        async with program("client", scenario(three.servers[0], APP, transport=transport, options=options)) as client:
            await client.expect(on="state", current="connected")
            await subscribed(client, "news")
            before = await client.value("socketId")
            owner = next(server for server in three.servers if figure(server, "sessions"))
            owner.kill()
            await client.expect(on="state", current="connecting")
            await client.expect(on="state", current="connected")
            await client.expect(on="event", channel="news", event="pusher:subscription_succeeded")
            assert await client.value("socketId") != before
            alive = next(number for number, server in enumerate(three.servers) if server is not owner)
            three.api(alive).publish("news", "again", "1")
            await client.expect(on="event", channel="news", event="again")


async def test_who_is_signed_in_is_sent_away_wherever_its_session_is(three: Nodes) -> None:
    user = {"user": {"id": "7"}, "transport": "xhr_polling"}
    async with balanced(three.servers) as port:
        options = {"httpHost": "127.0.0.1", "httpPort": port}
        async with program("client", scenario(three.servers[0], APP, **user, options=options)) as client:
            await client.expect(on="state", current="connected")
            await client.value("signin")
            api = three.api(1)
            async with asyncio.timeout(60):  # nothing tells when it is signed in
                while not any(report.get("code") == 4009 for report in client.reports):
                    assert api.post("/users/7/terminate_connections", {}).status == 200
                    await client.value("state")
            assert await client.value("state") == "disconnected"
