"""What a real server answers to operators and to nobody else, and whom its limits by address reach."""

import http.client
import json
import socket
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.client import Client
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.server import Server, TestApp, app_config, running, server_config

ROOT = Path(__file__).parents[2]
PROFILES = sorted((ROOT / "config").glob("*.json"))
FORWARDED = {"X-Forwarded-For": "127.0.0.1"}


def usage(server: Server, headers: dict[str, str] | None = None, unix: Path | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    if unix is not None:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(unix))
    try:
        connection.request("GET", "/usage", headers=headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def configured(**settings: Any) -> dict[str, Any]:
    return server_config(app_config(TestApp()), **settings)


def test_usage_is_for_who_asks_on_this_machine(tmp_path: Path) -> None:
    unix = tmp_path / "s"
    with running(configured(unix_socket={"enabled": True, "path": str(unix)}), tmp_path) as server:
        assert usage(server) == 200
        assert json.loads(server.get("/usage")[1])["connections"]["total"] == 0
        for name in ("Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-FORWARDED-PROTO", "x-forwarded-port"):
            assert usage(server, {name: "127.0.0.1"}) == 404
        assert usage(server, {"Origin": "http://evil.example"}) == 404
        assert usage(server, unix=unix) == 404
        assert usage(server, FORWARDED, unix=unix) == 404


@pytest.mark.parametrize("trusted", [["127.0.0.1"], ["10.0.0.0/8", "::/0", "0.0.0.0/0"]])
def test_usage_is_not_answered_where_a_proxy_on_this_machine_is_trusted(tmp_path: Path, trusted: list[str]) -> None:
    with running(configured(trusted_proxies=trusted), tmp_path) as server:
        assert [usage(server), usage(server, FORWARDED), usage(server, {"X-Forwarded-For": "192.0.2.1"})] == [404] * 3


def test_usage_can_be_open_to_everybody_or_to_nobody(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for enabled, status in ((True, 200), (False, 404)):
            config = configured(http_api={"usage_enabled": enabled}, trusted_proxies=["127.0.0.1"])
            server = stack.enter_context(running(config, tmp_path / str(enabled)))
            assert [usage(server), usage(server, FORWARDED)] == [status, status]


def test_the_file_of_the_queue_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    path.touch(0o644)
    path.chmod(0o644)
    with running(configured(queue={"driver": "sqlite", "sqlite": {"path": str(path)}}), tmp_path) as server:
        kept = [file for file in tmp_path.iterdir() if file.name.startswith("queue.sqlite3")]
        assert {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in kept} == {
            file.name: "0o600" for file in kept
        }
        assert len(kept) >= 3
        assert "had mode 0644" in server.log()


# -- limits by address


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
async def test_no_profile_limits_the_operators_backend_or_the_clients_behind_one_proxy(
    path: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    """The limits of the profile itself; apps and services are the test's."""
    profile = json.loads(path.read_text())  # noqa: ASYNC240 - a small file
    limits = {key: profile[key] for key in ("rate_limiter", "trusted_proxies", "mode") if key in profile}
    redis = {"redis": {"url": redis_server.url}}
    with running(configured(**limits, database=redis), tmp_path) as server, Api(server, TestApp()) as api:
        statuses = [api.publish("c", "e", "{}").status for _ in range(300)]
        assert set(statuses) == {200}
        clients = [await Client.open(server.ws_url(f"/app/{TestApp().key}?protocol=7"), TestApp()) for _ in range(60)]
        for client in clients:
            await client.established()
        for client in clients:
            await client.close()
        assert "limits by address: none" in server.log()


async def test_limits_that_bite_are_said_at_the_start_warned_of_and_logged_once_a_minute(tmp_path: Path) -> None:
    few = {"max_requests": 2, "window_seconds": 60}
    limits = {"enabled": True, "api_rate_limit": few, "websocket_rate_limit": few}
    with running(configured(rate_limiter=limits), tmp_path) as server, Api(server, TestApp()) as api:
        event = {"name": "e", "channel": "c", "data": "{}"}
        assert [api.post("/events", event).status for _ in range(5)] == [200, 200, 429, 429, 429]
        for _ in range(5):
            await (await Client.open(server.ws_url(f"/app/{TestApp().key}?protocol=7"), TestApp())).close()
        log = server.log()
        assert "limits by address: 2 connections in 60 s, 2 API requests in 60 s" in log
        assert "no proxy is trusted: behind a proxy all clients count as one" in log
        assert "counts your own backends too" in log
        assert log.count("HTTP API requests refused") == 1
        assert log.count("connections refused since") == 1
        assert log.count("limit by address: ") == 2


def test_a_limiter_that_is_only_switched_on_lets_a_storm_of_reconnects_in_and_signed_calls_alone(
    tmp_path: Path,
) -> None:
    config = configured(rate_limiter={"enabled": True}, trusted_proxies=["10.0.0.1"])
    with running(config, tmp_path) as server, Api(server, TestApp()) as api:
        assert {api.publish("c", "e", "{}").status for _ in range(300)} == {200}
        assert "limits by address: 6000 connections in 60 s, any number of API requests" in server.log()
        assert "no proxy is trusted" not in server.log()
