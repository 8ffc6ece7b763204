"""Every metric has a name with its unit, a help text, and a line in the documentation."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sockudo_py.adapters.redis.figures import FIGURES, Figures
from sockudo_py.http.metrics import MetricsCollector
from sockudo_py.metrics import APP_METRICS, AppCounters, AppMetric, Metrics

ROOT = Path(__file__).parents[3]
DOCUMENTED = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def scrape(metrics: Metrics, prefix: str = "sockudo_") -> str:
    registry = CollectorRegistry()
    registry.register(MetricsCollector(metrics, prefix))
    return generate_latest(registry).decode()


def samples(metrics: Metrics, prefix: str = "sockudo_") -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(scrape(metrics, prefix)):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


class Declared(NamedTuple):
    """A metric that some part of the package declares."""

    kind: str
    name: str
    help: str
    labels: tuple[str, ...]


def declared() -> Iterator[Declared]:
    """Yield what the package's source passes to ``Metrics.counter``, ``gauge`` and ``histogram``."""
    for path in sorted((ROOT / "sockudo_py").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name | ast.Attribute):
                continue
            kind = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
            if kind in ("counter", "gauge", "histogram") and all(isinstance(a, ast.Constant) for a in call.args[:2]):
                name, text, labels = (*(ast.literal_eval(argument) for argument in call.args[:3]), ())[:3]
                yield Declared(kind, name, text, labels)


def documented() -> set[tuple[str, str, tuple[str, ...]]]:
    """Return name, kind and labels of each metric in the documentation."""
    ours, _, _ = DOCUMENTED.partition("## Dashboards made for")
    rows = (line.strip("| ").split(" | ") for line in ours.splitlines() if line.startswith("| `sockudo_"))
    return {
        (row[0].strip("` ").removeprefix("sockudo_"), row[1].strip(), tuple(row[2].replace("`", "").split(", ")))
        for row in ([*row[:2], row[2].strip() if len(row) == 4 else "app_id"] for row in rows)
    }


def test_each_figure_of_the_cluster_is_one_metric() -> None:
    # The latest delivery is in a histogram of deliveries.
    assert [*FIGURES, "delivery_seconds"] == [field.name for field in fields(Figures)]


def test_each_counter_of_an_app_is_one_metric() -> None:
    assert [row.field for row in APP_METRICS] == [field.name for field in fields(AppCounters)]
    assert len({row.name for row in APP_METRICS}) == len(APP_METRICS)


@pytest.mark.parametrize("row", APP_METRICS, ids=lambda row: row.field)
def test_each_metric_of_an_app_has_unit_help_one_sample_and_a_line_in_the_docs(row: AppMetric) -> None:
    metrics = Metrics()
    setattr(metrics.app("3"), row.field, 42)
    assert row.kind in ("counter", "gauge")
    assert row.name.endswith("_total") == (row.kind == "counter")
    assert row.help
    assert samples(metrics)[f"sockudo_{row.name}"] == [({"app_id": "3"}, 42.0)]
    assert row.help in DOCUMENTED


def test_each_declared_metric_has_its_unit_in_its_name_and_a_help_text() -> None:
    found = list(declared())
    assert {"event_loop_lag_seconds", "webhook_queue_depth"} <= {metric.name for metric in found}
    wrong = [
        metric
        for metric in found
        if metric.name.startswith("sockudo_")  # the prefix is the operator's choice
        or metric.name.endswith("_total") != (metric.kind == "counter")
        or not metric.help
    ]
    assert wrong == []


def test_the_documentation_lists_exactly_the_metrics_there_are_with_their_labels() -> None:
    there_are = {(metric.name, metric.kind, metric.labels or ("",)) for metric in declared()}
    there_are |= {(row.name, row.kind, ("app_id",)) for row in APP_METRICS}
    there_are |= {(name, "counter" if name.endswith("_total") else "gauge", ("",)) for name, _ in FIGURES.values()}
    assert documented() == there_are


def test_the_prefix_is_the_operators() -> None:
    metrics = Metrics()
    metrics.app("3").connections = 1
    assert samples(metrics, "mine_")["mine_connected"] == [({"app_id": "3"}, 1.0)]


def test_a_counter_without_labels_is_there_before_anything_was_counted() -> None:
    metrics = Metrics()
    counter = metrics.counter("things_total", "Things")
    assert samples(metrics)["sockudo_things_total"] == [({}, 0.0)]
    counter.add(amount=2)
    assert samples(metrics)["sockudo_things_total"] == [({}, 2.0)]


def test_labels_are_rendered_and_escaped() -> None:
    metrics = Metrics()
    metrics.gauge("depth", "Depth", ("state",)).set('a"\n\\', value=3)
    assert samples(metrics)["sockudo_depth"] == [({"state": 'a"\n\\'}, 3.0)]


def test_a_histogram_is_cumulated_with_sum_and_count() -> None:
    metrics = Metrics()
    histogram = metrics.histogram("wait_seconds", "Wait", ("lane",), (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe("x", value=value)
    found = samples(metrics)
    buckets = [(labels["le"], value) for labels, value in found["sockudo_wait_seconds_bucket"]]
    assert buckets == [("0.1", 2.0), ("1.0", 3.0), ("+Inf", 4.0)]
    assert found["sockudo_wait_seconds_count"] == [({"lane": "x"}, 4.0)]
    assert found["sockudo_wait_seconds_sum"][0][1] == pytest.approx(7.65)


def test_a_histogram_without_labels_is_there_before_anything_was_observed() -> None:
    metrics = Metrics()
    metrics.histogram("lag_seconds", "Lag", (), (1.0,))
    assert samples(metrics)["sockudo_lag_seconds_count"] == [({}, 0.0)]


def test_gauges_can_be_set_right_before_a_scrape() -> None:
    metrics = Metrics()
    gauge = metrics.gauge("age_seconds", "Age")
    metrics.before_scrape.append(lambda: gauge.set(value=9))
    assert samples(metrics)["sockudo_age_seconds"] == [({}, 9.0)]


def test_declaring_a_metric_again_returns_the_same() -> None:
    metrics = Metrics()
    assert metrics.counter("a_total", "A") is metrics.counter("a_total", "A")


def test_a_scrape_bears_that_another_thread_counts_something_new_meanwhile() -> None:
    """The labels of a metric count while they are read, as a thread does that is switched to in the middle."""
    metrics = Metrics()
    series = metrics.counter("unit_things_total", "Things.", ("thing",))

    class Labels(tuple[str, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[str]:  # a family walks through the labels of each row
            series.add("new")
            return super().__iter__()

    series.values[Labels(("old",))] = 1.0
    assert "unit_things_total" in scrape(metrics)


# What the dashboards and alerts of Sockudo read (grafana/*.json, last in its revision ecbce53), and soketi's metrics.
THEIRS = {
    "connected",
    "new_connections_total",
    "new_disconnections_total",
    "connection_errors_total",
    "socket_received_bytes",
    "socket_transmitted_bytes",
    "ws_messages_received_total",
    "ws_messages_sent_total",
    "http_received_bytes",
    "http_transmitted_bytes",
    "http_calls_received_total",
    "rate_limit_checks_total",
    "rate_limit_triggered_total",
    "channel_subscriptions_total",
    "channel_unsubscriptions_total",
    "active_channels",
}


def theirs() -> dict[str, str]:
    """Return the right column of the table of other servers' names by each name on the left."""
    _, _, table = DOCUMENTED.partition("## Dashboards made for")
    rows = (line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `"))
    return {name: row[1] for row in rows for name in re.findall(r"`sockudo_([a-z_]+)`", row[0])}


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_each_name_on_a_dashboard_of_sockudo_is_there_or_has_another_one_here(name: str) -> None:
    there_are = {metric.name for metric in declared()} | {row.name for row in APP_METRICS}
    said = theirs()[name]
    if said.startswith("the same"):
        assert name in there_are
    else:
        assert name not in there_are
    assert set(re.findall(r"`sockudo_([a-z_]+)`", said)) <= there_are


def test_the_rules_for_prometheus_make_the_old_names_of_what_is_there() -> None:
    rules = re.findall(r"record: sockudo_(\w+), expr: sockudo_(\w+)", DOCUMENTED)
    there_are = {row.name for row in APP_METRICS}
    has_another = {name for name, said in theirs().items() if said.startswith("`sockudo_")}
    assert {made for made, _ in rules} == has_another
    assert {source for _, source in rules} <= there_are
