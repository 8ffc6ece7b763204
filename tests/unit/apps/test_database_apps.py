"""The app manager over a table, with a table in memory that does what a test wants."""

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pytest

from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.apps.config import ConfigApps
from sockudo_py.apps.current import CurrentApps
from sockudo_py.apps.databases import database
from sockudo_py.apps.databases.database import DatabaseApps, Place
from sockudo_py.apps.databases.table import Look, Row, TableError, versions_of
from sockudo_py.errors import ConfigError
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.app import App, AppKey
from tests.support.client import eventually


class InMemory:
    """A table. ``fails`` is raised by the next calls, while it is set; ``hangs`` lets ``look`` never return."""

    def __init__(self, **rows: Row) -> None:
        self.rows = rows
        self.fails: Exception | None = None
        self.hangs = False
        self.opened = self.closed = self.looks = 0
        self._told = asyncio.Event()

    async def open(self) -> None:
        self.opened += 1
        if self.fails is not None:
            raise self.fails

    async def look(self, known: Mapping[str, Hashable]) -> Look:
        self.looks += 1
        self._told.clear()
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        versions, twice = versions_of((row_id, repr(row)) for row_id, row in self.rows.items())
        return Look(
            versions, {row_id: row for row_id, row in self.rows.items() if known.get(row_id) != repr(row)}, twice
        )

    async def changed(self, seconds: float) -> None:
        await self._told.wait()

    async def close(self) -> None:
        self.closed += 1

    def tell(self) -> None:
        self._told.set()


def read(row: Row, place: str) -> tuple[AppDefinition, Sequence[str]]:
    if "broken" in row:
        raise ConfigError([f"{place}: broken"])
    return AppDefinition(App(str(row["id"]), (AppKey(f"k{row['id']}", b"s"),))), [f"{place}: odd"] * ("odd" in row)


def problem(key: str, text: str, remedy: str) -> str:
    return f"{key}: {text}; {remedy}"


class Managed:
    """An app manager over a table in memory, and what it reported."""

    def __init__(self, table: InMemory, **more: Any) -> None:
        self.metrics = Metrics()
        self.told: list[AppChanged] = []
        settings = {"poll_interval": 0.05, "timeout": 5.0, **more}
        self.apps = DatabaseApps(table, read, place=Place("postgres", "t", problem), metrics=self.metrics, **settings)

    def figure(self, name: str) -> float:
        return self.metrics.series[f"app_manager_{name}"].values[()]

    def ids(self) -> list[str]:
        return sorted(found.app.id for found in self.apps.all())


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SHORTEST_PAUSE", 0.01)
    monkeypatch.setattr(database, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(database, "LONGEST_RETRY", 0.05)


def refused() -> TableError:
    return TableError("password", "refused", "check it")


async def test_an_error_at_the_start_is_a_mistake_of_the_configuration_and_nothing_stays_open() -> None:
    table = InMemory()
    table.fails = refused()
    managed = Managed(table)
    with pytest.raises(ConfigError, match=r"^database.postgres.password: refused; check it$"):
        await managed.apps.start(managed.told.append)
    assert (table.opened, table.closed) == (1, 1)
    assert managed.apps._task is None


async def test_a_table_that_does_not_answer_stops_the_start_after_the_deadline() -> None:
    table = InMemory()
    table.hangs = True
    managed = Managed(table, timeout=0.05)
    with pytest.raises(ConfigError, match=r"response_timeout_ms: no answer within 0\.05 s"):
        await managed.apps.start(managed.told.append)
    assert table.closed == 1


async def test_an_error_that_nobody_foresaw_ends_no_watch(caplog: pytest.LogCaptureFixture) -> None:
    table = InMemory(a={"id": "a"})
    managed = Managed(table)
    await managed.apps.start(managed.told.append)
    table.fails = RuntimeError("a defect")
    table.tell()
    await eventually(lambda: managed.figure("failures_total") > 0, "it fails")
    table.fails = None
    table.rows["b"] = {"id": "b"}
    table.tell()
    await eventually(lambda: managed.ids() == ["a", "b"], "it watches on")
    await managed.apps.stop()
    assert "looking for changed apps failed" in caplog.text


async def test_it_connects_anew_after_an_error_until_it_can() -> None:
    table = InMemory(a={"id": "a"})
    managed = Managed(table)
    await managed.apps.start(managed.told.append)
    table.fails = refused()
    table.tell()
    await eventually(lambda: table.opened > 3, "it tries")
    assert not managed.apps.healthy()
    table.fails = None
    await eventually(managed.apps.healthy, "it is back")
    assert (managed.figure("reachable"), managed.ids(), managed.told) == (1, ["a"], [])
    await managed.apps.stop()


async def test_a_storm_of_notifications_is_answered_with_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SHORTEST_PAUSE", 0.2)
    table = InMemory(a={"id": "a"})
    managed = Managed(table)
    await managed.apps.start(managed.told.append)
    began = asyncio.get_running_loop().time()
    for _ in range(300):
        table.tell()
        await asyncio.sleep(0.002)  # spreads them
    took = asyncio.get_running_loop().time() - began
    assert table.looks <= 2 + took / 0.2
    await managed.apps.stop()


async def test_many_mistakes_and_warnings_make_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    rows = {f"b{number}": {"id": str(number), "broken": 1} for number in range(100)}
    rows |= {f"o{number}": {"id": f"o{number}", "odd": 1} for number in range(50)}
    managed = Managed(InMemory(**rows))
    await managed.apps.start(managed.told.append)
    await managed.apps.stop()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 41
    assert lines[-1] == "table t: 110 more lines like these"
    assert managed.figure("broken_rows") == 100


async def test_a_stop_in_the_midst_of_a_look_ends_it_and_closes_the_table() -> None:
    table = InMemory(a={"id": "a"})
    managed = Managed(table)
    await managed.apps.start(managed.told.append)
    table.hangs = True
    table.tell()
    await eventually(lambda: table.looks == 2, "it looks")
    await managed.apps.stop()
    assert table.closed >= 1
    assert managed.ids() == ["a"]


async def test_ids_are_printed_so_that_they_can_do_no_harm() -> None:
    place = Place("mysql", "t", problem)
    assert place.row("a\x1b[31m\n") == r"table t: row 'a\x1b[31m\n'"
    assert len(place.row("x" * 1000)) < 100
    assert place.row("") == "table t: a row without an id"


# -- reloads --


async def replaced(first: InMemory, second: InMemory, change: Callable[[], None]) -> tuple[list[str], list[AppChanged]]:
    told: list[AppChanged] = []
    current = CurrentApps(Managed(first).apps)
    await current.start(told.append)
    change()
    await current.replace(Managed(second).apps)
    ids = sorted(found.app.id for found in current.all())
    await current.stop()
    return ids, told


async def test_a_row_that_is_broken_at_a_reload_keeps_what_served_before() -> None:
    first, second = InMemory(a={"id": "a"}, b={"id": "b"}), InMemory(a={"broken": 1}, b={"id": "b"}, c={"broken": 1})
    ids, told = await replaced(first, second, lambda: None)
    assert (ids, told) == (["a", "b"], [])
    assert first.closed == 1


async def test_a_table_that_is_away_at_a_reload_changes_nothing() -> None:
    first, second = InMemory(a={"id": "a"}), InMemory()
    second.fails = refused()
    told: list[AppChanged] = []
    current = CurrentApps(Managed(first).apps)
    await current.start(told.append)
    with pytest.raises(ConfigError):
        await current.replace(Managed(second).apps)
    first.rows["b"] = {"id": "b"}
    first.tell()
    await eventually(lambda: len(told) == 1, "the first one still watches")
    await current.stop()


async def test_apps_of_another_source_do_not_serve_for_broken_rows() -> None:
    definition = AppDefinition(App("a", (AppKey("ka", b"s"),)))
    current = CurrentApps(ConfigApps([definition]))
    await current.start(lambda _: None)
    assert current.healthy()
    await current.replace(Managed(InMemory(a={"broken": 1})).apps)
    assert list(current.all()) == []
    await current.stop()


async def test_health_is_that_of_the_driver(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    table = InMemory(a={"id": "a"})
    current = CurrentApps(Managed(table).apps)
    await current.start(lambda _: None)
    assert current.healthy()
    table.fails = refused()
    table.tell()
    await eventually(lambda: not current.healthy(), "it is noticed")
    await current.stop()
