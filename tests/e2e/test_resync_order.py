"""The order of a resync outlives the server that made it, where the endpoint asks for none."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_resync import APP, TYPES, Mirror, quiet
from tests.support.api import Api
from tests.support.client import Client, connected, eventually
from tests.support.hook_receiver import Hook, HookReceiver
from tests.support.management import ask, managed
from tests.support.redis_server import private_redis as private_redis
from tests.support.server import Config, app_config, running, server_config, start

BOX = "/mirror"
ROOMS = {f"room-{number}" for number in range(300)}


class SlowMirror(Mirror):
    """A receiver that works on each event for a while, and has a request in its database when it answers it."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0  # for each event
        self.at_the_end: set[str] | None = None  # the channels that it held when ``resync_completed`` was done
        self.late: list[str] = []  # the channels of statements after that
        self._lock = threading.Lock()
        self._never = threading.Event()

    def take(self, hook: Hook) -> None:
        self._never.wait(self.seconds * len(hook.events))
        with self._lock:
            super().take(hook)

    def event(self, event: dict[str, Any]) -> None:
        super().event(event)
        if self.completed is None:
            return
        if self.at_the_end is None:
            self.at_the_end = self.channels
        elif event.get("resync") == self.completed and event["name"] in TYPES:
            self.late.append(event["channel"])


@pytest.fixture
def hooks() -> Iterator[HookReceiver]:
    with HookReceiver() as hooks:
        yield hooks


@pytest.fixture(params=["sqlite", "redis"])
def config(request: pytest.FixtureRequest, hooks: HookReceiver, tmp_path: Path) -> Config:
    queue: dict[str, Any] = {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.db")}}
    if request.param == "redis":
        url = request.getfixturevalue("private_redis").url
        lease = {"lease_duration_ms": 4000, "lease_renew_interval_ms": 1000}  # what the dead server held comes back
        queue = {"driver": "redis", "redis": {"url_override": url}, "reliability": lease}
    hook = {"uid": "wh_mirror", "url": hooks.url + BOX, "event_types": TYPES, "ordering": "none"}
    webhooks = managed(batching={"duration": 10, "size": 10}, reconnect_grace_ms=120_000)
    return server_config(app_config(APP, webhooks=[hook]), queue=queue, webhooks=webhooks, adapter={"driver": "local"})


async def occupy(client: Client) -> None:
    for room in ROOMS:
        await client.subscribe(room)


async def test_after_a_kill_the_rest_of_a_resync_arrives_in_order(
    config: Config, hooks: HookReceiver, tmp_path: Path
) -> None:
    mirror = SlowMirror()
    hooks.work(BOX, mirror.take)
    first = start(config, tmp_path / "first")
    async with connected(first, APP) as client:
        await occupy(client)
        await eventually(lambda: mirror.channels == ROOMS and quiet(first), "the live events")
        mirror.seconds = 0.02  # a full request takes 0.2 s: what comes with few events behind it would overtake it
        answer = await asyncio.to_thread(ask, first, "POST", "/api/webhooks/wh_mirror/resync")
        assert (answer.status, answer.json["channels"]) == (202, len(ROOMS))
        await eventually(lambda: bool(mirror.heard), "the first statement")
        first.kill()
    assert mirror.completed is None
    with running(config, tmp_path / "second") as second:
        async with connected(second, APP) as client:
            await occupy(client)
            await eventually(lambda: mirror.at_the_end is not None, "the end of the resync")
            mirror.seconds = 0.0
            assert mirror.completed == answer.json["resync_id"]
            with Api(second, APP) as api:
                assert mirror.at_the_end == set(api.get("/channels").json["channels"]) == ROOMS
            await eventually(lambda: quiet(second), "the queue to be empty")
            assert mirror.late == []
            assert mirror.channels == ROOMS
