"""Watermarks: past a high one no new clients are taken, until the value is below the low one again."""

import asyncio
import logging
from collections.abc import Callable

from sockudo_py.metrics import Metrics

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds between two looks at the memory


class Watermark:
    """A high and a low mark, and whether the high one was reached last."""

    __slots__ = ("high", "low", "past")

    def __init__(self, high: float, low: float | None) -> None:
        self.high = high
        self.low = high * 0.9 if low is None else low
        self.past = False

    def update(self, value: float) -> bool:
        """Take note of the value and return whether it is past the mark."""
        if value >= self.high:
            self.past = True
        elif value < self.low:
            self.past = False
        return self.past


class Watermarks:
    """The watermarks of a server.

    Args:
        connections: Of the number of clients; None: there is none.
        memory: Of the used share of the memory; None: there is none.
        share: Returns that share; None: it can't be known.
        metrics: Shows which are past their mark.
    """

    def __init__(
        self,
        *,
        connections: Watermark | None,
        memory: Watermark | None,
        share: Callable[[], float | None],
        metrics: Metrics,
    ) -> None:
        self._connections = connections
        self._memory = memory
        self._share = share
        self._gauge = metrics.gauge(
            "over_watermark", "1 while no clients are taken because this is past its high watermark", ("what",)
        )
        for name, mark in (("connections", connections), ("memory", memory)):
            if mark is not None:
                self._gauge.set(name, value=0)
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look at the memory."""
        if self._memory is not None:
            self._look(asyncio.get_running_loop())

    def stop(self) -> None:
        """Look no more."""
        if self._handle is not None:
            self._handle.cancel()

    def past(self, connections: int) -> list[str]:
        """Return what is past its high watermark with ``connections`` clients; then a load balancer should add none."""
        marks = self._connections
        if marks is not None:
            self._note("connections", marks, connections)
        named = (("connections", marks), ("memory", self._memory))
        return [name for name, mark in named if mark is not None and mark.past]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        share = self._share()
        if share is not None and self._memory is not None:
            self._note("memory", self._memory, share * 100)
        self._handle = loop.call_later(INTERVAL, self._look, loop)

    def _note(self, name: str, mark: Watermark, value: float) -> None:
        before = mark.past
        if mark.update(value) == before:
            return
        self._gauge.set(name, value=int(mark.past))
        unit = "%" if name == "memory" else ""
        if mark.past:
            text = "%s at %g%s, the high watermark is %g%s: new clients are refused with 4100 until it is below %g%s"
            log.warning(text, name, round(value, 1), unit, mark.high, unit, mark.low, unit)
        else:
            log.info("%s at %g%s, below the low watermark: clients are taken again", name, round(value, 1), unit)
