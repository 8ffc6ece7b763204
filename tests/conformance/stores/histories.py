"""The histories that must pass the suite, each behind one handle, and rows for them."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from sockudo_py.links.redis.link import RedisLink
from sockudo_py.metrics import Metrics
from sockudo_py.queues.metrics import QueueMetrics
from sockudo_py.stores.history.base import Batch, Bounds, History, Scope
from sockudo_py.stores.history.figures import Tally
from sockudo_py.stores.history.memory import MemoryHistory
from sockudo_py.stores.history.packs import Kept, Pack, Row, pack
from sockudo_py.stores.history.redis import RedisHistory
from sockudo_py.stores.history.sqlite import SqliteHistory
from tests.support.redis_server import RedisServer

NOW = 1_800_000_000_000  # Unix ms
MINUTE = 60_000
_IDS = itertools.count()


class Histories:
    """Makes histories of one driver, over one store."""

    def __init__(self, kind: str, folder: Path, redis: RedisServer | None = None, prefix: str = "") -> None:
        self.kind = kind
        self._path = folder / "queue.sqlite3.history"
        self._redis = redis
        self._prefix = prefix
        self._made: list[History] = []

    async def make(self, **bounds: int) -> History:
        """Return an open history."""
        history: History
        some = Bounds(**bounds)
        if self.kind == "memory":
            history = MemoryHistory(some)
        elif self.kind == "sqlite":
            history = SqliteHistory(self._path, some)
        else:
            assert self._redis is not None
            link = RedisLink(
                self._redis.url,
                owner="history",
                keys="database.redis",
                max_connections=3,
                response_timeout=30.0,
                errors=QueueMetrics(Metrics()).store_errors,
            )
            history = RedisHistory(link, self._prefix, some)
        await history.open()
        self._made.append(history)
        return history

    async def restart(self, **bounds: int) -> History:
        """Return what the next run of the server finds, with other bounds perhaps."""
        await self._made[-1].close()
        return await self.make(**bounds)

    async def close(self) -> None:
        """Close all."""
        for history in self._made:
            await history.close()


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def histories(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Histories]:
    """The driver under test."""
    if request.param == "redis":
        made = Histories(
            "redis", tmp_path, request.getfixturevalue("redis_server"), request.getfixturevalue("unique_prefix")
        )
    else:
        made = Histories(request.param, tmp_path)
    yield made
    await made.close()


class Written(NamedTuple):
    """A row with whose it is, and its payload."""

    endpoint: str
    app_id: str
    row: Row
    payload: bytes


def row(
    delivery: str | int,
    *,
    endpoint: str = "wh_a",
    app_id: str = "app",
    status: str = "delivered",
    number: int = 1,
    redrive: int = 0,
    created_ms: int = NOW,
    finished_ms: int = NOW,
    types: tuple[str, ...] = ("channel_occupied",),
    payload: bytes = b'[{"name":"channel_occupied"}]',
    held: bool = True,
    test: bool = False,
) -> Written:
    """Return an attempt of delivery ``d<number>``, or of the one named."""
    made = Row(
        f"d{delivery}" if isinstance(delivery, int) else delivery,
        status,
        number,
        redrive,
        created_ms,
        finished_ms,
        test,
        "\n".join(types),
        len(payload),
        len(payload) if held else 0,
        ("details", 200, None),
    )
    return Written(endpoint, app_id, made, payload)


def packed(rows: Sequence[Written], together: int = 1) -> list[Pack]:
    """Return packs of so many rows each; those of one pack are of one endpoint."""
    packs = []
    for start in range(0, len(rows), together):
        some = rows[start : start + together]
        payloads = [one.payload for one in some if one.row.held]
        packs.append(pack(some[0].endpoint, some[0].app_id, [tuple(one.row) for one in some], payloads))
    return packs


async def keep(history: History, *rows: Written, together: int = 1, tallies: Mapping[str, Tally] | None = None) -> None:
    """Write rows in a batch of their own."""
    await history.write(Batch(f"b{next(_IDS)}", packed(rows, together), tallies or {}))


def tally(rows: Sequence[tuple[str, int, int, int, int]], app_id: str = "app") -> Tally:
    """Return the sum of attempts: status, number, redrive, duration and end."""
    made = Tally(app_id)
    made.add_all(rows)
    return made


def names(found: Sequence[Kept]) -> list[str]:
    """Return the deliveries of rows."""
    return [kept.delivery for kept in found]


async def payloads(history: History, rows: Sequence[Kept]) -> dict[str, bytes]:
    """Return the payloads that are kept, by delivery."""
    found = zip(rows, await history.payloads(rows), strict=True)
    return {kept.delivery: text for kept, text in found if text is not None}


async def everything(history: History, scope: Scope, page: int = 100) -> list[Kept]:
    """Return all rows, page by page."""
    found: list[Kept] = []
    while some := await history.page(scope, found[-1].place if found else None, page):
        found += some
    return found
