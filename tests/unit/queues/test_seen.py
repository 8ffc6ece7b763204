"""Ids of appended events: each added once, forgotten in time, and never too many of them."""

from sockudo_py.queues.base import Append
from sockudo_py.queues.local import seen
from sockudo_py.queues.local.seen import SeenIds

TTL = 1000


def events(*ids: str) -> list[Append]:
    return [Append(ident, "wh", "app", b"{}", 1) for ident in ids]


def test_events_that_are_new_are_all_unknown() -> None:
    assert SeenIds(TTL).unknown(events("a", "b")) == events("a", "b")


def test_a_known_event_is_left_out() -> None:
    ids = SeenIds(TTL)
    ids.add(["b"], 0)
    assert ids.unknown(events("a", "b", "c")) == events("a", "c")


def test_an_event_that_comes_twice_in_one_call_counts_once() -> None:
    assert SeenIds(TTL).unknown(events("a", "b", "a")) == events("a", "b")


def test_an_id_is_forgotten_when_its_time_is_over_and_not_before() -> None:
    ids = SeenIds(TTL)
    ids.add(["a"], 0)
    ids.add(["b"], 1)
    ids.forget(TTL - 1)
    assert len(ids) == 2
    ids.forget(TTL)
    assert ids.unknown(events("a", "b")) == events("a")


def test_the_oldest_go_when_there_are_too_many() -> None:
    ids = SeenIds(TTL)
    for number in range(4):
        ids.add([f"{number}-{at}" for at in range(seen._MOST // 2)], 0)
    ids.forget(0)
    assert len(ids) == seen._MOST
    assert ids.unknown(events("1-0", "2-0")) == events("1-0")
