"""What operators see of a node in the cluster: plain counts, which the metrics read when they are asked for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from sockudo_py.metrics import Metrics


@dataclass(slots=True)
class Figures:
    """Counts since the start, and present values. ``FIGURES`` has the meaning of each field but the last.

    ``delivery_seconds`` is the latest of what the histogram ``cluster_delivery_seconds`` counts.
    """

    published: int = 0
    publishes_lost: int = 0
    received: int = 0
    bad_messages: int = 0
    batches: int = 0
    batch_seconds: float = 0.0
    transitions: int = 0
    gaps: int = 0
    gap_seconds: float = 0.0
    answered_alone: int = 0
    swept_nodes: int = 0
    swept_entries: int = 0
    sweeps_suffered: int = 0
    nodes: int = 0
    pending: int = 0
    outbox: int = 0
    hold_seconds: float = 0.0
    lease_seconds: float = 0.0
    delivery_seconds: float = 0.0


# field: name, help. Names that end in _total are counters, the others gauges.
FIGURES: Final = {
    "published": ("cluster_published_total", "Messages sent to other nodes"),
    "publishes_lost": ("cluster_publishes_lost_total", "Messages that other nodes did not get, since Redis was away"),
    "received": ("cluster_received_total", "Messages and news from other nodes"),
    "bad_messages": ("cluster_bad_messages_total", "Messages from other nodes that this version does not understand"),
    "batches": ("cluster_batches_total", "Batches of joins, leaves and sign-ins that Redis carried out"),
    "batch_seconds": ("cluster_batch_seconds_total", "Seconds from sending a batch to its answer, summed up"),
    "transitions": ("cluster_transitions_total", "Occupied, vacated, added and removed that this node was told of"),
    "gaps": ("cluster_gaps_total", "Times that the connection to Redis was lost"),
    "gap_seconds": ("cluster_gap_seconds_total", "Seconds without a connection to Redis, summed up"),
    "answered_alone": (
        "cluster_joins_answered_alone_total",
        "Joins confirmed while Redis was away",
    ),
    "swept_nodes": ("cluster_nodes_swept_total", "Dead nodes that this node found"),
    "swept_entries": (
        "cluster_entries_swept_total",
        "Channels, members and users of dead nodes, taken out here",
    ),
    "sweeps_suffered": ("cluster_own_sweeps_total", "Times that other nodes took this one out, and it came back"),
    "nodes": ("cluster_nodes", "Nodes alive, by the last heartbeat of this one"),
    "pending": ("cluster_pending", "Vacates and removals that wait for the vacate delay, in the whole cluster"),
    "outbox": ("cluster_outbox", "Transitions that this node has been told of and the webhook queue has not stored"),
    "hold_seconds": ("cluster_hold_seconds", "Seconds for which doubtful transitions are still held back"),
    "lease_seconds": (
        "cluster_lease_seconds",
        "Seconds after which the other nodes take this one out, unless Redis hears from it before",
    ),
}
# Seconds: from a quarter of a millisecond to a second and more.
DELIVERY_BUCKETS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

# Of these the partition counts that has most of them ...
_MOST: Final = ("gaps", "gap_seconds", "swept_nodes", "sweeps_suffered", "nodes", "hold_seconds", "delivery_seconds")
_LEAST: Final = ("lease_seconds",)  # ... and of these the one that has least; the others are summed up


def together(parts: Iterable[Figures]) -> Figures:
    """Return the figures of several partitions as those of one node.

    All partitions meet the same deaths and gaps: of these the one that met most counts.
    """
    all_of_them = list(parts)
    whole = Figures()
    for field in fields(Figures):
        how = max if field.name in _MOST else min if field.name in _LEAST else sum
        setattr(whole, field.name, how([getattr(part, field.name) for part in all_of_them] or [0]))
    return whole


def named(figures: Figures) -> Mapping[str, float]:
    """Return figures by name, as ``/usage`` shows them; seconds to the microsecond."""
    return {field.name: round(getattr(figures, field.name), 6) for field in fields(figures)}


def show(current: Callable[[], Figures], metrics: Metrics) -> None:
    """Have the metrics show the figures that a function returns."""
    shown = []
    for field, (name, text) in FIGURES.items():
        series = metrics.counter(name, text) if name.endswith("_total") else metrics.gauge(name, text)
        shown.append((field, series))

    def refresh() -> None:
        figures = current()
        for field, series in shown:
            series.set(value=getattr(figures, field))

    metrics.before_scrape.append(refresh)
