"""The fifteen misconfigurations of the field: caused by real clients and backends, named with cause and remedy."""

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pusher
import pytest

from tests.support.api import Api, auth_pairs
from tests.support.client import Client, channel_auth, connected, eventually, member
from tests.support.node import program, scenario
from tests.support.server import Server, TestApp, app_config, running, server_config

ADMIN, TENANT = "key-of-everything", "key-of-app-3"
SHOP = TestApp()
OTHER = TestApp("4", "other-key", "other-secret")
OFF = TestApp("5", "off-key", "off-secret")
STRICT = TestApp("6", "strict-key", "strict-secret")
TLS = TestApp("7", "tls-key", "tls-secret")
SMALL = TestApp("8", "small-key", "small-secret")


def admin_key(key: str, **settings: Any) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(key.encode()).hexdigest(), **settings}


APPS = (
    app_config(SHOP, max_presence_members_per_channel=1),
    app_config(OTHER),
    {**app_config(OFF), "enabled": False},
    app_config(STRICT, allowed_origins=["https://shop.example"]),
    app_config(TLS, require_tls=True),
    app_config(SMALL, max_connections=1),
)
KEYS = {
    "admin": {"rate_limit": {"per_minute": 100_000}, "api_keys": [admin_key(ADMIN), admin_key(TENANT, apps=[SHOP.id])]}
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(server_config(*APPS, webhooks=KEYS), tmp_path_factory.mktemp("server")) as server:
        yield server


def refusals(server: Server, key: str = ADMIN, **query: str) -> list[dict[str, Any]]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    try:
        more = "".join(f"&{name}={value}" for name, value in query.items())
        connection.request("GET", f"/api/refusals?limit=200{more}", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        document = json.loads(answer.read())
        assert answer.status == 200, document
        found: list[dict[str, Any]] = document["refusals"]
        return found
    finally:
        connection.close()


async def told(server: Server, name: str, **fields: Any) -> dict[str, Any]:
    """Return the refusal with this name, once it is there."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [
            one
            for one in refusals(server)
            if one["name"] == name and all(one.get(key) == value for key, value in fields.items())
        ]
        return bool(found)

    await eventually(there, f"a refusal {name} {fields}; there are {[one['name'] for one in refusals(server)]}")
    assert found[0]["cause"]
    assert found[0]["remedy"]
    return found[0]


async def by_pusher_js(server: Server, app: TestApp, **options: Any) -> None:
    """Let pusher-js try to connect until it reports that it can't."""
    async with program("client", scenario(server, app, options=options)) as client:
        await client.expect(on="error")


async def test_01_unknown_key(server: Server) -> None:
    await by_pusher_js(server, TestApp("3", "nobodys-key", "x"))
    assert "nobodys-key" in (await told(server, "unknown_key", key="nobodys-key"))["cause"]
    await by_pusher_js(server, TestApp("3", OTHER.id, "x"))
    assert OTHER.key in (await told(server, "unknown_key", key=OTHER.id))["remedy"]


async def test_02_app_disabled(server: Server) -> None:
    await by_pusher_js(server, OFF)
    await told(server, "app_disabled", app_id=OFF.id)


async def test_03_path(server: Server) -> None:
    await by_pusher_js(server, SHOP, wsPath="/wrong/place")
    assert (await told(server, "path"))["path"].startswith("/wrong/place")


async def test_04_protocol(server: Server) -> None:
    client = await Client.open(server.ws_url(f"/app/{SHOP.key}?protocol=3"))
    await client.expect_fatal(4007)
    assert (await told(server, "protocol", app_id=SHOP.id))["protocol"] == "3"


async def test_05_origin(server: Server) -> None:
    client = await Client.open(server.ws_url(f"/app/{STRICT.key}?protocol=7"), origin="https://evil.example")
    await client.expect_fatal(4009)
    found = await told(server, "origin", app_id=STRICT.id, origin="https://evil.example")
    assert '"https://evil.example"' in found["remedy"]
    await by_pusher_js(server, STRICT)
    assert "no origin" in (await told(server, "origin", app_id=STRICT.id, origin=None))["cause"]


async def test_06_tls_needed(server: Server) -> None:
    await by_pusher_js(server, TLS)
    await told(server, "tls_required", app_id=TLS.id)


async def test_07_app_full(server: Server) -> None:
    async with connected(server, SMALL):
        await by_pusher_js(server, SMALL)
    await told(server, "app_full", app_id=SMALL.id)


async def test_08_node_full(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = server_config(*APPS, webhooks=KEYS, max_connections=1)
    with running(settings, tmp_path_factory.mktemp("full")) as full:
        async with connected(full, SHOP):
            client = await Client.open(full.ws_url(f"/app/{SHOP.key}?protocol=7"))
            await client.expect_fatal(4100)
        await told(full, "node_full", app_id=SHOP.id)


def backend(app: TestApp, key: str | None = None, secret: str | None = None) -> "pusher.Pusher":
    return pusher.Pusher(app.id, key or app.key, secret or app.secret, host="127.0.0.1", ssl=False)


async def test_09_private_without_auth(server: Server) -> None:
    async with connected(server, SHOP) as client:
        await client.send({"event": "pusher:subscribe", "data": {"channel": "private-9"}})
        await client.expect_error()
        await told(server, "no_auth", app_id=SHOP.id, channel="private-9")


async def refused_with(server: Server, channel: str, make: Callable[[str], dict[str, Any]]) -> None:
    async with connected(server, SHOP) as client:
        data = {"channel": channel, **make(client.socket_id)}
        await client.send({"event": "pusher:subscribe", "data": data})
        await client.expect_error()


async def test_10_auth_with_another_apps_key(server: Server) -> None:
    await refused_with(server, "private-10", lambda socket_id: backend(OTHER).authenticate("private-10", socket_id))
    found = await told(server, "other_apps_key", channel="private-10")
    assert f"app {OTHER.id}" in found["cause"]
    # A tenant learns nothing about the apps of others.
    mine = [one for one in refusals(server, TENANT) if one["channel"] == "private-10"]
    assert f"app {OTHER.id}" not in mine[0]["cause"]


async def test_11_auth_by_a_wrong_secret(server: Server) -> None:
    wrong = backend(SHOP, secret=OTHER.secret)
    await refused_with(server, "private-11", lambda socket_id: wrong.authenticate("private-11", socket_id))
    found = await told(server, "wrong_secret", channel="private-11")
    assert f"secret of the app {OTHER.id}" in found["cause"]
    assert found["expected_string"].endswith(":private-11")
    nobodys = backend(SHOP, secret="nobody has this one")
    await refused_with(server, "private-11b", lambda socket_id: nobodys.authenticate("private-11b", socket_id))
    await told(server, "wrong_secret", channel="private-11b")
    assert OTHER.secret not in json.dumps(refusals(server))
    assert SHOP.secret not in json.dumps(refusals(server))


async def test_12_auth_for_another_socket_or_channel(server: Server) -> None:
    async with connected(server, SHOP) as before:
        await refused_with(server, "private-12", lambda _: backend(SHOP).authenticate("private-12", before.socket_id))
        found = await told(server, "other_socket", channel="private-12")
        assert before.socket_id in found["cause"]
        await before.subscribe("private-rooms")
        await refused_with(server, "private-12b", lambda own: backend(SHOP).authenticate("private-rooms", own))
        found = await told(server, "other_channel", channel="private-12b")
        assert "private-rooms" in found["cause"]


async def test_13_channel_name(server: Server) -> None:
    async with program("client", scenario(server, SHOP)) as client:
        await client.expect(on="state", current="connected")
        await client.value("subscribe", channel="what? a name")
        assert (await told(server, "channel_name"))["code"] == "invalid_channel"


async def test_14_channel_data_and_a_full_channel(server: Server) -> None:
    async def subscribe(client: Client, data: str) -> None:
        auth = channel_auth(SHOP, client.socket_id, "presence-14", data)
        message = {"channel": "presence-14", "auth": auth, "channel_data": data}
        await client.send({"event": "pusher:subscribe", "data": message})

    async with connected(server, SHOP) as client:
        await subscribe(client, '{"no":"user"}')
        await client.expect_refused("presence-14")
        await told(server, "channel_data", channel="presence-14")
        await client.subscribe("presence-14", member("1"))
        async with connected(server, SHOP) as second:
            await subscribe(second, member("2"))
            await told(server, "channel_full", channel="presence-14")


async def test_15_requests_with_a_wrong_clock_or_body(server: Server) -> None:
    with Api(server, SHOP) as api:
        body = b'{"name":"e","channel":"c","data":"d"}'

        def send(sent: bytes, **signing: Any) -> int:
            auth = auth_pairs(SHOP, body, **signing)
            return api.signed("POST", api.path("/events"), sent, auth=auth).status

        assert send(body, timestamp=int(time.time()) - 3600) == 401
        await told(server, "clock", app_id=SHOP.id)
        assert send(body + b" ") == 401
        await told(server, "body_md5", app_id=SHOP.id)
    with Api(server, TestApp(SHOP.id, SHOP.key, "not the secret")) as api:
        assert api.post("/events", {"name": "e", "channel": "c", "data": "d"}).status == 401
        found = await told(server, "request_signature", app_id=SHOP.id)
        assert found["expected_string"].startswith("POST\\n/apps/3/events\\nauth_key=")


async def test_a_tenant_sees_the_refusals_of_its_app_only(server: Server) -> None:
    await by_pusher_js(server, OFF)
    await told(server, "app_disabled", app_id=OFF.id)
    assert {one["app_id"] for one in refusals(server, TENANT)} <= {SHOP.id}
