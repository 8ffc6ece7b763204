"""The contract of histories: every attempt of webhook deliveries, for a while, and statistics that nothing ends.

Rows are attempts. They are numbered through all endpoints as they are written, so a number is a place in every list
(``before``), whatever comes or goes meanwhile. The payload of a delivery is kept once, as long as one of its rows.

What is kept is bounded: rows by number for each endpoint and by age, payloads by bytes for each app, the oldest go
first. A driver may be a tenth over a number, and both may be late, until the next ``prune``, of which there is one a
minute at least.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sockudo_py.protocol.values import value
from sockudo_py.stores.history.figures import Figures, Tally


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept.

    ``attempts``: rows of each endpoint. ``ttl_ms``: their age. ``bytes``: of the payloads of each app.
    """

    attempts: int = 1000
    ttl_ms: int = 604_800_000
    bytes: int = 67_108_864


class Row(NamedTuple):  # made for nearly every delivery: a dataclass takes longer
    """One attempt, as it is written.

    ``status`` is "delivered", "retrying" or "failed"; ``number`` is 1 for the first attempt, also after the
    ``redrive``-th time that the delivery was sent again as a dead letter. ``created_ms``: time of the first event.
    ``test``: a person tried the endpoint; it counts nowhere. ``types`` are the types of its events, a line each.
    ``document`` is what no driver looks into, ``payload`` the JSON array of the events, and ``size`` its bytes.
    """

    endpoint: str
    app_id: str
    delivery: str
    status: str
    number: int
    redrive: int
    created_ms: int
    finished_ms: int
    test: bool
    types: str
    size: int
    document: bytes
    payload: bytes


class Kept(NamedTuple):
    """One attempt, as it is read.

    ``place`` is its number in the history; ``size``: bytes of the payload. ``held``: the payload is kept; that counts
    for the last attempt of a delivery.
    """

    place: int
    endpoint: str
    app_id: str
    delivery: str
    status: str
    number: int
    redrive: int
    created_ms: int
    finished_ms: int
    event_types: tuple[str, ...]
    document: bytes
    size: int
    test: bool
    held: bool


@value
class Batch:
    """What is written at once. ``id`` is unique: the same batch written twice counts once.

    ``tallies`` are by endpoint; they may count more attempts than there are rows.
    """

    id: str
    rows: Sequence[Row]
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
        """Let go of it."""

    async def write(self, batch: Batch) -> None:
        """Keep rows, and add tallies to the figures. When it returns, a kill -9 of this process loses none of it."""

    async def page(self, scope: Scope, before: int | None, limit: int) -> list[Kept]:
        """Return the newest rows, newest first, of those with a lower ``place`` than ``before``."""

    async def delivery(self, delivery: str) -> list[Kept]:
        """Return the attempts of a delivery that are kept, oldest first."""

    async def payloads(self, deliveries: Sequence[str]) -> dict[str, bytes]:
        """Return the payloads that are kept of these deliveries."""

    async def link(self, links: Sequence[Link]) -> None:
        """Note whose retries these deliveries are, as durably as rows, for as long as rows are kept by age."""

    async def links(self, deliveries: Sequence[str]) -> dict[str, Link]:
        """Return what is known of these deliveries, by their id."""

    async def figures(self, endpoints: Sequence[str]) -> dict[str, Figures]:
        """Return the statistics of these endpoints; one that has none yet is missing."""

    async def forget(self, endpoint: str) -> None:
        """Delete the statistics of an endpoint that is gone. Its rows stay as long as any."""

    async def prune(self, now_ms: int) -> bool:
        """Delete what is too old or too much: some of it. Return whether there is more."""


def event_types(types: str) -> tuple[str, ...]:
    """Return the lines of ``Row.types``."""
    return tuple(types.split("\n")) if types else ()
