"""Apps in a folder: one JSON file each. Changes of the files take effect while the server runs.

A thread looks at the folder about once a second. When an edit can't be used, the last good version stays in force, and
the log says so once, with file, key and remedy. Writers may replace a file by renaming, or write into it. So we log a
mistake only when the file has been still for one interval, and believe its absence only then: removing an app closes
its connections.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.apps.view import AppView
from sockudo_py.errors import ConfigError
from sockudo_py.process.tasks import cancel
from sockudo_py.protocol.app import App

log = logging.getLogger(__name__)

Read = Callable[[bytes, str], AppDefinition]
Stamp = tuple[int, int, int]  # mtime in ns, size, inode: what changes when a file does
SETTLED_NS = 100_000_000  # a file system's clock ticks a few ms at a time: a younger stamp may stand for two contents


@dataclass(slots=True)
class _Entry:
    """The state of one file."""

    stamp: Stamp | None = None
    content: bytes | None = None
    current: AppDefinition | None = None  # in force: the last good one
    candidate: AppDefinition | None = None  # good in itself, but not in force yet
    problems: tuple[str, ...] = ()  # of the present content
    told: bool = True
    missing: bool = False


@dataclass(frozen=True, slots=True)
class _Sight:
    """One look at a file. ``outcome``: its app, or its mistakes; None: nothing new."""

    stamp: Stamp | None
    content: bytes | None = None
    outcome: AppDefinition | tuple[str, ...] | None = None
    at_rest: bool = True


class FileApps:
    """An AppManager over a folder of ``*.json`` files. Hidden files and folders are passed over.

    Args:
        folder: The folder.
        read: Makes an app of a file's content and its path; raises ConfigError. Called in a thread.
        interval: Seconds between looks.
        watch: Look for changes after the start.
        named: Text for messages about the folder that names the variable with its path.
    """

    def __init__(self, folder: Path, read: Read, *, interval: float = 1.0, watch: bool = True, named: str = "") -> None:
        self._folder = folder
        self._read = read
        self._interval = interval
        self._watch = watch
        self._named = named
        self._view = AppView()
        self._entries: dict[str, _Entry] = {}
        self._on_change: Callable[[AppChanged], None] = lambda _: None
        self._task: asyncio.Task[None] | None = None
        self._away = False

    async def start(self, on_change: Callable[[AppChanged], None]) -> None:
        """Read every file. Raises ConfigError with the mistakes of all of them; then nothing is watched."""
        self._entries, self._view = {}, AppView()
        try:
            self._apply(await asyncio.to_thread(self._look, {}))
        except OSError as error:
            place = f"{self._folder}{self._named}"
            raise ConfigError([f"{place}: can't be read: {error.strerror}; make the folder"]) from error
        problems = [problem for entry in self._entries.values() for problem in entry.problems]
        if problems:
            raise ConfigError(problems)
        self._on_change = on_change
        if self._watch:
            self._task = asyncio.create_task(self._watch_forever(), name="apps: watch folder")

    async def stop(self) -> None:
        """Stop watching. The apps stay."""
        task, self._task = self._task, None
        await cancel(task)

    def by_id(self, app_id: str) -> App | None:
        """Return the app with this id, disabled ones too."""
        return self._view.by_id(app_id)

    def by_key(self, key: str) -> App | None:
        """Return the app that has this key among its pairs, disabled ones too."""
        return self._view.by_key(key)

    def all(self) -> Iterable[AppDefinition]:
        """Return every app."""
        return self._view.all()

    def healthy(self) -> bool:
        """Return whether the folder could be read."""
        return not self._away

    async def look(self) -> None:
        """Look at the folder once and take over what changed."""
        known = {name: (entry.stamp, entry.content) for name, entry in self._entries.items()}
        try:
            seen = await asyncio.to_thread(self._look, known)
        except OSError as error:
            if not self._away:
                log.error("%s: can't be read: %s; the present apps stay in force", self._folder, error.strerror)
            self._away = True
            return
        self._away = False
        self._apply(seen)

    async def _watch_forever(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except Exception:  # top of the task: keep watching
                log.exception("%s: looking for changed apps failed", self._folder)

    # -- in a thread --

    def _look(self, known: dict[str, tuple[Stamp | None, bytes | None]]) -> dict[str, _Sight]:
        """Return what there is, by file name. Raises OSError when the folder can't be listed."""
        seen = {}
        for path in sorted(self._folder.iterdir()):
            if path.suffix == ".json" and not path.name.startswith("."):
                with suppress(FileNotFoundError):  # gone since it was listed
                    seen[path.name] = self._look_at(path, *known.get(path.name, (None, None)))
        return seen

    def _look_at(self, path: Path, old_stamp: Stamp | None, old_content: bytes | None) -> _Sight:
        try:
            stamp = _stamp(path)
            if stamp == old_stamp:
                return _Sight(stamp)
            content = path.read_bytes()
            if _stamp(path) != stamp:
                return _Sight(None, at_rest=False)  # written to while we read
            settled = stamp if time.time_ns() - stamp[0] > SETTLED_NS else None
        except FileNotFoundError:
            raise
        except OSError as error:
            return _Sight(None, None, (f"{path}: can't be read: {error.strerror}",))
        if content == old_content:
            return _Sight(settled)
        try:
            return _Sight(settled, content, self._read(content, str(path)))
        except ConfigError as error:
            return _Sight(settled, content, tuple(error.problems))

    # -- on the loop --

    def _apply(self, seen: dict[str, _Sight]) -> None:
        changed = False
        for name, sight in seen.items():
            entry = self._entries.setdefault(name, _Entry())
            entry.missing = False
            if sight.outcome is None or sight.outcome == entry.problems:
                entry.stamp = sight.stamp or entry.stamp
                if sight.at_rest:
                    self._tell(entry)
                continue
            entry.stamp, entry.content = sight.stamp, sight.content
            entry.candidate = None
            if isinstance(sight.outcome, tuple):
                entry.problems, entry.told = sight.outcome, False
            else:
                entry.candidate, entry.problems, entry.told = sight.outcome, (), True
                changed = True
        for name in [name for name in self._entries if name not in seen]:
            if self._entries[name].missing:
                del self._entries[name]
                changed = True
            else:
                self._entries[name].missing = True
        if changed:
            self._take_over()

    def _tell(self, entry: _Entry) -> None:
        if not entry.told:
            entry.told = True
            for problem in entry.problems:
                log.error("%s; the last good version stays in force", problem)

    def _take_over(self) -> None:
        """Bring candidates into force together, except those that claim another file's id or key."""
        refused: dict[str, tuple[str, ...]] = {}
        view = self._arrange(refused)
        while view is None:
            view = self._arrange(refused)
        for name, entry in self._entries.items():
            if name in refused:
                if refused[name] != entry.problems:
                    entry.problems, entry.told = refused[name], False
            elif entry.candidate is not None and not entry.missing:
                entry.current, entry.candidate, entry.problems, entry.told = entry.candidate, None, (), True
        in_force = {id(definition) for definition in view.all()}
        for entry in self._entries.values():
            if entry.current is not None and id(entry.current) not in in_force:  # another file has its app now
                entry.stamp = entry.content = entry.current = None
        old = {definition.app.id: definition for definition in self._view.all()}
        new = {definition.app.id: definition for definition in view.all()}
        self._view = view
        for app_id in [*old, *(app_id for app_id in new if app_id not in old)]:
            before, after = old.get(app_id), new.get(app_id)
            if before is not after:
                self._on_change(AppChanged(before, after))

    def _arrange(self, refused: dict[str, tuple[str, ...]]) -> AppView | None:
        """Return the apps as they would be, or None after adding a candidate that can't be to ``refused``."""
        view = AppView()
        chosen: dict[str, AppDefinition] = {}
        staying: dict[str, AppDefinition] = {}
        leaving: dict[str, AppDefinition] = {}
        for name, entry in self._entries.items():
            if entry.candidate is not None and name not in refused and not entry.missing:
                chosen[name] = entry.candidate
            elif entry.current is not None:
                (leaving if entry.missing else staying)[name] = entry.current
        for name, definition in staying.items():
            view.add(definition, name)
        # An app in force has the first claim to its id and keys, whatever another file says by now.
        for name in sorted(chosen, key=lambda name: (self._entries[name].current is None, name)):
            try:
                view.add(chosen[name], str(self._folder / name))
            except ConfigError as error:
                refused[name] = tuple(error.problems)
                return None
        for name, definition in leaving.items():
            with suppress(ConfigError):  # the file was renamed: its app lives on in another one
                view.add(definition, name)
        return view


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
