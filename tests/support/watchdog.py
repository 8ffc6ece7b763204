"""A test that hangs fails, tells where, and the run goes on; a process that can't end is ended."""

import contextlib
import faulthandler
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import pytest

LONGEST = 600.0  # seconds for one step of a test; more than any deadline that a test sets itself
END = 120.0  # seconds from the last test to the end of the process: a thread that hangs would keep it for ever


class Hanging(KeyboardInterrupt):
    """Raised where the main thread is. Event loops let no other exception pass that a signal raises."""


@contextlib.contextmanager
def no_longer_than(seconds: float, what: str) -> Iterator[None]:
    """Fail the block with ``what`` when it takes more than ``seconds``. For the main thread."""

    def bark(_signal: int, _frame: FrameType | None) -> None:
        faulthandler.dump_traceback(sys.__stderr__ or 2)  # what the other threads do is not in the failure
        raise Hanging

    handler = signal.signal(signal.SIGALRM, bark)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Hanging:
        pytest.fail(f"{what} took more than {seconds:g} s")
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with no_longer_than(LONGEST, f"the setup of {item.nodeid}"):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with no_longer_than(LONGEST, item.nodeid):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with no_longer_than(LONGEST, f"the teardown of {item.nodeid}"):
        yield


def pytest_unconfigure() -> None:
    faulthandler.dump_traceback_later(END, exit=True, file=sys.__stderr__ or sys.stderr)
