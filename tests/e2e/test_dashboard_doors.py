"""The dashboard's doors, tried by those who should stay outside."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from aiohttp import web

from sockudo_py.management.credentials.keys import Admin
from sockudo_py.management.dashboard import app as dashboard
from sockudo_py.management.live.console import Console
from sockudo_py.tap import Tap
from tests.support.management import KEY, Said, admin_key, ask, managed
from tests.support.server import Server, TestApp, app_config, running, server_config

SHOP = TestApp("shop", "shop-key", "shop-secret-1234")
CHAT = TestApp("chat", "chat-key", "chat-secret-1234")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = (admin_key(name="anna"), admin_key("other", name="boris"))
    with running(
        server_config(app_config(SHOP), app_config(CHAT), webhooks=managed(*keys)), tmp_path_factory.mktemp("server")
    ) as server:
        yield server


def log_in(server: Server, **headers: str) -> Said:
    return ask(server, "POST", "/dashboard/login", {"key": KEY}, key=None, **headers)


def link(server: Server) -> str:
    token: str = ask(server, "POST", "/api/portal_links", {"app_id": SHOP.id, "scope": "write"}).json["token"]
    return token


def test_a_page_of_another_site_logs_nobody_in(server: Server) -> None:
    # Without TLS browsers say nothing of the site; a form or fetch without CORS can send these types alone.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        said = log_in(server, Content_Type=kind, Origin="https://evil.example")
        assert said.status == 415, kind
        assert "set-cookie" not in said.headers
    assert log_in(server, Content_Type="application/json", Sec_Fetch_Site="cross-site").code == "cross_site"
    assert log_in(server, Content_Type="application/json; charset=utf-8").status == 200


def test_a_session_changes_nothing_without_its_token(server: Server) -> None:
    cookie = log_in(server, Content_Type="application/json").headers["set-cookie"].split(";")[0]
    target = f"/apps/{SHOP.id}/webhooks"
    body = json.dumps({"feed": {}, "event_types": ["*"]}).encode()
    for headers in ({}, {"X_CSRF_Token": "0" * 64}, {"Content_Type": "text/plain", "Origin": "https://evil.example"}):
        assert ask(server, "POST", target, body, key=None, Cookie=cookie, **headers).code == "csrf"


def test_cookies_of_other_servers_of_the_host_lock_nobody_out(server: Server) -> None:
    cookie = log_in(server, Content_Type="application/json").headers["set-cookie"].split(";")[0]
    for before in ("sockudo_session=of-another-port", "sockudo_session=", "a=b; sockudo_session=" + "9" * 5000):
        assert ask(server, "GET", "/api/apps", key=None, Cookie=f"{before}; {cookie}").status == 200


def test_a_tenant_reads_no_audit_and_sends_no_events(server: Server) -> None:
    token = link(server)
    event = {"event_type": "order.paid", "data": {}}
    assert ask(server, "GET", "/api/webhooks", key=token).status == 200
    assert ask(server, "GET", "/api/webhooks/audit", key=token).code == "not_found"
    assert ask(server, "POST", f"/apps/{SHOP.id}/webhook_events", event, key=token).code == "not_found"
    assert ask(server, "POST", f"/apps/{SHOP.id}/webhook_events", event).status == 202


@contextmanager
def stream(server: Server, key: str) -> Iterator[int]:
    with closing(socket.create_connection((server.host, server.port), timeout=30)) as connection:
        connection.sendall(f"GET /api/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        yield int(connection.recv(16).split()[1])


def test_one_key_leaves_streams_for_the_others(server: Server) -> None:
    with ExitStack() as stack:
        found = [stack.enter_context(stream(server, KEY)) for _ in range(30)]
        assert found == [200] * dashboard.MOST_STREAMS_OF_A_KEY + [503] * (30 - dashboard.MOST_STREAMS_OF_A_KEY)
        assert stack.enter_context(stream(server, "other")) == 200


class Everybody:
    def admit(self, match: None, headers: object, remote: str) -> Admin:
        return Admin(b"a" * 32, frozenset({"*"}), frozenset({"read"}))


async def test_a_browser_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "STALLED", 0.3)
    tap = Tap()
    console = Console(tap, asyncio.get_running_loop().time)
    application = web.Application()
    dashboard.mount(application, console, Everybody())
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        with closing(socket.create_connection(("127.0.0.1", port))) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /api/live HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(60):
                while not console.watched:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                while console.watched:
                    console.put_from_elsewhere([{"kind": "publish", "data": "x" * 20_000}] * 20, 0)
                    await asyncio.sleep(0.01)
    finally:
        await runner.cleanup()
