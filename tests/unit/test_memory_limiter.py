"""What only the memory limiter promises: exactness, and its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.limits.memory import MemoryRateLimiter
from tests.support.fake_loop import FakeLoop


def test_small_limits_are_exact_to_the_last_moment() -> None:
    loop = FakeLoop()
    limiter = MemoryRateLimiter(loop.clock)
    for _ in range(10):
        assert limiter.take("k", 10, 1.0).allowed
        loop.now += 0.0625
    refused = limiter.take("k", 10, 1.0)
    assert refused.retry_after == 0.375
    loop.now += 0.375
    assert limiter.take("k", 10, 1.0).allowed
    assert not limiter.take("k", 10, 1.0).allowed


def test_a_refusal_waits_for_as_much_as_it_costs() -> None:
    loop = FakeLoop()
    limiter = MemoryRateLimiter(loop.clock)
    for _ in range(4):
        limiter.take("k", 4, 1.0)
        loop.now += 0.125
    assert limiter.take("k", 4, 1.0, cost=3).retry_after == 0.75


def test_idle_keys_are_forgotten() -> None:
    loop = FakeLoop()
    limiter = MemoryRateLimiter(loop.clock)
    for number in range(5000):
        limiter.take(f"k{number}", 10, 1.0)
    loop.now += 1.0
    for _ in range(6000):
        limiter.take("k", 10, 1.0)
    assert len(limiter) == 1


def test_a_busy_key_holds_a_bounded_number_of_entries() -> None:
    loop = FakeLoop()
    limiter = MemoryRateLimiter(loop.clock)
    allowed = 0
    for _ in range(10_000):
        allowed += limiter.take("k", 1_000_000, 1.0).allowed
        loop.now += 0.0005
    assert allowed == 10_000
    assert len(limiter._windows["k"].entries) <= 130


@given(
    limit=st.integers(1, 200),
    steps=st.lists(st.tuples(st.floats(0.0, 0.3), st.integers(1, 5)), max_size=400),
)
def test_no_window_ever_holds_more_than_the_limit(limit: int, steps: list[tuple[float, int]]) -> None:
    loop = FakeLoop()
    limiter = MemoryRateLimiter(loop.clock)
    taken: list[tuple[float, int]] = []
    for pause, cost in steps:
        loop.now += pause
        if limiter.take("k", limit, 1.0, cost).allowed:
            taken.append((loop.now, cost))
    for begin, _ in taken:
        assert sum(cost for at, cost in taken if begin <= at < begin + 1.0 - 1e-9) <= limit
