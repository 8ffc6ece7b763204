"""Reads the history: what was written lately included, page by page, and never more at once than a request may cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sockudo_py.stores.history.base import History, Link, Scope
from sockudo_py.stores.history.figures import Figures
from sockudo_py.stores.history.packs import Kept
from sockudo_py.webhooks.history.writer import HistoryWriter

_PAGE = 500  # rows that are looked at together
_MOST_LOOKED = 10_000  # rows that one request looks at
_SETTLE = 1.0  # seconds in which pending rows are written


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which attempts a call is about: attempts that fit every given field.

    ``since_ms`` and ``until_ms`` are times of events: then or later, and before.
    """

    statuses: frozenset[str] | None = None
    event_type: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    test: bool | None = None

    def fits(self, kept: Kept) -> bool:
        """Return whether an attempt is meant."""
        return (
            (self.statuses is None or kept.status in self.statuses)
            and (self.event_type is None or self.event_type in kept.event_types())
            and (self.since_ms is None or kept.created_ms >= self.since_ms)
            and (self.until_ms is None or kept.created_ms < self.until_ms)
            and self.test in (None, kept.test)
        )


class HistoryReader:
    """Reads. Every method may raise ``Unavailable``.

    Args:
        history: Where it is.
        writer: Has what this process has not written yet.
    """

    def __init__(self, history: History, writer: HistoryWriter) -> None:
        self._history = history
        self._writer = writer

    async def page(
        self, scope: Scope, fits: Callable[[Kept], bool], limit: int, before: int | None
    ) -> tuple[list[Kept], int | None]:
        """Return attempts, newest first, and the place before which to go on; None: that is all.

        There may be fewer than ``limit``, and more behind them: one call looks at 10,000 at most.
        """
        if before is None:
            await self._writer.settle(_SETTLE)
        found: list[Kept] = []
        looked = 0
        while looked < _MOST_LOOKED:
            some = await self._history.page(scope, before, max(_PAGE, limit + 1))
            for kept in some:
                if fits(kept):
                    if len(found) == limit:
                        return found, found[-1].place
                    found.append(kept)
            if len(some) < max(_PAGE, limit + 1):
                return found, None
            looked += len(some)
            before = some[-1].place
        return found, before

    async def delivery(self, delivery: str, scope: Scope) -> list[Kept]:
        """Return the attempts of a delivery, oldest first."""
        await self._writer.settle(_SETTLE)
        return await self._history.delivery(delivery, scope)

    async def links(self, deliveries: Sequence[str]) -> dict[str, Link]:
        """Return, for deliveries that are retries, the delivery that each repeats."""
        return await self._history.links(deliveries)

    async def figures(self, endpoint: str) -> Figures:
        """Return the statistics of an endpoint."""
        await self._writer.settle(_SETTLE)
        return (await self._history.figures((endpoint,))).get(endpoint) or Figures()

    async def figures_of(self, endpoints: Sequence[str]) -> dict[str, Figures]:
        """Return the statistics of these endpoints; one that has none yet is missing."""
        await self._writer.settle(_SETTLE)
        return await self._history.figures(endpoints)

    async def newest(self, endpoints: Sequence[str], limit: int) -> dict[str, list[Kept]]:
        """Return the last attempts of each of these endpoints, newest first."""
        await self._writer.settle(_SETTLE)
        return {one: await self._history.page(Scope(endpoint=one), None, limit) for one in endpoints}
