"""The apps that the configuration file lists (drivers ``memory`` and ``array``). They don't change while running."""

from collections.abc import Callable, Iterable, Sequence

from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.apps.view import AppView
from sockudo_py.protocol.app import App


class ConfigApps:
    """An AppManager over a fixed list."""

    __slots__ = ("_definitions", "_view")

    def __init__(self, definitions: Sequence[AppDefinition]) -> None:
        self._definitions = tuple(definitions)
        self._view = AppView()

    async def start(self, on_change: Callable[[AppChanged], None]) -> None:
        """Take over the list. Raises ConfigError when two apps share an id or a key."""
        view = AppView()
        for index, definition in enumerate(self._definitions):
            view.add(definition, f"app_manager.array.apps[{index}]")
        self._view = view

    async def stop(self) -> None:
        """Nothing to stop."""

    def by_id(self, app_id: str) -> App | None:
        """Return the app with this id, disabled ones too."""
        return self._view.by_id(app_id)

    def by_key(self, key: str) -> App | None:
        """Return the app that has this key among its pairs, disabled ones too."""
        return self._view.by_key(key)

    def all(self) -> Iterable[AppDefinition]:
        """Return every app."""
        return self._view.all()
