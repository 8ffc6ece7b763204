"""A receiver that lost its state is made right again, while clients come and go."""

import asyncio
import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.client import Client, connected, eventually, member
from tests.support.hook_receiver import Hook, HookReceiver
from tests.support.management import ask, managed
from tests.support.server import Config, Server, TestApp, app_config, running, server_config, start

APP = TestApp("shop", "shop-key", "shop-secret-1234")
QUEUES: dict[str, Any] = {"memory": {"driver": "memory"}, "sqlite": {"driver": "sqlite"}}
TYPES = ["channel_occupied", "channel_vacated", "member_added", "member_removed"]
SEEDS = int(os.environ.get("RESYNC_SEEDS", "5"))  # `make resync` runs 100


class Mirror:
    """A receiver's database: what it believes, by the rules of docs/webhooks/resync.md."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str | None], tuple[int, bool]] = {}
        self.heard: set[tuple[str, str | None]] | None = None
        self.completed: str | None = None

    def take(self, hook: Hook) -> None:
        for event in hook.events:
            self.event(event)

    def event(self, event: dict[str, Any]) -> None:
        name, moment = event["name"], event["time_ms"]
        if name == "resync_started":
            self.heard = set()
        elif name == "resync_completed":
            assert self.heard is not None
            self.held = {key: state for key, state in self.held.items() if key in self.heard}
            self.completed = event["resync"]
        elif name in TYPES:
            key = (event["channel"], event.get("user_id"))
            if self.heard is not None:
                self.heard.add(key)
            before = self.held.get(key)
            if before is None or moment >= before[0]:
                self.held[key] = (moment, name in ("channel_occupied", "member_added"))

    @property
    def channels(self) -> set[str]:
        return {channel for (channel, user), (_, there) in self.held.items() if user is None and there}

    def users(self, channel: str) -> set[str]:
        return {user for (name, user), (_, there) in self.held.items() if name == channel and user and there}


def settings(queue: str, folder: Path, hooks: HookReceiver) -> Config:
    driver = dict(QUEUES[queue])
    if queue == "sqlite":
        driver["sqlite"] = {"path": str(folder / "queue.db")}
    hook = {"uid": "wh_mirror", "url": f"{hooks.url}/mirror", "event_types": TYPES, "ordering": "endpoint"}
    return server_config(app_config(APP, webhooks=[hook]), queue=driver, webhooks=managed(batching={"duration": 10}))


@pytest.fixture
def hooks() -> Iterator[HookReceiver]:
    with HookReceiver() as hooks:
        yield hooks


@pytest.fixture(params=QUEUES)
def server(request: pytest.FixtureRequest, hooks: HookReceiver, tmp_path: Path) -> Iterator[Server]:
    with running(settings(request.param, tmp_path, hooks), tmp_path) as server:
        yield server


async def churn(client: Client, seed: int, stop: asyncio.Event) -> None:
    """Subscribe and unsubscribe as fast as the server answers, until told to stop."""
    dice = random.Random(seed)
    mine: set[str] = set()
    while not stop.is_set():
        number = dice.randrange(40)
        channel = f"presence-{number}" if number % 4 == 0 else f"room-{number}"
        if channel in mine:
            await client.unsubscribe(channel)
            mine.discard(channel)
        else:
            data = member(seed) if channel.startswith("presence-") else None
            await client.ask(channel, data)
            mine.add(channel)
        if dice.random() < 0.2:
            await client.barrier()
    await client.barrier()


async def test_a_receiver_that_lost_its_state_equals_the_server_after_a_resync(
    server: Server, hooks: HookReceiver
) -> None:
    for seed in range(SEEDS):
        stop = asyncio.Event()
        async with (
            connected(server, APP) as one,
            connected(server, APP) as two,
            connected(server, APP) as three,
        ):
            clients = enumerate((one, two, three))
            tasks = [asyncio.create_task(churn(client, seed * 3 + number, stop)) for number, client in clients]
            await eventually(lambda: len(hooks.hooks("/mirror")) > 20, "some events")
            lost = len(hooks.hooks("/mirror"))  # what came until now is forgotten
            answer = await asyncio.to_thread(ask, server, "POST", "/api/webhooks/wh_mirror/resync")
            assert answer.status == 202, answer.json
            stop.set()
            await asyncio.gather(*tasks)
            with Api(server, APP) as api:
                same = partial(equal, api, hooks, lost, answer.json["resync_id"])
                await eventually(same, f"the receiver to equal the server, seed {seed}")


def equal(api: Api, hooks: HookReceiver, lost: int, ident: str) -> bool:
    """Return whether the receiver believes what the server says."""
    mirror = Mirror()
    for hook in hooks.hooks("/mirror")[lost:]:
        mirror.take(hook)
    channels = set(api.get("/channels").json["channels"])
    if mirror.completed != ident or channels != mirror.channels:
        return False
    presence = [channel for channel in channels if channel.startswith("presence-")]
    return all(set(api.users(channel)) == mirror.users(channel) for channel in presence)


def quiet(server: Server) -> bool:
    figures: dict[str, int] = ask(server, "GET", "/api/webhooks/queue/stats").json
    return figures["waiting"] == figures["active"] == figures["delayed"] == 0


async def test_what_is_there_is_told_with_its_members_and_what_is_gone_is_not(
    server: Server, hooks: HookReceiver
) -> None:
    async with connected(server, APP) as ann, connected(server, APP) as bob:
        await ann.subscribe("room")
        await ann.subscribe("presence-room", member("ann", name="Ann"))
        await bob.subscribe("presence-room", member("bob"))
        await bob.subscribe("gone")
        await bob.unsubscribe("gone")
        await bob.barrier()
        await eventually(lambda: quiet(server), "the queue to be empty")
        before = len(hooks.hooks("/mirror"))
        answer = ask(server, "POST", "/api/webhooks/wh_mirror/resync")
        assert answer.status == 202
        assert (answer.json["channels"], answer.json["members"]) == (2, 2)
        ident = answer.json["resync_id"]
        mirror = Mirror()
        await eventually(lambda: "resync_completed" in names(hooks, before), "the end of the resync")
        for hook in hooks.hooks("/mirror")[before:]:
            assert hook.header("X-Sockudo-Resync") == ident
            mirror.take(hook)
        told = [event for hook in hooks.hooks("/mirror")[before:] for event in hook.events]
        assert {event["resync"] for event in told} == {ident}
        assert [told[0]["name"], told[-1]["name"]] == ["resync_started", "resync_completed"]
        assert mirror.channels == {"presence-room", "room"}
        assert mirror.users("presence-room") == {"ann", "bob"}
        (ann_told,) = [event for event in told if event.get("user_id") == "ann"]
        assert ann_told["data"] == '{"user_id":"ann","user_info":{"name":"Ann"}}'


def names(hooks: HookReceiver, start: int) -> list[str]:
    return [event["name"] for hook in hooks.hooks("/mirror")[start:] for event in hook.events]


async def test_a_disabled_webhook_and_an_unknown_one(server: Server) -> None:
    assert ask(server, "POST", "/api/webhooks/wh_none/resync").status == 404
    assert ask(server, "POST", "/api/webhooks/wh_mirror/disable").status == 200
    refused = ask(server, "POST", "/api/webhooks/wh_mirror/resync")
    assert (refused.status, refused.code) == (409, "disabled")


async def test_a_kill_right_after_the_answer_loses_nothing_of_a_resync(hooks: HookReceiver, tmp_path: Path) -> None:
    config = settings("sqlite", tmp_path, hooks)
    first = start(config, tmp_path / "first")
    async with connected(first, APP) as client:
        for number in range(30):
            await client.subscribe(f"room-{number}")
        await eventually(lambda: quiet(first), "the queue to be empty")
        before = len(hooks.hooks("/mirror"))
        hooks.delay("/mirror", 0.2)  # little of it has arrived when the server dies
        answer = await asyncio.to_thread(ask, first, "POST", "/api/webhooks/wh_mirror/resync")
        first.kill()
    hooks.delay("/mirror", 0)
    ident = answer.json["resync_id"]
    with running(config, tmp_path / "second"):
        await eventually(lambda: "resync_completed" in names(hooks, before), "the end of the resync")
        told = [event for hook in hooks.hooks("/mirror")[before:] for event in hook.events if "resync" in event]
        assert {event["resync"] for event in told} == {ident}
        occupied = {event["channel"] for event in told if event["name"] == "channel_occupied"}
        assert occupied == {f"room-{number}" for number in range(30)}
