"""From the store into the registry and back: other servers, broken rows, switches, and a store that is away."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.management.endpoints.documents import OVERRIDE
from sockudo_py.protocol.app import App, AppKey
from sockudo_py.stores.endpoints.base import AuditLine, Contents, Write
from sockudo_py.stores.endpoints.memory import MemoryEndpoints
from sockudo_py.webhooks.endpoints.registry import CONFIG
from tests.unit.management.bench import URL, Bench, code, key, soon
from tests.unit.webhooks.make import endpoint


class Shared(MemoryEndpoints):
    """A store of several servers, which may be away."""

    shared = True
    away = False

    async def version(self) -> int:
        self._look()
        return await super().version()

    async def load(self) -> Contents:
        self._look()
        return await super().load()

    async def write(self, writes: Sequence[Write], audit: AuditLine | None = None) -> int:
        self._look()
        await asyncio.sleep(0)
        return await super().write(writes, audit)

    async def allot(self) -> int:
        self._look()
        return await super().allot()

    def _look(self) -> None:
        if self.away:
            raise Unavailable("the endpoint store's Redis at x: no connection")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = await Bench().start()
    yield bench
    await bench.stop()


@pytest.fixture
async def two() -> AsyncIterator[tuple[Bench, Bench]]:
    store = Shared()
    one, other = await Bench(store).start(), await Bench(store).start()
    yield one, other
    await one.stop()
    await other.stop()


def filed(enabled: bool = True, url: str = "https://x.example/") -> Endpoint:
    return endpoint(uid="wh_file", app_id="1", url=url, enabled=enabled)


async def test_a_change_counts_on_every_server(two: tuple[Bench, Bench]) -> None:
    one, other = two
    uid = (await one.made(name="first"))["uid"]
    await soon(lambda: other.registry.by_uid(uid) is not None, "the other server knows it")
    await other.ask("PATCH", f"/api/webhooks/{uid}", {"name": "second"})
    await soon(lambda: getattr(one.registry.by_uid(uid), "name", "") == "second", "the change is seen")
    await one.ask("DELETE", f"/api/webhooks/{uid}")
    await soon(lambda: other.registry.by_uid(uid) is None, "it is gone everywhere")


async def test_changes_of_two_servers_at_once_are_both_kept(two: tuple[Bench, Bench]) -> None:
    one, other = two
    path = f"/api/webhooks/{(await one.made())['uid']}"
    await soon(lambda: other.registry.by_uid(path.rpartition("/")[2]) is not None, "the other server knows it")
    fields: list[dict[str, Any]] = [
        {"name": "n"},
        {"description": "d"},
        {"max_in_flight": 3},
        {"headers": {"X-A": "1"}},
    ]
    fields += [{"headers": {"X-B": "2"}}, {"request_timeout_ms": 777}]
    answers = await asyncio.gather(
        *((one if at % 2 else other).ask("PATCH", path, body) for at, body in enumerate(fields))
    )
    assert {answer.status for answer in answers} == {200}
    await one.managed.refresh()
    shown = (await one.ask("GET", path)).document
    assert (shown["name"], shown["description"], shown["max_in_flight"]) == ("n", "d", 3)
    assert shown["request_timeout_ms"] == 777
    assert shown["headers"] == {"X-A": "***", "X-B": "***"}


async def test_the_endpoint_of_a_project_is_made_once(two: tuple[Bench, Bench]) -> None:
    body = {"webhook_url": URL}
    answers = await asyncio.gather(*(bench.ask("PUT", "/api/v1/projects/1", body) for bench in two * 3))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [201]
    assert len((await two[0].store.load()).rows) == 1


async def test_while_the_store_is_away_changes_are_refused_and_the_rest_goes_on(
    two: tuple[Bench, Bench], caplog: pytest.LogCaptureFixture
) -> None:
    one, _ = two
    uid = (await one.made())["uid"]
    path = f"/api/webhooks/{uid}"
    store = one.store
    assert isinstance(store, Shared)
    store.away = True
    with caplog.at_level(logging.WARNING):
        await soon(lambda: "stay as they are" in caplog.text, "the log says so")
    for method, target, body in (
        ("POST", "/apps/1/webhooks", {"url": URL}),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
        ("POST", f"{path}/disable", None),
        ("PUT", "/api/v1/projects/1", {"webhook_url": URL}),
    ):
        answer = await one.ask(method, target, body)
        assert code(answer) == (503, "unavailable")
        assert answer.headers == (("Retry-After", "1"),)
    assert (await one.ask("GET", path)).document["enabled"] is True
    store.away = False
    assert (await one.ask("PATCH", path, {"name": "x"})).status == 200


async def test_a_broken_row_leaves_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryEndpoints()
    first = await Bench(store).start()
    good, bad = (await first.made())["uid"], (await first.made(profile="irisx"))["uid"]
    rows = (await store.load()).rows
    texts = [b"garbage", b"{}", b'{"v":2}', b"[]", rows[bad].text.replace(b'"v":1', b'"v":9')]
    texts.append(rows[bad].text.replace(b'"url":', b'"not_a_field":'))
    texts.append(rows[bad].text.replace(b"https://public", b"ftp://public"))
    for number, text in enumerate(texts):
        await store.write([Write(f"wh_broken{number}", 0, text.replace(bad.encode(), b"wh_broken%d" % number))])
    await store.write([Write(f"{OVERRIDE}{good}", 0, b"garbage")])
    with caplog.at_level(logging.ERROR):
        second = await Bench(store).start()
        await second.managed.refresh()
    assert {one.uid for one in second.registry.all()} == {good, bad}
    assert len([one for one in caplog.records if "a row does not count" in one.message]) == len(texts) + 1
    assert "t0ken" not in caplog.text
    await second.made()
    await first.stop()
    await second.stop()


async def test_a_switch_of_a_file_s_endpoint_is_kept_until_the_file_says_something_else() -> None:
    store = MemoryEndpoints()
    bench = Bench(store)
    bench.registry.replace("1", CONFIG, [filed()])
    await bench.start()
    assert (await bench.ask("POST", "/api/webhooks/wh_file/disable")).document["enabled"] is False
    for _ in range(2):  # restarts
        again = Bench(store)
        again.registry.replace("1", CONFIG, [filed()])
        await again.start()
        assert not again.registry.by_uid("wh_file").enabled  # type: ignore[union-attr]
        await again.stop()
    again = Bench(store)
    again.registry.replace("1", CONFIG, [filed(enabled=False)])  # the operator has written it down
    await again.start()
    await asyncio.sleep(0.05)
    assert dict((await store.load()).rows) == {}
    again.registry.replace("1", CONFIG, [filed(enabled=True)])
    again.managed.app_changed("1")
    assert again.registry.by_uid("wh_file").enabled  # type: ignore[union-attr]
    await again.stop()
    await bench.stop()


async def test_enabling_takes_the_switch_away() -> None:
    bench = Bench()
    bench.registry.replace("1", CONFIG, [filed()])
    await bench.start()
    await bench.ask("POST", "/api/webhooks/wh_file/disable")
    assert list((await bench.store.load()).rows) == [f"{OVERRIDE}wh_file"]
    await bench.ask("POST", "/api/webhooks/wh_file/enable")
    assert dict((await bench.store.load()).rows) == {}
    assert bench.registry.by_uid("wh_file").enabled  # type: ignore[union-attr]
    await bench.stop()


@pytest.mark.parametrize("made_by", ["file", "api"])
async def test_what_the_server_disables_stays_so_on_all_servers_and_after_a_restart(made_by: str) -> None:
    store = Shared()
    one, other = Bench(store), Bench(store)
    for bench in (one, other):
        bench.registry.replace("1", CONFIG, [filed()])
        await bench.start()
    uid = "wh_file" if made_by == "file" else (await one.made())["uid"]
    await soon(lambda: other.registry.by_uid(uid) is not None, "both know it")
    one.registry.disable(uid, until_moved=True)  # as delivery/health does
    await soon(lambda: not other.registry.by_uid(uid).enabled, "it is disabled everywhere")  # type: ignore[union-attr]
    third = Bench(store)
    third.registry.replace("1", CONFIG, [filed()])
    await third.start()
    assert not third.registry.by_uid(uid).enabled  # type: ignore[union-attr]
    assert not one.registry.by_uid(uid).enabled  # type: ignore[union-attr]
    [line] = (await one.ask("GET", "/api/webhooks/audit?limit=1")).document["audit"]
    assert (line["by"], line["action"], line["webhook_id"]) == ("server", "disable", uid)
    if made_by == "file":
        await other.ask("POST", f"/api/webhooks/{uid}/enable")
    else:  # another target is another chance
        await other.ask("PATCH", f"/api/webhooks/{uid}", {"url": "https://public.example/other"})
    await soon(lambda: one.registry.by_uid(uid).enabled, "it is enabled everywhere")  # type: ignore[union-attr]
    assert not [key for key in (await store.load()).rows if key.startswith(OVERRIDE)]
    for bench in (one, other, third):
        await bench.stop()


async def test_what_the_server_disables_while_the_store_is_away_is_kept_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sockudo_py.management.endpoints.managed.AGAIN", 0.01)
    store = Shared()
    bench = await Bench(store).start()
    uid = (await bench.made())["uid"]
    await bench.made()
    store.away = True
    bench.registry.disable(uid, until_moved=True)
    await asyncio.sleep(0.05)
    store.away = False
    await bench.made()  # the registry is set anew meanwhile
    assert not bench.registry.by_uid(uid).enabled  # type: ignore[union-attr]
    rows: list[str] = []
    while f"{OVERRIDE}{uid}" not in rows:
        rows = list((await store.load()).rows)
        await asyncio.sleep(0.01)
    await bench.stop()


async def test_endpoints_follow_their_app(two: tuple[Bench, Bench]) -> None:
    bench, _ = two
    made = await bench.made()
    uid = made["uid"]
    bench.apps.found["1"] = App(id="1", keys=(AppKey("new", b"new-secret"),))
    bench.managed.app_changed("1")
    assert bench.registry.by_uid(uid).app_keys[0].key == "new"  # type: ignore[union-attr]
    app = bench.apps.found.pop("1")
    bench.registry.remove("1")
    bench.managed.app_changed("1")
    assert bench.registry.by_uid(uid) is None
    assert code(await bench.ask("GET", f"/api/webhooks/{uid}")) == (404, "unknown_webhook")
    bench.apps.found["1"] = app
    bench.managed.app_changed("1")
    assert bench.registry.by_uid(uid) is not None


async def test_new_defaults_of_the_configuration_count(two: tuple[Bench, Bench]) -> None:
    bench, _ = two
    uid = (await bench.made())["uid"]
    bench.defaults = bench.defaults.model_copy(update={"connect_timeout_ms": 1234})
    bench.managed.redefine()
    assert bench.registry.by_uid(uid).connect_timeout == 1.234  # type: ignore[union-attr]


async def test_endpoints_that_did_not_change_are_left_alone(two: tuple[Bench, Bench]) -> None:
    bench, _ = two
    uid = (await bench.made())["uid"]
    before = bench.registry.by_uid(uid)
    changed: list[str] = []
    bench.registry.subscribe(lambda old, new: changed.append((new or old).uid))  # type: ignore[union-attr]
    another = (await bench.made())["uid"]
    assert bench.registry.by_uid(uid) is before
    assert changed == [another]


async def test_numbers_differ_from_those_of_files() -> None:
    bench = Bench()
    bench.registry.replace(
        "1", CONFIG, [endpoint(uid="wh_one", app_id="1", id=1), endpoint(uid="wh_2", app_id="1", id=2)]
    )
    await bench.start()
    assert (await bench.made())["number"] == 3
    await bench.stop()


async def test_the_audit_is_the_tenant_s_own(two: tuple[Bench, Bench]) -> None:
    bench, _ = two
    await bench.made(key("1", name="anna"))
    await bench.made(key("2", name="boris"), "/apps/2/webhooks")
    await bench.ask("DELETE", "/api/webhooks/queue/failed")
    whole = (await bench.ask("GET", "/api/webhooks/audit")).document["audit"]
    assert [one["by"] for one in whole] == ["socket", "boris", "anna"]
    assert whole[0]["action"] == "purge_failed"
    own = (await bench.ask("GET", "/api/webhooks/audit", admin=key("1"))).document["audit"]
    assert [one["by"] for one in own] == ["anna"]


async def test_the_audit_shows_a_tenant_what_operators_did_to_its_webhook(bench: Bench) -> None:
    uid = (await bench.made(key("1", name="anna")))["uid"]
    for method, path in (("POST", "retry-failed"), ("DELETE", "failed")):
        assert (await bench.ask(method, f"/api/webhooks/queue/{path}?webhookId={uid}")).status in (200, 202)
    own = (await bench.ask("GET", "/api/webhooks/audit", admin=key("1"))).document["audit"]
    assert [(one["by"], one["action"], one["app_id"]) for one in own[:2]] == [
        ("socket", "purge_failed", "1"),
        ("socket", "retry_failed", "1"),
    ]


@pytest.mark.parametrize(
    ("method", "target", "body", "field"),
    [
        ("POST", "/api/webhooks/{uid}/disable?drop=yes", {}, "drop"),
        ("POST", "/api/webhooks/{uid}/enable", {"x": 1}, "x"),
        ("PATCH", "/api/webhooks/{uid}", {"urll": "y"}, "urll"),
        ("PATCH", "/api/webhooks/{uid}", {"filter": {"kind": "y"}}, "filter.kind"),
        ("GET", "/api/webhooks/queue/failed?since=yesterday", {}, "since"),
    ],
)
async def test_what_is_refused_names_its_field_and_no_file(
    bench: Bench, method: str, target: str, body: dict[str, Any], field: str
) -> None:
    uid = (await bench.made())["uid"]
    answer = await bench.ask(method, target.format(uid=uid), body)
    assert answer.status == 422
    error = answer.document["error"]
    assert [one["field"] for one in error["fields"]] == [field]
    assert error["message"].startswith(f"{field}: ")
    assert "docs/" not in error["message"]
    assert "known key" not in error["message"]
