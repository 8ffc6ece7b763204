"""The figures of several workers as those of one server. Pure.

Counters and histograms add up, and so do gauges that say how much of something each worker has. Other gauges get the
label ``worker``: a sum of them would say what is not so. What a worker had counted stays when it is gone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sockudo_py.metrics import APP_METRICS, Metrics

WORKER: Final = "worker"

# Gauges (without prefix) that are sums: each worker has a part of the number.
PARTS: Final = frozenset(
    {
        "connected",
        "http_transport_sessions",
        "subscriptions",
        "cluster_outbox",
        "webhook_in_flight",
        "webhook_spool_events",
        "webhook_spool_lane_events",
        "webhook_spool_noisy",
    }
)
# Gauges that are the same in every worker, so that one of them is enough: facts, and what is asked of a shared service.
SHARED: Final = frozenset(
    {
        "build_info",
        "cluster_nodes",
        "cluster_pending",
        "webhook_endpoint_info",
        "webhook_lane_depth",
        "webhook_queue_depth",
        "webhook_queue_oldest_seconds",
    }
)
# What the supervisor does once, and each worker because of it.
OWN: Final = frozenset({"reloads_total"})

Row = list[float]  # one number; of a histogram: of each bucket, of +Inf, and the sum
Labels = tuple[str, ...]


@dataclass(slots=True)
class Family:
    """The figures of one name (without prefix). ``kind``: counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    labels: Labels
    buckets: tuple[float, ...] = ()
    rows: dict[Labels, Row] = field(default_factory=dict)

    def add(self, labels: Labels, row: Sequence[float]) -> None:
        """Add a row to the one with the same labels."""
        mine = self.rows.get(labels)
        if mine is None:
            self.rows[labels] = list(row)
        elif len(mine) == len(row):  # else of another version, with other buckets
            for at, value in enumerate(row):
                mine[at] += value


Families = Mapping[str, Family]


def families_of(metrics: Metrics) -> dict[str, Family]:
    """Return the figures of this process, by name."""
    for refresh in metrics.before_scrape:
        refresh()
    found: dict[str, Family] = {}
    apps = list(metrics.apps.items())
    for each in APP_METRICS:
        rows: dict[Labels, Row] = {(app_id,): [float(getattr(counters, each.field))] for app_id, counters in apps}
        found[each.name] = Family(each.name, each.kind, each.help, ("app_id",), (), rows)
    for series in list(metrics.series.values()):
        values = series.values if series.labels or series.values else {(): 0.0}
        one = {labels: [float(value)] for labels, value in list(values.items())}
        found[series.name] = Family(series.name, series.kind, series.help, series.labels, (), one)
    for histogram in list(metrics.histograms.values()):
        table = histogram.values
        if not histogram.labels and not table:
            table = {(): [0.0] * (len(histogram.buckets) + 2)}
        many = {labels: list(row) for labels, row in list(table.items())}
        name = histogram.name
        found[name] = Family(name, "histogram", histogram.help, histogram.labels, histogram.buckets, many)
    return found


def written(families: Families) -> list[list[Any]]:
    """Return figures as a message has them."""
    return [
        [each.name, each.kind, each.help, each.labels, each.buckets, list(each.rows.items())]
        for each in families.values()
    ]


def read(message: Iterable[Sequence[Any]]) -> dict[str, Family]:
    """Return figures that came as a message."""
    return {
        name: Family(name, kind, text, tuple(labels), tuple(buckets), {tuple(key): row for key, row in rows})
        for name, kind, text, labels, buckets, rows in message
    }


class Sums:
    """Adds up the counters of workers, including workers that have ended."""

    def __init__(self) -> None:
        self._gone: dict[str, Family] = {}

    def ended(self, families: Families) -> None:
        """Keep what a worker had counted that is gone: counters must never go back."""
        for family in families.values():
            if family.kind != "gauge":
                _add(self._gone, family)

    def of(self, workers: Iterable[tuple[str, Families]], own: Families) -> list[Family]:
        """Return the figures of the server.

        Args:
            workers: The names of workers, and the figures that each has given last.
            own: Of the supervisor.
        """
        found: dict[str, Family] = {}
        for family in self._gone.values():
            _add(found, family)
        for worker, families in workers:
            for family in families.values():
                if family.kind != "gauge" or family.name in PARTS:
                    _add(found, family)
                elif family.name in SHARED:
                    _empty(found, family).rows.update(family.rows)
                else:
                    _set_apart(found, family, worker)
        for name in OWN:
            found.pop(name, None)
        for family in own.values():
            _add(found, family)
        return sorted(found.values(), key=lambda family: family.name)


def _add(found: dict[str, Family], family: Family) -> None:
    mine = _empty(found, family)
    for labels, row in family.rows.items():
        mine.add(labels, row)


def _empty(found: dict[str, Family], family: Family) -> Family:
    """Return the family of this name, made without rows where there is none."""
    made = Family(family.name, family.kind, family.help, family.labels, family.buckets)
    return found.setdefault(family.name, made)


def _set_apart(found: dict[str, Family], family: Family, worker: str) -> None:
    mine = found.get(family.name)
    if mine is None:
        labels = (*family.labels, WORKER)
        mine = found[family.name] = Family(family.name, family.kind, family.help, labels)
    for values, row in family.rows.items():
        mine.rows[(*values, worker)] = row
