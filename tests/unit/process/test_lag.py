import asyncio
import logging
import time

import pytest

from sockudo_py.metrics import Metrics
from sockudo_py.process.lag import BUCKETS, LoopLag


async def sampled(metrics: Metrics, count: int) -> list[float]:
    """Return the histogram's row when it has this many samples."""
    histogram = metrics.histograms["event_loop_lag_seconds"]
    async with asyncio.timeout(30):
        while sum(histogram.values.get((), [])[:-1]) < count:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.001)
    return histogram.values[()]


async def test_the_lag_of_the_loop_is_sampled_until_it_is_stopped() -> None:
    metrics = Metrics()
    lag = LoopLag(metrics, interval=0.001)
    lag.start()
    await sampled(metrics, 3)
    lag.stop()
    before = list(metrics.histograms["event_loop_lag_seconds"].values[()])
    await asyncio.sleep(0.01)
    assert metrics.histograms["event_loop_lag_seconds"].values[()] == before


async def test_a_blocked_loop_is_measured_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    lag = LoopLag(metrics, interval=0.001, warn_after=0.02)
    lag.start()
    with caplog.at_level(logging.WARNING):
        time.sleep(0.06)  # noqa: ASYNC251 - blocking the loop is what is tested
        row = await sampled(metrics, 1)
    lag.stop()
    assert row[-1] >= 0.05
    assert sum(row[: BUCKETS.index(0.05)]) < sum(row[:-1])
    assert "blocked" in caplog.text


def test_stopping_before_starting_is_harmless() -> None:
    LoopLag(Metrics()).stop()
