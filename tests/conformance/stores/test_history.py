"""What every history does: rows, pages, payloads, links, statistics."""

import pytest

from sockudo_py.stores.history.base import Batch, Link, Scope
from sockudo_py.stores.history.figures import Figures
from tests.conformance.stores.histories import (
    MINUTE,
    NOW,
    Histories,
    everything,
    keep,
    names,
    packed,
    payloads,
    row,
    tally,
)

A, APP, ALL = Scope(endpoint="wh_a"), Scope(app_id="app"), Scope()


async def test_an_attempt_comes_back_as_it_was_written(histories: Histories) -> None:
    history = await histories.make()
    await keep(
        history,
        row(1, status="failed", number=6, redrive=2, created_ms=NOW - 5, types=("a", "b"), payload=b"[1]", test=True),
    )
    (kept,) = await history.page(A, None, 10)
    assert kept._asdict() == {
        "place": kept.place,
        "endpoint": "wh_a",
        "app_id": "app",
        "pack": kept.place,
        "start": 0,
        "delivery": "d1",
        "status": "failed",
        "number": 6,
        "redrive": 2,
        "created_ms": NOW - 5,
        "finished_ms": NOW,
        "test": True,
        "types": "a\nb",
        "size": 3,
        "held": 3,
        "details": ["details", 200, None],
    }
    assert kept.event_types() == ("a", "b")
    for scope in (A, APP, ALL):
        assert await history.delivery("d1", scope) == [kept]
    assert await history.delivery("d1", Scope(endpoint="wh_b")) == []
    assert await history.delivery("d1", Scope(app_id="other")) == []
    assert await history.payloads([kept]) == [b"[1]"]


@pytest.mark.parametrize("together", [1, 3, 10])
async def test_rows_that_were_packed_together_come_one_by_one(histories: Histories, together: int) -> None:
    history = await histories.make()
    rows = [row(number, payload=b"%d" % number, held=number % 3 != 1) for number in range(30)]
    await keep(history, *rows[:20], together=together)
    await keep(history, *rows[20:], together=together)
    for page in (1, 4, 7, 100):
        found = await everything(history, A, page)
        assert names(found) == [f"d{number}" for number in reversed(range(30))]
        assert [kept.place for kept in found] == list(range(found[0].place, found[0].place - 30, -1))
    assert await payloads(history, found) == {f"d{number}": b"%d" % number for number in range(30) if number % 3 != 1}
    assert names(await history.delivery("d17", APP)) == ["d17"]


async def test_pages_are_newest_first_and_stay_put_while_new_rows_come(histories: Histories) -> None:
    history = await histories.make()
    await keep(history, *(row(number) for number in range(10)))
    first = await history.page(A, None, 4)
    await keep(history, row(10), row(11))
    second = await history.page(A, first[-1].place, 4)
    third = await history.page(A, second[-1].place, 4)
    assert names([*first, *second, *third]) == [f"d{number}" for number in reversed(range(10))]
    assert await history.page(A, third[-1].place, 4) == []


async def test_an_app_sees_the_rows_of_all_its_endpoints_and_of_no_other(histories: Histories) -> None:
    history = await histories.make()
    for number in range(12):
        app_id = f"app{number % 2}"
        await keep(history, row(number, endpoint=f"wh_{number % 4}", app_id=app_id))
    found = await everything(history, Scope(app_id="app1"), 4)
    assert names(found) == ["d11", "d9", "d7", "d5", "d3", "d1"]
    assert {kept.app_id for kept in found} == {"app1"}
    assert names(await everything(history, ALL, 5)) == [f"d{number}" for number in reversed(range(12))]
    assert await history.page(Scope(app_id="other"), None, 10) == []
    assert await history.page(Scope(endpoint="other"), None, 10) == []


async def test_the_attempts_of_a_delivery_are_found_together(histories: Histories) -> None:
    history = await histories.make()
    for number in (1, 2, 3):
        status = "delivered" if number == 3 else "retrying"
        await keep(history, row("d", status=status, number=number, held=number != 2), row("dd"), row("xd"))
    attempts = await history.delivery("d", A)
    assert [(kept.status, kept.number) for kept in attempts] == [("retrying", 1), ("retrying", 2), ("delivered", 3)]
    assert [text is not None for text in await history.payloads(attempts)] == [True, False, True]


async def test_rows_of_an_endpoint_are_bounded_in_number(histories: Histories) -> None:
    history = await histories.make(attempts=10)
    for number in range(100):
        await keep(history, row(number), row(f"other{number}", endpoint="wh_b"))
        assert len(await history.page(A, None, 1000)) <= 11
    while await history.prune(NOW):
        pass
    assert names(await everything(history, A)) == [f"d{number}" for number in reversed(range(90, 100))]
    assert len(await everything(history, APP)) == 20
    assert await history.delivery("d89", A) == []
    assert len(await payloads(history, await everything(history, A))) == 10


async def test_whole_packs_go_and_never_too_few(histories: Histories) -> None:
    history = await histories.make(attempts=100)
    for start in range(0, 1000, 50):
        await keep(history, *(row(number) for number in range(start, start + 50)), together=5)
        assert len(await everything(history, A)) <= 110
    while await history.prune(NOW):
        pass
    assert names(await everything(history, A)) == [f"d{number}" for number in reversed(range(900, 1000))]


async def test_a_lower_bound_holds_after_a_restart(histories: Histories) -> None:
    if histories.kind == "memory":
        pytest.skip("it ends with the process")
    history = await histories.make(attempts=5000)
    for start in range(0, 3000, 500):
        await keep(history, *(row(number) for number in range(start, start + 500)))
    history = await histories.restart(attempts=20)
    while await history.prune(NOW):
        pass
    assert names(await everything(history, A)) == [f"d{number}" for number in reversed(range(2980, 3000))]


async def test_rows_are_bounded_in_age(histories: Histories) -> None:
    history = await histories.make(ttl_ms=10 * MINUTE)
    for number in range(40):
        await keep(history, row(number, endpoint=f"wh_{number % 4}", finished_ms=NOW + number * MINUTE))
    now = NOW + 39 * MINUTE
    while await history.prune(now):
        pass
    assert names(await everything(history, APP)) == [f"d{number}" for number in reversed(range(29, 40))]
    assert await history.delivery("d28", ALL) == []
    while await history.prune(now + 60 * MINUTE):
        pass
    assert await everything(history, ALL) == []


async def test_payloads_of_an_app_are_bounded_in_bytes(histories: Histories) -> None:
    history = await histories.make(bytes=1000)
    for number in range(50):
        await keep(history, row(number, endpoint=f"wh_{number % 3}", payload=b"x" * 100))
    await keep(history, row("another", app_id="app2", endpoint="wh_z", payload=b"y" * 900))
    rows = await everything(history, APP)
    assert len(rows) == 50
    expected = sorted(f"d{number}" for number in range(40, 50))
    assert sorted(await payloads(history, rows)) == expected
    assert sorted(each.delivery for each in rows if each.held) == expected
    assert await payloads(history, await everything(history, Scope(app_id="app2"))) == {"another": b"y" * 900}


async def test_a_payload_larger_than_the_bound_is_not_kept(histories: Histories) -> None:
    history = await histories.make(bytes=1000)
    await keep(history, row(1, payload=b"x" * 10), row(2, payload=b"x" * 2000))
    assert await payloads(history, await everything(history, A)) == {}
    await keep(history, row(3, payload=b"x" * 1000))
    assert list(await payloads(history, await everything(history, A))) == ["d3"]


async def test_a_batch_that_is_written_twice_counts_once(histories: Histories) -> None:
    history = await histories.make()
    batch = Batch("once", packed([row(1)]), {"wh_a": tally([("delivered", 1, 0, 20, NOW)])})
    await history.write(batch)
    await history.write(batch)
    assert names(await everything(history, A)) == ["d1"]
    assert (await history.figures(["wh_a"]))["wh_a"].successful == 1


async def test_statistics_add_up(histories: Histories) -> None:
    history = await histories.make()
    await keep(history, tallies={"wh_a": tally([("retrying", 1, 0, 100, NOW), ("delivered", 2, 0, 300, NOW + 1)])})
    await keep(history, tallies={"wh_a": tally([("failed", 6, 0, 2000, NOW + 5), ("retrying", 1, 0, 100, NOW + 4)])})
    expected = Figures()
    expected.add(tally([("retrying", 1, 0, 100, NOW), ("delivered", 2, 0, 300, NOW + 1)]))
    expected.add(tally([("failed", 6, 0, 2000, NOW + 5), ("retrying", 1, 0, 100, NOW + 4)]))
    figures = (await history.figures(["wh_a", "unknown"])).pop("wh_a")
    assert figures == expected
    assert (figures.successful, figures.failed, figures.attempts, figures.average_ms) == (1, 1, 4, 625)
    assert figures.last_success_ms == NOW + 1
    assert figures.consecutive_failures == 2


async def test_a_dead_letter_that_is_sent_again_is_not_failed_until_it_ends(histories: Histories) -> None:
    history = await histories.make()
    await keep(history, tallies={"wh_a": tally([("failed", 6, 0, 10, NOW)])})
    await keep(history, tallies={"wh_a": tally([("retrying", 1, 1, 10, NOW)])})
    figures = (await history.figures(["wh_a"]))["wh_a"]
    assert (figures.successful, figures.failed) == (0, 0)
    await keep(history, tallies={"wh_a": tally([("delivered", 2, 1, 10, NOW)])})
    figures = (await history.figures(["wh_a"]))["wh_a"]
    assert (figures.successful, figures.failed) == (1, 0)


async def test_statistics_and_rows_survive_a_restart(histories: Histories) -> None:
    if histories.kind == "memory":
        pytest.skip("it ends with the process")
    history = await histories.make(attempts=5)
    for number in range(9):
        await keep(history, row(number), tallies={"wh_a": tally([("delivered", 1, 0, 5, NOW)])})
    before = await everything(history, A)
    history = await histories.restart(attempts=5)
    assert await everything(history, A) == before
    assert (await history.figures(["wh_a"]))["wh_a"].successful == 9
    await keep(history, row(9))
    assert names(await everything(history, A))[:2] == ["d9", "d8"]


async def test_places_are_never_used_twice(histories: Histories) -> None:
    if histories.kind == "memory":
        pytest.skip("it ends with the process")
    history = await histories.make(ttl_ms=1)
    await keep(history, row(1))
    (first,) = await history.page(A, None, 1)
    while await history.prune(NOW + 10):
        pass
    history = await histories.restart()
    await keep(history, row(2))
    (second,) = await history.page(A, None, 1)
    assert second.place > first.place


async def test_statistics_of_an_endpoint_that_is_gone_are_forgotten(histories: Histories) -> None:
    history = await histories.make()
    await keep(history, row(1), tallies={"wh_a": tally([("delivered", 1, 0, 5, NOW)])})
    await history.forget("wh_a")
    await history.forget("never known")
    assert await history.figures(["wh_a"]) == {}
    assert names(await everything(history, A)) == ["d1"]
    await keep(history, row(2), tallies={"wh_a": tally([("failed", 1, 0, 5, NOW)])})
    assert (await history.figures(["wh_a"]))["wh_a"].attempts == 1


async def test_links_are_known_as_long_as_rows(histories: Histories) -> None:
    history = await histories.make(ttl_ms=10 * MINUTE)
    links = [Link(f"n{number}", f"o{number}", "wh_a", "app", NOW) for number in range(1200)]
    await history.link(links)
    assert await history.links(["n0", "n1199", "o0"]) == {"n0": links[0], "n1199": links[1199]}
    if histories.kind == "redis":
        return  # there they expire by its clock
    while await history.prune(NOW + 11 * MINUTE):
        pass
    assert await history.links(["n0", "n1199"]) == {}


async def test_many_payloads_at_once(histories: Histories) -> None:
    history = await histories.make(attempts=2000)
    for start in range(0, 1500, 250):
        rows = [row(number, payload=b"%d" % number) for number in range(start, start + 250)]
        await keep(history, *rows, together=25)
    found = await payloads(history, await everything(history, A, 700))
    assert found == {f"d{number}": b"%d" % number for number in range(1500)}


async def test_pages_of_all_apps_leave_none_out(histories: Histories) -> None:
    history = await histories.make()
    for number in range(130):
        app_id = "often" if number % 10 else "rare"
        await keep(history, row(number, app_id=app_id, endpoint=f"wh_{app_id}"))
    for page in (1, 7, 60, 500):
        assert names(await everything(history, ALL, page)) == [f"d{number}" for number in reversed(range(130))]


async def test_an_endpoint_that_is_idle_keeps_nothing_of_others(histories: Histories) -> None:
    """The oldest row of an app may be of an endpoint that has no new ones: what comes after it goes all the same."""
    history = await histories.make(attempts=10, bytes=100_000)
    await keep(history, row("idle", endpoint="wh_idle"))
    for start in range(0, 300, 30):
        await keep(history, *(row(number) for number in range(start, start + 30)))
    while await history.prune(NOW):
        pass
    assert len(await everything(history, APP)) == 11
    assert names(await everything(history, Scope(endpoint="wh_idle"))) == ["idle"]
