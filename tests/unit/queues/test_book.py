"""The books of leases: what the conformance suite can't see from outside."""

from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.local.book import LeaseBook
from sockudo_py.queues.local.classes import SlotPolicy
from sockudo_py.queues.local.lanes import Entry

LANES = "abc"


def book_with(events: int, slow_start: bool) -> tuple[LeaseBook, list[str]]:
    """Return a book with events in each lane, and the tokens of what may be in flight at first."""
    book = LeaseBook(SlotPolicy(80, 0.5), 5, LanePolicy(window=0.0, size=1, max_in_flight=3, slow_start=slow_start))
    for number in range(events):
        for lane in LANES:
            text = jobs.encode_event(Append(f"{lane}{number}", lane, "app", b"{}", 1))
            book.lanes.append(Entry(lane, text), 0)
    return book, [token for token, _ in book.claim("w", 80, 1000, 0)]


def state(book: LeaseBook, now: int) -> object:
    """Return how the lanes stand, and what is claimed next; lanes that were freed at the same time have any order."""
    lanes = [(lane.endpoint, lane.in_flight, lane.allowance, lane.pace, lane.standing) for lane in book.lanes]
    return lanes, sorted(entry.text for _, entry in book.claim("w", 80, 1000, now))


@given(st.booleans(), st.integers(1, 8), st.lists(st.integers(0, 8), max_size=12), st.integers(1, 300))
def test_jobs_that_are_delivered_together_leave_the_books_as_those_that_end_one_by_one(
    slow_start: bool, events: int, which: list[int], now: int
) -> None:
    together, tokens = book_with(events, slow_start)
    alone, same = book_with(events, slow_start)
    chosen = [number % len(tokens) for number in which]
    ended = together.deliver([tokens[number] for number in chosen], now)
    for number in chosen:
        alone.finish(same[number], now, True)
    assert {token for token, entry in ended.items() if entry is not None} == {tokens[number] for number in chosen}
    assert state(together, now) == state(alone, now)
    assert state(together, now + 400) == state(alone, now + 400)


def test_a_token_without_a_lease_ends_nothing() -> None:
    book, (token, *_) = book_with(1, slow_start=False)
    assert list(book.deliver([token, "gone"], 1).values())[1] is None
    assert book.deliver([token], 1) == {token: None}
