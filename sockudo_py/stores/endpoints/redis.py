"""The endpoint store in Redis 7.0 or later: the hash ``P endpoints``, P being the prefix of the queue.

Beside it are ``P endpoints:version``, ``:number``, ``:audit`` (newest first) and ``:lines``. Changes are published on
``P endpoints:changed`` for whoever listens; servers ask for the version. One script does each write as a whole, so
writers can't mix.
"""

from collections.abc import Sequence

from sockudo_py.links.redis.link import RedisLink, Script
from sockudo_py.links.redis.wire import Word
from sockudo_py.stores.endpoints.base import (
    MOST_AUDITED,
    MOST_ROWS,
    Audited,
    AuditLine,
    Conflict,
    Contents,
    Row,
    StoreFull,
    Write,
    check,
)

_PAGE = 500  # lines of the audit in one call


class RedisEndpoints:
    """``EndpointStore`` in Redis.

    Args:
        link: The way to Redis; closed with the store.
        prefix: Of all keys.
        replicas: How many replicas must have a change before it counts as written.
    """

    shared = True

    def __init__(self, link: RedisLink, prefix: str, *, replicas: int = 0) -> None:
        self._link = link
        self._key = f"{prefix}endpoints"
        self._replicas = replicas
        self._write = Script("endpoints_write")

    async def open(self) -> None:  # noqa: D102 - the server was checked for the queue
        pass

    async def close(self) -> None:  # noqa: D102
        await self._link.close()

    async def version(self) -> int:  # noqa: D102
        return int(await self._link.command("GET", f"{self._key}:version") or 0)

    async def load(self) -> Contents:  # noqa: D102
        version = await self.version()  # first: a change that comes meanwhile makes it another, and all is read again
        found: dict[bytes, bytes] = await self._link.command("HGETALL", self._key)
        rows = {}
        for key, value in found.items():
            revision, _, text = value.partition(b" ")
            # Another program has put this text there: its reader will refuse it, and the others count.
            number = int(revision) if revision.isdigit() else 0
            rows[key.decode(errors="replace")] = Row(number, text if number else value)
        return Contents(version, rows)

    async def write(self, writes: Sequence[Write], audit: AuditLine | None = None) -> int:  # noqa: D102
        check(writes)
        words: list[Word] = [MOST_ROWS, MOST_AUDITED]
        words += ("", "") if audit is None else (audit.app_id, audit.text)
        for write in writes:
            words += (write.key, write.seen, int(write.text is not None), write.text or b"")
        if self._replicas:
            answer = await self._link.call_replicated(self._replicas, self._write, self._key, words)
        else:
            answer = await self._link.call(self._write, self._key, words)
        done, *rest = answer
        if done == 1:
            return int(rest[0])
        if done == 0:
            raise Conflict(f"{rest[0].decode(errors='replace')} has changed meanwhile")
        raise StoreFull(f"the store has {MOST_ROWS} rows already")

    async def allot(self) -> int:  # noqa: D102
        return int(await self._link.command("INCR", f"{self._key}:number"))

    async def audit(self, limit: int, before: int | None = None, apps: frozenset[str] | None = None) -> list[Audited]:  # noqa: D102
        found: list[Audited] = []
        start = 0
        while len(found) < limit:
            texts: list[bytes] = await self._link.command("LRANGE", f"{self._key}:audit", start, start + _PAGE - 1)
            lines = [_line(text) for text in texts]
            found += [
                one
                for one in lines
                if one is not None
                and (before is None or one.number < before)
                and (apps is None or one.line.app_id in apps)
                and (not found or one.number < found[-1].number)  # new lines have moved the others on meanwhile
            ]
            if len(texts) < _PAGE:
                break
            start += _PAGE
        return found[:limit]


def _line(text: bytes) -> Audited | None:
    number, _, rest = text.partition(b" ")
    length, _, line = rest.partition(b" ")
    if not number.isdigit() or not length.isdigit():
        return None
    app, line = line[: int(length)], line[int(length) :]
    return Audited(int(number), AuditLine(app.decode(errors="replace"), line))
