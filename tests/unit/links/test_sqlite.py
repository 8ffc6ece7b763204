"""One file for several owners: each has its part of the schema, and its own version of it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.links.sqlite import SchemaPart, SqliteFile


def part(
    name: str, version: int = 1, *, undone: Callable[[], None] | None = None, in_header: bool = False
) -> SchemaPart:
    def upgrade(db: sqlite3.Connection, before: int) -> None:
        db.execute(f"CREATE TABLE IF NOT EXISTS {name} (value)")
        db.execute(f"INSERT INTO {name} VALUES (?)", (f"{before} to {version}",))  # noqa: S608

    return SchemaPart(name, version, upgrade, in_header, undone)


def values(path: Path, table: str) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [value for (value,) in db.execute(f"SELECT value FROM {table}")]  # noqa: S608


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "file.sqlite3"


def file_at(path: Path) -> SqliteFile:
    return SqliteFile(path, key="some.path", sync=False)


async def run(path: Path, *parts: SchemaPart) -> None:
    """Open and close a file as one start of a server does."""
    file = file_at(path)
    try:
        for one in parts:
            await file.open(one)
    finally:
        for one in parts:
            await file.close(one)


async def test_each_part_is_upgraded_from_its_own_version(path: Path) -> None:
    await run(path, part("first", 2, in_header=True), part("second", 1))
    await run(path, part("second", 4), part("first", 3, in_header=True))
    assert values(path, "first") == ["0 to 2", "2 to 3"]
    assert values(path, "second") == ["0 to 1", "1 to 4"]


async def test_a_part_whose_version_is_in_the_header_makes_no_table_of_versions(path: Path) -> None:
    await run(path, part("first", 2, in_header=True))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'schema_parts'").fetchall() == []


async def test_an_upgrade_that_fails_leaves_its_part_as_it_was_and_the_others_open(path: Path) -> None:
    def fail(db: sqlite3.Connection, version: int) -> None:
        db.execute("CREATE TABLE second (value)")
        raise sqlite3.OperationalError("database or disk is full")

    file, first = file_at(path), part("first")
    await file.open(first)
    with pytest.raises(SockudoError, match=r"some\.path: .* can't be used: database or disk is full"):
        await file.open(SchemaPart("second", 1, fail))
    assert await file.run(lambda db: db.execute("SELECT value FROM first").fetchone()) == ("0 to 1",)
    await file.close(first)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM schema_parts").fetchall() == [("first",)]


async def test_a_newer_version_of_one_part_is_refused_by_name(path: Path) -> None:
    await run(path, part("first"), part("second", 7))
    with pytest.raises(SockudoError, match=r"some\.path: .* is of a newer version \(7\) of the second"):
        await run(path, part("first"), part("second", 6))


async def test_the_file_is_open_and_locked_until_the_last_owner_closes_it(path: Path) -> None:
    file, first, second = file_at(path), part("first"), part("second")
    await file.open(first)
    await file.open(second)
    await file.close(first)
    await file.close(first)
    assert await file.run(lambda db: db.execute("SELECT value FROM second").fetchone()) == ("0 to 1",)
    other = file_at(path)
    with pytest.raises(SockudoError, match="in use by another process"):
        await other.open(first)
    await file.close(second)
    with pytest.raises(Unavailable, match="is closed"):
        await file.run(lambda db: None)
    await other.open(first)
    await other.close(first)


async def test_every_owner_is_told_that_a_transaction_was_undone(path: Path) -> None:
    told: list[str] = []
    file = file_at(path)
    first, second = (part(name, undone=lambda name=name: told.append(name)) for name in ("first", "second"))  # type: ignore[misc]
    await file.open(first)
    await file.open(second)

    def work(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM first")
        db.execute("no SQL at all")

    with pytest.raises(Unavailable, match=r"some\.path: .* can't be written"):
        await file.run(work)
    assert told == ["first", "second"]
    assert await file.run(lambda db: db.execute("SELECT count(*) FROM first").fetchone()) == (1,)
    await file.close(first)
    await file.close(second)
