"""The live console: CPU of the server for 5,000 events a second while somebody watches, as a share of a core.

``python -m benchmarks.console``: the tap, the console and its rows in one process; writing to the browser is not in it.
"""

import time
from typing import Final

from sockudo_py.management.live.console import Console, Filter
from sockudo_py.node import trace
from sockudo_py.tap import Tap

EVENTS: Final = 5_000
SECONDS: Final = 20


class Clock:
    """Seconds that pass by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def share(filters: Filter) -> float:
    """Return the median share of a core that 5,000 publishes in a second take, watched with these filters."""
    clock = Clock()
    tap = Tap(clock)
    console = Console(tap, clock)
    stream = console.watch(filters)
    assert stream is not None
    found = []
    for _ in range(SECONDS):
        clock.now += 1
        begun = time.process_time()
        for number in range(EVENTS):
            trace.published(
                tap, "app", [f"channel-{number % 50}"], "shipped", '{"order":12345,"state":"shipped"}', None
            )
        found.append(time.process_time() - begun)
        stream.drain()
    return sorted(found)[SECONDS // 2]


def main() -> None:
    """Measure, and print two lines."""
    print(f"all rows (200 a second are shown): {share(Filter()):.2%} of a core")
    print(f"one channel of fifty: {share(Filter(channel_prefix='channel-7')):.2%} of a core")


if __name__ == "__main__":
    main()
