"""The contract of endpoint stores: rows that several servers change at the same time, and an audit of the changes.

A store does not read what it keeps. A row has a key, a text, and a revision, a number that it never had before. Whoever
changes a row says which revision he has seen; when it is another by now, nothing is changed. So nothing that somebody
else has written is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from sockudo_py.errors import SockudoError

MOST_AUDITED: Final = 10_000  # lines of the audit; the oldest go first
MOST_ROWS: Final = 100_000
MOST_TEXT: Final = 1_048_576  # bytes of one row


class Conflict(SockudoError):
    """A row has changed since it was read. Nothing was written; read it again."""


class StoreFull(SockudoError):
    """The store has ``MOST_ROWS`` rows, or a text is longer than ``MOST_TEXT``. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept under a key; it may hold secrets. ``revision``: the store's version that the last change made."""

    revision: int
    text: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Write:
    """A change of one row.

    Args:
        key: Up to 200 bytes.
        seen: The revision that is to be changed; 0: there must be no row.
        text: The new text; None: no row.
    """

    key: str
    seen: int
    text: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit. ``app_id``: the app that it is about; "": none, or several. ``text`` is JSON."""

    app_id: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Audited:
    """A line with its number; later lines have higher ones."""

    number: int
    line: AuditLine


@dataclass(frozen=True, slots=True)
class Contents:
    """All rows, as of one version of the store."""

    version: int
    rows: Mapping[str, Row]


class EndpointStore(Protocol):
    """Keeps rows and an audit. Every method but ``close`` raises ``Unavailable`` when the store can't be reached.

    After ``Unavailable`` it is not known whether the call took effect.
    """

    shared: bool  # whether other processes may change it, so that ``version`` is to be asked for

    async def open(self) -> None:
        """Connect, or make the tables. Raises SockudoError when the store can't be used."""

    async def close(self) -> None:
        """Close the store. A second call does no harm."""

    async def version(self) -> int:
        """Return a number that grows with every ``write`` that changed rows, of this process or another."""

    async def load(self) -> Contents:
        """Return all rows."""

    async def write(self, writes: Sequence[Write], audit: AuditLine | None = None) -> int:
        """Do all of the changes, or none, and add the line to the audit; return the new version.

        It is kept when this returns: a kill -9 of this process loses nothing of it. Without ``writes`` only the line
        is added. Raises Conflict, StoreFull.
        """

    async def allot(self) -> int:
        """Return a number that no call has returned before, from 1 upwards."""

    async def audit(self, limit: int, before: int | None = None, apps: frozenset[str] | None = None) -> list[Audited]:
        """Return lines, newest first.

        Args:
            limit: How many at most.
            before: Only those with a lower number than this.
            apps: Only those about one of these apps; None: all.
        """


def check(writes: Sequence[Write]) -> None:
    """Raise StoreFull for a text that is too long, and ValueError for a key that is none or that comes twice."""
    keys = [write.key for write in writes]
    if len(set(keys)) < len(keys) or not all(0 < len(key.encode()) <= 200 for key in keys):
        raise ValueError("keys of rows are unique, and 1 to 200 bytes long")
    if any(write.text is not None and len(write.text) > MOST_TEXT for write in writes):
        raise StoreFull(f"an endpoint has at most {MOST_TEXT} bytes")
