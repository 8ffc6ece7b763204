"""The clock of the queues in this process: it tells Unix time and never jumps."""

import time
from collections.abc import Callable


def steady_clock() -> Callable[[], float]:
    """Return a clock that starts at the system's time and then only counts on, in Unix seconds.

    Windows, gates, rate limits and leases are moments of this clock. When the system's time is set back by an hour,
    lanes must not stay closed for that hour; when it is set forward, leases must not end while a request runs.
    """
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()
