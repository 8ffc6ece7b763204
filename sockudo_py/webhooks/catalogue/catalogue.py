"""The events of each app: the server's own, and those that the app has registered."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sockudo_py.event_types import EventType
from sockudo_py.schemas import Check, Problems, compiled
from sockudo_py.webhooks.catalogue.models import EVENTS, EventModel
from sockudo_py.webhooks.operators.kinds import KINDS


class Catalogue:
    """The events that endpoints can ask for, by app."""

    def __init__(self) -> None:
        self._apps: dict[str, Mapping[str, EventType]] = {}
        self._checks: dict[tuple[str, str], Check] = {}

    def replace(self, app_id: str, types: Iterable[EventType]) -> None:
        """Set the types that an app has registered. Raises ValueError, without a change, when a schema is none."""
        listed = {one.name: one for one in types}
        checks = {(app_id, one.name): compiled(one.schema) for one in listed.values() if one.schema is not None}
        self.remove(app_id)
        if listed:
            self._apps[app_id] = listed
        self._checks |= checks

    def remove(self, app_id: str) -> None:
        """Forget what an app has registered."""
        for name in self._apps.pop(app_id, {}):
            self._checks.pop((app_id, name), None)

    def registered(self, app_id: str) -> Sequence[EventType]:
        """Return the types that an app has registered."""
        return tuple(self._apps.get(app_id, {}).values())

    def find(self, app_id: str, name: str) -> EventModel | EventType | None:
        """Return the event of this name."""
        return EVENTS.get(name) or KINDS.get(name) or self._apps.get(app_id, {}).get(name)

    def knows(self, app_id: str, name: str) -> bool:
        """Return whether an app has registered this type."""
        return name in self._apps.get(app_id, {})

    def check(self, app_id: str, name: str, data: Any) -> Problems:
        """Return where and how the data does not fit the schema of a registered type."""
        check = self._checks.get((app_id, name))
        return [] if check is None else check(data)
