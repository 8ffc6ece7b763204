"""F12, F40, F42 to F46: jobs that are wrong, many, large; endpoints that change under them; operators at work."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sockudo_py.endpoints import Batching, RetryPolicy, Secret
from sockudo_py.protocol.app import AppKey
from sockudo_py.protocol.signatures import sign
from sockudo_py.queues.redis.queue import RedisQueue
from tests.faults.harness import (
    APP,
    PREFIX,
    QUICK,
    Stage,
    assert_duplicates_alike,
    assert_nothing_lost,
    numbers,
    staged,
    until,
)
from tests.support.receiver import Answer, Received, Receiver
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis

NEVER = RetryPolicy(schedule=())


async def test_F12_a_410_disables_an_endpoint_that_asks_for_it_and_keeps_what_waits() -> None:
    fields: dict[str, Any] = {"retry": QUICK, "disable_on_410": True, "max_in_flight": 1}
    async with staged(fields) as stage:
        stage.receiver.script(Answer(410))
        stage.send(1, 3)
        await stage.attempted(1)
        await until(lambda: not stage.service.worker.tokens, "the worker to be idle")
        assert len(stage.receiver.received) == 1
        (dead,) = await stage.dead()
        assert dead["error"]["status"] == 410
        assert (await stage.queue.depths()).waiting == 2


BAD = {
    "malformed": (b"this is no job", "poison"),
    "no-events": (b'{"v":1,"id":"x","ep":"wh_1","kind":"webhook","app":"app-1","created_ms":1,"events":7}', "poison"),
    "version": (b'{"v":99,"id":"x","ep":"wh_1","kind":"webhook","app":"app-1","created_ms":1,"events":[{}]}', "poison"),
    "unknown-endpoint": (
        b'{"v":1,"id":"x","ep":"wh_gone","kind":"webhook","app":"app-1","created_ms":1,"events":[{"data":"7"}]}',
        "endpoint_deleted",
    ),
    "missing-app": (
        b'{"v":1,"id":"x","ep":"wh_none","kind":"webhook","app":"no-app","created_ms":1,"events":[{"data":"7"}]}',
        "endpoint_deleted",
    ),
}


@pytest.mark.parametrize("name", list(BAD))
async def test_F40_a_bad_job_pushed_by_hand_is_a_dead_letter_and_the_queue_goes_on(
    private_redis: RedisServer, name: str
) -> None:
    text, expected = BAD[name]
    async with staged(queue=RedisQueue(private_redis.url), worker={"unknown_grace": 0.0}) as stage:
        private_redis.cli("lpush", f"{PREFIX}default", text)
        stage.send(1, 5)
        await stage.receiver.wait_for(5)
        await stage.settled()
        (dead,) = await stage.dead()
        assert dead["error"]["class"] == expected
        assert sorted(numbers(stage.receiver.received)) == [1, 2, 3, 4, 5]


@pytest.mark.slow
async def test_F42_a_hundred_thousand_events_in_one_window_come_in_batches_and_in_order() -> None:
    count = 100_000
    batching = Batching(duration=0.05, size=100, max_bytes=20_000)
    async with staged({"batching": batching, "ordering": "endpoint"}) as stage:
        for start in range(0, count, 1000):
            stage.send(start, 1000)
            if stage.service.dispatcher.waiting > 50_000:
                await asyncio.sleep(0)
        assert stage.service.dispatcher.waiting <= 100_000
        await stage.receiver.until(lambda: len(stage.receiver.received) >= count // 100, timeout=180)
        await stage.settled(180)
        got = numbers(stage.receiver.received)
        assert got == list(range(count))
        assert all(len(request.json()["events"]) <= 100 for request in stage.receiver.received)
        assert all(len(request.body) <= 20_000 + 200 for request in stage.receiver.received)


async def test_F43_an_event_that_is_too_large_is_dead_and_the_rest_of_its_batch_is_sent() -> None:
    batching = Batching(duration=0.05)
    async with staged({"batching": batching}, worker={"max_payload_bytes": 20_000}) as stage:
        stage.send(1, 3)
        stage.send(4, data=" " + "x" * 30_000)
        stage.send(5, 3)
        await stage.receiver.until(lambda: len(numbers(stage.receiver.received)) == 6)
        await stage.settled()
        assert sorted(numbers(stage.receiver.received)) == [1, 2, 3, 5, 6, 7]
        (dead,) = await stage.dead()
        assert dead["error"]["class"] == "too_large"


SLOWLY: dict[str, Any] = {"max_in_flight": 1, "request_timeout": 120.0, "retry": NEVER}


@asynccontextmanager
async def queued(stage: Stage, count: int) -> AsyncIterator[None]:
    """Get ``count`` events into the queue behind one request, which fails when the block has ended."""
    done = asyncio.Event()
    stage.receiver.script(Answer(500, after=done))
    stage.send(0, count + 1)
    await stage.receiver.wait_for(1)
    await until(lambda: len(stage.taken) == count + 1, "the queue to take them")
    assert (await stage.queue.depths()).waiting == count
    yield
    done.set()


async def test_F44_the_jobs_of_a_deleted_endpoint_are_all_dead_letters() -> None:
    async with staged(SLOWLY) as stage:
        async with queued(stage, 500):
            stage.service.replace(APP, "config", [])
        await stage.settled()
        dead = await stage.dead()
        assert len(dead) == 501
        assert {one["error"]["class"] for one in dead} == {"endpoint_deleted"}
        assert sorted(int(event["data"]) for one in dead for event in one["events"]) == list(range(501))


async def test_F44_the_jobs_of_a_disabled_endpoint_are_held_and_delivered_when_it_is_enabled() -> None:
    async with staged(SLOWLY) as stage:
        async with queued(stage, 500):
            stage.service.replace(APP, "config", [stage.hook(enabled=False, **SLOWLY)])
        await stage.attempted(1)
        await until(lambda: not stage.service.worker.tokens, "the worker to be idle")
        assert (await stage.queue.depths()).waiting == 500
        stage.service.replace(APP, "config", [stage.hook(**SLOWLY)])
        await stage.receiver.until(lambda: set(numbers(stage.receiver.received)) == set(range(501)))


async def test_F44_after_a_change_of_the_url_what_waits_goes_to_the_new_one() -> None:
    async with Receiver() as moved, staged(SLOWLY) as stage:
        async with queued(stage, 500):
            stage.service.replace(APP, "config", [stage.hook(url=moved.url("/new"), **SLOWLY)])
        await moved.until(lambda: set(numbers(moved.received)) == set(range(1, 501)))
        assert len(stage.receiver.received) == 1


async def test_F45_an_operators_rpoplpush_under_load_redelivers_each_dead_letter(private_redis: RedisServer) -> None:
    queue = RedisQueue(private_redis.url)
    async with staged({"retry": NEVER}, queue=queue) as stage:
        stage.receiver.script(*[Answer(500)] * 10)
        assert private_redis.cli("rpoplpush", f"{PREFIX}failed", f"{PREFIX}default") is None  # nothing there: harmless
        stage.send(0, 10)
        await stage.attempted(10)
        await stage.settled()
        failed = [int(one["events"][0]["data"]) for one in await stage.dead()]
        assert sorted(failed) == list(range(10))
        stage.send(10, 100)
        for _ in range(12):  # twice more than there are
            await asyncio.to_thread(private_redis.cli, "rpoplpush", f"{PREFIX}failed", f"{PREFIX}default")
        await stage.receiver.until(lambda: len(stage.receiver.received) == 120)
        await stage.settled()
        assert await stage.dead() == []
        again = [got for got in stage.receiver.received[10:] if number(got) in range(10)]
        assert sorted(number(got) for got in again) == list(range(10))
        assert {got.headers["x-sockudo-attempt"] for got in again} == {"1"}
        assert_duplicates_alike(stage.receiver.received)
        assert_nothing_lost(range(110), stage.receiver.received)


def number(got: Received) -> int:
    (only,) = numbers([got])
    return only


OLD, NEW = "the-secret-of-yesterday", "the-secret-of-today"


async def test_F46_jobs_from_before_a_rotation_are_signed_with_both_secrets() -> None:
    async with staged({**SLOWLY, "profile": "realcast", "secrets": (Secret(OLD),)}) as stage:
        async with queued(stage, 1):
            secrets = (Secret(NEW), Secret(OLD, time.time() + 3600))
            stage.service.replace(APP, "config", [stage.hook(**{**SLOWLY, "profile": "realcast", "secrets": secrets})])
        _, got = await stage.receiver.wait_for(2)
        assert got.headers["x-realcast-signature"] == "sha256=" + sign(NEW.encode(), got.body)
        assert got.headers["x-realcast-signature-previous"] == "sha256=" + sign(OLD.encode(), got.body)


async def test_F46_the_oldest_active_key_of_an_app_signs_what_was_queued_before_it_was_the_oldest() -> None:
    async with staged({**SLOWLY, "app_keys": (AppKey("old", b"o"), AppKey("new", b"n"))}) as stage:
        async with queued(stage, 1):
            stage.service.replace(APP, "config", [stage.hook(**{**SLOWLY, "app_keys": (AppKey("new", b"n"),)})])
        first, got = await stage.receiver.wait_for(2)
        assert first.headers["x-pusher-key"] == "old"
        assert (got.headers["x-pusher-key"], got.headers["x-pusher-signature"]) == ("new", sign(b"n", got.body))
