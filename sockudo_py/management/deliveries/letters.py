"""Dead letters as the management routes see them: of any queue, page by page, and as JSON."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sockudo_py.management.requests.cursors import read_cursor, write_cursor
from sockudo_py.management.requests.values import Refused, iso
from sockudo_py.queues import jobs
from sockudo_py.queues.base import ALL_DEAD, ChoosesDead, DeadLetters, Depths, Queue

COUNTED = 10_000  # dead letters that match; past it the answer says "more"
_PAGE = 500
_MOVED = 1000  # places by which a page may have moved since the one before
_RAW = 100_000  # bytes that are shown of a text that is no job


class Letters(Protocol):
    """Where dead letters are. The methods are those of ``Queue`` and ``ChoosesDead``."""

    async def find_dead(self, which: DeadLetters, offset: int = 0, limit: int = 50) -> list[bytes]: ...  # noqa: D102

    async def redrive_dead(self, which: DeadLetters, limit: int = 1000) -> int: ...  # noqa: D102

    async def purge_dead(self, which: DeadLetters) -> int: ...  # noqa: D102

    async def depths(self, lanes: int = 20) -> Depths: ...  # noqa: D102


class OfOneEndpoint:
    """``Letters`` over a queue that can choose by endpoint only. It reads all of them to find some."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def find_dead(self, which: DeadLetters, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        texts = await self._queue.failed(0, COUNTED)
        return [text for text in texts if jobs.fits(text, which)][offset : offset + limit]

    async def redrive_dead(self, which: DeadLetters, limit: int = 1000) -> int:  # noqa: D102
        return await self._queue.redrive(self._endpoint(which), limit)

    async def purge_dead(self, which: DeadLetters) -> int:  # noqa: D102
        return await self._queue.purge(self._endpoint(which))

    async def depths(self, lanes: int = 20) -> Depths:  # noqa: D102
        return await self._queue.depths(lanes)

    @staticmethod
    def _endpoint(which: DeadLetters) -> str | None:
        if which != DeadLetters(endpoint=which.endpoint):
            raise Refused(422, "not_supported", "this queue can choose its dead letters by endpoint only")
        return which.endpoint


def letters_of(queue: Queue) -> Letters:
    """Return the dead letters of a queue."""
    if isinstance(queue, ChoosesDead):
        return queue
    return OfOneEndpoint(queue)


async def count(letters: Letters, which: DeadLetters) -> tuple[int, bool]:
    """Return how many there are, and whether there are more than were counted."""
    if which == ALL_DEAD:
        return (await letters.depths(0)).failed, False
    found = 0
    while found <= COUNTED:
        page = len(await letters.find_dead(which, found, _PAGE))
        found += page
        if page < _PAGE:
            return found, False
    return COUNTED, True


async def page(letters: Letters, which: DeadLetters, limit: int, cursor: str | None) -> tuple[list[bytes], str | None]:
    """Return the next of them, newest first, and the cursor of those that follow; None: that is all.

    A cursor holds a place and the last delivery there, which is searched for: new dead letters push it on, and those
    that were sent again let it move up.
    """
    offset = 0
    if cursor is not None:
        place, last = _read(cursor)
        offset = await _behind(letters.find_dead, which, place, last)
    texts = await letters.find_dead(which, offset, limit + 1)
    some = texts[:limit]
    if len(texts) <= limit:
        return some, None
    return some, write_cursor((offset + limit, _id(some[-1])))


async def _behind(
    find: Callable[[DeadLetters, int, int], Awaitable[list[bytes]]], which: DeadLetters, place: int, last: str
) -> int:
    start = max(0, place - 1)
    near = [_id(text) for text in await find(which, start, 1)]
    if near == [last]:  # nothing has moved
        return place
    start = max(0, place - _MOVED)
    while start < place + _MOVED:
        ids = [_id(text) for text in await find(which, start, _PAGE)]
        if last in ids:
            return start + ids.index(last) + 1
        if len(ids) < _PAGE:
            break
        start += _PAGE
    return place


def _read(cursor: str) -> tuple[int, str]:
    place, last = read_cursor(cursor)
    if not 0 <= place < 2**31:
        raise Refused(400, "invalid_cursor", "cursor: is none that this server has given")
    return place, last


def _id(text: bytes) -> str:
    head = jobs.header(text)
    return "" if head is None else head[0]


def describe(text: bytes, *, whole: bool = False) -> dict[str, Any]:
    """Return a dead job as JSON, with its events only if ``whole``. An unreadable one is in ``raw``."""
    try:
        job = json.loads(text)
    except (ValueError, RecursionError):
        job = None
    if not isinstance(job, dict):
        return {"id": None, "size": len(text), "raw": text[:_RAW].decode("utf-8", "replace")}
    error, events = job.get("error"), job.get("events")
    error = error if isinstance(error, dict) else {}
    events = events if isinstance(events, list) else []
    names = [str(event.get("name", "?")) for event in events if isinstance(event, dict)]
    shown = {
        "id": job.get("id"),
        "webhook_id": job.get("ep"),
        "app_id": job.get("app"),
        "event_types": list(dict.fromkeys(names)),
        "event_count": len(names),
        "attempts": job.get("attempt"),
        "redrives": job.get("redrives"),
        "error": {name: error.get(name) for name in ("class", "status", "message")} if error else None,
        "created_at": iso(job.get("created_ms")),
        "failed_at": iso(job.get("failed_ms")),
        "size": len(text),
    }
    return {**shown, "payload": events, "job": job} if whole else shown
