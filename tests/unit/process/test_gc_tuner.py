import gc
from collections.abc import Iterator

import pytest

from sockudo_py.metrics import Metrics
from sockudo_py.process.gc_tuner import GcTuner


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def tuner(metrics: Metrics) -> Iterator[GcTuner]:
    ticks = iter(range(10_000))
    keeper = GcTuner(metrics, everything_every=3, clock=lambda: float(next(ticks)))
    keeper.start()
    yield keeper
    keeper.stop()


def test_each_pause_is_recorded_by_generation(tuner: GcTuner, metrics: Metrics) -> None:
    before = list(metrics.histograms["gc_pause_seconds"].values[("2",)])
    gc.collect()
    after = metrics.histograms["gc_pause_seconds"].values[("2",)]
    assert after[-1] - before[-1] == 1.0


def test_what_survives_a_full_collection_is_not_looked_at_by_the_next(tuner: GcTuner) -> None:
    assert gc.get_freeze_count() > 1000
    assert len(gc.get_objects()) < gc.get_freeze_count()


def test_after_some_full_collections_everything_is_looked_at_once_more(tuner: GcTuner) -> None:
    gc.collect()
    assert gc.get_freeze_count() > 0
    gc.collect()
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert gc.get_freeze_count() > 0


def test_stopping_leaves_the_collector_as_it_was(metrics: Metrics) -> None:
    keeper = GcTuner(metrics)
    keeper.start()
    keeper.stop()
    assert keeper.collecting not in gc.callbacks
    assert gc.get_freeze_count() == 0


def test_stopping_before_starting_is_harmless(metrics: Metrics) -> None:
    GcTuner(metrics).stop()
