"""The listing of lanes: what the conformance suite can't see from outside."""

import pytest

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.local.classes import FAST, NEW
from sockudo_py.queues.local.lanes import Entry, Lane, Lanes

POLICY = LanePolicy(window=0.0, size=1, slow_start=False)


def entry(number: int, endpoint: str = "wh_a") -> Entry:
    return Entry(endpoint, jobs.encode_event(Append(f"e{number}", endpoint, "app", b"{}", 1)))


def turn(lanes: Lanes, standing: int) -> tuple[int, Lane] | None:
    first = lanes.first(standing)
    return None if first is None else (first[0], first[2])


def test_listings_that_hold_no_more_do_not_pile_up() -> None:
    lanes = Lanes(POLICY)
    lanes.append(entry(1), 0)
    for now in range(5000):
        lanes["wh_a"].paused = now % 2 == 0
        lanes.settle(lanes["wh_a"], now)
    assert len(lanes.heaps[FAST]) < 200


def test_a_lane_is_listed_in_one_class_at_a_time() -> None:
    lanes = Lanes(LanePolicy(window=0.0, size=1))
    lanes.append(entry(1), 0)
    assert turn(lanes, NEW) == (0, lanes["wh_a"])
    lanes["wh_a"].judge(True)
    lanes.settle(lanes["wh_a"], 5)
    assert lanes.first(NEW) is None
    assert turn(lanes, FAST) == (5, lanes["wh_a"])


def test_a_lane_that_was_due_keeps_its_turn() -> None:
    lanes = Lanes(POLICY)
    lanes.append(entry(1), 3)
    lanes.settle(lanes["wh_a"], 9)
    assert turn(lanes, FAST) == (3, lanes["wh_a"])


def test_a_lane_that_was_served_goes_behind_the_others() -> None:
    lanes = Lanes(POLICY)
    lanes.append(entry(1), 3)
    lanes.append(entry(2, "wh_b"), 3)
    lanes.settle(lanes["wh_a"], 3, rotate=True)
    assert turn(lanes, FAST) == (3, lanes["wh_b"])


def test_forgetting_a_lane_keeps_count_of_its_jobs_in_flight() -> None:
    lanes = Lanes(POLICY)
    lanes["wh_a"].in_flight = 2
    lanes.forget("wh_a", 0)
    assert lanes["wh_a"].in_flight == 2
    assert lanes["wh_a"].allowance is None


def test_rate_limits_remember_no_more_than_their_longest_window() -> None:
    lanes = Lanes(LanePolicy(per_second=10))
    for now in range(0, 100_000, 100):
        lanes["wh_a"].note_claim(now, f"t{now}")
    assert len(lanes["wh_a"].claimed) <= 10


def test_own_and_other_events_gather_into_a_job_that_is_looked_at() -> None:
    lane = Lanes(LanePolicy(size=2))["wh_a"]
    for own in (True, True, True, False):
        lane.fresh.append(Append("e", "wh_a", "app", b"{}", 1, own=own))
    jobs_of_two = [lane.pop(), lane.pop()]
    assert [(job.gathered, job.own) for job in jobs_of_two if job is not None] == [(2, 2), (2, 0)]


def test_events_that_come_together_open_their_lane_like_events_that_come_alone() -> None:
    policy = LanePolicy(window=1.0, size=3, slow_start=False)
    together, alone = Lanes(policy), Lanes(policy)
    events = [Append(f"e{number}", "wh_a", "app", b"{}", 1) for number in range(7)]
    opened = [alone.extend("wh_a", [one], 5) for one in events]
    assert together.extend("wh_a", events, 5) == 5
    assert opened == [1005, None, 5, None, None, None, None]
    assert turn(together, FAST) == (5, together["wh_a"])
    assert (together.waiting, together["wh_a"].held) == (alone.waiting, alone["wh_a"].held) == (7, 7)


@pytest.mark.parametrize(("size", "solo"), [(1, False), (5, True)])
def test_a_text_that_goes_alone_is_not_looked_at_when_it_is_claimed(size: int, solo: bool) -> None:
    lane = Lanes(LanePolicy(size=size))["wh_a"]
    poison = Entry("wh_a", b"somebody edited this", solo=solo)
    lane.fresh.extend([poison, Entry("wh_a", b"and this")])
    assert lane.pop() is poison
    assert len(lane) == 1
