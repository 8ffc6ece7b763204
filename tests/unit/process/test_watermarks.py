"""Past the high mark nobody is taken until the value is below the low one."""

import logging

import pytest

from sockudo_py.metrics import Metrics
from sockudo_py.process.watermarks import Watermark, Watermarks


def test_a_mark_is_passed_at_the_high_value_and_left_below_the_low_one() -> None:
    mark = Watermark(100, 80)
    values = [99, 100, 90, 80, 79, 99]
    assert [mark.update(value) for value in values] == [False, True, True, True, False, False]


def test_without_a_low_mark_it_is_nine_tenths() -> None:
    mark = Watermark(10, None)
    assert [mark.update(value) for value in (10, 9, 8)] == [True, True, False]


async def test_both_are_named_shown_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    metrics, shares = Metrics(), [0.85]
    marks = Watermarks(connections=Watermark(3, 2), memory=Watermark(80, 60), share=lambda: shares[0], metrics=metrics)
    with caplog.at_level(logging.INFO, "sockudo_py"):
        marks.start()
        assert marks.past(2) == ["memory"]
        assert marks.past(3) == marks.past(3) == ["connections", "memory"]
        assert metrics.series["over_watermark"].values == {("connections",): 1, ("memory",): 1}
        assert marks.past(1) == ["memory"]
        marks.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "memory at 85%, the high watermark is 80%: new clients are refused with 4100 until it is below 60%",
        "connections at 3, the high watermark is 3: new clients are refused with 4100 until it is below 2",
        "connections at 1, below the low watermark: clients are taken again",
    ]


async def test_memory_that_is_freed_lets_clients_in_again() -> None:
    share = 0.9
    marks = Watermarks(connections=None, memory=Watermark(80, 60), share=lambda: share, metrics=Metrics())
    marks.start()
    marks.stop()
    assert marks.past(0) == ["memory"]
    share = 0.5
    marks.start()
    marks.stop()
    assert marks.past(0) == []
