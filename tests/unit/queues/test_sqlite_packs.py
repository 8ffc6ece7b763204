"""Events in packs: what is taken, in which order, and that a pack gives back what was put into it."""

from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.queues.base import Append
from sockudo_py.queues.sqlite.packs import Packs, pack, portions, unpack

EVENTS = st.lists(
    st.builds(
        Append,
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.just("wh_a"),
        st.just("app"),
        st.binary(),
        st.integers(0, 10**16 - 1),
        st.booleans(),
        own=st.just(False),
        source=st.none(),
    ),
    min_size=1,
    max_size=5,
)


@given(EVENTS, st.data())
def test_a_pack_gives_back_the_events_that_are_left(events: list[Append], data: st.DataObject) -> None:
    left = data.draw(st.integers(1, len(events)))
    assert unpack("wh_a", "app", left, *pack(events)) == events[-left:]


@given(st.lists(st.integers(1, 5), min_size=1), st.lists(st.integers(1, 7)))
def test_events_are_taken_in_the_order_of_their_packs(sizes: list[int], jobs: list[int]) -> None:
    packs = Packs()
    for row, size in enumerate(sizes):
        packs.add("wh_a", row, size)
    left = list(sizes)
    for number in jobs:
        if number > sum(left):
            break
        before = sum(left)
        for row, more in packs.take("wh_a", number):
            left[row] = more
        assert before - sum(left) == number
        touched = [row for row, more in enumerate(left) if more]
        assert left[touched[0] + 1 :] == sizes[touched[0] + 1 :] if touched else not any(left)


def test_each_lane_has_its_own() -> None:
    packs = Packs()
    packs.add("wh_a", 1, 2)
    packs.add("wh_b", 2, 2)
    assert packs.take("wh_b", 1) == ((2, 1),)
    assert packs.take("wh_a", 2) == ((1, 0),)


def test_portions_are_neither_many_events_nor_many_bytes() -> None:
    small = [Append(str(number), "wh_a", "app", b"{}", 1) for number in range(250)]
    assert [len(some) for some in portions(small)] == [100, 100, 50]
    large = [Append(str(number), "wh_a", "app", b"x" * 20_000, 1) for number in range(7)]
    assert [len(some) for some in portions(large)] == [3, 3, 1]
    huge = [Append(str(number), "wh_a", "app", b"x" * 200_000, 1) for number in range(2)]
    assert [len(some) for some in portions(huge)] == [1, 1]
    assert [*portions([])] == []
