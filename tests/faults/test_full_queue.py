"""Dead endpoints fill what they may of the queue; everybody else goes on, and nothing of theirs is lost either."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from sockudo_py.endpoints import RetryPolicy
from sockudo_py.queues.base import Queue
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.queues.redis.queue import RedisQueue
from sockudo_py.queues.sqlite.queue import SqliteQueue
from sockudo_py.webhooks.intake import dispatcher, full_lanes
from sockudo_py.webhooks.spool.memory import SpoolLimits
from tests.faults.harness import (
    Stage,
    assert_duplicates_alike,
    assert_nothing_lost,
    numbers,
    staged,
    stored_in_redis,
    until,
)
from tests.support.receiver import Answer, Hang
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix
from tests.support.spool import spooled

BOUND = 60
WAIT = 120.0  # seconds after which a full lane is asked again
STUBBORN = RetryPolicy(schedule=(0.2,) * 100)  # a dead endpoint's jobs stay in the queue
DEAD = {"app_id": "dead-app", "request_timeout": 0.3, "retry": STUBBORN}


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], Queue]:
    """Makes a queue of this driver with a bound."""

    def queue(bound: int) -> Queue:
        if request.param == "memory":
            return MemoryQueue(max_queue_len=bound)
        if request.param == "sqlite":
            return SqliteQueue(tmp_path / "queue.sqlite3", max_queue_len=bound)
        server: RedisServer = request.getfixturevalue("redis_server")
        return RedisQueue(server.url, prefix=request.getfixturevalue("unique_prefix"), max_queue_len=bound)

    return queue


@pytest.fixture
def queue(make: Callable[[int], Queue]) -> Queue:
    return make(BOUND)


@asynccontextmanager
async def a_full_lane(queue: Queue, dead: Any, **options: Any) -> AsyncIterator[Stage]:
    """A stage on which the endpoint at /dead has had 200 events and the queue refuses more of them."""
    async with staged(
        {"uid": "wh_dead", "path": "/dead", **DEAD},
        {"uid": "wh_good", "path": "/good", "app_id": "good-app"},
        queue=queue,
        **options,
    ) as stage:
        stage.receiver.script(path="/dead", then=dead)
        stage.send(0, 200, "dead-app")
        await until(lambda: stage.value("webhook_enqueue_failures_total", "full") > 0, "a refusal")
        yield stage


def arrived(stage: Stage, path: str) -> list[int]:
    return numbers(stage.receiver.at(path))


@pytest.mark.parametrize("dead", [Hang(), Answer(500)], ids=["hung", "500"])
async def test_events_of_another_app_arrive_at_once_while_a_dead_endpoint_has_its_lane_full(
    queue: Queue, dead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (dispatcher, full_lanes):  # so long that no slow machine is taken for a wait
        monkeypatch.setattr(module, "FIRST_WAIT", WAIT)
        monkeypatch.setattr(module, "LONGEST_WAIT", WAIT)
    async with a_full_lane(queue, dead) as stage:
        slowest = 0.0
        for number in range(1000, 1020):
            started = time.monotonic()
            stage.send(number, 1, "good-app")
            await stage.receiver.wait_for(number - 999, "/good")
            slowest = max(slowest, time.monotonic() - started)
        assert arrived(stage, "/good") == list(range(1000, 1020))
        assert slowest < WAIT / 2, "it waited for the full lane"
        assert stage.value("webhook_spool_lane_events", "wh_dead") > 100
        depths = await queue.depths()
        assert depths.waiting + depths.active + depths.delayed <= BOUND


async def test_a_burst_for_a_healthy_endpoint_passes_a_full_lane(queue: Queue) -> None:
    async with a_full_lane(queue, Hang()) as stage:
        stage.send(1000, 300, "good-app")
        await until(lambda: len(arrived(stage, "/good")) >= 300, "the burst")
        assert sorted(arrived(stage, "/good")) == list(range(1000, 1300))


async def test_a_repaired_endpoint_gets_all_that_it_missed(queue: Queue) -> None:
    async with a_full_lane(queue, Answer(500)) as stage:
        stage.receiver.script(path="/dead", then=Answer(200))
        await until(lambda: set(range(200)) <= set(stage.taken), "all are taken")
        await stage.settled()
        assert await stage.dead() == []
        assert_nothing_lost(range(200), stage.receiver.received)
        assert_duplicates_alike(stage.receiver.received)
        assert stage.metrics.series["webhook_spool_lane_events"].values == {}


async def test_what_a_full_lane_keeps_waiting_is_written_down_at_the_end(queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "spool"
    async with a_full_lane(queue, Hang(), spool=SpoolLimits(path=path)) as stage:
        pass
    written = [int(orjson.loads(event.event)["data"]) for event in spooled(path)]
    assert sorted([*stage.taken, *written]) == list(range(200))
    assert written == sorted(written)


async def test_twenty_dead_endpoints_of_one_app_leave_room_for_another_app(
    make: Callable[[int], Queue],
) -> None:
    dead = [{"uid": f"wh_dead{at}", "path": f"/dead{at}", **DEAD} for at in range(20)]
    async with staged(*dead, {"uid": "wh_good", "path": "/good", "app_id": "good-app"}, queue=make(1000)) as stage:
        for at in range(20):
            stage.receiver.script(path=f"/dead{at}", then=Hang())
        stage.send(0, 400, "dead-app")
        await until(lambda: len(stage.metrics.series["webhook_spool_lane_events"].values) == 20, "all are full")
        stage.send(1000, 20, "good-app")
        await until(lambda: len(arrived(stage, "/good")) >= 20, "the healthy one's events")
        assert sorted(arrived(stage, "/good")) == list(range(1000, 1020))


async def test_a_restart_of_redis_under_a_full_lane_loses_nothing(private_redis: RedisServer) -> None:
    async with a_full_lane(RedisQueue(private_redis.url, max_queue_len=BOUND), Answer(500)) as stage:
        private_redis.kill()
        stage.send(200, 20, "dead-app")
        stage.send(1000, 20, "good-app")
        await until(lambda: stage.value("webhook_enqueue_failures_total", "unavailable") > 0, "the outage")
        private_redis.start()
        await until(lambda: set(range(1000, 1020)) <= set(arrived(stage, "/good")), "the healthy one")
        assert len(stored_in_redis(private_redis, "wh_dead")) <= BOUND
        stage.receiver.script(path="/dead", then=Answer(200))
        await until(lambda: set(range(220)) <= set(arrived(stage, "/dead")), "what the dead one missed")
        await stage.settled()
        assert await stage.dead() == []
        assert_duplicates_alike(stage.receiver.received)
