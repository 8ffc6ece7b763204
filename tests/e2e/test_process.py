"""The server as a process: what an operator sees and does from outside."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.client import Client, connected, eventually, member
from tests.support.ports import free_ports
from tests.support.server import Server, ServerDied, TestApp, app_config, running, server_config

APP = TestApp()


async def logged(server: Server, what: str) -> None:
    await eventually(lambda: what in server.log(), f"{what} in the log")


def test_a_signal_that_arrives_twice_at_once_still_drains_and_exits_with_0(tmp_path: Path) -> None:
    # `timeout` and Ctrl-C below `make` signal the process group, and then the child once more.
    with running(server_config(app_config(APP)), tmp_path) as server:
        server.terminate()
        server.terminate()
        assert server.wait() == 0
        assert "second signal" not in server.log()


def test_systemd_hears_when_the_server_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        with running(server_config(app_config(APP)), tmp_path / "s", {"NOTIFY_SOCKET": str(tmp_path / "notify")}):
            assert systemd.recv(100) == b"READY=1"
        assert systemd.recv(100) == b"STOPPING=1"


def test_nobody_who_listens_for_systemd_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}) as server:
        assert server.get("/up")[0] == 200


def test_without_a_terminal_the_log_tells_what_listens_where_with_which_drivers(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server:
        server.stop()
        log = server.log()
    assert f"clients ws://127.0.0.1:{server.port}/app/{APP.key}" in log
    assert f"metrics http://127.0.0.1:{server.metrics_port}/metrics" in log
    assert "queue memory" in log
    assert APP.secret not in log


def test_an_aiohttp_that_is_broken_ends_the_server_with_a_clear_message(tmp_path: Path) -> None:
    broken = tmp_path / "aiohttp"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('no such symbol')")
    port, metrics_port = free_ports(2)
    settings = {"PORT": str(port), "METRICS_PORT": str(metrics_port), "QUEUE_DRIVER": "memory"}
    done = subprocess.run(
        [sys.executable, "-m", "sockudo_py", "start"],
        env={**os.environ, **settings, "PYTHONPATH": str(tmp_path), "SHUTDOWN_GRACE_PERIOD": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "can't start: aiohttp can't be imported (no such symbol); install sockudo-py again" in done.stderr
    assert "Traceback" not in done.stderr


async def test_changes_of_apps_are_logged_one_by_one(tmp_path: Path) -> None:
    apps = tmp_path / "apps"
    apps.mkdir()
    settings = app_config(APP)
    path = apps / "one.json"
    path.write_text(json.dumps(settings))
    source = {"driver": "file", "file": {"path": str(apps), "poll_interval": 0.05}}
    with running(server_config(app_manager=source), tmp_path) as server:
        for change, told in (
            ({"enable_client_messages": True}, "changed"),
            ({"enabled": False}, "disabled"),
            ({"enabled": True}, "enabled"),
        ):
            path.write_text(json.dumps({**settings, **change}))
            await logged(server, f"app {APP.id}: {told}")
        path.unlink()
        await logged(server, f"app {APP.id}: removed")
        path.write_text(json.dumps(settings))
        await logged(server, f"app {APP.id}: added")
        assert APP.secret not in server.log()


@pytest.mark.parametrize(
    ("queue", "remedy"),
    [
        ({"driver": "sqlite", "sqlite": {"path": "/dev/null/q.sqlite3"}}, "queue.sqlite.path: /dev/null/q.sqlite3"),
        ({"driver": "redis", "redis": {"url_override": "redis://127.0.0.1:1/0"}}, "queue.redis.url_override"),
    ],
    ids=["sqlite", "redis"],
)
def test_a_queue_that_cannot_be_used_ends_the_start_with_the_key_to_look_at(
    tmp_path: Path, queue: dict[str, Any], remedy: str
) -> None:
    with (
        pytest.raises(ServerDied, match=re.escape(remedy)),
        running(server_config(app_config(APP), queue=queue), tmp_path),
    ):
        pytest.fail("it started")


async def test_debug_logs_what_clients_and_backends_do_and_why_they_are_refused(tmp_path: Path) -> None:
    app = app_config(APP, enable_client_messages=True)
    with running(server_config(app, debug=True), tmp_path) as server, Api(server, APP) as api:
        async with connected(server, APP) as client:
            await client.ask("private-room", auth=f"{APP.key}:wrong")
            await client.expect_refused("private-room")
            await client.send({"event": "no-such-event", "data": {}})
            await client.expect_error()
            await client.subscribe("private-room")
            await client.subscribe("presence-room", member("u1"))
            await client.trigger("private-room", "client-hello", {"secret": "of-the-client"})
            assert api.post("/events", {"name": "news", "channels": ["a", "b"], "data": "what-it-says"}).status == 200
            await client.unsubscribe("private-room")
            await client.barrier()
            socket_id = client.socket_id
        server.get(f"/apps/{APP.id}/channels?auth_signature=hush")
        stranger = await Client.open(server.ws_url('/app/no-such-key?a="b"'))
        await stranger.expect_fatal(4001)
        for what in ("client disconnected", "client refused", "GET /apps/3/channels refused"):
            await logged(server, what)
    told = {line["message"]: line for line in map(json.loads, server.log().splitlines())}
    wanted: dict[str, dict[str, object]] = {
        "client connected": {"query": "protocol=7&client=js&version=8.6.0&flash=false"},
        "subscription refused": {"reason": "wrong_signature"},
        "client got an error": {"code": None},
        "client subscribed": {"channel": "presence-room", "user_id": "u1"},
        "client event": {"channel": "private-room", "event": "client-hello"},
        "client unsubscribed": {"channel": "private-room"},
        "client disconnected": {},
    }
    for message, fields in wanted.items():
        about = {"app_id": APP.id, "socket_id": socket_id, "address": "127.0.0.1", **fields}
        assert about.items() <= told[message].items(), told.get(message)
    published = {"app_id": APP.id, "address": "127.0.0.1", "channel": "a, b", "event": "news"}
    assert published.items() <= told["published"].items()
    refused = {"code": 4001, "address": "127.0.0.1", "path": "/app/no-such-key"}
    assert refused.items() <= told["client refused"].items()
    assert told["GET /apps/3/channels refused"]["status"] == 401
    for line in told.values():
        for value in line.values():
            assert not str(value).startswith(('"', "{")), line  # neither quoted twice nor JSON inside JSON
    for secret in ("hush", APP.secret, "of-the-client", "what-it-says"):
        assert secret not in server.log()


async def test_lines_about_clients_have_the_address_that_a_proxy_names_and_say_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    config = server_config(
        app_config(APP), debug=True, trusted_proxies=["127.0.0.1"], unix_socket={"enabled": True, "path": path}
    )
    with running(config, tmp_path) as server:
        async with connected(server, APP, additional_headers={"X-Forwarded-For": "203.0.113.9"}) as proxied:
            await proxied.subscribe("news")
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        async with connected(server, APP, sock=sock) as local:
            await local.subscribe("news")
        await eventually(lambda: server.log().count("client disconnected") == 2, "both lines")
    told = [json.loads(line) for line in server.log().splitlines()]
    for socket_id, address in ((proxied.socket_id, "203.0.113.9"), (local.socket_id, "unix socket")):
        addresses = [line["address"] for line in told if line.get("socket_id") == socket_id]
        assert addresses == [address] * 3
