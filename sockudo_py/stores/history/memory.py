"""The history in this process: for tests and trials. It ends with the process."""

import heapq
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter

from sockudo_py.stores.history.base import Batch, Bounds, Link, Scope
from sockudo_py.stores.history.figures import Figures
from sockudo_py.stores.history.packs import Kept, Pack, unpack, wanted

_MOST_BATCHES = 1000  # ids that are remembered
_CHUNK = 1000  # packs that one ``prune`` deletes at most
_place_of = attrgetter("place")


class _Held:
    __slots__ = ("pack", "payloads", "place")

    def __init__(self, place: int, pack: Pack) -> None:
        self.place = place
        self.pack = pack._replace(payloads=b"")
        self.payloads: bytes | None = pack.payloads

    def rows(self) -> list[Kept]:
        pack = self.pack
        return unpack(self.place, pack.endpoint, pack.app_id, pack.rows, there=self.payloads is not None)


class _Lane:
    """The packs of one endpoint. The oldest go first, so what is left is a list from some place on."""

    __slots__ = ("app_id", "packs", "rows", "start")

    def __init__(self, app_id: str) -> None:
        self.app_id = app_id
        self.packs: list[_Held] = []
        self.start = 0
        self.rows = 0

    def newest_first(self, before: int | None) -> Iterator[Kept]:
        end = len(self.packs) if before is None else bisect_left(self.packs, before, key=_place_of)
        for at in range(end - 1, self.start - 1, -1):
            for kept in reversed(self.packs[at].rows()):
                if before is None or kept.place < before:
                    yield kept

    def oldest(self) -> _Held | None:
        return self.packs[self.start] if self.start < len(self.packs) else None

    def pop(self) -> None:
        self.rows -= self.packs[self.start].pack.number
        self.start += 1
        if self.start * 2 > len(self.packs):
            del self.packs[: self.start]
            self.start = 0


class MemoryHistory:
    """``History`` in plain memory."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._next = 1
        self._lanes: dict[str, _Lane] = {}
        self._heavy: dict[str, OrderedDict[int, _Held]] = {}  # app -> packs with payloads, oldest first
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
        for pack in batch.packs:
            self._add(pack)
        for endpoint, tally in batch.tallies.items():
            self._figures.setdefault(endpoint, Figures()).add(tally)

    async def page(self, scope: Scope, before: int | None, limit: int) -> list[Kept]:  # noqa: D102
        lanes = [lane.newest_first(before) for lane in self._of(scope)]
        return list(islice(heapq.merge(*lanes, key=_place_of, reverse=True), limit))

    async def delivery(self, delivery: str, scope: Scope) -> list[Kept]:  # noqa: D102
        name = wanted(delivery)
        found = [
            kept
            for lane in self._of(scope)
            for held in lane.packs[lane.start :]
            if name in held.pack.deliveries
            for kept in held.rows()
            if kept.delivery == delivery
        ]
        return sorted(found)

    async def payloads(self, rows: Sequence[Kept]) -> list[bytes | None]:  # noqa: D102
        found: list[bytes | None] = []
        for kept in rows:
            heavy = self._heavy.get(kept.app_id)
            held = heavy.get(kept.pack) if heavy is not None else None
            text = held.payloads if held is not None and kept.held else None
            found.append(None if text is None else text[kept.start : kept.start + kept.held])
        return found

    async def link(self, links: Sequence[Link]) -> None:  # noqa: D102
        self._links.update((link.delivery, link) for link in links)

    async def links(self, deliveries: Sequence[str]) -> dict[str, Link]:  # noqa: D102
        return {delivery: self._links[delivery] for delivery in deliveries if delivery in self._links}

    async def figures(self, endpoints: Sequence[str]) -> dict[str, Figures]:  # noqa: D102
        return {one: self._figures[one].copy() for one in endpoints if one in self._figures}

    async def forget(self, endpoint: str) -> None:  # noqa: D102
        self._figures.pop(endpoint, None)

    async def prune(self, now_ms: int) -> bool:  # noqa: D102
        left, old = _CHUNK, now_ms - self._bounds.ttl_ms
        for endpoint in list(self._lanes):
            lane = self._lanes[endpoint]
            while left and (held := lane.oldest()) is not None and held.pack.newest_ms < old:
                self._pop(lane, held)
                left -= 1
            if lane.oldest() is None:
                del self._lanes[endpoint]
        while left and self._links and next(iter(self._links.values())).time_ms < old:
            self._links.popitem(last=False)
            left -= 1
        return not left

    def _of(self, scope: Scope) -> list[_Lane]:
        if scope.endpoint is not None:
            lane = self._lanes.get(scope.endpoint)
            return [] if lane is None else [lane]
        return [lane for lane in self._lanes.values() if scope.app_id in (None, lane.app_id)]

    def _add(self, pack: Pack) -> None:
        held = _Held(self._next, pack)
        self._next += pack.number
        lane = self._lanes.get(pack.endpoint)
        if lane is None:
            lane = self._lanes[pack.endpoint] = _Lane(pack.app_id)
        lane.packs.append(held)
        lane.rows += pack.number
        heavy = self._heavy.setdefault(pack.app_id, OrderedDict())
        heavy[held.place] = held
        size = self._bytes.get(pack.app_id, 0) + len(pack.payloads)
        while size > self._bounds.bytes:
            _, oldest = heavy.popitem(last=False)
            size -= len(oldest.payloads or b"")
            oldest.payloads = None
        self._bytes[pack.app_id] = size
        while lane.rows > self._bounds.attempts and (oldest_held := lane.oldest()) is not None:
            self._pop(lane, oldest_held)

    def _pop(self, lane: _Lane, held: _Held) -> None:
        lane.pop()
        app_id = held.pack.app_id
        if held.payloads is not None:
            self._bytes[app_id] -= len(held.payloads)
            del self._heavy[app_id][held.place]
            if not self._heavy[app_id]:
                del self._heavy[app_id], self._bytes[app_id]
