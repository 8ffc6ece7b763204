"""Feeds of a running server: webhooks whose receiver reads them, over every queue that has them."""

import asyncio
import base64
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.receiver import verify
from tests.support.client import connected
from tests.support.hook_receiver import HookReceiver
from tests.support.listening import APP, feeding, made_feed, raised, read
from tests.support.management import ask
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.server import Server, running, start


def queue_of(driver: str, folder: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    if driver == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        return {"driver": "redis", "redis": {"url_override": redis.url, "prefix": f"feeds-{secrets.token_hex(6)}:"}}
    return {"driver": driver, "sqlite": {"path": str(folder / "queue.sqlite3")}}


@pytest.fixture(params=["sqlite", "redis"])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """A queue that outlives the server."""
    return queue_of(request.param, tmp_path, request)


@pytest.fixture(scope="module", params=["memory", "sqlite", "redis"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with running(feeding(queue_of(request.param, folder, request)), folder) as server:
        yield server


def numbers(page: Any) -> list[int]:
    """Return the numbers of the events on a page, whose signatures must be right."""
    found = []
    for item in page["items"]:
        for request in item["requests"]:
            body = request["body"].encode()
            delivery = verify(body, dict(request["headers"]), keys={APP.key: APP.secret})
            found += [event["data"]["number"] for event in delivery.events]
    return found


async def test_a_join_is_read_signed_and_gone_once_it_is_acknowledged(server: Server) -> None:
    uid = made_feed(server, event_types=["channel_occupied"])
    with ThreadPoolExecutor(1) as pool:
        waiting = asyncio.get_running_loop().run_in_executor(pool, lambda: read(server, uid, timeout=30))
        async with connected(server, APP) as client:
            await client.subscribe("room")
            said = await waiting
    assert said.status == 200
    [item] = said.json["items"]
    [request] = item["requests"]
    delivery = verify(request["body"].encode(), dict(request["headers"]), keys={APP.key: APP.secret})
    assert [(event["name"], event["channel"]) for event in delivery.events] == [("channel_occupied", "room")]
    again = read(server, uid, said.json["start"])
    assert again.json["items"][0]["delivery_id"] == item["delivery_id"], "it was not acknowledged"
    then = read(server, uid, item["cursor"])
    assert item["delivery_id"] not in [one["delivery_id"] for one in then.json["items"]]
    shown = ask(server, "GET", f"/api/webhooks/{uid}/deliveries?status=delivered")
    while not shown.json["deliveries"]:
        shown = ask(server, "GET", f"/api/webhooks/{uid}/deliveries?status=delivered")
    assert shown.json["deliveries"][0]["id"] == item["delivery_id"]


def test_it_comes_in_order_and_limit_and_cursors_of_items_count(server: Server) -> None:
    uid = made_feed(server, batching={"enabled": False})
    for number in range(6):
        raised(server, number)
    page = read(server, uid, limit=4).json
    assert numbers(page) == [0, 1, 2, 3]
    page = read(server, uid, page["items"][1]["cursor"], limit=3).json
    assert numbers(page) == [2, 3, 4]
    old = page["items"][0]["cursor"]
    page = read(server, uid, page["cursor"]).json
    assert numbers(page) == [5]
    page = read(server, uid, old).json
    assert numbers(page) == [5], "an old cursor acknowledges nothing more"
    page = read(server, uid, page["cursor"]).json
    assert numbers(page) == []
    assert read(server, uid, page["cursor"]).json["items"] == []


def test_a_kill_between_reading_and_acknowledging_loses_nothing_and_an_acknowledgement_lasts(
    queue: dict[str, Any], tmp_path: Path
) -> None:
    config = feeding(queue)
    server = start(config, tmp_path / "first")
    ports = (server.port, server.metrics_port)
    uid = made_feed(server, batching={"enabled": False})
    for number in range(4):
        raised(server, number)
    page = read(server, uid).json
    assert numbers(page) == [0, 1, 2, 3]
    server.kill()
    with running(config, tmp_path / "second", ports=ports) as server:
        later = read(server, uid, page["items"][1]["cursor"])
        assert numbers(later.json) == [2, 3], "the cursor of before the kill counts"
        server.kill()
    with running(config, tmp_path / "third", ports=ports) as server:
        assert numbers(read(server, uid).json) == [2, 3]


def test_past_its_bound_the_oldest_become_dead_letters(server: Server) -> None:
    uid = made_feed(server, feed={"max_events": 3})
    for number in range(8):
        raised(server, number)
    page = read(server, uid).json
    assert numbers(page) == [5, 6, 7]
    failed = ask(server, "GET", f"/api/webhooks/queue/failed?webhookId={uid}").json["failed"]
    assert {one["error"]["class"] for one in failed} == {"expired"}
    assert "more than 3 events" in failed[0]["error"]["message"]


def test_what_nobody_reads_in_time_becomes_a_dead_letter(server: Server) -> None:
    uid = made_feed(server, feed={"retention_s": 1})
    raised(server, 1)
    end = time.monotonic() + 30
    while not (failed := ask(server, "GET", f"/api/webhooks/queue/failed?webhookId={uid}").json["failed"]):
        assert time.monotonic() < end
        time.sleep(0.05)  # polls, with a deadline
    assert failed[0]["error"]["class"] == "expired"
    assert read(server, uid).json["items"] == []
    retried = ask(server, "POST", "/api/webhooks/queue/retry-failed", {"webhookId": uid})
    assert retried.json == {"retried": 1}


def test_a_new_reader_takes_the_feed_over_and_the_old_one_is_told(server: Server) -> None:
    uid = made_feed(server, batching={"enabled": False})
    raised(server, 0)
    raised(server, 1)
    first = read(server, uid).json
    second = read(server, uid).json
    assert numbers(second) == numbers(first) == [0, 1]
    late = read(server, uid, first["items"][0]["cursor"])
    assert (late.status, late.code) == (409, "feed_taken")
    assert numbers(read(server, uid, second["start"]).json) == [1], "what it acknowledged counts"
    empty = read(server, uid, second["cursor"]).json
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(read, server, uid, empty["cursor"], timeout=30)
        end = time.monotonic() + 30
        while not waiting.done():
            assert time.monotonic() < end
            read(server, uid)
        assert (waiting.result().status, waiting.result().code) == (409, "feed_taken")


def test_every_alias_reads_it_and_no_other_key(server: Server) -> None:
    uid = made_feed(server)
    number = ask(server, "GET", f"/api/webhooks/{uid}").json["number"]
    for path in (f"/api/webhooks/{uid}", f"/v1/webhooks/{number}", f"/apps/3/webhooks/{uid}"):
        assert ask(server, "GET", f"{path}/feed").status == 200, path
        assert ask(server, "GET", f"{path}/feed", key="key-of-4").status == 404
        assert ask(server, "GET", f"{path}/feed", key=None).status == 401
    for query in ("after=x", f"after={base64.b64encode(b'1.z.1.1.a').decode()}", "limit=0", "timeout=61", "afterr=1"):
        assert ask(server, "GET", f"/api/webhooks/{uid}/feed?{query}").status == 422, query
    other = ask(server, "POST", "/apps/3/webhooks", {"url": "http://127.0.0.1:9/", "event_types": []}).json["uid"]
    said = ask(server, "GET", f"/api/webhooks/{other}/feed")
    assert (said.status, said.code) == (409, "not_a_feed")
    both = ask(server, "POST", "/apps/3/webhooks", {"url": "http://127.0.0.1:9/", "feed": {}})
    assert both.status == 422
    assert ask(server, "POST", f"/api/webhooks/{uid}/test").status == 409


def test_a_disabled_feed_keeps_what_it_has(server: Server) -> None:
    uid = made_feed(server)
    raised(server, 1)
    assert ask(server, "POST", f"/api/webhooks/{uid}/disable").status == 200
    said = read(server, uid)
    assert (said.status, said.code) == (409, "not_readable")
    assert ask(server, "POST", f"/api/webhooks/{uid}/enable").status == 200
    assert numbers(read(server, uid).json) == [1]


def test_a_url_in_place_of_the_feed_gets_what_waited(server: Server) -> None:
    uid = made_feed(server)
    raised(server, 1)
    with HookReceiver() as receiver:
        changed = ask(server, "PATCH", f"/api/webhooks/{uid}", {"url": f"{receiver.url}/hook"})
        assert (changed.status, changed.json.get("feed")) == (200, None)
        receiver.wait_for("/hook", 1)
        assert ask(server, "PATCH", f"/api/webhooks/{uid}", {"feed": {}}).json["feed"]["max_events"] == 100000


def test_a_reader_that_waits_does_not_hold_up_a_stop(queue: dict[str, Any], tmp_path: Path) -> None:
    with running(feeding(queue), tmp_path) as server, ThreadPoolExecutor(1) as pool:
        uid = made_feed(server)
        waiting = pool.submit(read, server, uid, timeout=60)
        with pytest.raises(TimeoutError):
            waiting.result(1.0)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 10
        assert waiting.result(5).status == 200
