"""Every endpoint store: rows, revisions, versions, numbers and the audit."""

import asyncio
from pathlib import Path

import pytest

import sockudo_py.stores.endpoints.memory
import sockudo_py.stores.endpoints.redis
import sockudo_py.stores.endpoints.sqlite
from sockudo_py.stores.endpoints.base import (
    MOST_AUDITED,
    MOST_TEXT,
    AuditLine,
    Conflict,
    EndpointStore,
    StoreFull,
    Write,
)
from tests.conformance.stores.endpoint_stores import EndpointStores
from tests.conformance.stores.endpoint_stores import stores as stores
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix

TEXT = '{"url":"https://x.example/ü"}'.encode() + b"\x00\xff 1 2"  # the store reads none of it


def line(text: str, app: str = "1") -> AuditLine:
    return AuditLine(app, text.encode())


async def texts(store: EndpointStore) -> dict[str, bytes]:
    return {key: row.text for key, row in (await store.load()).rows.items()}


async def lines(store: EndpointStore, limit: int = 100, before: int | None = None, *apps: str) -> list[str]:
    found = await store.audit(limit, before, frozenset(apps) if apps else None)
    return [one.line.text.decode() for one in found]


async def test_a_new_store_is_empty(stores: EndpointStores) -> None:
    store = await stores.make()
    contents = await store.load()
    assert (dict(contents.rows), contents.version) == ({}, await store.version())
    assert await store.audit(10) == []


async def test_rows_are_made_changed_and_deleted(stores: EndpointStores) -> None:
    store = await stores.make()
    versions = [await store.version()]
    versions.append(await store.write([Write("wh_a", 0, TEXT), Write("wh_b", 0, b"b")]))
    assert await texts(store) == {"wh_a": TEXT, "wh_b": b"b"}
    first = (await store.load()).rows["wh_a"]
    versions.append(await store.write([Write("wh_a", first.revision, b"again")]))
    second = (await store.load()).rows["wh_a"]
    assert (second.text, second.revision > first.revision) == (b"again", True)
    versions.append(await store.write([Write("wh_a", second.revision, None)]))
    assert await texts(store) == {"wh_b": b"b"}
    assert versions == sorted(set(versions))
    assert await store.version() == versions[-1] == (await store.load()).version


@pytest.mark.parametrize("seen", ["too old", "none", "gone"])
async def test_a_row_that_has_changed_meanwhile_stays_and_so_do_all_others(stores: EndpointStores, seen: str) -> None:
    store = await stores.make()
    await store.write([Write("wh_a", 0, b"1"), Write("wh_b", 0, b"b")])
    old = (await store.load()).rows["wh_a"].revision
    await store.write([Write("wh_a", old, b"2")])
    if seen == "gone":
        await store.write([Write("wh_a", (await store.load()).rows["wh_a"].revision, None)])
    before = await store.load()
    stale = {"too old": old, "none": 0, "gone": old}[seen]
    other = before.rows["wh_b"].revision
    with pytest.raises(Conflict):
        await store.write([Write("wh_b", other, b"c"), Write("wh_a", stale, b"3")], line("never"))
    after = await store.load()
    assert after == before
    assert await store.audit(10) == []


async def test_a_row_that_was_deleted_and_made_again_is_another_one(stores: EndpointStores) -> None:
    store = await stores.make()
    await store.write([Write("wh_a", 0, b"1")])
    old = (await store.load()).rows["wh_a"].revision
    await store.write([Write("wh_a", old, None)])
    await store.write([Write("wh_a", 0, b"2")])
    with pytest.raises(Conflict):
        await store.write([Write("wh_a", old, b"3")])


async def test_of_many_who_change_a_row_at_once_one_wins_and_nothing_is_lost(stores: EndpointStores) -> None:
    store = await stores.make()
    others = [store, await stores.make()] if store.shared else [store]
    await store.write([Write("counter", 0, b"0")])

    async def add(store: EndpointStore) -> int:
        tries = 0
        while True:
            tries += 1
            row = (await store.load()).rows["counter"]
            try:
                await store.write([Write("counter", row.revision, b"%d" % (int(row.text) + 1))])
            except Conflict:
                continue
            return tries

    await asyncio.gather(*(add(others[number % len(others)]) for number in range(20)))
    assert await texts(store) == {"counter": b"20"}


async def test_numbers_are_given_once(stores: EndpointStores) -> None:
    store = await stores.make()
    given = await asyncio.gather(*(store.allot() for _ in range(20)))
    assert sorted(given) == list(range(1, 21))


async def test_the_audit_has_the_newest_first_and_is_chosen_by_app(stores: EndpointStores) -> None:
    store = await stores.make()
    await store.write([Write("wh_a", 0, b"a")], line("made"))
    version = await store.version()
    await store.write([], line("other", "2"))
    await store.write([], line("all", ""))
    await store.write([], line("sent", "1"))
    assert await store.version() == version  # no row has changed
    assert await lines(store) == ["sent", "all", "other", "made"]
    assert await lines(store, 100, None, "1") == ["sent", "made"]
    assert await lines(store, 1, None, "1") == ["sent"]
    assert await lines(store, 100, None, "3") == []
    newest, *_ = await store.audit(1)
    await store.write([], line("new"))
    assert await lines(store, 2, newest.number) == ["all", "other"]
    assert await lines(store, 100, newest.number, "1") == ["made"]


async def test_an_app_may_have_any_id(stores: EndpointStores) -> None:
    store = await stores.make()
    for app in ("a b", "ü", "12 3", "x" * 200):
        await store.write([], line(app, app))
        [found] = await store.audit(10, None, frozenset({app}))
        assert (found.line.app_id, found.line.text.decode()) == (app, app)


async def test_the_audit_is_bounded(stores: EndpointStores, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_AUDITED == 10_000
    for module in (sockudo_py.stores.endpoints.redis, sockudo_py.stores.endpoints.sqlite):
        monkeypatch.setattr(module, "MOST_AUDITED", 3)
    store = await stores.make()
    if stores.kind == "memory":
        assert store._audit.maxlen == MOST_AUDITED  # type: ignore[attr-defined]
        return
    for number in range(5):
        await store.write([], line(str(number)))
    assert await lines(store) == ["4", "3", "2"]


async def test_a_long_audit_is_read_to_its_end(stores: EndpointStores) -> None:
    store = await stores.make()
    for number in range(1200):
        await store.write([], line(str(number), "1" if number == 3 else "2"))
    assert await lines(store, 10, None, "1") == ["3"]
    page = await store.audit(700)
    assert [one.line.text.decode() for one in page] == [str(number) for number in range(1199, 499, -1)]


async def test_a_store_is_bounded(stores: EndpointStores, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("memory", "redis", "sqlite"):
        monkeypatch.setattr(getattr(sockudo_py.stores.endpoints, name), "MOST_ROWS", 2)
    store = await stores.make()
    await store.write([Write("a", 0, b"a"), Write("b", 0, b"b")])
    with pytest.raises(StoreFull):
        await store.write([Write("c", 0, b"c")])
    with pytest.raises(StoreFull):
        await store.write([Write("a", (await store.load()).rows["a"].revision, b"x" * (MOST_TEXT + 1))])
    rows = (await store.load()).rows
    await store.write([Write("a", rows["a"].revision, None), Write("c", 0, b"c")])
    assert await texts(store) == {"b": b"b", "c": b"c"}


async def test_keys_that_are_none_are_refused(stores: EndpointStores) -> None:
    store = await stores.make()
    for keys in (["a", "a"], [""], ["x" * 201]):
        with pytest.raises(ValueError, match="keys of rows"):
            await store.write([Write(key, 0, b"1") for key in keys])


async def test_all_of_it_is_there_after_a_restart(stores: EndpointStores) -> None:
    if stores.kind == "memory":
        pytest.skip("ends with the process")
    store = await stores.make()
    await store.write([Write("wh_a", 0, TEXT)], line("made"))
    number, version = await store.allot(), await store.version()
    await store.close()
    store = await stores.make()
    assert await texts(store) == {"wh_a": TEXT}
    assert await lines(store) == ["made"]
    assert (await store.allot() > number, await store.version()) == (True, version)


async def test_what_somebody_else_has_put_into_redis_keeps_no_row_from_being_read(stores: EndpointStores) -> None:
    if stores.redis is None:
        pytest.skip("nobody else writes there")
    store = await stores.make()
    await store.write([Write("wh_a", 0, TEXT)], line("made"))
    for key, text in (("wh_x", "garbage"), ("wh_y", ""), (b"\xff", "9999999999 {}")):
        stores.redis.cli("HSET", f"{stores.prefix}endpoints", key, text)
    stores.redis.cli("LPUSH", f"{stores.prefix}endpoints:audit", "garbage", "1 x y")
    rows = await texts(store)
    assert (rows["wh_a"], rows["wh_x"]) == (TEXT, b"garbage")
    assert await lines(store) == ["made"]
    await store.write([Write("wh_x", 0, b"mended")])
    assert (await texts(store))["wh_x"] == b"mended"


async def test_a_user_of_redis_who_may_not_publish_writes_all_the_same(
    private_redis: RedisServer, unique_prefix: str, tmp_path: Path
) -> None:
    private_redis.cli("ACL", "SETUSER", "default", "resetchannels")
    stores = EndpointStores("redis", tmp_path, private_redis, unique_prefix)
    store = await stores.make()
    try:
        await store.write([Write("a", 0, TEXT)], line("made"))
        assert await texts(store) == {"a": TEXT}
        assert await lines(store) == ["made"]
    finally:
        await stores.close()
