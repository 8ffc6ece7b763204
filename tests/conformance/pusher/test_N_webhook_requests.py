"""Section N: what a webhook request looks like on the wire, filters and batches."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sockudo_py.protocol.signatures import webhook_signature
from tests.support.client import eventually, hmac_hex, member
from tests.support.server import KEY, SECRET, ServerDied, TestApp, app_config, server_config, start
from tests.support.site import Site, endpoint

MakeSite = Callable[[str], Site]


@pytest.fixture
def routed(make_site: MakeSite) -> Site:
    """An app with many endpoints: see ``tests.support.site``."""
    return make_site("routed")


async def arrived(site: Site, name: str, number: int = 1) -> None:
    await eventually(lambda: len(site.requests(name)) >= number, f"{number} requests come to {name}")


async def test_205_the_body_has_time_ms_and_events_and_nothing_else(hooked: Site) -> None:
    before = time.time_ns() // 1_000_000
    async with hooked.connect() as client:
        await client.subscribe("c")
        await arrived(hooked, "all")
    body = hooked.requests()[0].json
    assert set(body) == {"time_ms", "events"}
    assert type(body["time_ms"]) is int
    assert before - 1 <= body["time_ms"] <= time.time_ns() // 1_000_000
    assert body["events"] == [{"name": "channel_occupied", "channel": "c"}]


async def test_206_the_headers_are_exact_and_each_comes_once(hooked: Site) -> None:
    async with hooked.connect() as client:
        await client.subscribe("c")
        await arrived(hooked, "all")
    hook = hooked.requests()[0]
    names = [name for name, _ in hook.headers]
    for name in ("Content-Type", "X-Pusher-Key", "X-Pusher-Signature"):
        assert names.count(name) == 1, f"{name} in canonical case: {names}"
    assert hook.header("Content-Type") == "application/json"
    assert hook.header("X-Pusher-Key") == hooked.app.key
    assert re.fullmatch("[0-9a-f]{64}", hook.header("X-Pusher-Signature"))
    assert hook.header("X-Pusher-Signature") == hmac_hex(hooked.app.secret, hook.body)


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (
            '{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"test_channel"}]}',
            "709fdb84c03664445f7698120b0edf0acc1ab1c8c6e93a0368c61841d6b998aa",
        ),
        (
            '{"time_ms":1700000000000,"events":[{"name":"client_event","channel":"presence-room","event":"client-typing",'
            '"data":"{\\"on\\":true}","socket_id":"1234.1234","user_id":"10"}]}',
            "5aa90fea193d8db1586a01d324e4f31ea57dcdc5c6870921cb677d20233c7077",
        ),
    ],
)
def test_207_the_published_vectors_of_webhooks(body: str, digest: str) -> None:
    assert webhook_signature(SECRET.encode(), body.encode()) == digest


async def test_210_the_sockudo_profile_prefixes_the_signature(routed: Site) -> None:
    async with routed.connect() as client:
        await client.subscribe("c")
        await arrived(routed, "prefixed")
    hook = routed.requests("prefixed")[0]
    assert hook.header("X-Pusher-Signature") == f"sha256={hmac_hex(routed.app.secret, hook.body)}"


async def test_211_only_the_listed_event_types_are_sent(routed: Site) -> None:
    async with routed.connect() as client:
        await client.subscribe("presence-c", member("1"))
        await client.subscribe("private-room")
        await client.trigger("private-room", "client-x")
        await client.subscribe("last")
        await eventually(lambda: len(routed.events("occupied")) >= 3, "the last channel is told")
        await eventually(lambda: len(routed.events()) >= 5, "the endpoint that wants everything has it")
    assert {event["name"] for event in routed.events("occupied")} == {"channel_occupied"}
    assert all(hook.events for hook in routed.requests("occupied"))
    assert {"member_added", "client_event"} <= {event["name"] for event in routed.events()}


async def test_212_filters_apply_before_signing(routed: Site) -> None:
    async with routed.connect() as client:
        for channel in ("presence-other", "presence-admin-x"):
            await client.subscribe(channel, member("1"))
        for channel in ("admin-x", "other", "private-chat-1", "chat-1"):
            await client.subscribe(channel)
        await eventually(lambda: len(routed.events("presence")) >= 2, "presence events pass the filter")
        await arrived(routed, "prefix")
        await eventually(lambda: len(routed.events()) >= 8, "the endpoint that wants everything has it")
    assert {event["channel"] for event in routed.events("presence")} == {"presence-admin-x"}
    assert {event["channel"] for event in routed.events("prefix")} == {"chat-1"}
    for hook in routed.requests("presence") + routed.requests("prefix"):
        assert hook.header("X-Pusher-Signature") == hmac_hex(routed.app.secret, hook.body)


async def test_213_events_within_the_window_share_a_request_where_batching_is_on(routed: Site) -> None:
    channels = [f"c{number}" for number in range(10)]
    async with routed.connect() as client:
        await client.send_at_once(*map(client.request, channels))
        await eventually(lambda: len(routed.events("batched")) >= 10, "all events arrive in batches")
        await eventually(lambda: len(routed.events()) >= 10, "all events arrive one by one")
    assert [event["channel"] for event in routed.events("batched")] == channels
    assert len(routed.requests("batched")) <= 4
    assert [len(hook.events) for hook in routed.requests()] == [1] * 10


async def test_214_events_of_encrypted_channels_share_no_request_with_others(routed: Site) -> None:
    channels = ["a", "private-encrypted-b", "c", "private-encrypted-cache-d", "e"]
    async with routed.connect() as client:
        for channel in channels:
            await client.ask(channel)
        await eventually(lambda: len(routed.events("batched")) >= 6, "five occupied channels and a cache miss")
    for hook in routed.requests("batched"):
        assert len({event["channel"].startswith("private-encrypted-") for event in hook.events}) == 1
        assert hook.header("X-Pusher-Signature") == hmac_hex(routed.app.secret, hook.body)


async def test_215_connection_events_come_only_where_listed_and_alone(routed: Site) -> None:
    async with routed.connect() as client:
        await client.subscribe("c")
    await eventually(lambda: len(routed.events("connections")) >= 3, "established, occupied, terminated")
    requests = routed.requests("connections")
    assert [[event["name"] for event in hook.events] for hook in requests] == [
        ["connection_established"],
        ["channel_occupied"],
        ["connection_terminated"],
    ]
    assert requests[0].events[0]["socket_id"] == client.socket_id
    await eventually(lambda: len(routed.events()) >= 2, "occupied and vacated")
    assert not [event for event in routed.events() if event["name"].startswith("connection_")]


async def test_219_custom_headers_are_sent(routed: Site) -> None:
    async with routed.connect() as client:
        await client.subscribe("c")
        await arrived(routed, "headers")
    hook = routed.requests("headers")[0]
    assert hook.header("X-Source") == "sockudo"
    assert hook.header("Authorization") == "Bearer token"
    assert hook.header("Content-Type") == "application/json"


@pytest.mark.parametrize("name", ["X-Pusher-Signature", "x-pusher-key", "Content-Type", "Content-Length", "Host"])
def test_219_headers_that_are_ours_can_not_be_configured(tmp_path: Path, name: str) -> None:
    webhook = endpoint("http://127.0.0.1:9/", headers={name: "mine"})
    config = server_config(app_config(TestApp(), webhooks=[webhook]))
    with pytest.raises(ServerDied, match=name):
        start(config, tmp_path)


async def test_224_the_oldest_of_two_keys_signs(make_site: MakeSite) -> None:
    site = make_site("two_keys")
    second = TestApp(site.app.id, f"second-key-{site.app.id}", f"second-secret-of-{site.app.id}")
    async with Site(site.server, second).connect() as client:
        await client.subscribe("c")
        await arrived(site, "all")
    hook = site.requests()[0]
    assert hook.header("X-Pusher-Key") == site.app.key != KEY
    assert hook.header("X-Pusher-Signature") == hmac_hex(site.app.secret, hook.body)


async def test_205_the_seed_payload_adds_times_and_the_members_socket_and_data(routed: Site) -> None:
    async with routed.connect() as client:
        await client.subscribe("presence-c", member("user-456", name="Bob"))
        await eventually(lambda: len(routed.events("seed")) >= 2, "occupied and added")
        events = {event["name"]: event for event in routed.events("seed")}
        assert type(events["channel_occupied"].pop("time_ms")) is int
        assert events["channel_occupied"] == {"name": "channel_occupied", "channel": "presence-c"}
        assert type(events["member_added"].pop("time_ms")) is int
        assert events["member_added"] == {
            "name": "member_added",
            "channel": "presence-c",
            "user_id": "user-456",
            "socket_id": client.socket_id,
            "data": '{"user_id":"user-456","user_info":{"name":"Bob"}}',
        }
