"""Apps in memory, found by id and by key. Both drivers use it."""

from collections.abc import Iterable

from sockudo_py.apps.base import AppDefinition
from sockudo_py.errors import ConfigError
from sockudo_py.protocol.app import App


class AppView:
    """A set of apps. Ids and keys are unique across it."""

    __slots__ = ("_by_id", "_by_key")

    def __init__(self) -> None:
        self._by_id: dict[str, AppDefinition] = {}
        self._by_key: dict[str, App] = {}

    def add(self, definition: AppDefinition, place: str) -> None:
        """Add an app. Raises ConfigError, and adds nothing, when its id or one of its keys is taken."""
        app = definition.app
        problems = []
        if app.id in self._by_id:
            problems.append(f"{place}: id: another app has this id; each must have its own")
        other = next((self._by_key[pair.key] for pair in app.keys if pair.key in self._by_key), None)
        if other is not None:
            problems.append(f"{place}: key: app {other.id} has this key; each must have its own")
        if problems:
            raise ConfigError(problems)
        self._by_id[app.id] = definition
        for pair in app.keys:
            self._by_key[pair.key] = app

    def by_id(self, app_id: str) -> App | None:
        """Return the app with this id."""
        definition = self._by_id.get(app_id)
        return None if definition is None else definition.app

    def by_key(self, key: str) -> App | None:
        """Return the app that has this key."""
        return self._by_key.get(key)

    def all(self) -> Iterable[AppDefinition]:
        """Return every app, in a list that later changes don't touch."""
        return list(self._by_id.values())
