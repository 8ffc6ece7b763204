import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.local.book import LeaseBook
from sockudo_py.queues.local.classes import SlotPolicy
from sockudo_py.queues.local.headroom import Headroom, takes
from sockudo_py.queues.local.lanes import Entry

MOST = 1_000_000


def fill(hogs: int, *, one_app: bool, most: int = MOST) -> tuple[list[int], int, int]:
    """Let endpoints that take all they get appear one after the other.

    Returns what each holds, and what another lane of the first one's app, and a lane of a new app, could hold then.
    """
    lanes: list[int] = []
    apps: dict[int, int] = {}
    for number in range(hogs):
        app = 0 if one_app else number
        lanes.append(holds_at_most(apps.get(app, 0), sum(lanes), most))
        apps[app] = apps.get(app, 0) + lanes[-1]
    return lanes, holds_at_most(apps.get(0, 0), sum(lanes), most), holds_at_most(0, sum(lanes), most)


def holds_at_most(app: int, total: int, most: int) -> int:
    """Return how much a lane that is empty now can come to hold (bisected: the rule only gets stricter)."""
    low, high = 0, most - total
    while low < high:
        lane = (low + high) // 2
        if takes(lane, app + lane, total + lane, most):
            low = lane + 1
        else:
            high = lane
    return low


def test_one_hog_gets_half() -> None:
    assert fill(1, one_app=True)[0] == [500_000]


@pytest.mark.parametrize(
    ("hogs", "one_app", "same_app", "new_app"),
    [  # the table in docs/decisions/0007
        (1, True, 106_871, 166_667),
        (20, True, 2_671, 32_165),
        (100, True, 354, 13_792),
        (1000, True, 19, 3_717),
        (1, False, 106_871, 166_667),
        (20, False, 12, 2_165),
        (100, False, 1, 97),
        (1000, False, 1, 1),
    ],
)
def test_this_much_is_left_for_a_lane_once_hogs_have_all_they_can(
    hogs: int, one_app: bool, same_app: int, new_app: int
) -> None:
    assert fill(hogs, one_app=one_app)[1:] == (same_app, new_app)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(1, 100))
def test_an_empty_lane_is_refused_only_by_a_queue_that_is_full(lane: int, app: int, others: int, most: int) -> None:
    total = lane + app + others
    assert takes(0, app, total, most) is (total < most)
    if total >= most:
        assert not takes(lane, lane + app, total, most)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(1, 200))
def test_who_was_refused_is_refused_when_more_has_come(lane: int, app: int, others: int, most: int) -> None:
    if not takes(lane, lane + app, lane + app + others, most):
        assert not takes(lane + 1, lane + app + 1, lane + app + others + 1, most)
        assert not takes(lane, lane + app + 1, lane + app + others + 1, most)
        assert not takes(lane, lane + app, lane + app + others + 1, most)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(1, 400))
def test_a_queue_that_is_less_than_half_full_refuses_nobody(lane: int, app: int, others: int, most: int) -> None:
    total = lane + app + others
    if 2 * total < most:
        assert takes(lane, lane + app, total, most)


def test_a_queue_without_a_bound_takes_everything() -> None:
    assert takes(10**9, 10**9, 10**9, 0)


def event(number: int, endpoint: str, app_id: str) -> Append:
    return Append(f"e{number}", endpoint, app_id, b"{}", 1)


def test_what_a_lane_holds_moves_with_it_to_another_app() -> None:
    book = LeaseBook(SlotPolicy(2, 0.5), 1, LanePolicy())
    for number in range(3):
        book.lanes.append(Entry("wh_a", b"%d" % number), 0)
    book.lanes.owned("wh_b", "app-1")
    book.lanes.append(Entry("wh_b", b"x"), 0)
    assert book.lanes.owned("wh_a", "app-1").app.held == 4
    assert book.lanes.owned("wh_a", "app-2").app.held == 3
    assert book.lanes.owned("wh_b", "app-1").app.held == 1


def test_delayed_and_leased_jobs_take_room() -> None:
    book = LeaseBook(SlotPolicy(2, 0.5), 1, LanePolicy())
    book.lanes.owned("wh_a", "app-1")
    assert book.delay(Entry("wh_a", b"x"), 1000, 0)
    assert (book.held, book.lanes["wh_a"].held, book.lanes["wh_a"].app.held) == (1, 1, 1)
    book.tick(1000)
    assert (book.held, book.lanes["wh_a"].held, book.lanes["wh_a"].app.held) == (1, 1, 1)
    assert book.claim("w", 1, 1000, 1000)
    assert (book.held, book.lanes["wh_a"].held, book.lanes["wh_a"].app.held) == (1, 0, 0)


def test_a_call_counts_what_it_lets_in() -> None:
    book = LeaseBook(SlotPolicy(2, 0.5), 1, LanePolicy())
    events = [event(number, "wh_a", "app-1") for number in range(10)]
    room = Headroom(book, 8, events)
    assert [room.take(one) for one in events] == [True] * 4 + [False] * 6


def test_of_an_endpoint_nothing_is_taken_after_what_was_refused() -> None:
    events = [event(number, "wh_a", "app-1") for number in range(10)]
    one_by_one = Headroom(LeaseBook(SlotPolicy(2, 0.5), 1, LanePolicy()), 10, events)
    taken, rest = Headroom(LeaseBook(SlotPolicy(2, 0.5), 1, LanePolicy()), 10, events).split(events)
    assert (taken, rest) == (events[: len(taken)], events[len(taken) :])
    assert [one_by_one.take(one) for one in events] == [True] * len(taken) + [False] * len(rest)
    assert 0 < len(taken) < 10
