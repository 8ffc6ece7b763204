"""pusher-js by its HTTP transports against three nodes behind a balancer that sends each request to another node."""

import asyncio
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.site import APP, Nodes, nodes
from tests.support.balancer import balanced
from tests.support.client import eventually
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


def asked(server: Server, kind: str, body: str = "") -> str:
    """Return what a node answers to a request of one session."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    try:
        connection.request("POST", f"/pusher/app/{APP.key}/1/some-session/{kind}?protocol=7", body)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


async def test_a_node_that_stops_sends_polls_of_sessions_elsewhere_on_and_loses_nothing(three: Nodes) -> None:
    owner, other, _ = three.servers
    assert "connection_established" in await asyncio.to_thread(asked, owner, "xhr")
    subscribe = json.dumps([json.dumps({"event": "pusher:subscribe", "data": {"channel": "news"}})])
    await asyncio.to_thread(asked, other, "xhr_send", subscribe)
    assert "subscription_succeeded" in await asyncio.to_thread(asked, other, "xhr")
    poll = asyncio.create_task(asyncio.to_thread(asked, other, "xhr"))
    await eventually(lambda: figure(other, "requests_passed_on_total") >= 3, "a poll that is passed on")
    await asyncio.to_thread(other.stop)
    assert await poll == "h\n"
    three.api(0).publish("news", "n", "1")
    assert '\\"n\\"' in await asyncio.to_thread(asked, owner, "xhr")


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
