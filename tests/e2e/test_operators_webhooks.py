"""Webhooks for operators, from a real server."""

import hashlib
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.support.api import Api
from tests.support.hook_receiver import HookReceiver
from tests.support.ports import free_ports
from tests.support.server import ServerDied, TestApp, app_config, running, server_config, start

APP = TestApp()
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
KEY = {"Authorization": "Bearer the-key"}


def test_operators_hear_of_what_happens_to_webhooks(tmp_path: Path) -> None:
    [closed] = free_ports(1)
    dead = {
        "uid": "wh_dead",
        "name": "orders",
        "url": f"http://127.0.0.1:{closed}/hook",
        "event_types": ["*"],
        "retry": {"schedule_ms": [10] * 11},
    }
    with HookReceiver() as receiver:
        webhooks = {
            "batching": {"enabled": False},
            "admin": {"api_keys": [{"sha256": hashlib.sha256(b"the-key").hexdigest()}]},
            "dlq": {"warn_len": 1},
            "circuit_breaker": {"enabled": True, "consecutive_failures": 11, "open_ms": 50},
            "operators": [{"url": f"{receiver.url}/ops", "secret": SECRET, "name": "pager"}],
        }
        config = server_config(app_config(APP, webhooks=[dead]), webhooks=webhooks)
        with running(config, tmp_path) as server, Api(server, APP) as api:
            triggered = api.signed("POST", api.path("/webhook_events"), b'{"event_type":"order.paid"}')
            assert triggered.json["matched"] == 1
            came = receiver.wait_for("/ops", 3)
            assert api.raw("POST", "/api/webhooks/wh_dead/disable", b"", KEY).status == 200
            came = receiver.wait_for("/ops", 4)
            listed = api.raw("GET", "/api/webhooks?limit=200", b"", KEY).json["webhooks"]
            assert {(one["uid"], one["app_id"]) for one in listed} >= {("wh_dead", APP.id)}
            names = [one["name"] for one in api.raw("GET", "/api/webhooks/events", b"", KEY).json["events"]]
            assert "webhook.endpoint_failing" in names
            tenant = api.signed("POST", "/apps/%23operators/webhook_events", b'{"event_type":"order.paid"}')
            assert tenant.status in (401, 404)
    found = {}
    for one in came:
        body = Webhook(SECRET).verify(one.body, dict(one.headers))
        found[body["type"]] = body["data"]
    about = {"webhook_id": "wh_dead", "webhook_name": "orders", "app_id": APP.id}
    assert found == {
        "webhook.endpoint_failing": {**about, "failures": 10, "error_class": "connect"},
        "webhook.circuit_opened": {**about, "failures": 11, "seconds": 0},
        "webhook.dead_letters_high": {"dead_letters": 1, "threshold": 1},
        "webhook.endpoint_disabled": {**about, "reason": "switched_off"},
    }
    assert SECRET not in server.log()


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ({}, "profile standard: secret is missing"),
        ({"profile": "pusher"}, "pusher signs with an app's secret"),
        ({"secret": SECRET, "event_types": ["channel_occupied"]}, "channel_occupied is none that operators get"),
        ({"secret": SECRET, "filter": {"channel_prefix": "a"}}, "these events have no channel"),
        ({"secret": "whsec_x"}, "secret"),
    ],
)
def test_an_endpoint_that_operators_cannot_have_stops_the_start(
    tmp_path: Path, endpoint: dict[str, object], said: str
) -> None:
    config = server_config(app_config(APP), webhooks={"operators": [{"url": "https://example.com/ops", **endpoint}]})
    with pytest.raises(ServerDied, match=rf"webhooks\.operators\[0\]: .*{said}"):
        start(config, tmp_path)
