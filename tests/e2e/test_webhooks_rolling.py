"""Nodes that share a queue and don't know the same endpoints: a rolling deploy, a reload, a restart with fewer."""

import contextlib
import time
from pathlib import Path

import pytest

from sockudo_py.queues.redis import queue as redis
from sockudo_py.queues.redis.queue import RedisQueue
from sockudo_py.queues.sqlite.queue import SqliteQueue
from tests.faults.harness import APP, assert_duplicates_alike, number_of, numbers, staged, until
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix


class PauseNotingQueue(SqliteQueue):
    """Notes which lanes were paused."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.paused: list[str] = []

    async def pause(self, endpoint: str) -> None:
        await super().pause(endpoint)
        self.paused.append(endpoint)


STRANGER = {"app_id": "app-2", "uid": "wh_other"}


async def test_nodes_that_do_not_know_an_endpoint_leave_its_events_to_the_one_that_does(
    redis_server: RedisServer, unique_prefix: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        old = [
            await stack.enter_async_context(staged(STRANGER, queue=RedisQueue(redis_server.url, prefix=unique_prefix)))
            for _ in range(3)
        ]
        new = await stack.enter_async_context(staged(queue=RedisQueue(redis_server.url, prefix=unique_prefix)))
        for start in range(0, 300, 10):
            new.send(start, 10)
            await new.attempted(start + 10)
        await new.settled()
        assert sorted(numbers(new.receiver.received)) == list(range(300))
        assert_duplicates_alike(new.receiver.received)
        assert await new.dead() == []
        assert [len(stage.receiver.received) for stage in old] == [0, 0, 0]


async def test_a_node_keeps_away_from_an_unknown_lane_and_does_not_spin(
    redis_server: RedisServer, unique_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "_MOST_ASIDE", 2)  # the others of the five lanes are gated
    queue = RedisQueue(redis_server.url, prefix=unique_prefix)
    lanes = [{"uid": f"wh_{number}"} for number in range(5)]
    async with staged(*lanes, queue=queue, worker={"slots": 0}) as absent:
        absent.send(0, 20)
        await until(lambda: len(absent.taken) == 100, "the queue to take them")
        released: list[str] = []
        stranger = RedisQueue(redis_server.url, prefix=unique_prefix)
        release = stranger.release

        async def noted(token: str, *, away: float = 0.0) -> bool:
            released.append(token)
            return await release(token, away=away)

        stranger.release = noted  # type: ignore[method-assign]
        begun = time.monotonic()
        async with staged(STRANGER, queue=stranger) as other:
            await until(lambda: len(released) >= 5, "each lane to be met")
            other.send(0, 20, app_id="app-2")
            await other.attempted(20)
            assert len(released) <= 5 * (2 + (time.monotonic() - begun) / 2)  # once in two seconds and lane
        assert await absent.dead() == []


async def test_what_waits_for_an_endpoint_disabled_and_then_removed_while_the_server_was_down_is_dead_in_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "queue.sqlite3"
    queue = PauseNotingQueue(path)
    async with staged({"uid": "wh_off"}, queue=queue, worker={"slots": 0}) as stage:
        stage.send(0, 3)
        await until(lambda: len(stage.taken) == 3, "the queue to take them")
        stage.service.replace(APP, "config", [stage.hook(uid="wh_off", enabled=False)])
        await until(lambda: queue.paused == ["wh_off"], "the lane to be paused")
    async with staged({"uid": "wh_1"}, queue=SqliteQueue(path), worker={"unknown_grace": 0.0}) as stage:
        await stage.settled()
        (dead,) = await stage.dead()
        assert dead["error"]["class"] == "endpoint_deleted"
        assert [number_of(fields) for fields in dead["events"]] == [0, 1, 2]


async def test_an_endpoint_that_comes_back_after_a_restart_without_it_gets_what_waited(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    async with staged({"uid": "wh_1"}, queue=SqliteQueue(path), worker={"slots": 0}) as stage:
        stage.send(0, 3)
        await until(lambda: len(stage.taken) == 3, "the queue to take them")
    async with staged({"uid": "wh_other"}, queue=SqliteQueue(path)) as stage:
        stage.send(10, 1)
        await stage.attempted(1)
    async with staged({"uid": "wh_1"}, queue=SqliteQueue(path)) as stage:
        await stage.attempted(3)
        assert sorted(numbers(stage.receiver.received)) == [0, 1, 2]
