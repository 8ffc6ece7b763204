"""Which rows are in force, whatever the table says one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.apps.databases.keeper import Keeper, Outcome
from sockudo_py.endpoints import Endpoint
from sockudo_py.protocol.app import App, AppKey


def definition(row_id: str, key: str, limit: int | None = None, uid: str | None = None) -> AppDefinition:
    app = App(row_id, (AppKey(key, b"s"),), max_connections=limit)
    endpoints = () if uid is None else (Endpoint(uid=uid, id=1, app_id=row_id, app_keys=(), url="https://a"),)
    return AppDefinition(app, endpoints)


def take(keeper: Keeper, version: int, **rows: Outcome) -> list[tuple[str, bool]]:
    """Let the keeper see a table with these rows, all new. Return the mistakes that are new."""
    return keeper.take(dict.fromkeys(rows, version), rows).mistakes


def in_force(keeper: Keeper) -> dict[str, str]:
    return {found.app.id: found.app.keys[0].key for found in keeper.view.all()}


def test_two_rows_exchange_keys() -> None:
    keeper = Keeper()
    take(keeper, 1, a=definition("a", "1"), b=definition("b", "2"))
    assert take(keeper, 2, a=definition("a", "2"), b=definition("b", "1")) == []
    assert in_force(keeper) == {"a": "2", "b": "1"}


def test_a_claim_to_another_rows_key_is_refused_until_the_key_is_free() -> None:
    keeper = Keeper()
    take(keeper, 1, a=definition("a", "1"), b=definition("b", "2"))
    (mistake,) = take(keeper, 2, a=definition("a", "2"), b=definition("b", "2"))
    assert mistake == ("app a: key: app b has this key; each must have its own", True)
    assert in_force(keeper) == {"a": "1", "b": "2"}
    assert keeper.broken == 1
    taken = keeper.take({"a": 2}, {})  # b goes
    assert in_force(keeper) == {"a": "2"}
    assert [(each.old is not None, each.new is not None) for each in taken.changes] == [(True, True), (True, False)]
    assert keeper.broken == 0


def test_of_two_that_want_one_key_the_app_in_force_gets_it_and_of_new_ones_the_lower_id() -> None:
    keeper = Keeper()
    take(keeper, 1, b=definition("b", "2"))
    take(keeper, 2, a=definition("a", "9"), b=definition("b", "9"), c=definition("c", "8"), d=definition("d", "8"))
    assert in_force(keeper) == {"b": "9", "c": "8"}


def test_a_chain_of_claims_falls_back_together() -> None:
    keeper = Keeper()
    take(keeper, 1, a=definition("a", "1"), b=definition("b", "2"), c=definition("c", "3"))
    # c stays; b wants c's key, so it keeps its own; so a, which wants b's, keeps its own too.
    take(keeper, 2, a=definition("a", "2"), b=definition("b", "3"), c=definition("c", "3"))
    assert in_force(keeper) == {"a": "1", "b": "2", "c": "3"}
    assert keeper.broken == 2


def test_the_uid_of_an_endpoint_goes_to_the_row_that_has_it() -> None:
    keeper = Keeper()
    take(keeper, 1, b=definition("b", "2", uid="wh_1"))
    versions = {"a": 1, "b": 1}
    assert keeper.take(versions, {"a": definition("a", "1", uid="wh_1")}).mistakes == [
        ("app a: webhook uid wh_1 is used twice; give each its own", False)
    ]
    keeper.take({"a": 1}, {})
    assert in_force(keeper) == {"a": "1"}


def test_what_says_the_same_is_no_change_and_the_old_object_stays() -> None:
    keeper = Keeper()
    first = definition("a", "1", uid="wh_1")
    take(keeper, 1, a=first)
    assert keeper.take({"a": 2}, {"a": definition("a", "1", uid="wh_1")}).changes == []
    assert list(keeper.view.all()) == [first]
    assert keeper.versions == {"a": 2}


def test_a_row_whose_content_was_not_read_yet_stays_as_it_was() -> None:
    keeper = Keeper()
    take(keeper, 1, a=definition("a", "1"))
    assert keeper.take({"a": 2}, {}).changes == []
    assert keeper.versions == {"a": 1}  # so it is asked for again


def test_what_served_before_a_reload_serves_where_the_row_is_broken_now() -> None:
    keeper = Keeper([definition("a", "1", limit=7), definition("b", "2")])
    keeper.take({"a": 1, "c": 1}, {"a": ("broken",), "c": ("broken too",)})
    assert in_force(keeper) == {"a": "1"}  # b's row is gone; c never served


def test_changes_that_free_a_uid_come_first() -> None:
    keeper = Keeper()
    take(keeper, 1, a=definition("a", "1"), b=definition("b", "2", uid="wh_1"))
    taken = keeper.take({"a": 2, "b": 2}, {"a": definition("a", "1", uid="wh_1"), "b": definition("b", "2")})
    assert [each.new.app.id for each in taken.changes if each.new is not None] == ["b", "a"]


@dataclass(frozen=True)
class Row:
    """What a table says: a key and a limit, or that it is broken."""

    key: str | None
    limit: int


ROWS = st.dictionaries(
    st.sampled_from("abcd"), st.builds(Row, st.sampled_from(["1", "2", "3", "4", None]), st.integers(1, 3)), max_size=4
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ROWS, max_size=8))
def test_random_tables(tables: list[Mapping[str, Row]]) -> None:
    keeper = Keeper()
    known: dict[str, AppDefinition] = {}  # as the changes say
    for table in tables:
        before = {found.app.id: found for found in keeper.view.all()}
        outcomes: dict[str, Outcome] = {
            row_id: ("broken",) if row.key is None else definition(row_id, row.key, row.limit)
            for row_id, row in table.items()
            if keeper.versions.get(row_id) != row
        }
        _follow(known, keeper.take(dict(table), outcomes).changes)
        after = {found.app.id: found for found in keeper.view.all()}
        assert after == known
        assert set(after) <= set(table)
        keys = [found.app.keys[0].key for found in after.values()]
        assert len(keys) == len(set(keys))
        for row_id, row in table.items():
            as_it_says = row_id in after and (after[row_id].app.keys[0].key, after[row_id].app.max_connections) == (
                row.key,
                row.limit,
            )
            if row.key is not None and not as_it_says:
                assert row.key in keys, "refused only where another app has its key"
            if row_id in before and row_id not in after:
                raise AssertionError(f"{row_id} is in the table and has lost its app")
            if not as_it_says and row_id in after:
                assert after[row_id] is before[row_id], "the last good version"
        broken = sum(
            row.key is None
            or row_id not in after
            or (after[row_id].app.keys[0].key, after[row_id].app.max_connections) != (row.key, row.limit)
            for row_id, row in table.items()
        )
        assert keeper.broken == broken


def _follow(known: dict[str, AppDefinition], changes: list[AppChanged]) -> None:
    for change in changes:
        if change.old is not None:
            assert known.pop(change.old.app.id) is change.old
        if change.new is not None:
            assert change.new.app.id not in known
            known[change.new.app.id] = change.new
