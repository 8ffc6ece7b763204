"""The apps that the configuration file lists (drivers ``memory`` and ``array``). They don't change while running."""

from collections.abc import Callable, Sequence

from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.apps.view import AppView


class ConfigApps(AppView):
    """An AppManager over a fixed list."""

    __slots__ = ("_definitions",)

    def __init__(self, definitions: Sequence[AppDefinition]) -> None:
        super().__init__()
        self._definitions = tuple(definitions)

    async def start(self, on_change: Callable[[AppChanged], None]) -> None:
        """Take over the list. Raises ConfigError when two apps share an id or a key."""
        for index, definition in enumerate(self._definitions):
            self.add(definition, f"app_manager.array.apps[{index}]")

    async def stop(self) -> None:
        """Nothing to stop."""
