"""Endpoints that ask for it get a resync when they may have missed something, and no others do."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_resync import APP, TYPES, Mirror
from tests.support.client import connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.management import ask, made, managed
from tests.support.server import Config, Server, app_config, running, server_config, start

FILED = "wh_filed"


def settings(queue: str, folder: Path, hooks: HookReceiver) -> Config:
    driver: dict[str, Any] = {"driver": queue}
    if queue == "sqlite":
        driver["sqlite"] = {"path": str(folder / "queue.db")}
    filed = {"uid": FILED, "url": f"{hooks.url}/filed", "event_types": TYPES, "enabled": False, "auto_resync": True}
    return server_config(app_config(APP, webhooks=[filed]), queue=driver, webhooks=managed())


@pytest.fixture
def hooks() -> Iterator[HookReceiver]:
    with HookReceiver() as hooks:
        yield hooks


@pytest.fixture(params=["memory", "sqlite"])
def server(request: pytest.FixtureRequest, hooks: HookReceiver, tmp_path: Path) -> Iterator[Server]:
    with running(settings(request.param, tmp_path, hooks), tmp_path) as server:
        yield server


def asking(server: Server, hooks: HookReceiver, box: str, **fields: Any) -> str:
    """Create an endpoint whose mailbox is ``box``, and return its path."""
    fields = {"event_types": TYPES, "auto_resync": True, "retry": {"enabled": False}, **fields}
    hook = made(server, hooks.url + box, "/apps/shop/webhooks", **fields)
    return f"/api/webhooks/{hook['uid']}"


def called(server: Server, method: str, target: str) -> Any:
    said = ask(server, method, target)
    assert said.status in (200, 202), said
    return said.json


def told(hooks: HookReceiver, box: str) -> list[str]:
    return [event["name"] for event in hooks.events(box)]


def resyncs(hooks: HookReceiver, box: str) -> int:
    return told(hooks, box).count("resync_completed")


def believed(hooks: HookReceiver, box: str, start: int = 0) -> set[str]:
    """Return which channels a receiver holds to be occupied that has heard what came from ``start`` on."""
    mirror = Mirror()
    for hook in hooks.hooks(box)[start:]:
        mirror.take(hook)
    return mirror.channels


@pytest.mark.parametrize("how", ["", "?drop=to_dlq"])
async def test_after_it_was_disabled_it_is_told_what_is_true(server: Server, hooks: HookReceiver, how: str) -> None:
    path, other = asking(server, hooks, "/asks"), asking(server, hooks, "/does-not", auto_resync=False)
    async with connected(server, APP) as client:
        await client.subscribe("before")
        await eventually(lambda: bool(told(hooks, "/asks")), "the first event")
        for one in (path, other):
            called(server, "POST", f"{one}/disable{how}")
        await client.unsubscribe("before")
        await client.subscribe("meanwhile")
        await client.barrier()
        for one in (other, path):
            called(server, "POST", f"{one}/enable")
        await eventually(lambda: resyncs(hooks, "/asks") == 1, "the resync")
        assert believed(hooks, "/asks") == {"meanwhile"}
        await client.subscribe("later")
        await eventually(lambda: "later" in believed(hooks, "/asks"), "what comes live")
        await eventually(lambda: "later" in believed(hooks, "/does-not"), "what comes live")
    assert "resync_started" not in told(hooks, "/does-not")
    assert resyncs(hooks, "/asks") == 1


async def test_after_its_dead_letters_were_purged_it_is_told_what_is_true(server: Server, hooks: HookReceiver) -> None:
    path, other = asking(server, hooks, "/asks"), asking(server, hooks, "/innocent")
    hooks.answer("/asks", 500)
    async with connected(server, APP) as client:
        await client.subscribe("refused")
        await eventually(lambda: ask(server, "GET", f"{path}/stats").json["failed"] == 1, "the dead letter")
        assert called(server, "DELETE", "/api/webhooks/queue/failed?dry_run=true")["matched"] == 1
        assert called(server, "DELETE", "/api/webhooks/queue/failed")["deleted"] == 1
        await eventually(lambda: resyncs(hooks, "/asks") == 1, "the resync")
        assert believed(hooks, "/asks", 1) == {"refused"}  # without the request that was answered with 500
        called(server, "POST", f"{other}/test")
    assert resyncs(hooks, "/innocent") == 0


async def test_one_that_a_file_disabled_and_a_reload_enables_gets_one(server: Server, hooks: HookReceiver) -> None:
    async with connected(server, APP) as client:
        await client.subscribe("there")
        path = server.log_path.parent / "config.json"
        config = json.loads(path.read_text())
        (app,) = config["app_manager"]["array"]["apps"]
        app["webhooks"][0]["enabled"] = True
        path.write_text(json.dumps(config))
        server.process.send_signal(signal.SIGHUP)
        await eventually(lambda: resyncs(hooks, "/filed") == 1, "the resync")
        assert believed(hooks, "/filed") == {"there"}


async def test_a_kill_right_after_it_was_enabled_loses_no_resync(tmp_path: Path, hooks: HookReceiver) -> None:
    config = settings("sqlite", tmp_path, hooks)
    for number in range(3):
        first = start(config, tmp_path / f"first-{number}")
        path = asking(first, hooks, f"/{number}")
        called(first, "POST", f"{path}/disable")
        hooks.delay(f"/{number}", 0.05)
        called(first, "POST", f"{path}/enable")
        first.kill()
        with running(config, tmp_path / f"second-{number}"):
            box = f"/{number}"
            await eventually(lambda box=box: resyncs(hooks, box) >= 1, "the resync")  # type: ignore[misc]


async def test_a_resync_by_hand_while_one_is_due_does_no_harm(server: Server, hooks: HookReceiver) -> None:
    path = asking(server, hooks, "/asks")
    async with connected(server, APP) as client:
        await client.subscribe("there")
        called(server, "POST", f"{path}/disable")
        called(server, "POST", f"{path}/enable")
        assert ask(server, "POST", f"{path}/resync").status in (202, 409)
        await eventually(lambda: resyncs(hooks, "/asks") >= 1, "a resync")
        await client.subscribe("last")
        await eventually(lambda: believed(hooks, "/asks") == {"there", "last"}, "the truth")
