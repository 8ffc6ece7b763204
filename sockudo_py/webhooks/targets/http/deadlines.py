"""One timer of the event loop for all requests that are under way.

Nearly all are answered long before their time is up. A timer each, made and cancelled, takes more time than the answer.
"""

import asyncio
from typing import Protocol


class Timed(Protocol):
    """What can run out of time."""

    def time_out(self) -> None:
        """The time is up."""


class Deadlines:
    """Calls ``time_out`` when time is up, at most once for each ``set``."""

    def __init__(self) -> None:
        self._due: dict[Timed, float] = {}  # of the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0  # when the timer fires

    def set(self, one: Timed, seconds: float) -> None:
        """Give it ``seconds`` from now on."""
        loop = asyncio.get_running_loop()
        due = self._due[one] = loop.time() + seconds
        if self._timer is None or due < self._next:
            self._arm(loop, due)

    def clear(self, one: Timed) -> None:
        """It is done. The timer stays: it looks, once, and finds those that came since."""
        self._due.pop(one, None)

    def close(self) -> None:
        """Forget all of them."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = due
        self._timer = loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for one in [one for one, due in self._due.items() if due <= now]:
            if self._due.pop(one, None) is not None:  # else another one's end has ended it
                one.time_out()
        if self._due:
            self._arm(loop, min(self._due.values()))
