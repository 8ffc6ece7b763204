"""When a worker that has ended is started again, and what is said about it."""

import signal

import pytest

from sockudo_py.supervisor.policy import LONGEST_PAUSE, SETTLED, Backoff, described, hint, successor


def test_the_first_successor_comes_at_once_and_later_ones_ever_more_seldom() -> None:
    backoff = Backoff()
    assert [backoff.ended(0.1) for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_pauses_are_bounded_however_often_a_worker_ends() -> None:
    backoff = Backoff()
    assert max(backoff.ended(0.0) for _ in range(5000)) == LONGEST_PAUSE


def test_who_ran_for_long_has_not_failed_at_its_start() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.ended(SETTLED - 0.1)
    assert backoff.loops
    assert backoff.ended(SETTLED) == 0
    assert not backoff.loops
    assert backoff.ended(1.0) == 1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-99, "was killed by signal 99"),
    ],
)
def test_an_end_is_described_by_its_code_or_signal(code: int, text: str) -> None:
    assert described(code) == text


def test_a_sigkill_that_nobody_sent_has_a_likely_cause() -> None:
    assert "want of memory" in hint(-signal.SIGKILL)
    assert hint(-signal.SIGSEGV) == hint(1) == ""


def test_the_log_says_when_the_next_one_starts() -> None:
    assert successor(0.0) == "another one starts now"
    assert successor(4.0) == "another one starts in 4 s"
