"""Apps in a table of a database. All of them are in memory; changes of the table take effect while the server runs.

Every look-up is answered from memory, so a database that is away does no harm: the apps stay as they
were, the log and a metric say so, and the server keeps trying. A row that can't be used keeps its last good version.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sockudo_py.apps.base import AppChanged, AppDefinition, AppManager
from sockudo_py.apps.databases.keeper import Keeper, Outcome
from sockudo_py.apps.databases.table import Look, Row, Table, TableError
from sockudo_py.errors import ConfigError
from sockudo_py.metrics import Metrics
from sockudo_py.process.tasks import cancel
from sockudo_py.protocol.app import App

log = logging.getLogger(__name__)

# Makes an app of a row, with warnings. Called in a thread; raises ConfigError.
Read = Callable[[Row, str], tuple[AppDefinition, Sequence[str]]]
SHORTEST_PAUSE = 0.1  # seconds between two looks, so that a storm of notifications does not fill the loop
FIRST_RETRY = 0.25
LONGEST_RETRY = 10.0
MOST_LINES = 20  # of mistakes, and of warnings, that one look logs
MOST_SHOWN = 64  # characters of an id


@dataclass(frozen=True, slots=True)
class Place:
    """What messages say of a table: ``driver`` as in the configuration, ``table`` its name.

    ``problem`` words a line about a setting below ``database.<driver>``: its key, what is wrong, what to do.
    """

    driver: str
    table: str
    problem: Callable[[str, str, str], str]

    def line(self, error: TableError) -> str:
        """Return what an operator reads of an error."""
        return self.problem(f"database.{self.driver}{'.' if error.key else ''}{error.key}", error.problem, error.remedy)

    def row(self, row_id: str) -> str:
        """Return how a row is called."""
        shown = row_id if len(row_id) <= MOST_SHOWN else row_id[:MOST_SHOWN] + "..."
        if not row_id:
            return f"table {self.table}: a row without an id"
        return f"table {self.table}: row {shown if shown.isprintable() else ascii(shown)}"


class DatabaseApps:
    """An AppManager over a table.

    Args:
        table: The table, not open yet.
        read: Makes an app of a row, given how the row is called.
        place: For messages.
        poll_interval: Seconds between looks, where the table doesn't tell of changes.
        timeout: Seconds for a connect or a look.
        metrics: Where to count.
    """

    def __init__(
        self, table: Table, read: Read, *, place: Place, poll_interval: float, timeout: float, metrics: Metrics
    ) -> None:
        self._table = table
        self._read = read
        self._place = place
        self._interval = poll_interval
        self._timeout = timeout
        self._keeper = Keeper()
        self._on_change: Callable[[AppChanged], None] = lambda _: None
        self._task: asyncio.Task[None] | None = None
        self._open = False
        self._away = False
        self._seen = 0.0
        self._reachable = metrics.gauge("app_manager_reachable", "1 while the database with the apps answers, else 0")
        self._broken = metrics.gauge(
            "app_manager_broken_rows", "Rows that can't be used as they are; their last good version serves"
        )
        self._failures = metrics.counter("app_manager_failures_total", "Looks at the table of apps that failed")
        self._failures.set(value=self._failures.values.get((), 0))

    def succeed(self, former: AppManager) -> None:
        """Let apps of another manager of the same table serve where their rows can't be used. Call it before start."""
        if isinstance(former, DatabaseApps) and (former._place.driver, former._place.table) == (
            self._place.driver,
            self._place.table,
        ):
            self._keeper = Keeper(former.all())

    async def start(self, on_change: Callable[[AppChanged], None]) -> None:
        """Read every row. Raises ConfigError when the table can't be read; broken rows are logged and left out."""
        try:
            await self._look()
        except TableError as error:
            raise ConfigError([self._place.line(error)]) from error
        self._on_change = on_change
        self._task = asyncio.create_task(self._watch(), name="apps: watch table")

    async def stop(self) -> None:
        """Stop watching, and let go of the connection. The apps stay."""
        task, self._task = self._task, None
        await cancel(task)
        await self._close()

    def by_id(self, app_id: str) -> App | None:
        """Return the app with this id, disabled ones too."""
        return self._keeper.view.by_id(app_id)

    def by_key(self, key: str) -> App | None:
        """Return the app that has this key among its pairs, disabled ones too."""
        return self._keeper.view.by_key(key)

    def all(self) -> Iterable[AppDefinition]:
        """Return every app."""
        return self._keeper.view.all()

    def healthy(self) -> bool:
        """Return whether the table could be read when we last tried."""
        return not self._away

    async def _watch(self) -> None:
        retry = FIRST_RETRY
        while True:
            if self._away:
                await asyncio.sleep(retry * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the nodes
                retry = min(retry * 2, LONGEST_RETRY)
            else:
                await asyncio.sleep(SHORTEST_PAUSE)
                await self._table.changed(max(self._interval - SHORTEST_PAUSE, 0.0))
            try:
                await self._look()
            except TableError as error:
                self._say_away(error)
            except Exception:  # top of the task: keep watching
                log.exception("%s: looking for changed apps failed", self._place.table)
                self._failures.add()
                await self._close()
                await asyncio.sleep(LONGEST_RETRY)
            else:
                retry = FIRST_RETRY

    async def _look(self) -> None:
        """Look at the table once, and take over what changed. Raises TableError; the connection is closed then."""
        try:
            if not self._open:
                async with asyncio.timeout(self._timeout):
                    await self._table.open()
                self._open = True
            async with asyncio.timeout(self._timeout):
                look = await self._table.look(self._keeper.versions)
        except (TableError, TimeoutError) as error:
            await self._close()
            if isinstance(error, TableError):
                raise
            raise TableError("response_timeout_ms", f"no answer within {self._timeout:g} s") from error
        except asyncio.CancelledError:
            await self._close()
            raise
        outcomes, warnings = await asyncio.to_thread(self._outcomes, look)
        self._say_back()
        self._apply(look, outcomes, warnings)

    def _outcomes(self, look: Look) -> tuple[dict[str, Outcome], list[str]]:
        """Return what the new rows are. Runs in a thread."""
        found: dict[str, Outcome] = {}
        warnings: list[str] = []
        for row_id, row in look.rows.items():
            place = self._place.row(row_id)
            try:
                definition, more = self._read(row, place)
            except ConfigError as error:
                found[row_id] = tuple(error.problems)
            else:
                found[row_id] = definition
                warnings += more
        for row_id in look.twice:
            found[row_id] = (f"{self._place.row(row_id)}: id: other rows have it too; each must have its own",)
        return found, warnings

    def _apply(self, look: Look, outcomes: Mapping[str, Outcome], warnings: list[str]) -> None:
        taken = self._keeper.take(look.versions, outcomes)
        self._broken.set(value=self._keeper.broken)
        for mistake, serves in taken.mistakes[:MOST_LINES]:
            log.error("%s; %s", mistake, "its last good version stays in force" if serves else "the app is left out")
        for warning in warnings[:MOST_LINES]:
            log.warning("%s", warning)
        more = max(len(taken.mistakes) - MOST_LINES, 0) + max(len(warnings) - MOST_LINES, 0)
        if more:
            log.warning("table %s: %d more lines like these", self._place.table, more)
        for change in taken.changes:
            self._on_change(change)

    def _say_away(self, error: TableError) -> None:
        self._failures.add()
        if not self._away:
            self._away = True
            self._reachable.set(value=0)
            log.error("%s; the apps are served from memory until it can be read again", self._place.line(error))

    def _say_back(self) -> None:
        self._reachable.set(value=1)
        if self._away:
            self._away = False
            log.info("table %s can be read again, after %.1f s", self._place.table, time.monotonic() - self._seen)
        self._seen = time.monotonic()

    async def _close(self) -> None:
        self._open = False
        await self._table.close()
