"""The history in Redis, under the prefix of the queue. Keys and scripts are explained in ``lua/history_common.lua``."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sockudo_py.links.redis import RedisLink, Script
from sockudo_py.links.redis_wire import Word
from sockudo_py.stores.history.base import Batch, Bounds, Kept, Link, Scope, event_types
from sockudo_py.stores.history.figures import Figures

_AT_ONCE = 500  # deliveries or links in one script call
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
        words: list[Word] = [batch.id, self._bounds.attempts, self._bounds.bytes, len(batch.rows)]
        for row in batch.rows:
            words += row[:8]
            words += (int(row.test), row.types, row.document, row.payload)
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
        if scope.endpoint is not None:
            which = ("endpoint", scope.endpoint)
        else:
            which = ("all", "") if scope.app_id is None else ("app", scope.app_id)
        return _kept(await self._call("page", *which, before or 0, limit), newest_first=True)[:limit]

    async def delivery(self, delivery: str) -> list[Kept]:  # noqa: D102
        return _kept(await self._call("page", "delivery", delivery, 0, 0), newest_first=False)

    async def payloads(self, deliveries: Sequence[str]) -> dict[str, bytes]:  # noqa: D102
        found: dict[str, bytes] = {}
        for some in _portions(deliveries):
            answer = await self._call("payloads", *some)
            found.update((delivery, text) for delivery, text in zip(some, answer, strict=True) if text is not None)
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

    async def _call(self, name: str, *words: Word) -> Any:
        return await self._link.call(self._scripts[name], self._prefix, words)


def _kept(answer: Sequence[Any], *, newest_first: bool) -> list[Kept]:
    rows = []
    for at in range(0, len(answer), 3):
        ident, words = answer[at + 1]
        fields = {words[place].decode(): words[place + 1] for place in range(0, len(words), 2)}
        rows.append(
            Kept(
                int(ident.partition(b"-")[0]),
                answer[at].decode(),
                fields["app"].decode(),
                fields["delivery"].decode(),
                fields["status"].decode(),
                int(fields["number"]),
                int(fields["redrive"]),
                int(fields["created"]),
                int(fields["finished"]),
                event_types(fields["types"].decode()),
                fields["document"],
                int(fields["size"]),
                fields["test"] == b"1",
                answer[at + 2] == 1,
            )
        )
    rows.sort(key=lambda kept: kept.place, reverse=newest_first)
    return rows


def _portions(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _text(word: str | bytes) -> str:
    return word.decode() if isinstance(word, bytes) else word
