"""The admin socket of a running server, and ``sockudo-py webhooks`` that asks on it."""

import http.client
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.cli.webhooks.asking import _answered
from sockudo_py.errors import SockudoError
from tests.support.client import connected, eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.server import Server, TestApp, app_config, running, server_config, start

FAILED = "/api/webhooks/queue/failed"
HOOKS = [
    {"uid": "wh_orders", "name": "orders", "event_types": ["channel_occupied"], "retry": {"max_retries": 0}},
    {"uid": "wh_other", "name": "other", "event_types": ["channel_vacated"], "retry": {"max_retries": 0}},
]


def command(server: Server, *words: str) -> tuple[int, str, str]:
    """Run ``sockudo-py webhooks WORDS`` as a process beside the server."""
    path = server.log_path.parent / "config.json"
    done = subprocess.run(
        [sys.executable, "-m", "sockudo_py", "webhooks", *words, "--config", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def ask(path: Path, method: str, target: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("x", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(path))
        connection.request(method, target, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def receiver() -> Iterator[HookReceiver]:
    with HookReceiver() as receiver:
        yield receiver


Configured = Callable[..., dict[str, Any]]


@pytest.fixture
def configured(tmp_path: Path, receiver: HookReceiver) -> Configured:
    """Return a configuration with two endpoints, whose queue is in ``queue.sqlite3`` unless told otherwise."""

    def make(**settings: Any) -> dict[str, Any]:
        hooks = [{**hook, "url": f"{receiver.url}/{hook['name']}"} for hook in HOOKS]
        queue = {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}
        return server_config(app_config(TestApp(), webhooks=hooks), **{"queue": queue, **settings})

    return make


async def three_dead(server: Server, receiver: HookReceiver) -> None:
    """Leave two dead letters of ``orders`` and one of ``other``."""
    receiver.answer("/orders", 500, 500)
    receiver.answer("/other", 500)
    async with connected(server, TestApp()) as client:
        await client.subscribe("c1")
        await client.subscribe("c2")
        await client.unsubscribe("c1")
        await eventually(
            lambda: len(receiver.hooks("/orders")) == 2 and len(receiver.hooks("/other")) == 1, "3 requests"
        )
        await eventually(lambda: "3 shown of 3" in command(server, "failed")[1], "3 dead letters")


@pytest.mark.parametrize("driver", ["sqlite", "memory"])
async def test_dead_letters_are_sent_again_and_deleted_while_the_server_runs(
    tmp_path: Path, configured: Configured, receiver: HookReceiver, driver: str
) -> None:
    settings: dict[str, Any] = {}
    if driver == "memory":
        settings = {"queue": {"driver": "memory"}, "webhooks": {"admin": {"socket": str(tmp_path / "admin.sock")}}}
        settings["webhooks"] |= {"batching": {"enabled": False}, "vacate_delay_ms": 0}
    with running(configured(**settings), tmp_path) as server:
        await three_dead(server, receiver)
        assert command(server, "failed", "--endpoint", "orders")[1].endswith("2 shown of 3 dead letters\n")
        code, out, _ = command(server, "retry", "--endpoint", "orders", "--error", "http_5xx", "--dry-run")
        assert (code, out) == (0, "2 dead letters match; 2 would be sent again\n")
        assert len(receiver.hooks("/orders")) == 2
        code, out, _ = command(server, "retry", "--endpoint", "orders")
        assert (code, out) == (0, "2 sent back for delivery, 1 dead letter left; the server delivers them\n")
        await eventually(lambda: len(receiver.hooks("/orders")) == 4, "both again")
        assert command(server, "purge", "--endpoint", "wh_other", "--yes")[:2] == (0, "1 dead letter deleted\n")
        assert command(server, "failed")[1] == "0 shown of 0 dead letters\n"
        assert "management: 2 dead letters sent again" in server.log()


async def test_the_figures_and_endpoints_are_those_of_the_server(
    tmp_path: Path, configured: Configured, receiver: HookReceiver
) -> None:
    with running(configured(), tmp_path) as server:
        await three_dead(server, receiver)
        figures = json.loads(command(server, "stats", "--json")[1])
        assert (figures["failed"], figures["waiting"]) == (3, 0)
        out = command(server, "list")[1]
        assert "wh_orders  orders  3    enabled" in out
        assert out.endswith("2 endpoints\n")
        assert receiver.url.removeprefix("http://") in out
        assert "/orders" not in out
        assert command(server, "show", "orders")[1].startswith("wh_orders\n")
        [newest, *_] = json.loads(command(server, "failed", "--json")[1])
        assert json.loads(command(server, "show", newest["id"])[1])["job"] == newest
        code, out, err = command(server, "retry", newest["id"], "--id", "dl_misspelt")
        assert (code, out.split(",")[0]) == (1, "1 sent back for delivery")
        assert err == "DELIVERY: 1 of 2 are no dead letters here, or no longer\n"


async def test_mistakes_are_named_and_change_nothing(
    tmp_path: Path, configured: Configured, receiver: HookReceiver
) -> None:
    with running(configured(), tmp_path) as server:
        await three_dead(server, receiver)
        for words, complaint in (
            (["--endpoint", "odrers"], "--endpoint: there is no odrers (did you mean orders?); known are: wh_orders"),
            (["--endpoint", "wh_orders", "--app", "4"], "--app: no endpoint and no dead letter is of 4; known are: 3"),
            (["--error", "http_500"], "--error: there is no http_500 (did you mean http_5xx?)"),
            (["--since", "yesterday"], "--since: 'yesterday' is no time"),
        ):
            for verb in (["failed"], ["retry", "--all"], ["purge", "--yes"]):
                code, out, err = command(server, *verb, *words)
                assert (code, out) == (2, ""), (verb, words)
                assert complaint in err
        assert command(server, "purge", "--yes")[0] == 2
        assert len(receiver.hooks("/orders")) == 2
        assert "3 shown of 3" in command(server, "failed")[1]


async def test_the_same_works_when_no_server_runs(
    tmp_path: Path, configured: Configured, receiver: HookReceiver
) -> None:
    with running(configured(), tmp_path) as server:
        await three_dead(server, receiver)
    assert not (tmp_path / "queue.sqlite3.sock").exists()
    assert "2 shown of 3" in command(server, "failed", "--endpoint", "orders")[1]
    code, out, _ = command(server, "retry", "--endpoint", "orders")
    assert (code, out) == (0, "2 sent back for delivery, 1 dead letter left; a running server delivers them\n")
    assert "TAKES" not in command(server, "stats")[1], "nobody knows how long attempts take"
    with running(configured(), tmp_path):
        await eventually(lambda: len(receiver.hooks("/orders")) == 4, "both again")


# -- the socket


def test_it_is_for_the_servers_user_alone_and_gone_with_the_server(tmp_path: Path, configured: Configured) -> None:
    path = tmp_path / "queue.sqlite3.sock"
    with running(configured(), tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert ask(path, "GET", FAILED) == (200, {"failed": [], "next_cursor": None})
        assert ask(path, "DELETE", FAILED, b"[1]")[0] == 400
        assert ask(path, "DELETE", FAILED, b"{")[0] == 400
        assert ask(path, "DELETE", FAILED, b'{"webhokId":"x"}')[0] == 422
        assert ask(path, "DELETE", FAILED, b'"' + b"x" * 300_000 + b'"')[0] == 413
        assert ask(path, "PUT", FAILED)[0] == 405
        assert ask(path, "GET", "/api/webhooks/nothing/at/all")[0] == 404
    assert not path.exists()


def test_that_of_a_killed_server_is_replaced(tmp_path: Path, configured: Configured) -> None:
    path = tmp_path / "queue.sqlite3.sock"
    server = start(configured(), tmp_path)
    server.kill()
    assert path.exists()
    assert command(server, "failed")[:2] == (0, "0 shown of 0 dead letters\n"), "a dead socket is no server"
    with running(configured(), tmp_path) as again:
        assert command(again, "failed")[:2] == (0, "0 shown of 0 dead letters\n")


def test_a_path_longer_than_a_socket_may_have_works_all_the_same(tmp_path: Path, configured: Configured) -> None:
    folder = tmp_path / ("d" * 120) / ("e" * 120)
    queue = {"driver": "sqlite", "sqlite": {"path": str(folder / "queue.sqlite3")}}
    with running(configured(queue=queue), tmp_path) as server:
        assert (folder / "queue.sqlite3.sock").is_socket()
        assert command(server, "retry")[0] == 0
    assert not (folder / "queue.sqlite3.sock").exists()


def test_what_lies_in_its_place_is_left_alone_and_the_server_starts_without(
    tmp_path: Path, configured: Configured
) -> None:
    path = tmp_path / "queue.sqlite3.sock"
    path.write_text("mine")
    with running(configured(), tmp_path) as server:
        assert "the file is there and is no socket" in server.log()
        code, _, err = command(server, "retry")
        assert code == 1
        assert "is no socket" in err
    assert path.read_text() == "mine"


def test_two_servers_can_not_have_the_same_and_the_second_says_so(tmp_path: Path, configured: Configured) -> None:
    memory = {"driver": "memory"}
    admin = {"admin": {"socket": str(tmp_path / "admin.sock")}}
    with running(configured(queue=memory, webhooks=admin), tmp_path / "first") as first:
        with pytest.raises(AssertionError, match=r"webhooks\.admin\.socket: .*a running server uses it"):
            start(configured(queue=memory, webhooks=admin), tmp_path / "second")
        assert command(first, "failed")[0] == 0


def test_a_queue_in_memory_without_a_socket_says_what_to_set(tmp_path: Path, configured: Configured) -> None:
    with running(configured(queue={"driver": "memory"}), tmp_path) as server:
        code, out, err = command(server, "failed")
        assert (code, out) == (2, "")
        assert "set webhooks.admin.socket to a path" in err


def test_a_socket_of_somebody_else_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may write to the folder can put a socket there, and answer what he likes."""
    path = tmp_path / "queue.sqlite3.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert _answered(path)
        if os.geteuid() == 0:
            os.chown(path, 4321, 4321)
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
        with pytest.raises(SockudoError, match="belongs to another user"):
            _answered(path)
