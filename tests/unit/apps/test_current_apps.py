"""Another driver takes over while the server runs."""

import pytest

from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.apps.config import ConfigApps
from sockudo_py.apps.current import CurrentApps
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError
from sockudo_py.protocol.app import App, AppKey


def definition(app_id: str, *uids: str, enabled: bool = True) -> AppDefinition:
    app = App(app_id, (AppKey(f"key-{app_id}", b"s"),), enabled=enabled)
    return AppDefinition(app, tuple(endpoint(uid, app_id) for uid in uids))


def endpoint(uid: str, app_id: str) -> Endpoint:
    return Endpoint(uid=uid, id=1, app_id=app_id, app_keys=(), url="http://127.0.0.1/", event_types=frozenset())


def id_of(definition: AppDefinition | None) -> str | None:
    return None if definition is None else definition.app.id


class Watched:
    """Apps in force, and what was reported about them."""

    def __init__(self, *definitions: AppDefinition) -> None:
        self.apps = CurrentApps(ConfigApps(definitions))
        self.changes: list[AppChanged] = []

    async def become(self, *definitions: AppDefinition) -> list[tuple[str | None, str | None]]:
        await self.apps.replace(ConfigApps(definitions))
        told, self.changes[:] = list(self.changes), []
        return [(id_of(each.old), id_of(each.new)) for each in told]


async def started(*definitions: AppDefinition) -> Watched:
    watched = Watched(*definitions)
    await watched.apps.start(watched.changes.append)
    return watched


async def test_only_what_is_different_is_reported() -> None:
    watched = await started(definition("same", "u"), definition("gone"), definition("off"))
    changes = await watched.become(definition("same", "u"), definition("off", enabled=False), definition("new"))
    assert sorted(changes, key=str) == [("gone", None), ("off", "off"), (None, "new")]
    assert watched.apps.by_id("gone") is None
    found = watched.apps.by_key("key-off")
    assert found is not None
    assert not found.enabled
    assert [each.app.id for each in watched.apps.all()] == ["same", "off", "new"]


async def test_an_app_loses_its_endpoint_before_another_one_gets_it() -> None:
    watched = await started(definition("a"), definition("b", "u"))
    assert await watched.become(definition("a", "u"), definition("b")) == [("b", "b"), ("a", "a")]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ([definition("a"), definition("a")], "another app has this id"),
        ([definition("a", "u"), definition("b", "u")], "webhook uid u is used twice"),
    ],
    ids=["id", "uid"],
)
async def test_apps_that_contradict_each_other_change_nothing(wrong: list[AppDefinition], problem: str) -> None:
    watched = await started(definition("a"))
    with pytest.raises(ConfigError, match=problem):
        await watched.become(*wrong)
    assert [each.app.id for each in watched.apps.all()] == ["a"]
    assert watched.changes == []
