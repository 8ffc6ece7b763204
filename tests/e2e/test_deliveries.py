"""Deliveries over the management API of a real server: what was, and once more; also after a kill -9."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_management import KEY, admin_key, ask
from tests.support.hook_receiver import HookReceiver
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix
from tests.support.server import Server, TestApp, app_config, running, server_config

TENANT, OTHER = "key-of-app-3", "key-of-app-4"
TOKEN, SECRET = "t0ken-of-the-receiver", "s3cret-of-the-endpoint-0123456789"
DEADLINE = 40.0


def until(found: Callable[[], Any], what: str) -> Any:
    """Return the first thing that is found."""
    end = time.monotonic() + DEADLINE
    while not (thing := found()):
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        time.sleep(0.1)  # polls, within what a key may ask
    return thing


def config(receiver: HookReceiver, queue: dict[str, Any], **delivery: Any) -> dict[str, Any]:
    hooks = [
        {
            "uid": uid,
            "url": f"{receiver.url}/{uid}",
            "profile": "irisx",
            "secret": SECRET,
            "event_types": ["call.completed"],
            "headers": {"Authorization": f"Bearer {TOKEN}"},
            "retry": {"schedule_ms": [100]},
        }
        for uid in ("wh_a", "wh_b")
    ]
    keys = [admin_key(KEY), admin_key(TENANT, apps=["3"]), admin_key(OTHER, apps=["4"])]
    return server_config(
        app_config(TestApp(), webhooks=hooks),
        app_config(TestApp("4", "k4", "s4")),
        queue={**queue, "reliability": {"lease_duration_ms": 2000, "lease_renew_interval_ms": 500}},
        webhooks={"admin": {"api_keys": keys}, "delivery": delivery},
    )


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


@pytest.fixture(params=["memory", "sqlite", "redis"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "sqlite":
        return {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        prefix = request.getfixturevalue("unique_prefix")
        return {"driver": "redis", "redis": {"url_override": server.url, "prefix": prefix}}
    return {"driver": "memory"}


def trigger(server: Server, number: int) -> None:
    status, document, _ = ask(
        server,
        "POST",
        "/apps/3/webhook_events",
        KEY,
        f'{{"event_type": "call.completed", "event_id": "e{number}", "data": {{"number": {number}}}}}',
    )
    assert status == 202, document


def deliveries(server: Server, uid: str = "wh_a", query: str = "") -> list[dict[str, Any]]:
    status, document, _ = ask(server, "GET", f"/api/webhooks/{uid}/deliveries{query}")
    assert status == 200, document
    return list(document["deliveries"])


def shown_delivery(server: Server, delivery: str) -> dict[str, Any]:
    status, document, _ = ask(server, "GET", f"/api/webhooks/deliveries/{delivery}")
    assert status == 200, document
    return dict(document)


def test_d4_i6_p11_what_was_delivered_is_seen_and_sent_again(
    receiver: HookReceiver, queue: dict[str, Any], tmp_path: Path
) -> None:
    receiver.answer("/wh_a", 500, 401)
    with running(config(receiver, queue), tmp_path / "server") as server:
        trigger(server, 1)
        receiver.wait_for("/wh_a", 2)
        rows = until(lambda: len(found := deliveries(server)) == 2 and found, "two attempts")
        assert [(row["status"], row["http_status"], row["attempt"]) for row in rows] == [
            ("failed", 401, 2),
            ("retrying", 500, 1),
        ]
        assert rows[0]["event_types"] == ["call.completed"]
        assert rows[0]["event_ids"] == ["e1"]
        assert rows[0]["request_headers"]["X-IRISX-Signature"].startswith("sha256=")
        assert rows[1]["timing"]["connect_ms"] is not None
        assert rows[1]["next_attempt_at"] is not None

        logs = ask(server, "GET", "/api/v1/webhooks/logs", None, X_Pulse_Key=TENANT)[1]["logs"]
        assert [log["message"] for log in logs if log["webhook_id"] == "wh_a"] == [
            "Invalid signature",
            "the endpoint answered 500",
        ]
        assert ask(server, "GET", "/api/v1/webhooks/logs", OTHER)[1]["logs"] == []

        stats = ask(server, "GET", "/api/webhooks/wh_a/stats")[1]
        assert (stats["total"], stats["failed"], stats["pending"]) == (1, 1, 0)
        shown = ask(server, "GET", "/v1/webhooks/wh_a")[1]
        assert shown["statistics"]["failed_deliveries"] == "1"
        assert shown["webhook"]["total_deliveries"] == 1

        delivery = rows[0]["id"]
        assert [one["id"] for one in ask(server, "GET", "/api/webhooks/queue/failed")[1]["failed"]] == [delivery]
        assert ask(server, "POST", f"/api/webhooks/wh_a/deliveries/{delivery}/retry", OTHER)[0] == 404
        status, made, _ = ask(server, "POST", f"/api/webhooks/wh_a/deliveries/{delivery}/retry", TENANT)
        assert (status, made["retry_of"]) == (202, delivery)
        assert receiver.wait_for("/wh_a", 3)[2].json["event_id"] == "e1"
        assert ask(server, "GET", "/api/webhooks/queue/failed")[1]["failed"] == []
        again = until(
            lambda: (
                (found := ask(server, "GET", f"/api/webhooks/deliveries/{made['delivery_id']}")[1])["attempts"]
                and found
            ),
            "the retry's attempt",
        )
        assert (again["status"], again["retry_of"]) == ("delivered", delivery)
        assert again["payload"][0]["data"] == {"number": 1}
        stats = ask(server, "GET", "/api/webhooks/wh_a/stats")[1]
        assert (stats["total"], stats["successful"], stats["failed"]) == (2, 1, 1)


def test_a_replay_sends_what_a_receiver_has_lost(receiver: HookReceiver, queue: dict[str, Any], tmp_path: Path) -> None:
    with running(config(receiver, queue), tmp_path / "server") as server:
        for number in range(5):
            trigger(server, number)
        receiver.wait_for("/wh_a", 5)
        receiver.wait_for("/wh_b", 5)
        until(lambda: len(deliveries(server)) == 5, "five attempts")
        body = '{"since": "2020-01-01T00:00:00Z", "status": ["delivered"], "dry_run": true}'
        assert ask(server, "POST", "/api/webhooks/wh_a/replay", KEY, body)[:2] == (200, {"matched": 5})
        status, document, _ = ask(server, "POST", "/api/webhooks/wh_a/replay", KEY, body.replace("true", "false"))
        assert (status, document["retried"]) == (202, 5)
        receiver.wait_for("/wh_a", 10)
        sent = [hook.json["event_id"] for hook in receiver.hooks("/wh_a")]
        assert sorted(sent[5:]) == sorted(sent[:5])
        assert len(receiver.hooks("/wh_b")) == 5


def test_nothing_of_a_retry_that_was_answered_is_lost_by_a_kill(
    receiver: HookReceiver, queue: dict[str, Any], tmp_path: Path
) -> None:
    if queue["driver"] == "memory":
        pytest.skip("it ends with the process")
    settings = config(receiver, queue)
    receiver.answer("/wh_a", 500, 500, 30.0)
    with running(settings, tmp_path / "server") as server:
        trigger(server, 1)
        receiver.wait_for("/wh_a", 2)
        [row, _] = until(lambda: len(found := deliveries(server)) == 2 and found, "two attempts")
        made = ask(server, "POST", f"/api/webhooks/wh_a/deliveries/{row['id']}/retry")[1]["delivery_id"]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.expected_exit = -signal.SIGKILL
    receiver.answer("/wh_a")
    with running(settings, tmp_path / "server") as server:
        shown = until(
            lambda: (found := shown_delivery(server, made))["attempts"] and found,
            "the retry's attempt",
        )
        assert (shown["status"], shown["retry_of"]) == ("delivered", row["id"])
        assert row["id"] in [one["id"] for one in deliveries(server)]
        stats = ask(server, "GET", "/api/webhooks/wh_a/stats")[1]
        assert (stats["successful"], stats["failed"]) == (1, 1)


def test_a_test_delivery_is_marked_and_counts_nowhere(receiver: HookReceiver, tmp_path: Path) -> None:
    with running(config(receiver, {"driver": "memory"}), tmp_path / "server") as server:
        made = ask(server, "POST", "/api/webhooks/wh_a/test", KEY, '{"event_type": "call.completed"}')[1]
        assert made["success"] is True
        [row] = deliveries(server)
        assert (row["id"], row["test"], row["status"]) == (made["delivery_id"], True, "delivered")
        assert ask(server, "GET", "/api/webhooks/wh_a/stats")[1]["total"] == 0
        assert ask(server, "POST", f"/api/webhooks/wh_a/deliveries/{row['id']}/retry")[0] == 409


def test_no_secret_is_in_the_files_of_the_history(receiver: HookReceiver, tmp_path: Path) -> None:
    queue = {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}
    with running(config(receiver, queue), tmp_path / "server") as server:
        trigger(server, 1)
        receiver.wait_for("/wh_a", 1)
        until(lambda: deliveries(server), "an attempt")
    held = b"".join(path.read_bytes() for path in tmp_path.glob("queue.sqlite3*") if path.is_file())
    assert b"call.completed" in held
    for secret in (TOKEN, SECRET, TestApp().secret, KEY, TENANT):
        assert secret.encode() not in held
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("queue.sqlite3.history*"))


def test_without_a_history_nothing_is_kept(receiver: HookReceiver, tmp_path: Path) -> None:
    queue = {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}
    with running(config(receiver, queue, history=0), tmp_path / "server") as server:
        trigger(server, 1)
        receiver.wait_for("/wh_a", 1)
        status, document, _ = ask(server, "GET", "/api/webhooks/wh_a/deliveries")
        assert (status, document["error"]["code"]) == (404, "history_off")
    assert not list(tmp_path.glob("*.history*"))
