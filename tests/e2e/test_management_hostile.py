"""What strangers and other tenants send to the management API: nothing breaks, nothing of others is seen or changed."""

import asyncio
import base64
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.config import load
from sockudo_py.wiring.server import Server as InProcess
from tests.support.client import eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.management import KEY, admin_key, ask, made, managed
from tests.support.server import Server, TestApp, app_config, running, server_config

STRANGER, READER = "key-of-app-4", "key-that-reads"


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    section = managed(admin_key(), admin_key(STRANGER, apps=["4"]), admin_key(READER, scopes=["read"]))
    section["admin"]["rate_limit"] = {"per_minute": 0}
    apps = [app_config(TestApp()), app_config(TestApp("4", "k4", "s4"))]
    with running(server_config(*apps, webhooks=section), tmp_path_factory.mktemp("server")) as server:
        yield server


def raw(server: Server, head: bytes, body: bytes = b"") -> tuple[int, bytes]:
    """Send bytes, and return the status and the body of the answer."""
    with socket.create_connection((server.host, server.port), 30) as sock:
        sock.sendall(
            head
            + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
            + KEY.encode()
            + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    start, _, content = answer.partition(b"\r\n\r\n")
    return int(start.split()[1]), content


TARGETS = [
    b"/api/webhooks/\xff",
    b"/api/webhooks/%ff",
    b"/api/webhooks/%ff%fe",
    b"/api/webhooks/%00",
    b"/api/webhooks/%0d%0aX-A:%20b",
    b"/api/webhooks/..%2f..%2fusage",
    b"/api/webhooks/%2e%2e",
    b"/api/webhooks//",
    b"/api/webhooks/" + b"x" * 5000,
    b"/api/webhooks/\xed\xa0\x80",
    b"/api/webhooks?cursor=%ff",
    b"/api/webhooks?cursor=\xff",
    b"/api/webhooks?\xff=\xff",
    b"/api/webhooks?limit=" + b"9" * 5000,
    b"/api/webhooks?limit=%D9%A1",
    b"/api/webhooks?" + b"&".join(b"a%d=1" % n for n in range(900)),
    b"/api/webhooks/queue/failed?since=99999999999999999999",
    b"/api/webhooks/queue/failed?ids=" + b"%2C".join([b"x"] * 1500),
    b"/apps/%ff/webhooks",
    b"/apps/\xff/webhooks/\xff",
    b"/apps//webhooks",
    b"/v1/webhooks/99999999999999999999999999",
    b"/v1/webhooks/\xc2\xb2",
    b"/api/v1/projects/%ff",
    b"http://elsewhere.example/api/webhooks/nobody",
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: repr(target[:40]))
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_odd_targets_are_refused_in_json_or_not_at_all(server: Server, method: str, target: bytes) -> None:
    status, content = raw(server, method.encode() + b" " + target)
    assert 200 <= status < 500, content[:300]
    if status != 204 and content[:1] == b"{":
        json.loads(content)


BODIES = [
    b"null",
    b"[]",
    b'"x"',
    b"1",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b'{"url": "\xff"}',
    b'{"url": "\\ud800"}',
    b'{"name": "\\u0000", "url": "https://127.0.0.1:9/"}',
    b'{"url": 1e400}',
    b'{"url": ' + b"9" * 100_000 + b"}",
    b'{"filter": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    b'{"filter": ' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}",  # orjson reads it, json does not write it
    b'{"name": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    b'{"url": "https://127.0.0.1:9/", "headers": {"": "x"}}',
    b'{"url": "https://127.0.0.1:9/", "headers": {"x": null}}',
    b'{"url": "https://127.0.0.1:9/", "headers": []}',
    b'{"url": "https://127.0.0.1:9/", "headers": {"\\u0000": "x"}}',
    b'{"url": "https://127.0.0.1:9/", "event_types": [null]}',
    b'{"url": "https://127.0.0.1:9/", "event_types": {"0": "x"}}',
    b'{"url": "https://127.0.0.1:9/", "retry": {"schedule_ms": [-1]}}',
    b'{"url": "https://127.0.0.1:9/", "retry": {"max_retries": 1, "max_attempts": 1}}',
    b'{"url": "https://127.0.0.1:9/", "profile": "custom"}',
    b'{"url": "https://127.0.0.1:9/", "profile": "custom", "signature_header": "Host"}',
    b'{"url": "https://127.0.0.1:9/", "also_sign": ["pusher", "sockudo"]}',
    b'{"url": "https://127.0.0.1:9/", "filter": {"channel_pattern": "(a+)+$"}}',
    b'{"url": "https://[::1/"}',
    b'{"url": "https://"}',
    b'{"url": "https://a b/"}',
    b'{"url": "https://\\u0000/"}',
    b'{"url": "https://xn--/"}',
    b'{"url": "https://' + b"a." * 2000 + b'/"}',
    b'{"webhook_url": "https://\\udfff"}',
    b'{"app_id": ["3"], "url": "https://127.0.0.1:9/"}',
    b'{"lambda": {"function_name": "f", "region": "x"}}',
    b'{"grace_s": 1e9}',
    b'{"event_type": "\\u2028"}',
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:40]))
def test_odd_bodies_never_break_anything(server: Server, body: bytes) -> None:
    uid = made(server, "https://127.0.0.1:9/", profile="realcast")["uid"]
    for method, target in (
        ("POST", "/apps/3/webhooks"),
        ("POST", "/api/webhooks"),
        ("PUT", f"/api/webhooks/{uid}"),
        ("PATCH", f"/v1/webhooks/{uid}"),
        ("POST", f"/api/webhooks/{uid}/rotate-secret"),
        ("POST", f"/api/webhooks/{uid}/test"),
        ("POST", f"/api/webhooks/{uid}/enable"),
        ("PUT", "/api/v1/projects/3"),
        ("POST", "/api/portal_links"),
        ("POST", "/api/webhooks/queue/retry-failed"),
        ("DELETE", "/api/webhooks/queue/failed"),
    ):
        said = ask(server, method, target, body)
        assert said.status < 500, (method, target, said)
        if said.status >= 400:
            assert said.code
    assert ask(server, "DELETE", f"/api/webhooks/{uid}").status == 204


@pytest.mark.parametrize(
    "path", ["/api/webhooks", "/api/webhooks/queue/failed", "/api/webhooks/logs", "/api/webhooks/audit"]
)
@pytest.mark.parametrize(
    "text",
    [b"[" * 3000, b"[1e400, ''x'']", b"[-1, ''x'']", b"{}", b"[" + b"9" * 5000 + b", ''x'']", b"[true, ''x'']"],
    ids=lambda text: repr(text[:8]),
)
def test_cursors_that_no_page_has_given_are_refused(server: Server, path: str, text: bytes) -> None:
    cursor = base64.urlsafe_b64encode(text.replace(b"''", b'"')).decode().rstrip("=")
    said = ask(server, "GET", f"{path}?cursor={cursor}")
    if (path, text[:2]) == ("/api/webhooks", b"[-"):  # a place like those of pages
        assert said.status == 200
    else:
        assert (said.status, said.code) == (400, "invalid_cursor")


def test_an_event_that_is_nested_deeply_is_refused(server: Server) -> None:
    for deep in (500, 1000):
        data = b'{"channel": "a", "name": "b", "data": ' + b"[" * deep + b"]" * deep + b"}"
        status, body = raw(server, b"POST /api/apps/3/events", data)
        assert status == 400, body


def test_a_body_that_lies_about_its_length_or_is_compressed_is_refused(server: Server) -> None:
    said = ask(server, "POST", "/api/webhooks", b"\x1f\x8b" + b"x" * 100, Content_Encoding="gzip")
    assert (said.status, said.code) == (415, "unsupported_encoding")


def test_secrets_are_nowhere(server: Server, tmp_path: Path) -> None:
    secret = "a-secret-that-must-not-be-seen-anywhere"
    token = "t0ken-of-a-header"
    url = "https://127.0.0.1:9/hook?token=t0ken-of-a-url"
    hook = made(server, url, profile="realcast", secret=secret, headers={"Authorization": f"Bearer {token}"})
    path = f"/api/webhooks/{hook['uid']}"
    ask(server, "PATCH", path, {"headers": {"X-Other": token}, "name": "x"})
    ask(server, "POST", f"{path}/test")
    ask(server, "POST", "/apps/3/webhook_events", {"event_type": "x.y", "data": {}})
    seen: list[Any] = [ask(server, "GET", path).json, ask(server, "GET", "/api/webhooks").json]
    seen += [ask(server, "GET", "/api/webhooks/audit").json, ask(server, "GET", "/api/webhooks/queue/stats").json]
    text = json.dumps(seen) + server.log()
    assert secret not in text
    assert token not in text
    others = server.get("/usage")[1].decode() + server.get("/metrics", server.metrics_port)[1].decode() + server.log()
    assert "t0ken" not in others
    assert KEY not in text + others
    assert ask(server, "DELETE", path).status == 204


MINE = "very-mine"  # in all that belongs to app 3


async def _all_routes(server: Server) -> list[tuple[str, str]]:
    """Return method and pattern of each route of the running server, dashboard and live routes included."""
    built = InProcess(load(server.log_path.parent / "config.json", {}))  # not started: it only says what there is
    try:
        return [(route.method, route.pattern) for route in built._management.router.routes]
    finally:
        await built.stop()


async def test_a_key_of_another_tenant_reads_and_changes_nothing_on_any_route(
    server: Server, receiver: HookReceiver
) -> None:
    receiver.answer(f"/{MINE}", 500)
    hook = made(server, f"{receiver.url}/{MINE}", name=MINE, event_types=["*"], retry={"max_retries": 0})
    event = {"event_type": "order.paid", "event_id": "evt_1", "data": {"x": MINE}}
    assert ask(server, "POST", "/apps/3/webhook_events", event).status == 202

    def state() -> list[Any]:
        shown = [ask(server, "GET", path).json for path in ("/apps/3/webhooks", "/api/webhooks/queue/failed?app_id=3")]
        audit = ask(server, "GET", "/api/webhooks/audit?app_id=3").json
        deliveries = ask(server, "GET", f"/api/webhooks/{hook['uid']}/deliveries").json
        return [*shown, audit, deliveries]

    await eventually(lambda: len(state()[1]["failed"]) == 1, "a dead letter")
    before = state()
    letter = before[1]["failed"][0]["id"]
    put = {
        "{app}": ["3"],
        "{id}": [hook["uid"], str(hook["number"]), letter],
        "{delivery}": [letter],
    }
    bodies: list[Any] = [None, {}, {"url": "https://127.0.0.1:9/"}, {"app_id": "3", "webhookId": hook["uid"]}]
    bodies.append({"webhook_url": "https://127.0.0.1:9/"})
    routes = await _all_routes(server)
    tried = 0
    for method, pattern in routes:
        if pattern.startswith("/dashboard"):
            continue  # without a session
        paths = [pattern]
        for word in re.findall(r"\{\w+\}", pattern):
            paths = [path.replace(word, value) for path in paths for value in put.get(word, ["nobody"])]
        for path in paths:
            for query in ("", "?app_id=3", f"?webhookId={hook['uid']}"):
                for body in bodies if method != "GET" else [None]:
                    said = await asyncio.to_thread(ask, server, method, path + query, body, STRANGER)
                    tried += 1
                    assert said.status < 500, (method, path, query, body, said)
                    if paths != [pattern]:
                        assert said.status >= 400, (method, path, query, body, said)
                    assert MINE not in json.dumps(said.json), (method, path, query, said)
    assert tried > 500
    assert state() == before
    assert len(receiver.hooks(f"/{MINE}")) == 1
    for path in ("/api/webhooks", "/api/webhooks/audit", "/api/webhooks/queue/failed", "/api/webhooks/queue/stats"):
        text = json.dumps(ask(server, "GET", path, key=STRANGER).json)
        assert MINE not in text
        assert hook["uid"] not in text
    assert ask(server, "DELETE", f"/api/webhooks/{hook['uid']}").status == 204
