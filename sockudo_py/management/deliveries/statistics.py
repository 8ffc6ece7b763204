"""The statistics of an endpoint, as the seeds' routes show them. Free of what carries them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sockudo_py.endpoints import Endpoint
from sockudo_py.management.requests.aliases import aliased
from sockudo_py.management.requests.answers import STATISTICS
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.values import Answer, Asked, Fields, iso
from sockudo_py.queues.base import LaneDepth, Queue
from sockudo_py.stores.history.figures import Figures
from sockudo_py.webhooks.history.reader import HistoryReader
from sockudo_py.webhooks.history.rows import read_details

MOST_RECENT: Final = 30  # attempts of an endpoint whose times a list shows


class StatisticsRoutes:
    """Answers requests for statistics.

    Args:
        reader: Of the history; None: none is kept, and all figures of the past are 0.
        queue: Knows what is pending.
        circuit: Returns the state of an endpoint's circuit breaker, by uid: "closed", "half_open" or "open".
        find: Returns the endpoint that a path names. Raises Refused.
    """

    def __init__(
        self,
        reader: HistoryReader | None,
        queue: Queue,
        circuit: Callable[[str], str],
        find: Callable[[Asked], Endpoint],
    ) -> None:
        self._reader = reader
        self._queue = queue
        self._circuit = circuit
        self._find = find
        self.table = tuple(aliased(Route("GET", "/{id}/stats", self.show, answers={200: STATISTICS}, tag="Deliveries")))

    async def show(self, asked: Asked) -> Answer:
        """Show the statistics of an endpoint."""
        Fields(asked)
        endpoint = self._find(replace(asked, segments=asked.segments[:1]))
        figures, lane = await self._of(endpoint)
        total = figures.successful + figures.failed
        return Answer(
            200,
            {
                "webhookId": endpoint.uid,
                "webhook_id": endpoint.uid,
                "total": total,
                "successful": figures.successful,
                "failed": figures.failed,
                "pending": lane.waiting + lane.in_flight + lane.delayed,
                "retrying": lane.delayed,
                "in_flight": lane.in_flight,
                "success_rate": round(figures.successful / total, 4) if total else 1.0,
                **self._of_attempts(endpoint.uid, figures),
                "received": total,
                "processed": figures.successful,
            },
        )

    async def beside(self, endpoint: Endpoint) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return what ``GET /v1/webhooks/{id}`` shows of deliveries: in "webhook", and as "statistics"."""
        figures, lane = await self._of(endpoint)
        webhook = {
            "total_deliveries": figures.successful + figures.failed,
            "successful_deliveries": figures.successful,
            "failed_deliveries": figures.failed,
            "last_success_at": iso(figures.last_success_ms),
            "last_failure_at": iso(figures.last_failure_ms),
        }
        statistics = {
            "successful_deliveries": str(figures.successful),
            "failed_deliveries": str(figures.failed),
            "pending_deliveries": str(lane.waiting + lane.in_flight + lane.delayed),
            "avg_duration_ms": str(figures.average_ms),
        }
        return webhook, statistics

    async def of_list(self, uids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return what a list shows of each endpoint, and of its last attempts how long they took and what came of them.

        ``recent``: the oldest first, of each ``[milliseconds, whether it was delivered]``. Raises ``Unavailable``.
        """
        kept = {} if self._reader is None else await self._reader.figures_of(uids)
        recent = {} if self._reader is None else await self._reader.newest(uids, MOST_RECENT)
        found = {}
        for uid in uids:
            figures = kept.get(uid) or Figures()
            found[uid] = {
                "successful": max(0, figures.successful),
                "failed": max(0, figures.failed),
                **self._of_attempts(uid, figures),
                "recent": [
                    [read_details(one).total_ms, one.status == "delivered"]
                    for one in reversed(recent.get(uid, ()))
                    if not one.test
                ],
            }
        return found

    def _of_attempts(self, uid: str, figures: Figures) -> dict[str, Any]:
        """Return what an endpoint's own page and a list show alike."""
        return {
            "attempts": figures.attempts,
            "avg_duration_ms": figures.average_ms,
            "p95_duration_ms": figures.percentile_ms(0.95),
            "last_success_at": iso(figures.last_success_ms),
            "last_failure_at": iso(figures.last_failure_ms),
            "consecutive_failures": figures.consecutive_failures,
            "circuit": self._circuit(uid),
        }

    async def _of(self, endpoint: Endpoint) -> tuple[Figures, LaneDepth]:
        figures = Figures() if self._reader is None else await self._reader.figures(endpoint.uid)
        # A redrive that nobody has been told of yet may take more away than there was.
        figures.successful, figures.failed = max(0, figures.successful), max(0, figures.failed)
        return figures, await self._queue.lane(endpoint.uid)
