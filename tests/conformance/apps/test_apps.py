"""What every source of apps does, and what every one does that may change while the server runs."""

import asyncio
import logging
from typing import Any

import pytest

from sockudo_py.apps.base import AppDefinition
from sockudo_py.errors import ConfigError
from tests.conformance.apps.conftest import Watch
from tests.conformance.apps.drivers import CHANGING, DATABASES, DRIVERS, App, Store

HOOK = {"url": "https://example.com/hook", "event_types": ["channel_occupied"]}
QUIET = 0.7  # seconds in which a driver looks several times


def app(name: str, **more: Any) -> App:
    return {"id": name, "key": f"key-{name}", "secret": f"secret-of-{name}", **more}


def limit(definition: AppDefinition | None) -> int | None:
    return None if definition is None else definition.app.max_connections


@pytest.mark.parametrize("driver", DRIVERS)
async def test_apps_are_found_by_id_and_by_each_of_their_keys(store: Store, watch: Watch) -> None:
    await store.write(app("1", keys=[{"key": "second", "secret": "second-secret"}]), app("2", enabled=False))
    apps = (await watch(store)).apps
    found = apps.by_id("1")
    assert found is not None
    assert found is apps.by_key("key-1") is apps.by_key("second")
    assert [(pair.key, pair.secret) for pair in found.keys] == [
        ("key-1", b"secret-of-1"),
        ("second", b"second-secret"),
    ]
    disabled = apps.by_key("key-2")
    assert disabled is not None
    assert not disabled.enabled
    assert (apps.by_id("3"), apps.by_key("3"), apps.by_id("key-1"), apps.by_key("1")) == (None,) * 4
    assert sorted(each.app.id for each in apps.all()) == ["1", "2"]


@pytest.mark.parametrize("driver", DRIVERS)
async def test_what_an_app_does_not_say_is_as_the_server_says(store: Store, watch: Watch) -> None:
    await store.write(app("1", max_channel_name_length=17), app("2"))
    watched = await watch(store, channel_limits={"max_name_length": 99})
    assert {found.app.id: found.app.max_channel_name_length for found in watched.apps.all()} == {"1": 17, "2": 99}


@pytest.mark.parametrize("driver", DRIVERS)
async def test_endpoints_are_there_with_the_same_uid_each_time(store: Store, watch: Watch) -> None:
    await store.write(app("1", webhooks=[HOOK, {**HOOK, "uid": "wh_own", "headers": {"X-A": "b"}}]))
    ((first,), (second,)) = [list((await watch(store)).apps.all()) for _ in range(2)]
    assert [endpoint.uid for endpoint in first.endpoints] == [endpoint.uid for endpoint in second.endpoints]
    assert first.endpoints[0].uid.startswith("wh_")
    assert (first.endpoints[1].uid, first.endpoints[1].headers) == ("wh_own", (("X-A", "b"),))
    assert first.endpoints[0].event_types == {"channel_occupied"}


@pytest.mark.parametrize("driver", DRIVERS)
async def test_endpoints_of_a_database_are_not_trusted_those_of_the_operator_are(
    driver: str, store: Store, watch: Watch
) -> None:
    await store.write(app("1", webhooks=[{**HOOK, "trusted": True}]))
    ((found,),) = [list((await watch(store)).apps.all())]
    assert [endpoint.trusted for endpoint in found.endpoints] == [driver not in DATABASES]


@pytest.mark.parametrize("driver", CHANGING)
async def test_an_app_comes_changes_and_goes(store: Store, watch: Watch) -> None:
    await store.write(app("1"))
    watched = await watch(store)
    await store.write(app("2", max_connections=5))
    await watched.until(lambda: bool(watched.told), "an app has come")
    await store.write(app("2", max_connections=6))
    await watched.until(lambda: len(watched.told) == 2, "it has changed")
    await store.remove("2")
    await watched.until(lambda: len(watched.told) == 3, "it has gone")
    assert [(limit(each.old), limit(each.new)) for each in watched.told] == [(None, 5), (5, 6), (6, None)]
    assert watched.told[1].old is watched.told[0].new
    assert watched.ids() == ["1"]
    assert watched.apps.by_key("key-2") is None


@pytest.mark.parametrize("driver", CHANGING)
async def test_what_does_not_change_is_not_reported(store: Store, watch: Watch) -> None:
    await store.write(app("1", webhooks=[HOOK]), app("2"))
    watched = await watch(store)
    await store.write(app("1", webhooks=[HOOK]))
    await asyncio.sleep(QUIET)
    assert watched.told == []


@pytest.mark.parametrize("driver", CHANGING)
async def test_a_change_that_cannot_be_used_leaves_the_app_as_it_was_and_is_logged_once(
    store: Store, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write(app("1", max_connections=5))
    watched = await watch(store)
    await store.write(app("1", max_connections="many", secret="other-secret-of-1"))
    await watched.until(lambda: bool(errors(caplog)), "a line in the log")
    await asyncio.sleep(QUIET)
    (line,) = errors(caplog)
    assert "max_connections: must be a whole number" in line
    assert line.endswith("last good version stays in force")
    assert "secret-of-1" not in caplog.text
    assert (watched.told, [limit(found) for found in watched.apps.all()]) == ([], [5])
    await store.write(app("1", max_connections=6))
    await watched.until(lambda: bool(watched.told), "it is mended")
    assert (limit(watched.told[0].old), limit(watched.told[0].new)) == (5, 6)


@pytest.mark.parametrize("driver", CHANGING)
async def test_an_app_that_goes_while_its_change_cannot_be_used_is_gone(store: Store, watch: Watch) -> None:
    await store.write(app("1"), app("2"))
    watched = await watch(store)
    await store.write(app("1", max_connections="many"))
    await asyncio.sleep(0.3)
    await store.remove("1")
    await watched.until(lambda: bool(watched.told), "it is gone")
    assert [(each.old.app.id, each.new) for each in watched.told if each.old is not None] == [("1", None)]
    assert watched.ids() == ["2"]


@pytest.mark.parametrize("driver", CHANGING)
async def test_two_apps_exchange_their_keys(driver: str, store: Store, watch: Watch) -> None:
    await store.write(app("1"), app("2"))
    watched = await watch(store)
    if driver in ("postgres", "mysql"):  # the key is unique at each step
        await store.write(app("1", key="between"), app("2", key="key-1"), app("1", key="key-2"))
    else:
        await store.write(app("1", key="key-2"), app("2", key="key-1"))
    await watched.until(lambda: id_by_key(watched, "key-1") == "2" and id_by_key(watched, "key-2") == "1", "exchanged")
    assert watched.ids() == ["1", "2"]


def id_by_key(watched: Any, key: str) -> str | None:
    found = watched.apps.by_key(key)
    return None if found is None else str(found.id)


@pytest.mark.parametrize("driver", CHANGING)
async def test_nothing_is_reported_after_the_stop(store: Store, watch: Watch) -> None:
    await store.write(app("1"))
    watched = await watch(store)
    await watched.apps.stop()
    await store.write(app("2"))
    await asyncio.sleep(QUIET)
    assert watched.told == []
    assert watched.apps.by_id("1") is not None


# -- databases --


@pytest.mark.parametrize("driver", DATABASES)
async def test_a_broken_row_is_left_out_at_the_start_and_the_others_serve(
    store: Store, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write(app("1"), app("2", max_connections="many"))
    watched = await watch(store)
    assert watched.ids() == ["1"]
    (line,) = errors(caplog)
    assert "row 2: " in line
    assert line.endswith("the app is left out")
    assert watched.figure("app_manager_broken_rows") == 1
    await store.write(app("2", max_connections=2))
    await watched.until(lambda: watched.ids() == ["1", "2"], "it is mended")
    assert watched.figure("app_manager_broken_rows") == 0


@pytest.mark.parametrize("driver", DATABASES)
@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ({"url": "file:///etc/passwd"}, "must be an http:// or https:// URL"),
        ({"lambda": {"function_name": "anything"}}, "allowed_functions"),
        ({**HOOK, "secret_env": "PATH", "profile": "standard"}, "secret_env: is not allowed here"),
        ({**HOOK, "headers": {"Host": "x"}}, "Host"),
    ],
)
async def test_an_endpoint_that_only_the_operator_may_have_is_refused(
    endpoint: App, why: str, store: Store, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write(app("1"), app("2", webhooks=[{"event_types": ["*"], **endpoint}]))
    assert (await watch(store)).ids() == ["1"]
    (line,) = errors(caplog)
    assert why in line


@pytest.mark.parametrize("driver", DATABASES)
async def test_references_to_variables_stay_text(store: Store, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_SERVER", "word-of-the-server")
    await store.write(app("1", webhooks=[{**HOOK, "headers": {"X-A": "${A_SECRET_OF_THE_SERVER}"}}]))
    (found,) = (await watch(store)).apps.all()
    assert found.endpoints[0].headers == (("X-A", "${A_SECRET_OF_THE_SERVER}"),)


@pytest.mark.parametrize("driver", DATABASES)
async def test_two_apps_with_one_uid_of_an_endpoint_the_first_has_it(
    store: Store, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write(app("2", webhooks=[{**HOOK, "uid": "wh_one"}]))
    watched = await watch(store)
    await store.write(app("1", webhooks=[{**HOOK, "uid": "wh_one"}]))
    await watched.until(lambda: bool(errors(caplog)), "a line in the log")
    assert watched.ids() == ["2"]
    assert "wh_one is used twice" in errors(caplog)[0]
    await store.remove("2")
    await watched.until(lambda: watched.ids() == ["1"], "the uid is free")


@pytest.mark.parametrize("driver", DATABASES)
async def test_a_table_that_is_not_there_stops_the_start_with_what_to_do(
    driver: str, store: Store, watch: Watch
) -> None:
    await store.write(app("1"))
    settings = store.settings()
    settings["database"][driver]["table_name"] = "not_there"
    store.settings = lambda: settings  # type: ignore[method-assign]
    with pytest.raises(ConfigError) as caught:
        await watch(store)
    (line,) = caught.value.problems
    assert f"database.{driver}.table_name: there is no table not_there" in line
    assert "make it" in line


@pytest.mark.parametrize("driver", DATABASES)
async def test_a_wrong_port_stops_the_start_with_what_to_do(driver: str, store: Store, watch: Watch) -> None:
    settings = store.settings()
    if driver == "dynamodb":
        settings["database"][driver]["endpoint_url"] = "http://127.0.0.1:1"
    else:
        settings["database"][driver]["port"] = 1
    store.settings = lambda: settings  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="can't be reached") as caught:
        await watch(store)
    (line,) = caught.value.problems
    assert f"database.{driver}." in line
    assert ("start it" in line) or ("endpoint_url" in line)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
