"""Connections that wait for their clients, in the order in which their time runs out."""

from collections import OrderedDict
from typing import Protocol

from sockudo_py.clients.wheel import Wheel

_LATE_PER_TURN = 1000  # 7 us each
_GRAIN = 0.25  # seconds, the longest tick of the wheel


class Waiting(Protocol):
    """A connection that waits."""

    def on_timeout(self, queue: "DeadlineQueue") -> None:
        """Its time in ``queue`` is over. It is no longer in there."""

    def on_evicted(self, queue: "DeadlineQueue") -> None:
        """It waited longest when the queue was full. It is no longer in there."""

    def drop(self) -> None:
        """The server closes."""


class DeadlineQueue:
    """Connections that all wait equally long, and not more than ``capacity`` of them.

    A full queue evicts the connection that has waited longest. So clients that send nothing can't keep others out, and
    those others are through within milliseconds.

    Args:
        wheel: Wakes the queue.
        seconds: How long a connection may wait.
        capacity: How many may wait at a time.
    """

    __slots__ = ("_capacity", "_due", "_wheel", "grain", "seconds", "tick")

    def __init__(self, wheel: Wheel, seconds: float, capacity: int) -> None:
        self.tick = 0
        self.seconds = seconds
        self.grain = min(_GRAIN, seconds / 100)  # a wait that restarts sooner than this is not entered again
        self._capacity = capacity
        self._wheel = wheel
        self._due: OrderedDict[Waiting, float] = OrderedDict()

    def enter(self, waiting: Waiting, now: float) -> None:
        """Let ``waiting`` wait from ``now`` on, also if it waited already."""
        due = self._due
        if not due and not self.tick:  # else ``check`` runs early enough, and schedules itself again
            self._wheel.schedule(self, now + self.seconds)
        due[waiting] = now + self.seconds
        due.move_to_end(waiting)
        if len(due) > self._capacity:
            self.evict()

    def evict(self) -> bool:
        """Evict the connection that has waited longest; return False when the queue is empty."""
        if not self._due:
            return False
        oldest, _ = self._due.popitem(last=False)
        oldest.on_evicted(self)
        return True

    def leave(self, waiting: Waiting) -> None:
        """Take ``waiting`` out of the queue. Nothing happens when it is not in it."""
        self._due.pop(waiting, None)

    def check(self, now: float) -> float | None:
        """End the waits that are over, at most 1,000 of them, and return when to go on."""
        due = self._due
        for _ in range(_LATE_PER_TURN):
            if not due:
                return None
            waiting, until = next(iter(due.items()))
            if until > now:
                return until
            del due[waiting]
            waiting.on_timeout(self)
        return now

    def abort(self) -> None:
        """Drop all connections."""
        while self._due:
            waiting, _ = self._due.popitem(last=False)
            waiting.drop()

    def __len__(self) -> int:
        return len(self._due)
