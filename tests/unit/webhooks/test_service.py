import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from sockudo_py.errors import SockudoError
from sockudo_py.metrics import Metrics
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.webhooks.delivery.recorder import Recorder
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.service import DeliverySettings, WebhookService
from sockudo_py.webhooks.spool.memory import SpoolLimits
from sockudo_py.webhooks.stats import DeliveryStats
from sockudo_py.webhooks.targets.base import Failure
from tests.unit.webhooks.make import endpoint, job


async def dead_letters(count: int) -> MemoryQueue:
    queue = MemoryQueue(default_policy=LanePolicy(window=0, size=1))
    await queue.open()
    for number in range(count):
        await queue.append([Append(f"e{number}", "wh_1", "1", b'{"name":"channel_occupied"}', 1)])
        (claim,) = await queue.claim("w", 1, 30.0)
        await queue.fail(claim.token, claim.job)
    return queue


async def warnings_of(caplog: pytest.LogCaptureFixture, threshold: int) -> list[str]:
    queue = await dead_letters(2)
    service = WebhookService(queue, {}, Metrics(), DeliverySettings(warn_dead_letters=threshold))
    with caplog.at_level(logging.WARNING):
        await service.start()
        async with asyncio.timeout(30):
            while service.usage()["failed"] != 2:  # noqa: ASYNC110 - a task of the service takes the first sample
                await asyncio.sleep(0.01)
        await service.stop()
        await queue.close()
    return [record.getMessage() for record in caplog.records]


async def test_dead_letters_from_the_threshold_on_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    (warning,) = await warnings_of(caplog, 2)
    assert warning.startswith("2 webhook deliveries are dead letters")


@pytest.mark.parametrize("threshold", [0, 3])
async def test_fewer_dead_letters_or_no_threshold_give_no_warning(
    caplog: pytest.LogCaptureFixture, threshold: int
) -> None:
    assert await warnings_of(caplog, threshold) == []


async def test_the_next_warning_comes_though_the_clock_was_set_back(caplog: pytest.LogCaptureFixture) -> None:
    now = 1_800_000_000.0
    service = WebhookService(MemoryQueue(), {}, Metrics(), DeliverySettings(warn_dead_letters=1), clock=lambda: now)
    with caplog.at_level(logging.WARNING):
        service._warn_of_dead_letters(1)
        now -= 864_000
        service._warn_of_dead_letters(1)
        service._warn_of_dead_letters(1)
    assert len(caplog.records) == 2


async def test_a_start_that_can_not_read_the_spool_file_leaves_no_task_behind(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    queue = await dead_letters(0)
    service = WebhookService(queue, {}, Metrics(), DeliverySettings(spool=SpoolLimits(path=tmp_path)))
    with pytest.raises(SockudoError, match=r"webhooks\.spool\.path"):
        await service.start()
    await queue.close()
    assert asyncio.all_tasks() == before


def test_the_names_of_endpoints_are_among_the_metrics_as_they_are_now() -> None:
    metrics = Metrics()
    service = WebhookService(MemoryQueue(), {}, metrics)

    def info() -> set[tuple[str, ...]]:
        for refresh in metrics.before_scrape:
            refresh()
        return set(metrics.series["webhook_endpoint_info"].values)

    service.replace("app-1", "config", [endpoint("wh_1", name="Orders"), endpoint("wh_2", id=2, name="Audit")])
    assert info() == {("app-1", "wh_1", "Orders"), ("app-1", "wh_2", "Audit")}
    service.replace("app-1", "config", [endpoint("wh_1", name="Renamed")])
    assert info() == {("app-1", "wh_1", "Renamed")}


def test_dead_letters_are_counted_for_their_endpoint_by_what_went_wrong() -> None:
    metrics = WebhookMetrics(Metrics())
    recorder = Recorder(metrics, DeliveryStats())
    failed = Attempt(job(), 1, 1, "http", Failure("timeout", "too slow"), "failed", 0, 1.0)
    recorder.record(failed, endpoint("wh_1"))
    recorder.record(replace(failed, status="retrying", retry_in=1.0), endpoint("wh_1"))
    recorder.orphan(job(endpoint="wh_9"))
    assert metrics.dead_letters.values == {("app-1", "wh_1", "timeout"): 1, ("app-1", "wh_9", "endpoint_deleted"): 1}
