"""The history in Redis, under the prefix of the queue. Keys and scripts are explained in ``lua/history_common.lua``."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sockudo_py.links.redis.link import RedisLink, Script
from sockudo_py.links.redis.wire import Word
from sockudo_py.stores.history.base import Batch, Bounds, Link, Scope
from sockudo_py.stores.history.figures import Figures
from sockudo_py.stores.history.packs import Kept, unpack, wanted

_AT_ONCE = 500  # deliveries or links in one script call
_PACKS = 50  # read at once for a page
_BUCKET = "b"

Item = TypeVar("Item")


class RedisHistory:
    """``History`` in Redis 7.0 or later.

    Args:
        link: The way to Redis; closed with the history.
        prefix: Of all keys.
        bounds: How much is kept.
    """

    def __init__(self, link: RedisLink, prefix: str, bounds: Bounds) -> None:
        self._link = link
        self._prefix = prefix
        self._bounds = bounds
        self._scripts = {name: Script(f"history_{name}") for name in ("write", "prune", "page", "payloads", "link")}

    async def open(self) -> None:  # noqa: D102 - the queue, which is there before, has checked the server
        pass

    async def close(self) -> None:  # noqa: D102
        await self._link.close()

    async def write(self, batch: Batch) -> None:  # noqa: D102
        words: list[Word] = [batch.id, self._bounds.attempts, self._bounds.bytes, len(batch.packs)]
        for pack in batch.packs:
            words += pack
        for endpoint, tally in batch.tallies.items():
            sums = {
                "successful": tally.successful,
                "failed": tally.failed,
                "attempts": tally.attempts,
                "duration_ms": tally.duration_ms,
                **{f"{_BUCKET}{bucket}": count for bucket, count in tally.buckets.items()},
            }
            words += (endpoint, tally.last_success_ms, tally.last_failure_ms, tally.streak, int(tally.reset), len(sums))
            for name, number in sums.items():
                words += (name, number)
        await self._call("write", *words)

    async def page(self, scope: Scope, before: int | None, limit: int) -> list[Kept]:  # noqa: D102
        which = _which(scope)
        place, found = before, list[Kept]()
        together = min(limit, _PACKS)
        while len(found) < limit:
            packs = _packs(await self._call("page", *which, place or 0, together, ""))
            floor = _floor(packs, together)
            found += (
                kept
                for pack in packs
                if pack[0].place >= floor
                for kept in reversed(pack)
                if before is None or kept.place < before
            )
            if not floor:
                break
            place = floor
        return found[:limit]

    async def delivery(self, delivery: str, scope: Scope) -> list[Kept]:  # noqa: D102
        endpoints = [scope.endpoint] if scope.endpoint is not None else await self._endpoints()
        found: list[Kept] = []
        for endpoint in endpoints:
            packs = _packs(await self._call("page", "endpoint", endpoint, 0, 0, wanted(delivery)))
            found += (kept for pack in packs for kept in pack if kept.delivery == delivery)
        return sorted(kept for kept in found if scope.app_id in (None, kept.app_id))

    async def payloads(self, rows: Sequence[Kept]) -> list[bytes | None]:  # noqa: D102
        found: list[bytes | None] = []
        for some in _portions(rows):
            words: list[Word] = []
            for kept in some:
                words += (kept.app_id, kept.pack, kept.start, kept.held)
            found += await self._call("payloads", *words)
        return found

    async def link(self, links: Sequence[Link]) -> None:  # noqa: D102
        for some in _portions(links):
            words: list[Word] = [self._bounds.ttl_ms]
            for one in some:
                words += (one.delivery, one.retry_of, one.endpoint, one.app_id, one.time_ms)
            await self._call("link", *words)

    async def links(self, deliveries: Sequence[str]) -> dict[str, Link]:  # noqa: D102
        found: dict[str, Link] = {}
        for some in _portions(deliveries):
            answer = [word.decode() for word in await self._call("link", 0, *some)]
            for at, delivery in enumerate(some):
                retry_of, endpoint, app_id, time_ms = answer[at * 4 : at * 4 + 4]
                if retry_of:
                    found[delivery] = Link(delivery, retry_of, endpoint, app_id, int(time_ms))
        return found

    async def figures(self, endpoints: Sequence[str]) -> dict[str, Figures]:  # noqa: D102
        found: dict[str, Figures] = {}
        for endpoint in endpoints:
            pairs = await self._link.command("HGETALL", f"{self._prefix}stats:{endpoint}")
            fields = {_text(name): int(number) for name, number in pairs.items()}
            if fields:
                buckets = {
                    int(name[len(_BUCKET) :]): fields.pop(name)
                    for name in list(fields)
                    if name[len(_BUCKET) :].isdigit()
                }
                found[endpoint] = Figures(**fields, buckets=buckets)
        return found

    async def forget(self, endpoint: str) -> None:  # noqa: D102
        await self._link.command("DEL", f"{self._prefix}stats:{endpoint}")

    async def prune(self, now_ms: int) -> bool:  # noqa: D102
        bounds = self._bounds
        return bool(await self._call("prune", now_ms - bounds.ttl_ms, bounds.attempts, bounds.bytes))

    async def _endpoints(self) -> list[str]:
        names = await self._link.command("ZRANGE", f"{self._prefix}history:oldest", 0, -1)
        return [_text(name) for name in names]

    async def _call(self, name: str, *words: Word) -> Any:
        return await self._link.call(self._scripts[name], self._prefix, words)


def _which(scope: Scope) -> tuple[str, str]:
    if scope.endpoint is not None:
        return "endpoint", scope.endpoint
    return ("all", "") if scope.app_id is None else ("app", scope.app_id)


def _packs(answer: Sequence[Any]) -> list[list[Kept]]:
    """Return the rows of packs, the newest pack first."""
    packs = [
        unpack(
            int(answer[at]),
            answer[at + 1].decode(),
            answer[at + 2].decode(),
            answer[at + 3],
            there=bool(answer[at + 4]),
        )
        for at in range(0, len(answer), 5)
    ]
    return sorted(packs, key=_first_place, reverse=True)


def _floor(packs: Sequence[Sequence[Kept]], together: int) -> int:
    """Return the place down to which these are all packs; 0: they are all.

    Each app has ``together`` rows at most in the answer: an app with that number may have more.
    """
    lowest: dict[str, list[int]] = {}
    for pack in packs:
        lowest.setdefault(pack[0].app_id, []).append(pack[0].place)
    return max((min(places) for places in lowest.values() if len(places) >= together), default=0)


def _first_place(pack: Sequence[Kept]) -> int:
    return pack[0].place


def _portions(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _text(word: str | bytes) -> str:
    return word.decode() if isinstance(word, bytes) else word
