"""An endpoint store in memory: for tests and trials. It ends with the process."""

from collections import deque
from collections.abc import Sequence

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


class MemoryEndpoints:
    """``EndpointStore`` in memory."""

    shared = False

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._version = 1
        self._number = 0
        self._audit: deque[Audited] = deque(maxlen=MOST_AUDITED)
        self._lines = 0

    async def open(self) -> None:  # noqa: D102
        pass

    async def close(self) -> None:  # noqa: D102
        pass

    async def version(self) -> int:  # noqa: D102
        return self._version

    async def load(self) -> Contents:  # noqa: D102
        return Contents(self._version, dict(self._rows))

    async def write(self, writes: Sequence[Write], audit: AuditLine | None = None) -> int:  # noqa: D102
        check(writes)
        rows = dict(self._rows)
        for write in writes:
            row = rows.pop(write.key, None)
            if (0 if row is None else row.revision) != write.seen:
                raise Conflict(f"{write.key} has changed meanwhile")
            if write.text is not None:
                rows[write.key] = Row(self._version + 1, write.text)
        if len(rows) > MOST_ROWS and len(rows) > len(self._rows):
            raise StoreFull(f"the store has {MOST_ROWS} rows already")
        self._rows = rows
        if writes:
            self._version += 1
        if audit is not None:
            self._lines += 1
            self._audit.appendleft(Audited(self._lines, audit))
        return self._version

    async def allot(self) -> int:  # noqa: D102
        self._number += 1
        return self._number

    async def audit(self, limit: int, before: int | None = None, apps: frozenset[str] | None = None) -> list[Audited]:  # noqa: D102
        found = (
            one
            for one in self._audit
            if (before is None or one.number < before) and (apps is None or one.line.app_id in apps)
        )
        return [one for one, _ in zip(found, range(limit), strict=False)]
