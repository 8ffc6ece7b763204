"""The bounds of a history under much traffic: a twentieth of ``python -m benchmarks.history``."""

from benchmarks.history import Traffic, bounded, endpoints
from sockudo_py.stores.history.base import Bounds
from tests.conformance.stores.histories import Histories

DELIVERIES = 50_000


async def test_bounds_hold_and_statistics_equal_a_recount(histories: Histories) -> None:
    limits = {"attempts": 200, "ttl_ms": 10_000, "bytes": 20_000}
    history = await histories.make(**limits)
    await bounded(history, Bounds(**limits), Traffic(endpoints(3, 4)), DELIVERIES)
