"""How late the event loop runs calls that are due: it shows a loop that is too busy or blocked."""

import asyncio
import logging

from sockudo_py.metrics import Metrics

log = logging.getLogger(__name__)

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class LoopLag:
    """Asks the loop to call back every ``interval`` seconds and records how many seconds too late that happens.

    A call that is more than ``warn_after`` seconds late is logged: something blocked the loop, and all clients waited.
    """

    def __init__(self, metrics: Metrics, *, interval: float = 0.1, warn_after: float = 1.0) -> None:
        self._lag = metrics.histogram(
            "event_loop_lag_seconds", "How late the event loop ran a call that was due", (), BUCKETS
        )
        self._interval = interval
        self._warn_after = warn_after
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin sampling on the running loop."""
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        """End sampling. Harmless when it never began."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + self._interval
        self._handle = loop.call_at(self._due, self._sample, loop)

    def _sample(self, loop: asyncio.AbstractEventLoop) -> None:
        late = max(0.0, loop.time() - self._due)
        self._lag.observe(value=late)
        if late > self._warn_after:
            log.warning("the event loop was blocked for %.2f seconds", late)
        self._arm(loop)
