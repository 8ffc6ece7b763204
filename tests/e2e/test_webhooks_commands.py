"""``sockudo-py webhooks enable | disable | replay | resync`` against a running server, and what ``list`` says of it."""

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.test_live_commands import command
from tests.support.api import Api
from tests.support.client import DEADLINE, connected, member
from tests.support.hook_receiver import HookReceiver
from tests.support.management import managed
from tests.support.server import Server, TestApp, app_config, running, server_config

APP = TestApp("shop", "shop-key", "shop-secret-1234")


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


@pytest.fixture
def server(receiver: HookReceiver, tmp_path: Path) -> Iterator[Server]:
    settings = managed()
    settings["admin"]["socket"] = str(tmp_path / "admin.sock")
    settings["circuit_breaker"] = {"enabled": True, "consecutive_failures": 1, "open_ms": 600_000}
    hook = {
        "uid": "wh_a",
        "name": "orders",
        "url": f"{receiver.url}/hook",
        "event_types": ["*"],
        "retry": {"schedule_ms": [10]},
    }
    with running(server_config(app_config(APP, webhooks=[hook]), webhooks=settings), tmp_path) as server:
        yield server


@pytest.fixture(params=["socket", "url"])
def place(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    if request.param == "url":
        return ["--url", f"http://{server.host}:{server.port}"]
    return ["--config", str(_file(server, tmp_path))]


def _file(server: Server, folder: Path) -> Path:
    file = folder / "asked.json"
    file.write_text(json.dumps(server.config))
    return file


def fire(server: Server, name: str) -> None:
    with Api(server, APP) as api:
        body = json.dumps({"event_type": name, "data": {}}).encode()
        assert api.signed("POST", api.path("/webhook_events"), body).status == 202


async def holds(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until a command says so; each takes a good part of a second."""
    end = time.monotonic() + DEADLINE
    while not await condition():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"


async def test_an_endpoint_is_switched_off_and_on(
    server: Server, place: list[str], receiver: HookReceiver, tmp_path: Path
) -> None:
    code, out, err = await command("webhooks", "disable", "orders", *place)
    assert (code, err) == (0, "")
    assert out == "wh_a is disabled: what waits for it stays, and events from now on are not kept for it\n"
    asked = ["--config", str(_file(server, tmp_path))]
    _, out, _ = await command("webhooks", "list", *asked)
    assert " disabled " in out
    code, out, _ = await command("webhooks", "test", "--endpoint", "orders", *asked)
    assert code == 0
    assert "tests go out, events do not" in out
    fire(server, "while.disabled")
    code, out, _ = await command("webhooks", "enable", "wh_a", *place)
    assert (code, out) == (0, "wh_a is enabled\n")
    fire(server, "order.paid")
    receiver.wait_until("/hook", lambda hooks: any(b"order.paid" in one.body for one in hooks), "the event")
    assert not any(b"while.disabled" in one.body for one in receiver.hooks("/hook"))


async def test_list_says_that_a_circuit_is_open(server: Server, receiver: HookReceiver, tmp_path: Path) -> None:
    receiver.answer("/hook", 500)
    fire(server, "order.paid")
    asked = ["--config", str(_file(server, tmp_path))]

    async def listed() -> bool:
        return " circuit open " in (await command("webhooks", "list", *asked))[1]

    receiver.wait_for("/hook", 1)
    await holds(listed, "an open circuit")


async def test_deliveries_are_replayed_by_type_and_counted_first(
    server: Server, place: list[str], receiver: HookReceiver
) -> None:
    for name in ("a.paid", "b.paid", "b.paid"):
        fire(server, name)
    receiver.wait_for("/hook", 3)
    words = ("webhooks", "replay", "orders", "--event-type", "b.paid", "--since", "1h")

    async def counted() -> bool:  # the history is written once a second
        return (await command(*words, "--dry-run", *place))[1] == "2 deliveries would be sent again\n"

    await holds(counted, "two in the history")
    assert (await command(*words, *place))[:2] == (0, "2 deliveries sent again\n")
    came = receiver.wait_for("/hook", 5)
    assert sorted(one.events[0]["name"] for one in came) == ["a.paid", "b.paid", "b.paid", "b.paid", "b.paid"]
    code, _, err = await command("webhooks", "replay", "orders", *place)
    assert (code, err) == (2, "replay: say which: --since, --until, --status or --event-type; or --all\n")


async def test_a_receiver_is_resynced(server: Server, place: list[str], receiver: HookReceiver) -> None:
    async with connected(server, APP) as client:
        await client.subscribe("presence-room", member("1"))
        code, out, err = await command("webhooks", "resync", "orders", *place)
        assert (code, err) == (0, "")
        assert out.startswith("1 channel and 1 member as of 20")
        receiver.wait_until("/hook", lambda hooks: any(b"resync_completed" in one.body for one in hooks), "its end")


async def test_an_endpoint_that_is_not_there_is_a_mistake(server: Server, place: list[str]) -> None:
    for verb in ("enable", "disable", "resync"):
        code, _, err = await command("webhooks", verb, "ordres", *place)
        assert code == 2
        assert "there is no ordres (did you mean orders?); known are: wh_a (orders)" in err
