"""The contract of tables that apps are kept in: what a driver of a database does."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

Row = Mapping[str, object]  # values by column


class TableError(Exception):
    """A table can't be read now.

    ``key`` is the setting below ``database.<driver>`` that is to blame, or ``""``; ``problem`` and ``remedy`` are
    words without a secret.
    """

    def __init__(self, key: str, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.key = key
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Look:
    """What a table holds.

    Attributes:
        versions: Of each row, by its id, a value that changes with the row's content.
        rows: Those whose version is new, by id. One that is missing here is looked at again.
        twice: Ids that several rows have.
    """

    versions: Mapping[str, Hashable]
    rows: Mapping[str, Row]
    twice: frozenset[str] = field(default=frozenset())


def versions_of(pairs: Iterable[tuple[str, Hashable]]) -> tuple[dict[str, Hashable], frozenset[str]]:
    """Return the version of each id, and the ids that stand several times: their version is that of all their rows."""
    found: dict[str, list[Hashable]] = {}
    for row_id, version in pairs:
        found.setdefault(row_id, []).append(version)
    twice = frozenset(row_id for row_id, versions in found.items() if len(versions) > 1)
    return {
        row_id: tuple(sorted(versions, key=repr)) if row_id in twice else versions[0]
        for row_id, versions in found.items()
    }, twice


class Table(Protocol):
    """A table with an app in each row. All methods are called one after the other."""

    async def open(self) -> None:
        """Connect. Raises TableError. It may be cancelled; then ``close`` follows."""

    async def look(self, known: Mapping[str, Hashable]) -> Look:
        """Return what is there, and the rows whose version is another than in ``known``.

        Raises TableError; it may be cancelled. After either ``close`` follows, then ``open``.
        """

    async def changed(self, seconds: float) -> None:
        """Return when the table may have changed, or after these seconds, or when the connection is lost."""

    async def close(self) -> None:
        """Let go of the connection, in any state, without waiting for the other side."""
