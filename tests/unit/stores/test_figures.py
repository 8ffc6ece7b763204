"""Statistics: sums that equal a recount, and percentiles from buckets."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.stores.history.figures import Figures, Tally, bucket_of, longest_in

DURATIONS = st.integers(0, 5_000_000)
ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from(["delivered", "retrying", "failed"]),
        st.integers(1, 3),
        st.integers(0, 2),
        DURATIONS,
        st.integers(1, 10_000),
    ),
    max_size=60,
)


@given(DURATIONS)
def test_a_bucket_is_narrow_and_holds_its_duration(duration: int) -> None:
    bucket = bucket_of(duration)
    longest = longest_in(bucket)
    assert duration <= longest <= duration * 1.016
    assert bucket_of(longest) == bucket
    assert bucket_of(longest + 1) == bucket + 1


@given(ATTEMPTS, st.integers(1, 7))
def test_figures_equal_a_recount(attempts: list[tuple[str, int, int, int, int]], portion: int) -> None:
    figures = Figures()
    for start in range(0, len(attempts), portion):
        tally = Tally("app")
        tally.add_all(attempts[start : start + portion])
        figures.add(tally)
        figures = Figures.load(figures.dump())
    again = [one for one in attempts if one[2] and one[1] == 1]
    assert figures.attempts == len(attempts)
    assert figures.successful == sum(status == "delivered" for status, *_ in attempts)
    assert figures.failed == sum(status == "failed" for status, *_ in attempts) - len(again)
    assert figures.duration_ms == sum(one[3] for one in attempts)
    failures = 0
    for status, *_ in attempts:
        failures = 0 if status == "delivered" else failures + 1
    assert figures.consecutive_failures == failures
    durations = sorted(one[3] for one in attempts)
    if durations:
        exact = durations[max(0, math.ceil(0.95 * len(durations)) - 1)]
        assert exact <= figures.percentile_ms(0.95) <= exact * 1.016
        assert figures.average_ms == round(sum(durations) / len(durations))
    else:
        assert (figures.percentile_ms(0.95), figures.average_ms) == (0, 0)
