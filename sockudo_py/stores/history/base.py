"""The contract of histories: every attempt of webhook deliveries, for a while, and statistics that nothing ends.

Rows are attempts, written in packs (``packs.py``). They are numbered through all endpoints as they are written, so a
number is a place in every list (``before``), whatever comes or goes meanwhile.

What is kept is bounded: rows by number for each endpoint and by age, payloads by bytes for each app. The oldest packs
go first, whole. A driver may be a tenth over a number, and late in both, until the next ``prune``, of which there is
one a minute at least.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sockudo_py.protocol.values import value
from sockudo_py.stores.history.figures import Figures, Tally
from sockudo_py.stores.history.packs import Kept, Pack


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept.

    ``attempts``: rows of each endpoint. ``ttl_ms``: their age. ``bytes``: of the payloads of each app.
    """

    attempts: int = 1000
    ttl_ms: int = 604_800_000
    bytes: int = 67_108_864


@value
class Batch:
    """What is written at once. ``id`` is unique: the same batch written twice counts once.

    ``tallies`` are by endpoint; they may count more attempts than there are rows.
    """

    id: str
    packs: Sequence[Pack]
    tallies: Mapping[str, Tally]


@value
class Link:
    """A delivery that a person, or a replay, made of an earlier one. ``time_ms``: when."""

    delivery: str
    retry_of: str
    endpoint: str
    app_id: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows: those of an endpoint, or of an app; of neither: all."""

    endpoint: str | None = None
    app_id: str | None = None


class History(Protocol):
    """A store of attempts. Every method may raise ``Unavailable``; repeating the same call is safe then."""

    async def open(self) -> None:
        """Connect. Raises SockudoError with key and remedy when the store is not usable."""

    async def close(self) -> None:
        """Close the store."""

    async def write(self, batch: Batch) -> None:
        """Keep rows, and add tallies to the figures. When it returns, a kill -9 of this process loses none of it."""

    async def page(self, scope: Scope, before: int | None, limit: int) -> list[Kept]:
        """Return the newest rows, newest first, of those with a lower ``place`` than ``before``."""

    async def delivery(self, delivery: str, scope: Scope) -> list[Kept]:
        """Return the attempts of a delivery that are kept, oldest first. It looks through all rows of the scope."""

    async def payloads(self, rows: Sequence[Kept]) -> list[bytes | None]:
        """Return the payload of each row; None: it is not kept with this row, or not any more."""

    async def link(self, links: Sequence[Link]) -> None:
        """Note whose retries these deliveries are, as durably as rows, for as long as rows are kept by age."""

    async def links(self, deliveries: Sequence[str]) -> dict[str, Link]:
        """Return what is known of these deliveries, by their id."""

    async def figures(self, endpoints: Sequence[str]) -> dict[str, Figures]:
        """Return the statistics of these endpoints; one that has none yet is missing."""

    async def forget(self, endpoint: str) -> None:
        """Delete the statistics of an endpoint that is gone. Its rows stay as long as any."""

    async def prune(self, now_ms: int) -> bool:
        """Delete some of what is too old or too much. Return whether there is more."""
