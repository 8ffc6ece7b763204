"""Measures the pauses of Python's garbage collector, and keeps them short.

Reference counting frees nearly everything here. A full collection examines what lives: with 100,000 channels it stops
the process for 75 ms and finds nothing. So objects that survive one are frozen, and the next collection skips them. It
would never find a cycle among them that dies later, so every 32nd full collection examines the frozen objects too.
"""

import gc
from collections.abc import Callable
from time import perf_counter

from sockudo_py.metrics import Metrics

BUCKETS = (0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class GcTuner:
    """Freezes the objects that survive full collections, and records how long each collection took.

    Args:
        metrics: Gets ``gc_pause_seconds`` by generation.
        everything_every: How many full collections come before one that examines the frozen objects too. The
            interpreter makes one after at least 70,000 more objects were made than died.
        clock: Seconds.
    """

    def __init__(
        self, metrics: Metrics, *, everything_every: int = 32, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._pauses = metrics.histogram(
            "gc_pause_seconds", "How long the garbage collector stopped the process", ("generation",), BUCKETS
        )
        self._everything_every = everything_every
        self._clock = clock
        self._begun = 0.0
        self._full = 0

    def start(self) -> None:
        """Collect once, freeze the survivors, and begin."""
        gc.callbacks.append(self.collecting)
        gc.collect()

    def stop(self) -> None:
        """Restore the collector. Harmless when it never began."""
        if self.collecting in gc.callbacks:
            gc.callbacks.remove(self.collecting)
            gc.unfreeze()

    def collecting(self, phase: str, info: dict[str, int]) -> None:
        """Note a collection; the interpreter calls this before and after each."""
        if phase == "start":
            self._begun = self._clock()
            return
        generation = info["generation"]
        self._pauses.observe(str(generation), value=self._clock() - self._begun)
        if generation == 2:
            self._full += 1
            if self._full % self._everything_every:
                gc.freeze()
            else:
                gc.unfreeze()
