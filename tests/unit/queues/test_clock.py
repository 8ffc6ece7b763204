import time
from pathlib import Path

import pytest

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.clock import QueueClock
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.queues.sqlite.queue import SqliteQueue


class Times:
    """Stands in for the module ``time``: the system's time can be set, what has passed only grows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.passed = 1_700_000_000.0, 50.0
        monkeypatch.setattr(time, "time", lambda: self.wall)
        monkeypatch.setattr(time, "monotonic", lambda: self.passed)

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    return Times(monkeypatch)


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_the_clock_does_not_follow_a_jump(times: Times, step: float) -> None:
    clock = QueueClock()
    assert clock.steady() == 1_700_000_000_000
    times.wall += step
    times.run(1.5)
    assert clock.steady() == 1_700_000_001_500
    assert clock.wall() == 1_700_000_001_500 + 1000 * step


async def test_a_retry_is_in_time_when_the_system_time_is_right_again_after_a_restart(
    times: Times, tmp_path: Path
) -> None:
    policy = LanePolicy(window=0.0, size=1)
    queue = SqliteQueue(tmp_path / "queue.sqlite3", default_policy=policy)
    await queue.open()
    times.wall += 864_000
    await queue.append([Append("1", "wh_1", "app-1", b'{"name":"x"}', 1)])
    [claim] = await queue.claim("w", 10, 30.0)
    await queue.retry(claim.token, claim.job, 60)
    await queue.close()
    times.wall -= 864_000
    queue = SqliteQueue(tmp_path / "queue.sqlite3", default_policy=policy)
    await queue.open()
    try:
        times.run(59)
        assert await queue.claim("w", 10, 30.0) == []
        times.run(2)
        assert len(await queue.claim("w", 10, 30.0)) == 1
    finally:
        await queue.close()


async def test_dead_letters_have_the_systems_time_though_it_was_set_right(times: Times) -> None:
    queue = MemoryQueue()
    await queue.append([Append("1", "wh_1", "app-1", b'{"name":"x"}', 1)])
    times.wall -= 864_000
    await queue.drop("wh_1", "expired")
    assert jobs.decode((await queue.failed())[0]).failed_ms == times.wall * 1000


async def test_f39_lanes_open_in_time_when_the_system_time_is_set_back(times: Times) -> None:
    queue = MemoryQueue(default_policy=LanePolicy(window=0.05, per_second=1))
    await queue.append([Append("1", "wh_1", "app-1", b'{"name":"x"}', 1)])
    times.run(0.06)
    [claim] = await queue.claim("w", 10, 30.0)
    await queue.ack(claim.token)
    await queue.append([Append("2", "wh_1", "app-1", b'{"name":"x"}', 1)])
    times.wall -= 3600
    times.run(1.1)
    assert len(await queue.claim("w", 10, 30.0)) == 1


async def test_f39_leases_go_on_when_the_system_time_is_set_forward(times: Times) -> None:
    queue = MemoryQueue(default_policy=LanePolicy(window=0.0, size=1))
    await queue.append([Append("1", "wh_1", "app-1", b'{"name":"x"}', 1)])
    assert len(await queue.claim("w", 10, 30.0)) == 1
    times.wall += 3600
    times.run(1.0)
    assert await queue.claim("w", 10, 30.0) == []
