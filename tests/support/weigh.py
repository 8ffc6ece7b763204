"""What objects really take: what was allocated for them, which ``sys.getsizeof`` does not know of orjson's bytes."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def scales() -> Iterator[Callable[[], int]]:
    """Give a function that returns the bytes allocated since then and not freed yet."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    def weight() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    try:
        yield weight
    finally:
        tracemalloc.stop()
