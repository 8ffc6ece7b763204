"""The management API on the main port: who gets in, and what errors look like."""

import hashlib
import http.client
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import eventually
from tests.support.server import Server, TestApp, app_config, running, server_config

KEY, READER, TENANT = "key-of-everything", "key-that-reads", "key-of-app-4"
HOOK = {"uid": "wh_orders", "name": "orders", "url": "https://x.example/t0ken", "event_types": ["channel_occupied"]}


def admin_key(key: str, **settings: Any) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(key.encode()).hexdigest(), **settings}


def configured(*keys: dict[str, Any], **settings: Any) -> dict[str, Any]:
    apps = [app_config(TestApp(), webhooks=[HOOK]), app_config(TestApp("4", "k4", "s4"))]
    return server_config(*apps, webhooks={"admin": {"api_keys": list(keys), **settings.pop("admin", {})}}, **settings)


KEYS = [admin_key(KEY), admin_key(READER, scopes=["read"], name="reader"), admin_key(TENANT, apps=["4"])]


def ask(
    server: Server, method: str, target: str, key: str | None = KEY, body: Any = None, **headers: str
) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    try:
        connection.request(method, server.path_prefix + target, body, sent)
        response = connection.getresponse()
        content = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, json.loads(content) if content[:1] == b"{" else None, found
    finally:
        connection.close()


@pytest.fixture(scope="module", params=["", "/realtime"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"path_prefix": request.param} if request.param else {}
    with running(configured(*KEYS, **settings), tmp_path_factory.mktemp("server")) as server:
        yield server


def test_every_way_to_write_a_route_leads_to_the_same_endpoint(server: Server) -> None:
    shown = ask(server, "GET", "/api/webhooks/wh_orders")[1]
    assert shown["id"] == "wh_orders"
    [listed] = ask(server, "GET", "/apps/3/webhooks")[1]["webhooks"]
    assert listed == shown == ask(server, "GET", "/apps/3/webhooks/wh_orders")[1]
    wrapped = ask(server, "GET", f"/v1/webhooks/{shown['number']}")[1]["webhook"]
    assert wrapped | shown == wrapped | {"id": "wh_orders"}
    assert wrapped["id"] == shown["number"]
    assert ask(server, "GET", "/apps/4/webhooks/wh_orders")[0] == 404


def test_a_key_is_taken_as_bearer_or_as_pulse_has_it(server: Server) -> None:
    assert ask(server, "GET", "/api/webhooks", None, X_Pulse_Key=KEY)[0] == 200
    assert ask(server, "GET", "/api/webhooks", None, authorization=f"bearer {KEY}")[0] == 200
    for headers in ({}, {"X_Pulse_Key": "x"}, {"authorization": f"Basic {KEY}"}, {"X_Pulse_Key": "\xff"}):
        status, document, answered = ask(server, "GET", "/api/webhooks", None, **headers)
        assert (status, document["error"]["code"]) == (401, "unauthorized")
        assert answered["www-authenticate"] == "Bearer"
        assert answered["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/api/webhooks/queue/stats", "/api/nothing", "/v1/x", "/apps/3/webhooks"])
def test_nobody_learns_anything_without_a_key(server: Server, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert ask(server, method, path, None)[0] == 401


def test_whose_link_has_ended_is_told_so(server: Server) -> None:
    link = ask(server, "POST", "/api/portal_links", body='{"app_id": "3"}')[1]["token"]
    assert ask(server, "GET", "/api/webhooks", key=link)[0] == 200
    status, ended, _ = ask(server, "GET", "/api/webhooks", key=link + "0")
    assert status == 401
    assert "this link is not valid (any more)" in ended["error"]["message"]


def test_scopes_and_apps(server: Server) -> None:
    assert ask(server, "GET", "/api/webhooks", READER)[0] == 200
    status, document, _ = ask(server, "DELETE", "/api/webhooks/queue/failed", READER)
    assert (status, document["error"]["code"]) == (403, "forbidden")
    assert ask(server, "GET", "/api/webhooks", TENANT)[1]["webhooks"] == []
    for path in ("/api/webhooks/wh_orders", "/apps/3/webhooks", "/api/webhooks?app_id=3"):
        assert ask(server, "GET", path, TENANT)[0] == 404


def test_errors_are_json_whatever_the_content_type(server: Server) -> None:
    path = "/api/webhooks/queue/retry-failed"
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert ask(server, "POST", path, body=b'{"dry_run": true}', **form)[:2] == (200, {"matched": 0, "more": False})
    for body, status, code in (
        (b"{", 400, "malformed"),
        (b"[]", 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (b'{"ids": ["\\ud800"]}', 400, "malformed"),
        (b'{"limit": NaN}', 400, "malformed"),
        (b'{"limit": "10"}', 422, "invalid_field"),
        (b'{"limti": 10}', 422, "unknown_field"),
        (b" " * 300_000, 413, "too_large"),
    ):
        found, document, headers = ask(server, "POST", path, body=body, **form)
        assert (found, document["error"]["code"]) == (status, code), body[:20]
        assert headers["content-type"] == "application/json"
    assert ask(server, "POST", path, body=b'{"limti": 10}')[1]["error"]["fields"] == [
        {"field": "limti", "message": "is not known here"}
    ]


def test_other_methods_are_named(server: Server) -> None:
    status, document, headers = ask(server, "PUT", "/api/webhooks/queue/failed")
    assert (status, document["error"]["code"]) == (405, "method_not_allowed")
    assert headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert ask(server, "HEAD", "/api/webhooks")[0] == 200
    assert ask(server, "OPTIONS", "/api/webhooks", None)[0] == 204


def test_scripts_of_other_sites_are_told_nothing(server: Server) -> None:
    for method, headers in (
        ("GET", {"Origin": "https://evil.example"}),
        ("OPTIONS", {"Origin": "https://evil.example", "Access_Control_Request_Method": "PUT"}),
    ):
        answered = ask(server, method, "/api/webhooks", **headers)[2]
        assert not [name for name in answered if name.startswith("access-control")]
        assert answered["cache-control"] == "no-store"


def test_the_http_api_answers_everything_else(server: Server) -> None:
    for path in ("/apps/3/channels", "/apps/3/webhooksx"):
        assert ask(server, "GET", path, None, Origin="https://a.example")[2]["access-control-allow-origin"] == "*"


def test_without_a_key_it_is_closed_and_the_server_says_how_to_open_it(tmp_path: Path) -> None:
    with running(configured(), tmp_path) as server:
        status, document, _ = ask(server, "GET", "/api/webhooks")
        assert status == 401
        assert "sockudo-py admin-key" in document["error"]["message"]
        assert "closed: no admin key; `sockudo-py admin-key` makes one" in server.log()


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with running(configured(*KEYS, admin={"enabled": False}), tmp_path) as server:
        status, _, headers = ask(server, "GET", "/api/webhooks")
        assert (status, headers["content-type"]) == (404, "text/plain; charset=utf-8")


def test_a_key_that_asks_too_much_has_to_wait_and_others_have_not(tmp_path: Path) -> None:
    with running(configured(*KEYS, admin={"rate_limit": {"per_minute": 3}}), tmp_path) as server:
        assert [ask(server, "GET", "/api/webhooks")[0] for _ in range(3)] == [200] * 3
        status, document, headers = ask(server, "GET", "/api/webhooks")
        assert (status, document["error"]["code"]) == (429, "rate_limited")
        assert 1 <= int(headers["retry-after"]) <= 60
        assert ask(server, "GET", "/api/webhooks", READER)[0] == 200


async def test_keys_are_taken_up_by_a_reload(tmp_path: Path) -> None:
    with running(configured(admin_key(KEY)), tmp_path) as server:
        path = server.log_path.parent / "config.json"
        config = json.loads(path.read_text())
        config["webhooks"]["admin"]["api_keys"] = [admin_key("another")]
        path.write_text(json.dumps(config))
        server.process.send_signal(signal.SIGHUP)
        await eventually(lambda: ask(server, "GET", "/api/webhooks", "another")[0] == 200, "the new key")
        assert ask(server, "GET", "/api/webhooks")[0] == 401
