"""One timer for everything that waits: idle clients, half-sent requests, closing handshakes.

A timer of its own per connection would cost a heap entry and a handle per message; here a message is an attribute
write, and the wheel asks every item, when its time comes, whether anything is due.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

log = logging.getLogger(__name__)

MAX_TICK = 0.25
MIN_TICK = 0.01
_ITEMS_PER_TURN = 500  # a storm of connects comes due as one bucket; the loop gets its turn in between


class Timed(Protocol):
    """Something that wants to be asked at a time. ``tick`` belongs to the wheel; it starts as 0."""

    tick: int

    def check(self, now: float) -> float | None:
        """Do what is due at ``now`` and return when to ask again (None: not by this return value)."""

    def abort(self) -> None:
        """Give up at once: the wheel aborts everything, or ``check`` raised."""


class Timer(Protocol):
    """What ``call_later`` returns."""

    def cancel(self) -> None:
        """Don't call."""


def tick_for(*timeouts: float) -> float:
    """Return the seconds between turns that keep the shortest of these timeouts precise to about a tenth."""
    return max(MIN_TICK, min((MAX_TICK, *(seconds / 10 for seconds in timeouts))))


class Wheel:
    """A timing wheel: items by the tick in which they come due, one ``call_later`` for all of them.

    An item is asked at its time or up to one tick later, never earlier. Each item is on the wheel at most once.

    Args:
        clock: Monotonic seconds, the clock of all times given here.
        call_later: The event loop's, with seconds.
        tick: Seconds between two turns.
    """

    __slots__ = ("_buckets", "_call_later", "_clock", "_floor", "_tick", "_timer", "_turned", "now")

    def __init__(
        self,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
        tick: float = MAX_TICK,
    ) -> None:
        self._clock = clock
        self._call_later = call_later
        self._tick = tick
        self._buckets: dict[int, set[Timed]] = {}
        self._timer: Timer | None = None
        self.now = clock()
        self._turned = int(self.now / tick)  # the last tick whose bucket was emptied
        self._floor = self._turned  # what is scheduled from now on comes due after this tick

    def start(self) -> None:
        """Begin to turn."""
        if self._timer is None:
            self._rearm()

    def stop(self) -> None:
        """Turn no more; items stay where they are."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def schedule(self, item: Timed, due: float) -> None:
        """Ask ``item`` at ``due`` (seconds of the clock), and not at the time it waited for before."""
        tick = int(due / self._tick) + 1
        if tick <= self._floor:
            tick = self._floor + 1
        if item.tick:
            if item.tick == tick:
                return
            self._remove(item)
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = {item}
        else:
            bucket.add(item)
        item.tick = tick

    def cancel(self, item: Timed) -> None:
        """Forget ``item``; it need not be on the wheel."""
        if item.tick:
            self._remove(item)
            item.tick = 0

    def abort_all(self) -> None:
        """Take every item off the wheel and abort it."""
        for bucket in list(self._buckets.values()):
            while bucket:
                item = bucket.pop()
                item.tick = 0
                item.abort()
        self._buckets.clear()

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def turn(self) -> None:
        """Ask the items that are due, some hundreds at most, and arm the next turn."""
        self.now = now = self._clock()
        self._floor = target = int(now / self._tick)
        left = _ITEMS_PER_TURN
        for tick in self._due(target):
            bucket = self._buckets.get(tick)
            while bucket:
                if left == 0:
                    self._timer = self._call_later(0, self.turn)
                    return
                left -= 1
                item = bucket.pop()
                item.tick = 0
                self._ask(item, now)
            self._buckets.pop(tick, None)
            self._turned = tick
        self._turned = target
        self._rearm()

    def _due(self, target: int) -> Iterable[int]:
        if target - self._turned <= len(self._buckets):
            return range(self._turned + 1, target + 1)
        return sorted(tick for tick in self._buckets if tick <= target)  # the machine slept

    def _ask(self, item: Timed, now: float) -> None:
        try:
            due = item.check(now)
        except Exception:
            log.exception("a timed check failed, its item is aborted")
            item.abort()
        else:
            if due is not None:
                self.schedule(item, due)

    def _rearm(self) -> None:
        delay = (self._turned + 1) * self._tick - self._clock()
        self._timer = self._call_later(max(0.0, delay), self.turn)

    def _remove(self, item: Timed) -> None:
        bucket = self._buckets.get(item.tick)
        if bucket is not None:
            bucket.discard(item)
