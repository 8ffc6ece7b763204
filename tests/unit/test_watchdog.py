import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.support import watchdog
from tests.support.watchdog import no_longer_than

Loop = Callable[[], asyncio.AbstractEventLoop]


def test_a_lock_that_nobody_opens_is_a_failure() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"waiting took more than 0\.05 s"), no_longer_than(0.05, "waiting"):
        threading.Event().wait()


def test_a_child_that_does_not_end_is_a_failure() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with pytest.raises(pytest.fail.Exception, match="the child"), no_longer_than(0.05, "the child"):
            child.wait()
        child.kill()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_loop_in_which_nothing_happens_any_more_is_a_failure(loop: Loop) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.get_loop()
        with pytest.raises(pytest.fail.Exception, match="the loop"), no_longer_than(0.05, "the loop"):
            runner.run(hang())


def test_afterwards_the_alarm_is_what_it_was() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with no_longer_than(5000.0, "the outer one"):
        outer = signal.getsignal(signal.SIGALRM)
        with no_longer_than(10.0, "the inner one"):
            assert signal.getitimer(signal.ITIMER_REAL)[0] <= 10.0
        assert signal.getsignal(signal.SIGALRM) is outer
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 10.0
    assert signal.getsignal(signal.SIGALRM) is handler


HANGING = """
import asyncio, threading

async def test_that_hangs():
    await asyncio.Event().wait()

def test_after_it():
    pass

def test_that_leaves_a_thread_behind():
    threading.Thread(target=threading.Event().wait).start()
"""

PLUGIN = """
from tests.support import watchdog

watchdog.LONGEST, watchdog.END = 0.5, 1.0
pytest_plugins = ["tests.support.watchdog"]
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_with_a_test_that_hangs_tells_which_and_ends(tmp_path: Path, workers: int) -> None:
    (tmp_path / "test_it.py").write_text(HANGING)
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode=auto\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=Path(watchdog.__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "test_that_hangs took more than 0.5 s" in done.stdout
    assert "1 failed, 2 passed" in done.stdout
