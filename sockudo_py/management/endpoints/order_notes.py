"""Notes in the endpoint store that lanes keep their order for resyncs, see ``webhooks/resync_order.py``."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from sockudo_py.errors import Unavailable
from sockudo_py.management.endpoints.documents import ORDER, encode_order
from sockudo_py.management.endpoints.managed import ManagedEndpoints
from sockudo_py.stores.endpoints.base import Conflict, Write
from sockudo_py.webhooks.resync_order import Noted

MOST: Final = 16  # resyncs of one endpoint that are noted: the newest, which arrive last
_TRIES: Final = 10


class StoredNotes:
    """``OrderNotes`` in the endpoint store: one row for each endpoint.

    Args:
        managed: Reads the store, and follows it.
        changed: Gets all notes when some have changed.
    """

    def __init__(self, managed: ManagedEndpoints, changed: Callable[[Noted], None]) -> None:
        self._managed = managed
        self._seen_after = 2 * managed.poll if managed.store.shared else 0.0  # seconds; others read it by then
        managed.on_orders = lambda: changed(managed.orders)

    async def add(self, uid: str, resync: str, began_ms: int) -> None:  # noqa: D102
        def added(resyncs: Mapping[str, int]) -> Mapping[str, int]:
            newest = sorted(resyncs.items(), key=lambda one: one[1])[-(MOST - 1) :]
            return {**dict(newest), resync: began_ms}

        await self._change(uid, added)
        await asyncio.sleep(self._seen_after)

    async def strike(self, uid: str, resync: str) -> None:  # noqa: D102
        await self._managed.refresh()  # another server may have written it just now
        if resync in self._managed.orders.get(uid, {}):
            await self._change(uid, lambda resyncs: {one: began for one, began in resyncs.items() if one != resync})

    async def _change(self, uid: str, change: Callable[[Mapping[str, int]], Mapping[str, int]]) -> None:
        key = ORDER + uid
        for _ in range(_TRIES):
            resyncs = change(self._managed.orders.get(uid, {}))
            text = encode_order(resyncs) if resyncs else None
            seen = self._managed.revision(key)
            if text is None and not seen:
                return
            with contextlib.suppress(Conflict):
                await self._managed.write([Write(key, seen, text)], None)
                return
        raise Unavailable("other servers change the notes of resyncs all the time")
