from sockudo_py.webhooks.intake.full_lanes import FEW, MOST, FullLanes
from sockudo_py.webhooks.waits import FIRST_WAIT, LONGEST_WAIT


def waits(refusals: FullLanes, times: int, *, progress: bool) -> list[float]:
    """Return the waits between refusals of one endpoint that is asked as soon as it is due."""
    now, seen = 0.0, []
    for _ in range(times):
        refusals.refused("wh_a", now, progress=progress)
        due = refusals.next_due()
        assert due is not None
        seen.append(round(due - now, 9))
        now = due
        assert refusals.due(now) == ("wh_a", FEW)
    return seen


def test_waits_double_up_to_the_longest() -> None:
    seen = waits(FullLanes(), 9, progress=False)
    assert seen == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert (seen[0], seen[-1]) == (FIRST_WAIT, LONGEST_WAIT)


def test_waits_stay_as_they_are_while_something_is_taken() -> None:
    assert waits(FullLanes(), 3, progress=True) == [0.05, 0.05, 0.05]


def test_the_first_refusal_is_news() -> None:
    refusals = FullLanes()
    assert refusals.refused("wh_a", 0, progress=False)
    assert refusals.due(1) is not None
    assert not refusals.refused("wh_a", 1, progress=False)
    assert "wh_a" in refusals
    assert len(refusals) == 1


def test_an_endpoint_that_takes_all_is_asked_for_more_at_once() -> None:
    refusals = FullLanes()
    refusals.refused("wh_a", 0, progress=False)
    assert refusals.due(FIRST_WAIT) == ("wh_a", FEW)
    refusals.passed("wh_a", 1)
    assert refusals.due(1) == ("wh_a", 2 * FEW)
    for _ in range(20):
        refusals.passed("wh_a", 1)
        last = refusals.due(1)
    assert last == ("wh_a", MOST)
    refusals.refused("wh_a", 1, progress=True)
    assert refusals.due(2) == ("wh_a", FEW)


def test_the_one_that_waits_longest_is_asked_first_and_each_once() -> None:
    refusals = FullLanes()
    refusals.refused("wh_b", 0.01, progress=False)
    refusals.refused("wh_a", 0, progress=False)
    assert refusals.due(0.04) is None
    assert [refusals.due(1), refusals.due(1), refusals.due(1)] == [("wh_a", FEW), ("wh_b", FEW), None]
    assert refusals.next_due() is None


def test_an_endpoint_that_has_recovered_is_forgotten() -> None:
    refusals = FullLanes()
    refusals.refused("wh_a", 0, progress=False)
    refusals.due(1)
    refusals.over("wh_a")
    assert "wh_a" not in refusals
    assert not refusals
    assert refusals.refused("wh_a", 2, progress=False), "news again"


def test_at_the_end_all_are_asked_at_once() -> None:
    refusals = FullLanes()
    for endpoint in ("wh_c", "wh_a", "wh_b"):
        refusals.refused(endpoint, 100, progress=False)
    refusals.hurry()
    assert {refusals.due(1), refusals.due(1), refusals.due(1)} == {("wh_a", FEW), ("wh_b", FEW), ("wh_c", FEW)}
