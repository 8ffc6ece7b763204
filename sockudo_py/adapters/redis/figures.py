"""What operators see of a node in the cluster: plain counts, which the metrics read when they are asked for."""

from dataclasses import dataclass


@dataclass(slots=True)
class Figures:
    """Counts since the start, and what is so now."""

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
    hold_seconds: float = 0.0
