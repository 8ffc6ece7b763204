import pytest

from sockudo_py.apps.base import AppDefinition, AppManager
from sockudo_py.apps.config import ConfigApps
from sockudo_py.errors import ConfigError
from sockudo_py.protocol.app import App, AppKey


def definition(app_id: str, *keys: str, enabled: bool = True) -> AppDefinition:
    return AppDefinition(App(app_id, tuple(AppKey(key, b"s") for key in keys), enabled=enabled))


async def started(*definitions: AppDefinition) -> AppManager:
    manager = ConfigApps(definitions)
    await manager.start(lambda _: None)
    return manager


async def test_an_app_is_found_by_id_and_by_each_of_its_keys() -> None:
    one, two = definition("1", "a", "b"), definition("2", "c")
    manager = await started(one, two)
    assert manager.by_id("1") is one.app
    assert manager.by_key("a") is manager.by_key("b") is one.app
    assert manager.by_key("c") is two.app
    assert manager.by_id("a") is None
    assert manager.by_key("1") is None
    assert list(manager.all()) == [one, two]


async def test_a_disabled_app_is_found_too() -> None:
    manager = await started(definition("1", "a", enabled=False))
    found = manager.by_key("a")
    assert found is not None
    assert not found.enabled


async def test_two_apps_may_not_share_an_id_or_a_key() -> None:
    with pytest.raises(ConfigError) as caught:
        await started(definition("1", "a"), definition("1", "a"))
    assert [line.split(": another")[0] for line in caught.value.problems] == [
        "app_manager.array.apps[1]: id",
        "app_manager.array.apps[1]: key: app 1 has this key; each must have its own",
    ]


async def test_before_the_start_there_is_no_app_and_after_the_stop_they_stay() -> None:
    manager = ConfigApps([definition("1", "a")])
    assert manager.by_id("1") is None
    await manager.start(lambda _: None)
    await manager.stop()
    assert manager.by_id("1") is not None
