"""The apps in force, whichever driver has them. A reload puts another driver in the place of the present one."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields

from sockudo_py.apps.base import AppChanged, AppDefinition, AppManager
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError
from sockudo_py.protocol.app import App


class CurrentApps:
    """An AppManager whose driver can be replaced while the server runs.

    ``by_id``, ``by_key`` and ``all`` are the present driver's own methods: fetch them for each call.
    """

    def __init__(self, driver: AppManager) -> None:
        self._on_change: Callable[[AppChanged], None] = lambda _: None
        self._use(driver)

    def _use(self, driver: AppManager) -> None:
        self._driver = driver
        self.by_id: Callable[[str], App | None] = driver.by_id
        self.by_key: Callable[[str], App | None] = driver.by_key
        self.all: Callable[[], Iterable[AppDefinition]] = driver.all

    async def start(self, on_change: Callable[[AppChanged], None]) -> None:
        """Load. Raises ConfigError naming every mistake. ``on_change`` is called for later changes only."""
        self._on_change = on_change
        await self._driver.start(on_change)

    async def stop(self) -> None:
        """Stop watching."""
        await self._driver.stop()

    async def replace(self, driver: AppManager) -> None:
        """Let a driver that has not started take over, and report what is different with its apps.

        Raises ConfigError naming every mistake; then the present driver stays.
        """
        await driver.start(self._on_change)
        uids = Counter(endpoint.uid for definition in driver.all() for endpoint in definition.endpoints)
        twice = [uid for uid, count in uids.items() if count > 1]
        if twice:
            await driver.stop()
            raise ConfigError([f"webhook uid {uid} is used twice; give each its own" for uid in twice])
        before = self._driver
        changes = _changes(before.all(), driver.all())
        self._use(driver)
        for change in changes:
            self._on_change(change)
        await before.stop()


def _changes(before: Iterable[AppDefinition], after: Iterable[AppDefinition]) -> list[AppChanged]:
    """Return what is different, first the changes that free the uid of an endpoint: another app may have it now."""
    old = {definition.app.id: definition for definition in before}
    new = {definition.app.id: definition for definition in after}
    found = [AppChanged(old.get(app_id), new.get(app_id)) for app_id in {**old, **new}]
    changed = [change for change in found if not _same(change.old, change.new)]
    return sorted(changed, key=lambda change: not _uids(change.old) - _uids(change.new))


def _same(one: AppDefinition | None, other: AppDefinition | None) -> bool:
    """Return whether two definitions say the same, though apps and endpoints are compared by identity elsewhere."""
    if one is None or other is None or len(one.endpoints) != len(other.endpoints):
        return False
    endpoints = zip(one.endpoints, other.endpoints, strict=True)
    return _equal(one.app, other.app) and all(_equal(mine, yours) for mine, yours in endpoints)


def _equal(one: App | Endpoint, other: App | Endpoint) -> bool:
    return all(getattr(one, field.name) == getattr(other, field.name) for field in fields(one))


def _uids(definition: AppDefinition | None) -> set[str]:
    return set() if definition is None else {endpoint.uid for endpoint in definition.endpoints}
