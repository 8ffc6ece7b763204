"""What the management API has answered is kept: over kill -9, and over several nodes."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.management import ask, made, managed
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix
from tests.support.server import Config, TestApp, app_config, running, server_config, start

FILED = {"uid": "wh_file", "url": "https://127.0.0.1:9/", "event_types": ["channel_occupied"]}


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


def configured(queue: dict[str, Any], **settings: Any) -> Config:
    hooks = [FILED, {**FILED, "uid": "wh_other"}]
    return server_config(app_config(TestApp(), webhooks=hooks), queue=queue, webhooks=managed(), **settings)


@pytest.fixture(params=["sqlite", "redis"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "sqlite":
        return {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}
    redis: RedisServer = request.getfixturevalue("redis_server")
    return {
        "driver": "redis",
        "redis": {"prefix": request.getfixturevalue("unique_prefix"), "url_override": redis.url},
    }


def test_a_kill_right_after_an_answer_loses_nothing_of_it(queue: dict[str, Any], tmp_path: Path) -> None:
    config, url = configured(queue), "https://127.0.0.1:9/hook"
    expected: dict[str, Any] = {}
    uid = path = ""
    for number in range(7):
        server = start(config, tmp_path / str(number))
        if number == 0:
            hook = made(server, url, name="kept", profile="standard", headers={"X-A": "1"})
            uid, path = hook["uid"], f"/api/webhooks/{hook['uid']}"
            expected = {name: value for name, value in hook.items() if name != "secret"}
        else:
            shown = ask(server, "GET", path)
            if number < 6:
                assert shown.json == expected, number
            else:
                assert shown.status == 404
        if number == 1:
            expected = ask(server, "PATCH", path, {"name": "changed"}).json
        if number == 2:
            expected = ask(server, "POST", f"{path}/disable").json
            assert ask(server, "POST", "/api/webhooks/wh_file/disable").status == 200
        if number == 3:
            assert ask(server, "GET", "/api/webhooks/wh_file").json["enabled"] is False
            expected = ask(server, "POST", f"{path}/rotate-secret").json
            assert expected.pop("secret")
            assert expected["previous_secret_expires_at"]
            pulse = ask(server, "PUT", "/api/v1/projects/3", {"webhook_url": url})
            assert pulse.status == 201
        if number == 4:
            assert ask(server, "PUT", "/api/v1/projects/3", {"webhook_url": url}).status == 200
            fields = {"url": url, "name": "again", "profile": "standard"}
            expected = ask(server, "PUT", path, fields).json
            expected.pop("warnings", None)
        if number == 5:
            assert ask(server, "DELETE", path).status == 204
        server.kill()
    with running(config, tmp_path / "last") as server:
        assert "2 endpoints, and 1 that the API has made; queue" in server.log()
        lines = ask(server, "GET", "/api/webhooks/audit?limit=200").json["audit"]
        own = [one["action"] for one in lines if one["webhook_id"] == uid]
        assert own == ["delete", "update", "rotate_secret", "disable", "update", "create"]


def test_commands_know_endpoints_of_the_api_where_no_server_is_asked(queue: dict[str, Any], tmp_path: Path) -> None:
    with running(configured(queue), tmp_path / "a") as server:
        hook = made(server, "https://127.0.0.1:9/hook", name="by-api")
        ask(server, "POST", "/api/webhooks/wh_file/disable")
        file = server.log_path.parent / "config.json"
    for words in (["list"], ["failed", "--endpoint", "by-api"], ["retry", "--endpoint", "by-api", "--all"]):
        done = subprocess.run(
            [sys.executable, "-m", "sockudo_py", "webhooks", *words, "--config", str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if words == ["list"]:
            assert done.stdout.endswith("3 endpoints\n")
            lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("wh_")}
            assert "by-api" in lines[hook["uid"]]
            assert "disabled" in lines["wh_file"]


async def test_two_nodes_agree_within_a_second(
    redis_server: RedisServer, unique_prefix: str, tmp_path: Path, receiver: HookReceiver
) -> None:
    queue = {"driver": "redis", "redis": {"prefix": unique_prefix, "url_override": redis_server.url}}
    config = configured(queue, adapter={"driver": "local"})
    loop = asyncio.get_running_loop()
    with (
        running({**config, "server_id": "a"}, tmp_path / "a") as one,
        running({**config, "server_id": "b"}, tmp_path / "b") as other,
    ):
        hook = made(one, f"{receiver.url}/two")
        path = f"/api/webhooks/{hook['uid']}"
        since = loop.time()
        await eventually(lambda: ask(other, "GET", path).status == 200, "the other node knows it")
        took = [loop.time() - since]
        async with connected(other, TestApp()) as client:
            await client.subscribe("c1")
            await eventually(lambda: len(receiver.hooks("/two")) == 1, "a delivery for its client")
            assert ask(other, "POST", f"{path}/disable").status == 200
            since = loop.time()
            await eventually(lambda: ask(one, "GET", path).json["enabled"] is False, "the first node knows")
            took.append(loop.time() - since)
        answers = await asyncio.gather(
            *(
                asyncio.to_thread(ask, node, "PATCH", path, {"headers": {f"X-{number}": "1"}})
                for number, node in enumerate((one, other) * 5)
            )
        )
        assert {answer.status for answer in answers} == {200}
        for node in (one, other):
            await eventually(lambda node=node: len(ask(node, "GET", path).json["headers"]) == 10, "all ten")  # type: ignore[misc]
        assert ask(one, "DELETE", path).status == 204
        await eventually(lambda: ask(other, "GET", path).status == 404, "it is gone everywhere")
        assert max(took) < 5.0  # a second, and this machine may be busy with other tests


async def test_without_redis_changes_are_refused_and_deliveries_go_on_later(
    private_redis: RedisServer, tmp_path: Path, receiver: HookReceiver
) -> None:
    queue = {"driver": "redis", "redis": {"url_override": private_redis.url, "response_timeout_ms": 1000}}
    with running(configured(queue), tmp_path / "a") as server:
        hook = made(server, f"{receiver.url}/r")
        private_redis.kill()
        refused = ask(server, "POST", "/apps/3/webhooks", {"url": "https://127.0.0.1:9/"})
        assert (refused.status, refused.code) == (503, "unavailable")
        assert ask(server, "GET", f"/api/webhooks/{hook['uid']}").status == 200
        async with connected(server, TestApp()) as client:
            await client.subscribe("c1")
            private_redis.start()
            await eventually(lambda: len(receiver.hooks("/r")) == 1, "the delivery")
        assert ask(server, "PATCH", f"/api/webhooks/{hook['uid']}", {"name": "x"}).status == 200


def test_a_key_file_is_made_once_and_never_logged(tmp_path: Path) -> None:
    path = tmp_path / "data" / "admin-key"
    config = configured({"driver": "memory"})
    config["webhooks"]["admin"] = {"key_file": str(path)}
    for folder in ("a", "b"):
        with running(config, tmp_path / folder) as server:
            key = path.read_text().strip()
            assert ask(server, "GET", "/api/webhooks", key=key).status == 200
            assert key not in server.log()
            assert f"(1 admin key: {path})" in server.log()
            link = ask(server, "POST", "/api/portal_links", {"app_id": "3"}, key=key)
            assert link.status == 201
            assert ask(server, "GET", "/apps/3/webhooks", key=link.json["token"]).status == 200
            refused = ask(server, "POST", "/apps/3/webhooks", {"url": "https://127.0.0.1:9/"}, key=link.json["token"])
            assert (refused.status, refused.code) == (403, "forbidden")
