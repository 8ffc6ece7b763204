"""Endpoints made, changed and deleted through the API of a running server, and what that does to deliveries."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.management import KEY, ask, made, managed
from tests.support.server import Server, TestApp, app_config, running, server_config

FILED = {"uid": "wh_file", "name": "filed", "event_types": ["channel_occupied"]}


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


def configured(receiver: HookReceiver, **settings: Any) -> dict[str, Any]:
    hook = {**FILED, "url": f"{receiver.url}/filed"}
    apps = [app_config(TestApp(), webhooks=[hook]), app_config(TestApp("4", "k4", "s4"))]
    return server_config(*apps, **{"webhooks": managed(), **settings})


@pytest.fixture
def server(tmp_path: Path, receiver: HookReceiver) -> Iterator[Server]:
    with running(configured(receiver), tmp_path) as server:
        yield server


async def occupy(server: Server, channel: str) -> None:
    async with connected(server, TestApp()) as client:
        await client.subscribe(channel)
        await client.unsubscribe(channel)


async def test_an_endpoint_lives_changes_and_dies_under_live_traffic(server: Server, receiver: HookReceiver) -> None:
    hook = made(server, f"{receiver.url}/one", name="one")
    assert (hook["secret"], hook["signed_with"], hook["enabled"], hook["source"]) == (None, "app", True, "api")
    await occupy(server, "c1")
    await eventually(lambda: len(receiver.hooks("/one")) == 1, "a delivery")
    path = f"/api/webhooks/{hook['uid']}"
    changed = ask(server, "PATCH", path, {"url": f"{receiver.url}/two", "description": "moved"})
    assert (changed.status, changed.json["description"], changed.json["name"]) == (200, "moved", "one")
    await occupy(server, "c2")
    await eventually(lambda: len(receiver.hooks("/two")) == 1, "a delivery to the new URL")
    assert ask(server, "POST", f"{path}/disable").json["enabled"] is False
    await occupy(server, "c3")
    await eventually(lambda: len(receiver.hooks("/filed")) == 3, "the delivery of the other one")
    assert ask(server, "POST", f"{path}/enable").json["enabled"] is True
    await occupy(server, "c4")
    await eventually(lambda: len(receiver.hooks("/two")) == 2, "a delivery after it was enabled")
    gone = ask(server, "DELETE", path)
    assert (gone.status, gone.json, gone.headers.get("content-length", "0")) == (204, None, "0")
    assert ask(server, "GET", path).status == 404
    assert ask(server, "DELETE", path).status == 404
    await occupy(server, "c5")
    await eventually(lambda: len(receiver.hooks("/filed")) == 5, "the delivery of the other one")
    assert (len(receiver.hooks("/one")), len(receiver.hooks("/two"))) == (1, 2)


def test_put_replaces_and_patch_merges(server: Server, receiver: HookReceiver) -> None:
    filters = {"channel_prefix": "a-", "channel_suffix": "-z"}
    headers = {"X-One": "1", "X-Two": "2"}
    hook = made(server, receiver.url, description="x", filter=filters, headers=headers, request_timeout_ms=1234)
    path = f"/api/webhooks/{hook['uid']}"
    assert hook["headers"] == {"X-One": "***", "X-Two": "***"}
    merged = ask(server, "PATCH", path, {"filter": {"channel_suffix": None}, "headers": {"X-Two": None, "X-3": "3"}})
    assert merged.json["filter"] == {"channel_prefix": "a-"}
    assert merged.json["headers"] == {"X-One": "***", "X-3": "***"}
    assert merged.json["request_timeout_ms"] == 1234
    assert ask(server, "PATCH", path, {"request_timeout_ms": None}).json["request_timeout_ms"] == 10000
    fields = {"url": receiver.url, "event_types": ["*"], "headers": {"X-One": "***"}}
    replaced = ask(server, "PUT", path, fields)
    assert (replaced.status, replaced.json["description"], replaced.json["filter"]) == (200, "", {})
    assert replaced.json["headers"] == {"X-One": "***"}
    assert replaced.json["profile"] == "pusher"
    assert ask(server, "PUT", path, {**fields, "headers": {"X-New": "***"}}).status == 422
    assert replaced.json["created_at"] == hook["created_at"]


def test_each_alias_has_its_shape_and_its_profile(server: Server) -> None:
    url = "https://127.0.0.1:9/hook"
    fields = {"url": url, "events": ["project.created"], "name": "n", "app_id": "3"}
    api = ask(server, "POST", "/api/webhooks", fields)
    assert api.status == 201
    assert api.json["id"] == api.json["uid"]
    assert (api.json["profile"], api.json["events"], api.json["url"]) == ("remotedevai", ["project.created"], url)
    assert api.json["secret"].startswith("whsec_")
    v1 = ask(server, "POST", "/v1/webhooks", fields).json["webhook"]
    assert (v1["profile"], v1["id"], v1["rate_limit"]["per_minute"]) == ("irisx", v1["number"], 60)
    assert isinstance(v1["id"], int)
    own = ask(server, "POST", "/apps/3/webhooks", {**fields, "profile": "realcast"}).json
    assert own["profile"] == "realcast"
    assert [one["uid"] for one in ask(server, "GET", "/v1/webhooks?limit=3").json["webhooks"]] == [
        own["uid"],
        v1["uid"],
        api.json["uid"],
    ]
    for path in (f"/api/webhooks/{v1['number']}", f"/v1/webhooks/{v1['uid']}", f"/apps/3/webhooks/{v1['uid']}"):
        said = ask(server, "GET", path)
        shown = said.json.get("webhook", said.json)
        assert shown["uid"] == v1["uid"]
        assert "secret" not in shown
    assert len({api.json["number"], v1["number"], own["number"]}) == 3


def test_lists_are_stable_while_new_ones_come(server: Server, receiver: HookReceiver) -> None:
    uids = [made(server, receiver.url)["uid"] for _ in range(5)]
    first = ask(server, "GET", "/api/webhooks?app_id=3&limit=2").json
    made(server, receiver.url)
    second = ask(server, "GET", f"/api/webhooks?app_id=3&limit=10&cursor={first['next_cursor']}").json
    seen = [one["uid"] for one in first["webhooks"] + second["webhooks"]]
    assert seen == [*reversed(uids), "wh_file"]
    assert second["next_cursor"] is None
    ask(server, "POST", f"/api/webhooks/{uids[0]}/disable")
    off = ask(server, "GET", "/api/webhooks?enabled=false").json["webhooks"]
    assert [one["uid"] for one in off] == [uids[0]]


def test_endpoints_of_files_are_changed_there_and_switched_here(server: Server) -> None:
    path = "/api/webhooks/wh_file"
    for method, rest, body in (
        ("PUT", "", {"url": "https://127.0.0.1/"}),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/rotate-secret", None),
    ):
        said = ask(server, method, path + rest, body)
        assert (said.status, said.code) == (409, "defined_in_file")
    assert ask(server, "POST", f"{path}/disable").json["enabled"] is False
    assert ask(server, "GET", path).json["enabled"] is False
    assert ask(server, "POST", f"{path}/enable").json["enabled"] is True


async def test_what_waits_is_kept_or_becomes_dead_letters(server: Server, receiver: HookReceiver) -> None:
    hook = made(server, f"{receiver.url}/slow", batching={"enabled": False}, retry={"schedule_ms": [3_600_000]})
    receiver.answer("/slow", *[500] * 3)
    for channel in ("c1", "c2", "c3"):
        await occupy(server, channel)
    await eventually(lambda: len(receiver.hooks("/slow")) == 3, "three attempts")
    path = f"/api/webhooks/{hook['uid']}"
    assert "dropped" not in ask(server, "POST", f"{path}/disable").json
    assert ask(server, "GET", "/api/webhooks/queue/failed").json["failed"] == []
    assert ask(server, "POST", f"{path}/disable?drop=to_dlq").json["dropped"] == 3
    failed = ask(server, "GET", "/api/webhooks/queue/failed").json["failed"]
    assert {one["error"]["class"] for one in failed} == {"endpoint_disabled"}
    ask(server, "POST", f"{path}/enable")
    receiver.answer("/slow", 500)
    await occupy(server, "c4")
    await eventually(lambda: len(receiver.hooks("/slow")) == 4, "an attempt")
    assert ask(server, "DELETE", path).status == 204

    def classes() -> list[str]:
        listed = ask(server, "GET", "/api/webhooks/queue/failed").json["failed"]
        return [one["error"]["class"] for one in listed]

    await eventually(lambda: "endpoint_deleted" in classes(), "a dead letter of the deleted endpoint")


def test_pulse_sets_the_endpoint_of_a_project(server: Server, receiver: HookReceiver) -> None:
    path = "/api/v1/projects/3"
    first = ask(server, "PUT", path, {"webhook_url": "https://127.0.0.1:9/a"})
    assert first.status == 201
    assert first.json["secret"].startswith("whsec_")
    assert (first.json["project_id"], first.json["events"]) == ("3", ["*"])
    again = ask(server, "PUT", path, {"webhook_url": "https://127.0.0.1:9/b", "events": ["room.started"]})
    assert (again.status, again.json["webhook_url"]) == (200, "https://127.0.0.1:9/b")
    assert "secret" not in json.dumps(again.json["webhook"]["headers"])
    assert "secret" not in again.json
    assert again.json["events"] == ["room.started"]
    assert again.json["webhook"]["uid"] == first.json["webhook"]["uid"]
    assert ask(server, "PUT", path, {"webhook_url": receiver.url}).code == "https_required"
    assert ask(server, "PUT", "/api/v1/projects/nobody", {"webhook_url": "https://127.0.0.1:9/a"}).status == 404


@pytest.mark.parametrize("driver", ["sqlite", "memory"])
def test_a_restart_finds_endpoints_and_switches(tmp_path: Path, receiver: HookReceiver, driver: str) -> None:
    queue = {"driver": driver, "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}
    with running(configured(receiver, queue=queue), tmp_path / "a") as server:
        hook = made(server, receiver.url, name="kept")
        ask(server, "POST", "/api/webhooks/wh_file/disable")
    with running(configured(receiver, queue=queue), tmp_path / "b") as server:
        said = ask(server, "GET", f"/api/webhooks/{hook['uid']}")
        filed = ask(server, "GET", "/api/webhooks/wh_file").json
        if driver == "memory":
            assert (said.status, filed["enabled"]) == (404, True)
            return
        assert said.json == {name: value for name, value in hook.items() if name != "secret"}
        assert filed["enabled"] is False
        assert made(server, receiver.url)["number"] > hook["number"]


async def test_a_test_delivery_says_what_came_of_it(server: Server, receiver: HookReceiver) -> None:
    hook = made(server, f"{receiver.url}/t")
    path = f"/v1/webhooks/{hook['number']}/test"
    said = await asyncio.to_thread(ask, server, "POST", path, {"event_type": "stream.live"})
    assert (said.status, said.json["success"], said.json["status_code"], said.json["error"]) == (200, True, 200, None)
    [sent] = receiver.hooks("/t")
    assert sent.json["events"][0]["name"] == "stream.live"
    receiver.answer("/t", 503)
    said = await asyncio.to_thread(ask, server, "POST", path)
    assert (said.json["success"], said.json["status_code"], said.json["error"]["class"]) == (False, 503, "http_5xx")
    statuses = [ask(server, "POST", path).status for _ in range(9)]
    assert statuses == [200] * 8 + [429]


def test_the_audit_says_who_did_what(server: Server, receiver: HookReceiver) -> None:
    hook = made(server, receiver.url, headers={"X-Token": "t0ken"})
    path = f"/api/webhooks/{hook['uid']}"
    ask(server, "PATCH", path, {"headers": {"X-Token": "t1ken"}, "name": "x"})
    ask(server, "POST", f"{path}/disable")
    ask(server, "DELETE", path)
    lines = ask(server, "GET", "/api/webhooks/audit").json["audit"]
    assert [(one["action"], one["fields"], one["by"]) for one in lines] == [
        ("delete", [], "key 1"),
        ("disable", ["enabled"], "key 1"),
        ("update", ["headers", "name"], "key 1"),
        ("create", ["event_types", "headers", "url"], "key 1"),
    ]
    assert {one["webhook_id"] for one in lines} == {hook["uid"]}
    assert "ken" not in json.dumps(lines).replace("token", "")
    page = ask(server, "GET", "/api/webhooks/audit?limit=3").json
    rest = ask(server, "GET", f"/api/webhooks/audit?cursor={page['next_cursor']}").json
    assert page["audit"] + rest["audit"] == lines
    assert KEY not in server.log()
