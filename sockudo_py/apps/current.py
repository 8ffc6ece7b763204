"""The apps in force, whichever driver has them. A reload puts another driver in the place of the present one."""

from collections import Counter
from collections.abc import Callable, Iterable

from sockudo_py.apps.base import AppChanged, AppDefinition, AppManager, Fallible, Successor
from sockudo_py.apps.differences import changes
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

    def healthy(self) -> bool:
        """Return whether the driver could read its apps when it last tried."""
        return not isinstance(self._driver, Fallible) or self._driver.healthy()

    async def replace(self, driver: AppManager) -> None:
        """Let a driver that has not started take over, and report what is different with its apps.

        Raises ConfigError naming every mistake; then the present driver stays.
        """
        if isinstance(driver, Successor):
            driver.succeed(self._driver)
        await driver.start(self._on_change)
        uids = Counter(endpoint.uid for definition in driver.all() for endpoint in definition.endpoints)
        twice = [uid for uid, count in uids.items() if count > 1]
        if twice:
            await driver.stop()
            raise ConfigError([f"webhook uid {uid} is used twice; give each its own" for uid in twice])
        before = self._driver
        found = changes(before.all(), driver.all())
        self._use(driver)
        for change in found:
            self._on_change(change)
        await before.stop()
