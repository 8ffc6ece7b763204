import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.apps.definition import app_reader
from sockudo_py.apps.file import FileApps
from sockudo_py.config import Config
from sockudo_py.errors import ConfigError


def read(content: bytes, file: str) -> AppDefinition:
    return app_reader(Config(), {"SECRET": "from-env"})(content, Path(file).name)


class Folder:
    """A folder of app files, the manager over it, and the changes it told of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manager = FileApps(path, read, interval=0.01)
        self.changes: list[AppChanged] = []

    def write(self, name: str, app: dict[str, Any] | str) -> None:
        """Replace a file the way careful writers do."""
        text = app if isinstance(app, str) else json.dumps(app)
        temporary = self.path / f".{name}.tmp"
        temporary.write_text(text)
        os.replace(temporary, self.path / name)

    async def start(self) -> None:
        """Start without the watching task: the tests look themselves."""
        self.manager._watch = False
        await self.manager.start(self.changes.append)

    async def look(self, times: int = 1) -> list[tuple[str | None, str | None]]:
        """Look, and return the ids of old and new app of each change since."""
        self.changes.clear()
        for _ in range(times):
            await self.manager.look()
        return [(_id(change.old), _id(change.new)) for change in self.changes]

    def ids(self) -> list[str]:
        return sorted(definition.app.id for definition in self.manager.all())


def _id(definition: AppDefinition | None) -> str | None:
    return None if definition is None else definition.app.id


def app(app_id: str, **settings: Any) -> dict[str, Any]:
    return {"id": app_id, "key": f"key-{app_id}", "secret": "secret-of-it", **settings}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def test_every_json_file_is_an_app_and_nothing_else_is(folder: Folder) -> None:
    folder.write("a.json", app("a", secret="${SECRET}"))
    folder.write("b.json", app("b"))
    folder.write("README.md", "not an app")
    (folder.path / ".hidden.json").write_text("{")
    (folder.path / "sub").mkdir()
    await folder.start()
    assert folder.ids() == ["a", "b"]
    found = folder.manager.by_key("key-a")
    assert found is not None
    assert found is folder.manager.by_id("a")
    assert found.secret_of("key-a") == b"from-env"


async def test_the_start_tells_the_mistakes_of_every_file(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    folder.write("b.json", app("a", key="other"))
    folder.write("c.json", "{")
    folder.write("d.json", {"id": "d", "key": "d"})
    with pytest.raises(ConfigError) as caught:
        await folder.start()
    assert [line.rsplit("/")[-1].split(": ")[:2] for line in caught.value.problems] == [
        ["b.json", "id"],
        ["c.json", "line 1, column 2"],
        ["d.json", "secret"],
    ]


async def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        await FileApps(tmp_path / "none", read).start(lambda _: None)


async def test_nothing_new_tells_nothing(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    assert await folder.look(3) == []


async def test_an_added_file_adds_its_app(folder: Folder) -> None:
    await folder.start()
    folder.write("a.json", app("a"))
    assert await folder.look() == [(None, "a")]
    assert folder.manager.by_key("key-a") is not None


async def test_an_edit_makes_a_new_app_of_the_same_id(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    before = folder.manager.by_id("a")
    folder.write("a.json", app("a", key="new", enabled=False))
    assert await folder.look() == [("a", "a")]
    after = folder.manager.by_id("a")
    assert after is not None
    assert after is not before
    assert not after.enabled
    assert folder.manager.by_key("key-a") is None
    assert folder.manager.by_key("new") is after


async def test_an_edit_of_the_same_size_at_the_same_moment_is_seen(folder: Folder) -> None:
    folder.write("a.json", app("a", max_connections=1))
    await folder.start()
    path = folder.path / "a.json"
    stat = path.stat()
    path.write_text(json.dumps(app("a", max_connections=2)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert await folder.look() == [("a", "a")]


async def test_a_rewrite_of_the_same_content_tells_nothing(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    folder.write("a.json", app("a"))
    assert await folder.look(2) == []


async def test_a_removed_file_removes_its_app_at_the_second_look(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    (folder.path / "a.json").unlink()
    assert await folder.look() == []
    assert await folder.look() == [("a", None)]
    assert folder.manager.by_id("a") is None
    assert folder.manager.by_key("key-a") is None


async def test_a_file_that_is_away_for_one_look_keeps_its_app(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    (folder.path / "a.json").rename(folder.path / "a.bak")
    assert await folder.look() == []
    (folder.path / "a.bak").rename(folder.path / "a.json")
    assert await folder.look(3) == []
    assert folder.ids() == ["a"]


async def test_a_broken_edit_keeps_the_last_good_version_and_is_logged_once(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write("a.json", app("a", max_connections=5))
    await folder.start()
    folder.write("a.json", app("a", max_conns=6))
    assert await folder.look(4) == []
    kept = folder.manager.by_id("a")
    assert kept is not None
    assert kept.max_connections == 5
    assert [record.getMessage() for record in caplog.records] == [
        "a.json: max_conns: is not a known key; did you mean max_connections?; the last good version stays in force"
    ]


async def test_a_mended_file_is_taken_over(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    folder.write("a.json", "{")
    await folder.look(2)
    folder.write("a.json", app("a", max_connections=6))
    assert await folder.look() == [("a", "a")]


async def test_a_half_written_file_is_not_worth_a_word(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    await folder.start()
    text = json.dumps(app("a"))
    (folder.path / "a.json").write_text(text[:20])
    assert await folder.look() == []
    (folder.path / "a.json").write_text(text)
    assert await folder.look(2) == [(None, "a")]
    assert caplog.records == []


async def test_a_new_file_that_is_broken_adds_nothing_until_it_is_mended(folder: Folder) -> None:
    await folder.start()
    folder.write("a.json", "[]")
    assert await folder.look(2) == []
    folder.write("a.json", app("a"))
    assert await folder.look() == [(None, "a")]


async def test_an_id_that_another_file_has_is_refused(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    folder.write("b.json", app("a", key="b"))
    assert await folder.look(2) == []
    assert folder.manager.by_key("b") is None
    assert "b.json: id: another app has this id; each must have its own" in caplog.text


async def test_a_refused_app_comes_into_force_when_the_other_one_goes(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    folder.write("b.json", app("a", key="b"))
    await folder.look(2)
    (folder.path / "a.json").unlink()
    assert await folder.look(2) == [("a", "a")]
    assert folder.manager.by_key("b") is not None
    assert folder.manager.by_key("key-a") is None


async def test_a_renamed_file_keeps_its_app_without_a_gap(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    (folder.path / "a.json").rename(folder.path / "b.json")
    assert await folder.look() == [("a", "a")]
    assert await folder.look(3) == []
    assert folder.ids() == ["a"]


async def test_a_copy_beside_a_renamed_file_is_refused_and_harms_nothing(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    (folder.path / "a.json").rename(folder.path / "b.json")
    await folder.look()
    folder.write("a.json", app("a"))
    assert await folder.look(3) == []
    folder.write("b.json", app("a", max_connections=3))
    assert await folder.look() == [("a", "a")]


async def test_two_files_may_swap_their_keys(folder: Folder) -> None:
    folder.write("a.json", app("a", key="one"))
    folder.write("b.json", app("b", key="two"))
    await folder.start()
    folder.write("a.json", app("a", key="two"))
    folder.write("b.json", app("b", key="one"))
    assert sorted(await folder.look(), key=str) == [("a", "a"), ("b", "b")]
    assert (folder.manager.by_key("two"), folder.manager.by_key("one")) == (
        folder.manager.by_id("a"),
        folder.manager.by_id("b"),
    )


async def test_another_id_in_a_file_is_another_app(folder: Folder) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    folder.write("a.json", app("z"))
    assert await folder.look() == [("a", None), (None, "z")]


async def test_a_folder_that_goes_away_takes_no_app_with_it(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.write("a.json", app("a"))
    await folder.start()
    folder.path.rename(folder.path.with_name("moved"))
    assert await folder.look(4) == []
    folder.path.with_name("moved").rename(folder.path)
    assert await folder.look(2) == []
    assert folder.ids() == ["a"]
    assert len(caplog.records) == 1
    assert "the present apps stay in force" in caplog.text


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the file system has no event
            await asyncio.sleep(0.005)


async def test_changes_are_found_while_running_and_not_after_the_stop(folder: Folder) -> None:
    await folder.manager.start(folder.changes.append)
    folder.write("a.json", app("a"))
    await until(lambda: folder.manager.by_id("a") is not None)
    folder.write("a.json", app("a", enabled=False))
    await until(lambda: len(folder.changes) == 2)
    await folder.manager.stop()
    await folder.manager.stop()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_failure_of_the_receiver_does_not_end_the_watch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[AppChanged] = []

    def on_change(change: AppChanged) -> None:
        told.append(change)
        raise RuntimeError("receiver")

    folder = Folder(tmp_path)
    with caplog.at_level(logging.CRITICAL):
        await folder.manager.start(on_change)
        folder.write("a.json", app("a"))
        await until(lambda: len(told) == 1)
        folder.write("b.json", app("b"))
        await until(lambda: len(told) == 2)
        await folder.manager.stop()
