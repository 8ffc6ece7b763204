"""A feed of several servers over one Redis: its reader moves from one to the other, and they die."""

import random
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_feeds import numbers
from tests.support.hook_receiver import HookReceiver
from tests.support.listening import Listener, feeding, made_feed, raised, read
from tests.support.management import ask
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.server import Config, Server, start

ROUNDS = 6


@pytest.fixture
def config(redis_server: RedisServer) -> Config:
    redis = {"url_override": redis_server.url, "prefix": f"feeds-{secrets.token_hex(6)}:"}
    return feeding({"driver": "redis", "redis": redis})


@pytest.fixture
def two(config: Config, tmp_path: Path) -> Iterator[list[Server]]:
    servers = [start(config, tmp_path / name) for name in ("one", "two")]
    yield servers
    for server in servers:
        server.kill()


def known(server: Server, uid: str) -> None:
    """Wait until a server knows an endpoint that another one has made."""
    end = time.monotonic() + 30
    while ask(server, "GET", f"/api/webhooks/{uid}").status != 200:
        assert time.monotonic() < end
        time.sleep(0.02)  # polls, with a deadline


def test_a_reader_that_moves_between_servers_misses_nothing_and_keeps_the_order(two: list[Server]) -> None:
    uid = made_feed(two[0], batching={"enabled": False})
    known(two[1], uid)
    sent, found, cursor = 0, list[int](), None
    for round_ in range(ROUNDS):
        for server in two:
            raised(server, sent)
            sent += 1
        page = read(two[round_ % 2], uid, cursor, limit=3).json
        found += numbers(page)
        cursor = page["cursor"]
    while found != list(range(sent)):
        page = read(two[sent % 2], uid, cursor, timeout=10).json
        assert page["items"], f"missing after {found}"
        found += numbers(page)
        cursor = page["cursor"]
    for server in two:  # what was acknowledged on one is gone on both
        assert read(server, uid, cursor).json["items"] == []
        cursor = None


def test_what_was_read_on_a_server_that_dies_comes_again_on_the_other(two: list[Server]) -> None:
    uid = made_feed(two[0], batching={"enabled": False})
    known(two[1], uid)
    for number in range(5):
        raised(two[number % 2], number)
    page = read(two[0], uid).json
    assert numbers(page) == [0, 1, 2, 3, 4]
    two[0].kill()
    raised(two[1], 5)
    later = read(two[1], uid, page["items"][1]["cursor"]).json
    assert numbers(later) == [2, 3, 4, 5], "two were acknowledged, three were read by nobody who lives"
    assert numbers(read(two[1], uid, later["cursor"]).json) == []


def test_kills_of_servers_and_of_listen_lose_nothing(config: Config, two: list[Server], tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    sent = 0
    with HookReceiver() as receiver:
        words = ("--forward", f"{receiver.url}/hook", "--events", "order.made")
        listener = Listener(two[0], tmp_path, *words)
        listener.says("forwarded to")
        (webhook,) = ask(two[0], "GET", "/apps/3/webhooks").json["webhooks"]
        known(two[1], webhook["uid"])
        for round_ in range(3):
            at = dice.randrange(2)
            for _ in range(dice.randrange(5, 15)):
                raised(two[dice.randrange(2)], sent)
                sent += 1
            two[at].kill()
            listener.kill()
            two[at] = start(config, tmp_path / f"again-{round_}")
            known(two[at], webhook["uid"])
            listener = Listener(two[dice.randrange(2)], tmp_path, *words)
            listener.says("forwarded to")

        def heard() -> list[int]:
            return [event["data"]["number"] for hook in receiver.hooks("/hook") for event in hook.events]

        end = time.monotonic() + 60
        while set(heard()) != set(range(sent)):
            assert time.monotonic() < end, f"seed {seed}: {sorted(set(range(sent)) - set(heard()))} are missing"
            time.sleep(0.05)  # polls, with a deadline
        listener.kill()
    first = list(dict.fromkeys(heard()))
    assert first == list(range(sent)), f"seed {seed}: not in order"
