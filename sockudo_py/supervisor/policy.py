"""When a worker that has ended is started again, and how its end is described. Pure."""

import signal
from dataclasses import dataclass
from typing import Final

SETTLED: Final = 60.0  # seconds; a worker that ran for longer has not failed at its start
LONGEST_PAUSE: Final = 30.0  # seconds between two starts of a worker that keeps ending
MANY: Final = 3  # ends in a row


@dataclass(slots=True)
class Backoff:
    """How often in a row one worker has ended soon after its start. The first successor comes at once."""

    failures: int = 0

    def ended(self, lived: float) -> float:
        """Take note of an end; return how many seconds to wait before the successor is started.

        Args:
            lived: Seconds from the start of the process to its end.
        """
        self.failures = 1 if lived >= SETTLED else self.failures + 1
        return 0.0 if self.failures == 1 else float(min(LONGEST_PAUSE, 2 ** (self.failures - 2)))

    @property
    def loops(self) -> bool:
        """Whether the worker keeps ending soon after its starts."""
        return self.failures >= MANY


def described(code: int) -> str:
    """Return how a process ended. ``code``: its exit code, negative for a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"


def hint(code: int) -> str:
    """Return what may have been the cause of an end, for the log."""
    return " (by the kernel, perhaps, for want of memory)" if code == -signal.SIGKILL else ""


def successor(pause: float) -> str:
    """Return when the next one is started, for the log."""
    return "another one starts now" if pause == 0 else f"another one starts in {pause:g} s"
