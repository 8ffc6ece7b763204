"""The pauses of Python's garbage collector: measured, and kept short.

Nearly everything here dies by reference counting. What a full collection looks at is what lives: with 100,000 channels
it stops the process for 75 ms to find nothing. So what has survived one is set aside and not looked at again by the
next. A cycle among such objects that dies later would never be found; so now and then all are looked at after all.
"""

import gc
from collections.abc import Callable
from time import perf_counter

from sockudo_py.metrics import Metrics

BUCKETS = (0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class GcTuner:
    """Sets aside what survives full collections, and records how long each collection took.

    Args:
        metrics: Gets ``gc_pause_seconds`` by generation.
        everything_every: After how many full collections what was set aside is looked at again. Each comes after at
            least 70,000 objects more than died.
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
        """Collect once, set the rest aside, and begin."""
        gc.callbacks.append(self.collecting)
        gc.collect()

    def stop(self) -> None:
        """Leave the collector as it was. Harmless when it never began."""
        if self.collecting in gc.callbacks:
            gc.callbacks.remove(self.collecting)
            gc.unfreeze()

    def collecting(self, phase: str, info: dict[str, int]) -> None:
        """Take note of a collection; the interpreter calls this before and after each."""
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
