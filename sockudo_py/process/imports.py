"""Imports without the garbage collector's company."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Keep the garbage collector off within, and from what was made: for imports at the start of a process.

    Hardly anything that an import makes dies again, and the collector looks through all of it time and again: a fifth
    of the whole start. The little garbage is found with the first collection after a ``gc.unfreeze()``.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
