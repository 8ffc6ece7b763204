"""The figures of several workers as those of one server."""

import orjson
import pytest

from sockudo_py.metrics import Metrics
from sockudo_py.supervisor.sums import PARTS, SHARED, Family, Sums, families_of, read, written


def worker(connected: int, lag: float, depth: int) -> dict[str, Family]:
    """Return the figures of a worker as the supervisor gets them."""
    metrics = Metrics()
    counters = metrics.app("3")
    counters.connections = connected
    counters.channels = 2
    counters.messages_sent = 10 * connected
    metrics.gauge("webhook_queue_depth", "Jobs", ("state",)).set("waiting", value=depth)
    metrics.gauge("over_watermark", "1 while", ("what",)).set("memory", value=1)
    metrics.counter("reloads_total", "Reloads", ("result",)).add("done")
    metrics.histogram("lag_seconds", "How late", (), (0.1, 1.0)).observe(value=lag)
    return read(orjson.loads(orjson.dumps(written(families_of(metrics)))))


def rows(families: list[Family], name: str) -> dict[tuple[str, ...], list[float]]:
    return next(family.rows for family in families if family.name == name)


def of_two(sums: Sums | None = None, own: Metrics | None = None) -> list[Family]:
    workers = [("1", worker(3, 0.05, 7)), ("2", worker(4, 5.0, 7))]
    return (sums or Sums()).of(workers, families_of(own or Metrics()))


def test_counters_histograms_and_parts_add_up() -> None:
    found = of_two()
    assert rows(found, "connected") == {("3",): [7]}
    assert rows(found, "ws_messages_sent_total") == {("3",): [70]}
    assert rows(found, "lag_seconds") == {(): [1, 0, 1, 5.05]}


def test_what_all_have_in_common_is_there_once() -> None:
    assert rows(of_two(), "webhook_queue_depth") == {("waiting",): [7]}


def test_other_gauges_have_the_label_worker() -> None:
    found = of_two()
    channels = next(family for family in found if family.name == "channels")
    assert channels.labels == ("app_id", "worker")
    assert channels.rows == {("3", "1"): [2], ("3", "2"): [2]}
    assert rows(found, "over_watermark") == {("memory", "1"): [1], ("memory", "2"): [1]}


def test_what_the_supervisor_counts_is_its_own() -> None:
    own = Metrics()
    own.counter("reloads_total", "Reloads", ("result",)).add("done")
    own.gauge("worker_up", "1 while", ("worker",)).set("1", value=1)
    found = of_two(own=own)
    assert rows(found, "reloads_total") == {("done",): [1]}
    assert rows(found, "worker_up") == {("1",): [1]}


def test_counters_never_go_back_when_workers_come_and_go() -> None:
    sums = Sums()
    before = rows(of_two(sums), "ws_messages_sent_total")[("3",)][0]
    sums.ended(worker(4, 5.0, 7))
    after = sums.of([("1", worker(3, 0.05, 7)), ("2", worker(0, 0.0, 7))], {})
    assert rows(after, "ws_messages_sent_total") == {("3",): [before]}
    assert rows(after, "connected") == {("3",): [3]}  # and those who are gone are gone
    assert rows(after, "lag_seconds")[()][2] == 1
    sums.ended(worker(1, 0.0, 7))
    assert rows(sums.of([], {}), "ws_messages_sent_total") == {("3",): [50]}


def test_a_sum_leaves_the_figures_of_the_workers_as_they_were() -> None:
    one, sums = worker(3, 0.05, 7), Sums()
    for _ in range(3):
        assert rows(sums.of([("1", one)], {}), "connected") == {("3",): [3]}
        assert rows(sums.of([("1", one)], {}), "webhook_queue_depth") == {("waiting",): [7]}


def test_buckets_of_another_version_are_left_out() -> None:
    other = Family("lag_seconds", "histogram", "How late", (), (0.5,), {(): [1, 1, 2]})
    found = Sums().of([("1", worker(3, 0.05, 7)), ("2", {"lag_seconds": other})], {})
    assert rows(found, "lag_seconds") == {(): [1, 0, 0, 0.05]}


@pytest.mark.parametrize("names", [PARTS, SHARED])
def test_every_gauge_that_has_a_rule_is_there(names: frozenset[str]) -> None:
    from tests.unit.http.test_metrics import documented

    assert names <= {name for name, kind, _ in documented() if kind == "gauge"}
