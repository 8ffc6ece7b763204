"""The contract of app managers: who may connect."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sockudo_py.endpoints import Endpoint
from sockudo_py.event_types import EventType
from sockudo_py.protocol.app import App


@dataclass(frozen=True, slots=True)
class AppDefinition:
    """An app, and the webhook endpoints and types of events that its configuration lists."""

    app: App
    endpoints: tuple[Endpoint, ...] = ()
    event_types: tuple[EventType, ...] = ()


@dataclass(frozen=True, slots=True)
class AppChanged:
    """An app was added (``old`` is None), edited, or removed (``new`` is None)."""

    old: AppDefinition | None
    new: AppDefinition | None


class AppManager(Protocol):
    """The apps of this server. Look-ups answer from memory at once: they are on the path of every connect and publish.

    A driver with a store elsewhere keeps a view in memory, complete before ``start`` returns, and reports changes
    through ``on_change``.
    """

    async def start(self, on_change: Callable[[AppChanged], None]) -> None:
        """Load. Raises ConfigError naming every mistake. ``on_change`` is called for later changes only."""

    async def stop(self) -> None:
        """Stop watching."""

    def by_id(self, app_id: str) -> App | None:
        """Return the app with this id, disabled ones too."""

    def by_key(self, key: str) -> App | None:
        """Return the app that has this key among its pairs, disabled ones too."""

    def all(self) -> Iterable[AppDefinition]:
        """Return every app."""


@runtime_checkable
class Fallible(Protocol):
    """An app manager whose store may be away while it serves."""

    def healthy(self) -> bool:
        """Return whether the apps could be read when the driver last tried. It serves them either way."""


@runtime_checkable
class Successor(Protocol):
    """An app manager that may go on with what another one had, where it can't read an app itself."""

    def succeed(self, former: AppManager) -> None:
        """Take note of the manager whose place this one will take. Called before ``start``."""
