"""For how long the machine let this process stand still: time that says nothing about what is measured.

A turn of the event loop is late because this process worked (its processor time tells) or because it was not let work:
another program had the processor, or the whole machine was stopped. Only the second is taken off. What the measured
code makes others wait for, and whatever it computes meanwhile, counts in full.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Self

TURN = 0.01  # seconds between two looks
LEAST = 0.02  # seconds; what is shorter is not told from the loop's own work


class Standstills:
    """Watches the running loop while its ``async with`` block runs. ``worked``: the process's seconds of processor."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, worked: Callable[[], float] = time.process_time
    ) -> None:
        self._clock = clock
        self._worked = worked
        self._found: list[tuple[float, float, float]] = []  # begin and end of a late turn, and what was lost in it

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            begun, worked = self._clock(), self._worked()
            await asyncio.sleep(TURN)
            self.note(begun, self._clock(), self._worked() - worked)

    def note(self, begun: float, ended: float, worked: float) -> None:
        """Note a turn of the loop in which this process had ``worked`` seconds of the processor."""
        lost = ended - begun - TURN - worked
        if lost >= LEAST:
            self._found.append((begun, ended, lost))

    def between(self, begin: float, end: float) -> float:
        """Return the seconds from ``begin`` to ``end`` without those in which the process stood still."""
        overlaps = (min(lost, min(end, b) - max(begin, a)) for a, b, lost in self._found)
        return end - begin - sum(overlap for overlap in overlaps if overlap > 0)
