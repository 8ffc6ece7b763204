"""Attempts of one endpoint as they are kept: in packs. Pure.

What is written together about one endpoint is one pack, so that a store has one thing to write, to find and to delete
for many attempts. Its rows are a JSON array of arrays, oldest first: the fields of ``Row``, then the details, which no
driver looks into. The payloads are one text.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import orjson


class Row(NamedTuple):
    """One attempt, as it is written.

    ``status`` is "delivered", "retrying" or "failed"; ``number`` is 1 for the first attempt, also after the
    ``redrive``-th time that the delivery was sent again as a dead letter. ``created_ms``: time of the first event.
    ``test``: a person tried the endpoint; it counts nowhere. ``types`` are the types of its events, a line each.
    ``size``: bytes of the payload, the JSON array of the events; ``held``: how many of them are kept with this row, all
    or none.
    """

    delivery: str
    status: str
    number: int
    redrive: int
    created_ms: int
    finished_ms: int
    test: bool
    types: str
    size: int
    held: int
    details: Sequence[Any]


class Pack(NamedTuple):
    """``number`` rows of one endpoint.

    ``deliveries``: a line break, and the id of each row's delivery with another one.
    """

    endpoint: str
    app_id: str
    number: int
    newest_ms: int
    deliveries: str
    rows: bytes
    payloads: bytes


class Kept(NamedTuple):
    """One attempt, as it is read. ``place`` is its number in the history, the others are as in ``Row``.

    ``pack`` is the place of the first row of its pack, ``start`` where in the payloads its own begins. ``held``: 0,
    too, when the payloads of the pack are gone.
    """

    place: int
    endpoint: str
    app_id: str
    pack: int
    start: int
    delivery: str
    status: str
    number: int
    redrive: int
    created_ms: int
    finished_ms: int
    test: bool
    types: str
    size: int
    held: int
    details: Sequence[Any]

    def event_types(self) -> tuple[str, ...]:
        """Return the types of its events."""
        return tuple(self.types.split("\n")) if self.types else ()


_delivery_of, _finished_of = itemgetter(0), itemgetter(5)


def pack(endpoint: str, app_id: str, rows: Sequence[tuple[Any, ...]], payloads: Iterable[bytes]) -> Pack:
    """Return a pack of rows, the oldest first: of plain tuples with the fields of ``Row``.

    ``payloads``: those of the rows that hold theirs.
    """
    names = "\n".join(map(_delivery_of, rows))
    newest = max(map(_finished_of, rows))
    return Pack(endpoint, app_id, len(rows), newest, f"\n{names}\n", orjson.dumps(rows), b"".join(payloads))


def unpack(place: int, endpoint: str, app_id: str, rows: bytes, *, there: bool) -> list[Kept]:
    """Return the rows of a pack, oldest first. ``there``: its payloads are kept."""
    found = []
    start = 0
    for at, row in enumerate(orjson.loads(rows)):
        if not there:
            row[9] = 0
        found.append(Kept(place + at, endpoint, app_id, place, start, *row))
        start += row[9]
    return found


def wanted(delivery: str) -> str:
    """Return what ``Pack.deliveries`` contains where there is a row of a delivery."""
    return f"\n{delivery}\n"
