from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Append, app_id_of
from sockudo_py.webhooks.spool.memory import Spool, SpoolLimits
from sockudo_py.webhooks.spool.noise import totals_of


def event(number: int, app_id: str = "a", size: int = 10, source: Source | None = None) -> Append:
    text = b"{%b}" % (b" " * (size - 2))
    return Append(f"id-{number}", f"wh_{app_id}", app_id, text, 1000 + number, source=source)


def of(endpoint: str, number: int, app_id: str = "a") -> Append:
    return event(number, app_id)._replace(endpoint=endpoint)


def numbers(events: list[Append]) -> list[str]:
    return [append.id for append in events]


def test_events_of_an_endpoint_come_out_in_the_order_in_which_they_went_in() -> None:
    spool = Spool(SpoolLimits())
    for number in range(5):
        spool.put(event(number))
    assert numbers(spool.take(3)) == ["id-0", "id-1", "id-2"]
    assert numbers(spool.take(3)) == ["id-3", "id-4"]
    assert spool.take(3) == []
    assert spool.count == 0


def test_a_noisy_endpoint_leaves_others_their_share_of_a_batch() -> None:
    spool = Spool(SpoolLimits())
    for number in range(1000):
        spool.put(event(number, "noisy"))
    spool.put(event(1000, "quiet"))
    assert Counter(append.app_id for append in spool.take(10)) == {"noisy": 5, "quiet": 1}


def test_endpoints_take_turns_at_being_first() -> None:
    spool = Spool(SpoolLimits())
    for number in range(6):
        spool.put(event(number, "abc"[number % 3]))
    assert [spool.take(1)[0].app_id for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


def test_a_full_spool_drops_the_oldest_of_the_noisiest_app() -> None:
    spool = Spool(SpoolLimits(max_events=3))
    assert not spool.put(event(0, "quiet"))
    assert not spool.put(event(1, "noisy"))
    assert not spool.put(event(2, "noisy"))
    assert spool.put(event(3, "noisy"))
    assert Counter(map(app_id_of, spool.overflow())) == {"noisy": 1}
    assert sorted(numbers(spool.take(10))) == ["id-0", "id-2", "id-3"]


def test_the_fullest_endpoint_of_the_noisiest_app_loses_its_oldest() -> None:
    spool = Spool(SpoolLimits(max_events=7))
    for number in range(3):
        spool.put(of("wh_quiet", number, "quiet"))
    for number in range(3, 6):
        spool.put(of("wh_full", number))
    spool.put(of("wh_small", 6))
    assert spool.put(of("wh_small", 7))
    assert Counter(map(app_id_of, spool.overflow())) == {"a": 1}
    assert sorted(numbers(spool.take(10))) == ["id-0", "id-1", "id-2", "id-4", "id-5", "id-6", "id-7"]


def test_an_endpoint_that_is_held_back_is_passed_over_and_keeps_its_order() -> None:
    spool = Spool(SpoolLimits())
    for number in range(4):
        spool.put(of("wh_full", number))
    refused = spool.take(2)
    assert not spool.hold_back(refused)
    spool.put(of("wh_full", 4))
    spool.put(of("wh_other", 5))
    assert (spool.count, spool.held("wh_full"), spool.held("wh_other")) == (6, 5, 0)
    assert numbers(spool.take(10)) == ["id-5"]
    assert numbers(spool.probe("wh_full", 3)) == ["id-0", "id-1", "id-2"]
    assert spool.take(10) == []
    spool.free("wh_full")
    assert numbers(spool.take(10)) == ["id-3", "id-4"]
    assert spool.count == 0


def test_a_probe_that_is_refused_goes_back_to_its_place() -> None:
    spool = Spool(SpoolLimits())
    spool.hold_back([of("wh_full", number) for number in range(3)])
    spool.hold_back(spool.probe("wh_full", 2))
    assert numbers(spool.probe("wh_full", 10)) == ["id-0", "id-1", "id-2"]
    spool.put(of("wh_full", 3))
    assert spool.take(10) == [], "held back although it was empty for a moment"


def test_what_is_held_back_counts_for_the_bound_and_is_dropped_first_where_it_is_most() -> None:
    spool = Spool(SpoolLimits(max_events=4))
    spool.put(of("wh_other", 0))
    assert not spool.hold_back([of("wh_full", number) for number in range(1, 4)])
    assert spool.hold_back([of("wh_full", 9)])
    assert Counter(map(app_id_of, spool.overflow())) == {"a": 1}
    assert numbers(spool.probe("wh_full", 10)) == ["id-1", "id-2", "id-3"]


def test_draining_brings_everything_in_order() -> None:
    spool = Spool(SpoolLimits())
    spool.hold_back([of("wh_full", 0), of("wh_full", 1)])
    spool.put(of("wh_full", 2))
    spool.put(of("wh_other", 3))
    drained = spool.drain()
    assert numbers([event for event in drained if event.endpoint == "wh_full"]) == ["id-0", "id-1", "id-2"]
    assert (len(drained), spool.count, spool.drain()) == (4, 0, [])


def test_a_spool_is_bounded_in_bytes_too() -> None:
    spool = Spool(SpoolLimits(max_bytes=1000))
    assert not spool.put(event(0, size=700))
    assert spool.put(event(1, size=700))
    spool.overflow()
    assert numbers(spool.take(10)) == ["id-1"]
    assert not spool.put(event(2, size=700))


def test_a_flood_makes_room_for_a_thousandth_at_once() -> None:
    spool = Spool(SpoolLimits(max_events=5000))
    for number in range(5001):
        spool.put(event(number))
    assert Counter(map(app_id_of, spool.overflow())) == {"a": 6}
    assert spool.count == 4995


def test_an_event_that_is_larger_than_the_spool_goes_too() -> None:
    spool = Spool(SpoolLimits(max_bytes=1000))
    spool.put(event(0, "quiet"))
    assert spool.put(event(1, "loud", size=2000))
    assert Counter(map(app_id_of, spool.overflow())) == {"quiet": 1, "loud": 1}
    assert spool.count == 0


LOUD, QUIET = Source("a", "1.1", "192.0.2.1"), Source("a", "1.2", "192.0.2.2")


def test_a_full_spool_drops_the_oldest_of_the_noisiest_connection_whatever_app_has_most() -> None:
    spool = Spool(SpoolLimits(max_events=100))
    for number in range(60):
        spool.put(event(number, "large", source=Source("large", str(number), "192.0.2.3")))
    for number in range(60, 70):
        spool.put(event(number, "a", source=QUIET if number % 10 else None))
    for number in range(70, 102):
        spool.put(event(number, "a", source=LOUD))
    assert Counter(map(app_id_of, spool.overflow())) == {"a": 5}
    assert sorted(numbers(spool.drain())) == sorted(f"id-{number}" for number in range(102) if not 70 <= number < 75)


def test_short_connections_lose_what_their_address_has_too_much() -> None:
    spool = Spool(SpoolLimits(max_events=1000))
    for number in range(100):
        spool.put(event(number, source=QUIET if number % 20 == 0 else None))
    for number in range(100, 1001):
        spool.put(event(number, source=Source("a", str(number), "192.0.2.1")))
    assert Counter(map(app_id_of, spool.overflow())) == {"a": 32}
    assert {f"id-{number}" for number in range(100)} < set(numbers(spool.drain()))


def test_a_spool_that_is_too_full_of_bytes_drops_of_those_who_have_most_bytes() -> None:
    spool = Spool(SpoolLimits(max_bytes=110_000))
    for number in range(100):
        spool.put(event(number, size=100, source=QUIET))
    for number in range(100, 108):
        spool.put(event(number, size=10_000, source=LOUD))
    assert spool.too_full
    assert Counter(map(app_id_of, spool.overflow())) == {"a": 2}
    assert not spool.too_full


def test_a_flood_pays_for_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    spool = Spool(SpoolLimits(max_events=3200))

    def look(events: list[Append], *, in_bytes: bool) -> dict[Source, int]:
        looks.append(len(events))
        return totals_of(events, in_bytes=in_bytes)

    monkeypatch.setattr("sockudo_py.webhooks.spool.memory.totals_of", look)
    for source in (LOUD, None):
        looks.clear()
        for number in range(6400):
            if spool.put(event(number, source=source)):
                spool.overflow()
        assert len(looks) <= 70


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 7)), max_size=40))
def test_nothing_is_lost_or_doubled_or_reordered_within_an_endpoint(steps: list[tuple[str, int]]) -> None:
    spool = Spool(SpoolLimits())
    put: list[Append] = []
    taken: list[Append] = []
    for number, (app_id, limit) in enumerate(steps):
        append = event(number, app_id)
        put.append(append)
        spool.put(append)
        if number % 3 == 2:
            batch = spool.take(limit)
            assert len(batch) <= limit
            taken.extend(batch)
    while batch := spool.take(4):
        taken.extend(batch)
    assert spool.count == 0
    for app_id in "abc":
        assert [a for a in taken if a.app_id == app_id] == [a for a in put if a.app_id == app_id]
