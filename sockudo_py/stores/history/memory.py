"""The history in this process: for tests and trials. It ends with the process."""

import heapq
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice

from sockudo_py.stores.history.base import Batch, Bounds, Kept, Link, Row, Scope, event_types
from sockudo_py.stores.history.figures import Figures

_MOST_BATCHES = 1000  # ids that are remembered
_CHUNK = 1000  # rows that one ``prune`` deletes at most


class _Lane:
    """The rows of one endpoint. The oldest go first, so what is left is a list from some place on."""

    __slots__ = ("app_id", "rows", "start")

    def __init__(self, app_id: str) -> None:
        self.app_id = app_id
        self.rows: list[Kept] = []
        self.start = 0

    def __len__(self) -> int:
        return len(self.rows) - self.start

    def before(self, place: int | None) -> Iterator[Kept]:
        end = len(self.rows) if place is None else bisect_left(self.rows, (place,))
        return (self.rows[at] for at in range(end - 1, self.start - 1, -1))

    def pop(self) -> Kept:
        kept = self.rows[self.start]
        self.start += 1
        if self.start * 2 > len(self.rows):
            del self.rows[: self.start]
            self.start = 0
        return kept


class MemoryHistory:
    """``History`` in plain memory."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._last = 0
        self._lanes: dict[str, _Lane] = {}
        self._deliveries: dict[str, list[Kept]] = {}
        self._payloads: dict[str, OrderedDict[str, bytes]] = {}  # app -> delivery -> payload, oldest first
        self._bytes: dict[str, int] = {}
        self._figures: dict[str, Figures] = {}
        self._links: OrderedDict[str, Link] = OrderedDict()
        self._batches: OrderedDict[str, None] = OrderedDict()

    async def open(self) -> None:  # noqa: D102
        pass

    async def close(self) -> None:  # noqa: D102
        pass

    async def write(self, batch: Batch) -> None:  # noqa: D102
        if batch.id in self._batches:
            return
        self._batches[batch.id] = None
        if len(self._batches) > _MOST_BATCHES:
            self._batches.popitem(last=False)
        for row in batch.rows:
            self._add(row)
        for endpoint, tally in batch.tallies.items():
            self._figures.setdefault(endpoint, Figures()).add(tally)

    async def page(self, scope: Scope, before: int | None, limit: int) -> list[Kept]:  # noqa: D102
        if scope.endpoint is not None:
            chosen = self._lanes.get(scope.endpoint)
            lanes = [chosen] if chosen is not None else []
        else:
            lanes = [lane for lane in self._lanes.values() if scope.app_id in (None, lane.app_id)]
        rows = heapq.merge(*(lane.before(before) for lane in lanes), reverse=True)
        return [self._now(kept) for kept in islice(rows, limit)]

    async def delivery(self, delivery: str) -> list[Kept]:  # noqa: D102
        return [self._now(kept) for kept in self._deliveries.get(delivery, ())]

    async def payloads(self, deliveries: Sequence[str]) -> dict[str, bytes]:  # noqa: D102
        found = {}
        for delivery in deliveries:
            rows = self._deliveries.get(delivery)
            payload = self._payloads[rows[0].app_id].get(delivery) if rows else None
            if payload is not None:
                found[delivery] = payload
        return found

    async def link(self, links: Sequence[Link]) -> None:  # noqa: D102
        self._links.update((link.delivery, link) for link in links)

    async def links(self, deliveries: Sequence[str]) -> dict[str, Link]:  # noqa: D102
        return {delivery: self._links[delivery] for delivery in deliveries if delivery in self._links}

    async def figures(self, endpoints: Sequence[str]) -> dict[str, Figures]:  # noqa: D102
        return {
            endpoint: Figures.load(self._figures[endpoint].dump())
            for endpoint in endpoints
            if endpoint in self._figures
        }

    async def forget(self, endpoint: str) -> None:  # noqa: D102
        self._figures.pop(endpoint, None)

    async def prune(self, now_ms: int) -> bool:  # noqa: D102
        left, old = _CHUNK, now_ms - self._bounds.ttl_ms
        for endpoint in list(self._lanes):
            lane = self._lanes[endpoint]
            while left and len(lane) and lane.rows[lane.start].finished_ms < old:
                self._pop(lane)
                left -= 1
            if not len(lane):
                del self._lanes[endpoint]
        while left and self._links and next(iter(self._links.values())).time_ms < old:
            self._links.popitem(last=False)
            left -= 1
        return not left

    def _now(self, kept: Kept) -> Kept:
        return kept if kept.delivery in self._payloads[kept.app_id] else kept._replace(held=False)

    def _add(self, row: Row) -> None:
        self._last += 1
        kept = Kept(
            self._last,
            row.endpoint,
            row.app_id,
            row.delivery,
            row.status,
            row.number,
            row.redrive,
            row.created_ms,
            row.finished_ms,
            event_types(row.types),
            row.document,
            row.size,
            row.test,
            True,
        )
        lane = self._lanes.get(row.endpoint)
        if lane is None:
            lane = self._lanes[row.endpoint] = _Lane(row.app_id)
        lane.rows.append(kept)
        self._deliveries.setdefault(row.delivery, []).append(kept)
        payloads = self._payloads.setdefault(row.app_id, OrderedDict())
        held = self._bytes.get(row.app_id, 0) + len(row.payload) - len(payloads.pop(row.delivery, b""))
        payloads[row.delivery] = row.payload
        while held > self._bounds.bytes:
            held -= len(payloads.popitem(last=False)[1])
        self._bytes[row.app_id] = held
        while len(lane) > self._bounds.attempts:
            self._pop(lane)

    def _pop(self, lane: _Lane) -> None:
        kept = lane.pop()
        rows = self._deliveries[kept.delivery]
        rows.remove(kept)
        if rows:
            return
        del self._deliveries[kept.delivery]
        payloads = self._payloads[kept.app_id]
        payload = payloads.pop(kept.delivery, None)
        if payload is not None:
            self._bytes[kept.app_id] -= len(payload)
