"""Connections that wait for their clients, in the order in which their time runs out."""

from collections import OrderedDict
from typing import Protocol

from sockudo_py.clients.wheel import Wheel

_LATE_PER_TURN = 1000  # 7 us each
_GRAIN = 0.25  # seconds, the longest tick of the wheel


class Waiting(Protocol):
    """A connection that waits."""

    def late(self, room: "WaitingRoom") -> None:
        """Its time in ``room`` is over; it is no longer in there."""

    def crowded_out(self, room: "WaitingRoom") -> None:
        """It waited longest when the room was full; it is no longer in there."""

    def drop(self) -> None:
        """The server closes."""


class WaitingRoom:
    """Connections that all wait equally long, and not more than ``capacity`` of them.

    When it is full, who has waited longest must go: clients that send nothing can't keep others out, and those others
    are through within milliseconds.

    Args:
        wheel: Wakes the room.
        seconds: How long a connection may wait.
        capacity: How many may wait at a time.
    """

    __slots__ = ("_capacity", "_due", "_wheel", "grain", "seconds", "tick")

    def __init__(self, wheel: Wheel, seconds: float, capacity: int) -> None:
        self.tick = 0
        self.seconds = seconds
        self.grain = min(_GRAIN, seconds / 100)  # who begins to wait anew sooner than this need not say so
        self._capacity = capacity
        self._wheel = wheel
        self._due: OrderedDict[Waiting, float] = OrderedDict()

    def enter(self, front: Waiting, now: float) -> None:
        """Let ``front`` wait, from ``now`` on if it waited already."""
        due = self._due
        if not due and not self.tick:  # else it is asked early enough, and says then when to ask again
            self._wheel.schedule(self, now + self.seconds)
        due[front] = now + self.seconds
        due.move_to_end(front)
        if len(due) > self._capacity:
            self.crowd_out()

    def crowd_out(self) -> bool:
        """Send away who has waited longest; return False when nobody is here."""
        if not self._due:
            return False
        oldest, _ = self._due.popitem(last=False)
        oldest.crowded_out(self)
        return True

    def leave(self, front: Waiting) -> None:
        """Let ``front`` go; it need not be there."""
        self._due.pop(front, None)

    def check(self, now: float) -> float | None:
        """Tell those whose time is over, some hundreds at most; return when to go on."""
        due = self._due
        for _ in range(_LATE_PER_TURN):
            if not due:
                return None
            front, until = next(iter(due.items()))
            if until > now:
                return until
            del due[front]
            front.late(self)
        return now

    def abort(self) -> None:
        """Send everybody away."""
        while self._due:
            front, _ = self._due.popitem(last=False)
            front.drop()

    def __len__(self) -> int:
        return len(self._due)
