"""Addresses that are forbidden: what the API sends by itself, on a running server, after an endpoint was accepted."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hook_receiver import HookReceiver
from tests.support.management import Said, ask, made, managed
from tests.support.server import Config, Server, TestApp, app_config, running, server_config

TYPE = "order.made"


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


def configured(folder: Path, **settings: Any) -> Config:
    queue = {"driver": "sqlite", "sqlite": {"path": str(folder / "queue.sqlite3")}}
    return server_config(app_config(TestApp()), queue=queue, webhooks=managed(**settings))


def attempts(server: Server, uid: str, count: int) -> list[dict[str, Any]]:
    """Return the attempts of an endpoint, newest first, once there are so many."""
    end = time.monotonic() + 30
    while True:
        found: list[dict[str, Any]] = ask(server, "GET", f"/api/webhooks/{uid}/deliveries").json["deliveries"]
        if len(found) >= count:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)  # polls, with a deadline


def tried(server: Server, uid: str) -> Said:
    return ask(server, "POST", f"/api/webhooks/{uid}/test", {"event_type": TYPE})


def test_an_address_that_is_forbidden_by_now_is_sent_nothing_by_test_retry_or_replay(
    tmp_path: Path, receiver: HookReceiver
) -> None:
    with running(configured(tmp_path), tmp_path / "open") as server:
        uid = made(server, f"{receiver.url}/hook", event_types=[TYPE], retry={"enabled": False})["uid"]
        event = {"event_type": TYPE, "event_id": "order-1", "data": {}}
        assert ask(server, "POST", "/apps/3/webhook_events", event).status == 202
        (first,) = attempts(server, uid, 1)
        assert first["status"] == "delivered"
    with running(configured(tmp_path, security={}), tmp_path / "closed") as server:
        answer = tried(server, uid)
        assert (answer.status, answer.code) == (422, "blocked_address")
        assert answer.json["error"]["message"] == "url: address not allowed"
        assert ask(server, "POST", f"/api/webhooks/{uid}/deliveries/{first['id']}/retry").status == 202
        assert ask(server, "POST", f"/api/webhooks/{uid}/replay", {"status": "delivered"}).json["retried"] == 1
        for blocked in attempts(server, uid, 3)[:2]:
            assert blocked["error"] == {"class": "blocked_address", "message": "address not allowed"}
            assert blocked["http_status"] is None
        assert ask(server, "POST", "/api/webhooks/queue/retry-failed").json == {"retried": 2}
        attempts(server, uid, 5)
    assert len(receiver.hooks("/hook")) == 1


@pytest.mark.parametrize("status", [301, 302, 307])
def test_no_redirect_is_followed_with_a_signature(tmp_path: Path, receiver: HookReceiver, status: int) -> None:
    with running(configured(tmp_path), tmp_path) as server:
        uid = made(server, f"{receiver.url}/hook", event_types=[TYPE], retry={"enabled": False})["uid"]
        receiver.answer("/hook", status, status)
        answer = tried(server, uid)
        assert (answer.status, answer.json["success"], answer.json["status_code"]) == (200, False, status)
        assert answer.json["error"]["class"] == "redirect"
        assert ask(server, "POST", "/apps/3/webhook_events", {"event_type": TYPE, "data": {}}).status == 202
        assert {one["error"]["class"] for one in attempts(server, uid, 2)} == {"redirect"}
    assert receiver.hooks("/redirected") == []


def test_no_redirect_of_a_token_url_is_followed_with_its_secret(tmp_path: Path, receiver: HookReceiver) -> None:
    auth = {
        "type": "oauth2",
        "client_id": "c",
        "client_secret": "a-client-secret",
        "token_url": f"{receiver.url}/token",
    }
    with running(configured(tmp_path), tmp_path) as server:
        uid = made(server, f"{receiver.url}/hook", event_types=[TYPE], auth=auth)["uid"]
        receiver.answer("/token", 307)
        answer = tried(server, uid)
        assert (answer.json["success"], answer.json["error"]["class"]) == (False, "auth")
        assert "a-client-secret" not in str(answer.json)
    assert [len(receiver.hooks(path)) for path in ("/token", "/redirected", "/hook")] == [1, 0, 0]
