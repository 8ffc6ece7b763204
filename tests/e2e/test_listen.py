"""``sockudo-py listen``: events reach a receiver that the server can't reach, whatever is killed meanwhile."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.receiver import verify
from tests.support.client import connected, eventually
from tests.support.hook_receiver import Hook, HookReceiver
from tests.support.listening import APP, NAME, Listener, feeding, raised
from tests.support.management import ask
from tests.support.ports import free_port
from tests.support.server import Server, running, start


def sqlite(folder: Path) -> dict[str, Any]:
    return {"driver": "sqlite", "sqlite": {"path": str(folder / "queue.sqlite3")}}


def numbers(hooks: list[Hook]) -> list[int]:
    """Return the numbers of the events in genuine requests, in order, without what came again."""
    found: list[int] = []
    seen: set[str] = set()
    for hook in hooks:
        delivery = verify(hook.body, dict(hook.headers), keys={APP.key: APP.secret})
        assert delivery.id is not None
        if delivery.id not in seen:
            seen.add(delivery.id)
            found += [event["data"]["number"] for event in delivery.events if "data" in event]
    return found


async def test_a_join_is_forwarded_as_the_server_would_send_it(tmp_path: Path) -> None:
    with HookReceiver() as receiver, running(feeding(sqlite(tmp_path)), tmp_path) as server:
        listener = Listener(server, tmp_path, "--forward", f"{receiver.url}/hook?a=1")
        listener.says("forwarded to")
        async with connected(server, APP) as client:
            await client.subscribe("room")
            await eventually(lambda: len(receiver.hooks("/hook?a=1")) == 1, "a request")
        [hook] = receiver.hooks("/hook?a=1")[:1]
        delivery = verify(hook.body, dict(hook.headers), keys={APP.key: APP.secret})
        assert [event["name"] for event in delivery.events] == ["channel_occupied"]
        assert hook.header("Content-Type") == "application/json"
        assert hook.header("X-Sockudo-Delivery-Id") == delivery.id
        listener.says("200 channel_occupied (1 event, ")
        assert listener.interrupt() == 0
        assert "Traceback" not in listener.log()
        assert "ended; " in listener.log()


def test_what_the_receiver_refuses_is_sent_again_in_order_and_signed_anew(tmp_path: Path) -> None:
    with HookReceiver() as receiver, running(feeding(sqlite(tmp_path)), tmp_path) as server:
        receiver.answer("/hook", 500, 200, 404)
        listener = Listener(server, tmp_path, "--forward", f"{receiver.url}/hook", "--events", "order.made")
        listener.says("forwarded to")
        raised(server, 1)
        listener.says("500 order.made (1 event, ")
        raised(server, 2)
        hooks = receiver.wait_for("/hook", 4)
        assert numbers(hooks) == [1, 2]
        assert hooks[0].body == hooks[1].body
        listener.says("it is sent again in 1 s (failure 1)")
        listener.kill()


def test_one_webhook_is_made_reused_and_deleted(tmp_path: Path) -> None:
    with HookReceiver() as receiver, running(feeding(sqlite(tmp_path)), tmp_path) as server:
        forward = ("--forward", f"{receiver.url}/hook")
        for words in (("--events", "order.made"), ("--profile", "standard"), ()):
            listener = Listener(server, tmp_path, *forward, *words)
            listener.says("forwarded to")
            assert listener.interrupt() == 0
            assert ("signing secret" in listener.log()) == ("--profile" in words)
        [webhook] = ask(server, "GET", "/apps/3/webhooks").json["webhooks"]
        assert (webhook["name"], webhook["events"], webhook["profile"]) == (NAME, ["order.made"], "standard")
        second = Listener(server, tmp_path, *forward)
        second.says("forwarded to")
        third = Listener(server, tmp_path, *forward)
        assert second.process.wait(30) == 1
        assert "another reader has begun to read this feed" in second.log()
        gone = Listener(server, tmp_path, "--delete")
        assert gone.process.wait(30) == 0
        assert third.process.wait(30) == 1
        assert "there is no webhook" in third.log()
        assert ask(server, "GET", "/apps/3/webhooks").json["webhooks"] == []


def test_what_happens_while_it_is_away_arrives_in_order(tmp_path: Path) -> None:
    """An hour offline is as long as a second, but for the leases; these are shorter than the time away here."""
    queue = sqlite(tmp_path)
    queue["reliability"] = {"lease_duration_ms": 1000, "lease_renew_interval_ms": 300, "shutdown_timeout_ms": 500}
    with running(feeding(queue), tmp_path) as server:
        port = free_port()
        words = ("--forward", f"http://127.0.0.1:{port}/hook", "--events", "order.made")
        listener = Listener(server, tmp_path, *words)
        listener.says("forwarded to")
        raised(server, 0)
        listener.says("the receiver gives no answer")  # nobody listens there yet
        listener.kill()
        for number in range(1, 60):
            raised(server, number)
        time.sleep(3)  # the time away: beyond the lease of what it had read
        with HookReceiver(port) as receiver:
            again = Listener(server, tmp_path, *words)
            end = time.monotonic() + 60
            while len(numbers(receiver.hooks("/hook"))) < 60:
                assert time.monotonic() < end, again.log()
                time.sleep(0.05)  # polls, with a deadline
            assert numbers(receiver.hooks("/hook")) == list(range(60))
            assert again.interrupt() == 0


@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_of_either_side_lose_nothing_and_keep_the_order(tmp_path: Path, rounds: int) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    config = feeding(sqlite(tmp_path))
    with HookReceiver() as receiver:
        words = ("--forward", f"{receiver.url}/hook", "--events", "order.made")
        server = start(config, tmp_path / "start")
        ports = (server.port, server.metrics_port)
        listener = Listener(server, tmp_path, *words)
        listener.says("forwarded to")
        sent = 0
        try:
            for round_ in range(rounds):
                for _ in range(dice.randrange(5, 25)):
                    raised(server, sent)
                    sent += 1
                time.sleep(dice.uniform(0, 0.3))  # a kill at any moment
                if dice.random() < 0.5 or round_ == 0:
                    server.kill()
                    server = start(config, tmp_path / f"start-{round_}", ports=ports)
                if dice.random() < 0.5 or round_ == 1:
                    listener.kill()
                    listener = Listener(server, tmp_path, *words)
            end = time.monotonic() + 60
            while len(numbers(receiver.hooks("/hook"))) < sent:
                assert time.monotonic() < end, f"{numbers(receiver.hooks('/hook'))} of {sent}:\n{listener.log()}"
                time.sleep(0.05)  # polls, with a deadline
            assert numbers(receiver.hooks("/hook")) == list(range(sent)), f"seed {seed}"
            assert listener.interrupt() == 0
            failed = ask(server, "GET", "/api/webhooks/queue/failed").json["failed"]
            assert failed == []
        finally:
            listener.kill()
            _end(server)


def _end(server: Server) -> None:
    server.terminate()
    server.process.wait(30)
