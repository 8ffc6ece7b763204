"""pusher-js against the server, by each of its transports (items 146, 225 to 227, 229 of the conformance checklist)."""

import asyncio
import base64
import http.client
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.client import eventually, member
from tests.support.node import Program, program, scenario
from tests.support.ports import free_ports
from tests.support.server import TestApp, app_config, running, server_config, start
from tests.support.site import Site, private_site

pytestmark = pytest.mark.clients
MASTER_KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
TRANSPORTS = ("ws", "xhr_streaming", "xhr_polling")
HTTP_TRANSPORTS = TRANSPORTS[1:]


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """The only transport that the client may use."""
    name: str = request.param
    return name


@pytest.fixture
def without_fallbacks(tmp_path: Path) -> Iterator[Site]:
    """An app on a server without HTTP transports."""
    with private_site(tmp_path, http_transport={"enabled": False}) as site:
        yield site


async def connected(client: Program) -> None:
    await client.expect(on="state", current="connected")


@pytest.mark.parametrize(
    ("build", "transport"), [("with-encryption", "ws"), *(("node", transport) for transport in TRANSPORTS)]
)
async def test_225_pusher_js_connects_subscribes_and_hears_events(site: Site, build: str, transport: str) -> None:
    async with program("client", scenario(site.server, site.app, build=build, transport=transport)) as client:
        await connected(client)
        for channel in ("my-channel", "private-x"):
            await client.value("subscribe", channel=channel)
            await client.expect(on="event", channel=channel, event="pusher:subscription_succeeded")
            site.api.publish(channel, "my-event", '{"message":"hello world"}')
            report = await client.expect(on="event", channel=channel, event="my-event")
            assert report["data"] == {"message": "hello world"}


async def test_225_pusher_js_gets_presence_members_and_client_events(talk: Site, transport: str) -> None:
    room = "presence-room"
    one = {"members": {room: {"user_id": "1", "user_info": {"name": "One"}}}}
    two = {"members": {room: {"user_id": "2", "user_info": {"name": "Two"}}}}
    async with (
        program("client", scenario(talk.server, talk.app, **one, transport=transport)) as first,
        program("client", scenario(talk.server, talk.app, **two, transport=transport)) as second,
    ):
        for client in (first, second):
            await connected(client)
            await client.value("subscribe", channel=room)
            report = await client.expect(on="event", event="pusher:subscription_succeeded")
        assert report["data"]["count"] == 2
        assert report["data"]["members"] == {"1": {"name": "One"}, "2": {"name": "Two"}}
        joined = await first.expect(on="event", event="pusher:member_added")
        assert joined["data"] == {"id": "2", "info": {"name": "Two"}}
        await second.value("trigger", channel=room, event="client-typing", data={"on": True})
        heard = await first.expect(on="event", event="client-typing")
        assert heard["data"] == {"on": True}
        await second.value("unsubscribe", channel=room)
        left = await first.expect(on="event", event="pusher:member_removed")
        assert left["data"]["id"] == "2"


async def test_225_pusher_js_signs_in_and_gets_what_is_for_its_user(site: Site, transport: str) -> None:
    async with program("client", scenario(site.server, site.app, user={"id": "12345"}, transport=transport)) as client:
        await connected(client)
        await client.value("signin")
        async with asyncio.timeout(60):  # the internal subscription has no report of its own
            while not any(report["on"] == "user" for report in client.reports):
                site.api.publish("#server-to-user-12345", "for-you", '{"n":1}')
                await client.value("state")
        assert (await client.expect(on="user", event="for-you"))["data"] == {"n": 1}


async def test_225_pusher_js_hears_of_its_watchlist(make_site: Callable[[str], Site], transport: str) -> None:
    site = make_site("watched")
    async with program(
        "client", scenario(site.server, site.app, user={"id": "1", "watchlist": ["2"]}, transport=transport)
    ) as client:
        await connected(client)
        await client.value("signin")
        await client.expect(on="watchlist", name="offline", data={"name": "offline", "user_ids": ["2"]})
        async with site.connect() as friend:
            await friend.sign_in("2")
            await client.expect(on="watchlist", name="online", data={"name": "online", "user_ids": ["2"]})


async def test_225_pusher_js_replays_cache_misses_and_counts(counted: Site, transport: str) -> None:
    async with program("client", scenario(counted.server, counted.app, transport=transport)) as client:
        await connected(client)
        await client.value("subscribe", channel="cache-x")
        await client.expect(on="event", channel="cache-x", event="pusher:cache_miss")
        await client.expect(on="event", channel="cache-x", event="pusher:subscription_count")


async def test_225_pusher_js_tells_a_channel_that_it_was_refused(site: Site, transport: str) -> None:
    async with program("client", scenario(site.server, site.app, spoil=["private-x"], transport=transport)) as client:
        await connected(client)
        await client.value("subscribe", channel="private-x")
        report = await client.expect(on="event", channel="private-x", event="pusher:subscription_error")
        assert report["data"]["type"] == "AuthError"
        assert report["data"]["status"] == 401
        assert await client.value("state") == "connected"


@pytest.mark.parametrize("build", ["with-encryption"])
async def test_146_pusher_js_decrypts_what_the_node_sdk_encrypts(site: Site, build: str) -> None:
    channel = "private-encrypted-x"
    setting = scenario(site.server, site.app, build=build, masterKey=MASTER_KEY)
    async with program("client", setting) as client, program("backend", setting) as backend:
        await connected(client)
        await client.value("subscribe", channel=channel)
        await client.expect(on="event", channel=channel, event="pusher:subscription_succeeded")
        data = {"secret": "é ☃", "n": [1, 2]}
        answer = await backend.value("trigger", channels=channel, event="e", data=data)
        assert (answer["status"], answer["body"]) == (200, "{}")
        assert (await client.expect(on="event", channel=channel, event="e"))["data"] == data


async def test_226_pusher_js_comes_back_after_a_restart_with_everything(tmp_path: Path, transport: str) -> None:
    ports = free_ports(2)
    app = app_config(TestApp())
    config = server_config(app)
    first = start(config, tmp_path / "first", ports=ports)
    # Its first new attempt finds nobody and is given up after 15 s: faster timers make that 1.5.
    setting = scenario(
        first, TestApp(), user={"id": "u1"}, members={"presence-c": {"user_id": "u1"}}, hurry=10, transport=transport
    )
    async with program("client", setting) as client:
        await connected(client)
        await client.value("signin")
        for channel in ("c", "private-c", "presence-c"):
            await client.value("subscribe", channel=channel)
            await client.expect(on="event", channel=channel, event="pusher:subscription_succeeded")
        before = await client.value("socketId")
        await asyncio.to_thread(first.stop)
        await client.expect(on="state", previous="connected", current="connecting")
        with running(config, tmp_path / "second", ports=ports) as second:
            site = Site(second, TestApp())
            await client.expect(on="state", current="connected", deadline=60)
            for _ in range(3):
                await client.expect(on="event", event="pusher:subscription_succeeded")
            assert await client.value("socketId") != before
            assert set(site.api.get("/channels").json["channels"]) == {"c", "private-c", "presence-c"}
            async with asyncio.timeout(60):
                while not any(report["on"] == "user" for report in client.reports):
                    site.api.publish("#server-to-user-u1", "still-me")
                    await client.value("state")
            site.close()


async def test_227_after_4001_pusher_js_gives_up_for_good(site: Site, transport: str) -> None:
    setting = scenario(site.server, TestApp(site.app.id, "no-such-key", "secret"), hurry=20, transport=transport)
    async with program("client", setting) as client:
        await client.expect(on="error", code=4001)
        await client.expect(on="state", current="disconnected")
        passed = len(client.reports)
        await asyncio.sleep(3)  # its minute of patience, twenty times as fast
        assert await client.value("state") == "disconnected"
        assert not [report for report in client.reports[passed:] if report["on"] == "state"]


async def test_227_after_4200_pusher_js_tries_again_at_once(tmp_path: Path, transport: str) -> None:
    with private_site(tmp_path) as site:
        async with program("client", scenario(site.server, site.app, hurry=0.05, transport=transport)) as client:
            await connected(client)
            await eventually(lambda: listens(site), "the client to listen: between two polls it can't be told anything")
            site.server.terminate()
            error = await client.expect(on="error", code=4200)
            again = await client.expect(on="state", previous="connected", current="connecting")
            assert again["t"] - error["t"] < 15_000  # not the second of other closes, twenty times as long here


def listens(site: Site) -> bool:
    """Return whether the server has a connection of a client."""
    connections = psutil.Process(site.server.process.pid).net_connections(kind="tcp")
    return any(one.laddr.port == site.server.port and one.status == psutil.CONN_ESTABLISHED for one in connections)


async def test_227_after_4100_pusher_js_tries_again_after_a_second(tmp_path: Path, transport: str) -> None:
    with private_site(tmp_path, max_connections=1) as site:
        async with (
            site.connect() as occupant,
            program("client", scenario(site.server, site.app, transport=transport)) as client,
        ):
            first = await client.expect(on="error", code=4100)
            second = await client.expect(on="error", code=4100)
            assert 900 < second["t"] - first["t"] < 60_000
            await occupant.close()
            await connected(client)


def test_229_the_fallback_of_pusher_js_is_404_quickly_where_it_is_off(without_fallbacks: Site) -> None:
    site = without_fallbacks
    path = f"/pusher/app/{site.app.key}/123/abcdefgh/xhr_streaming?protocol=7&client=js&version=8.6.0&t=1&n=1"
    connection = http.client.HTTPConnection(site.server.host, site.server.port, timeout=60)
    since = time.monotonic()
    connection.request("POST", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 404
    assert time.monotonic() - since < 30


async def test_229_pusher_js_connects_by_websocket_where_fallbacks_are_off(without_fallbacks: Site) -> None:
    site = without_fallbacks
    options: dict[str, Any] = {
        "enabledTransports": ["ws", "wss", "xhr_streaming", "xhr_polling"],
        "httpHost": site.server.host,
        "httpPort": site.server.port,
    }
    async with program("client", scenario(site.server, site.app, options=options)) as client:
        await connected(client)
        async with site.connect() as raw:
            await raw.subscribe("presence-x", member("1"))
            await client.value("subscribe", channel="c")
            await client.expect(on="event", channel="c", event="pusher:subscription_succeeded")
