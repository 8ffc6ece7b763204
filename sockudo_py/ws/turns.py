"""What one turn of the loop works off of the messages of all connections together."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

MESSAGES_PER_TURN: Final = 512  # 15 ms of client events; each connection has a smaller bound of its own
TURN: Final = 4  # beside ``hub.PACED`` and ``hub.CROWDING``: others have their turn of the loop


class Waiting(Protocol):
    """A connection that is held for the reason TURN."""

    def release(self, reason: int) -> None:
        """Take the reason back."""


class Turns:
    """Connections that have more to be worked on than fits into one turn of the loop, in the order in which they came.

    Without it the many would undo what the bound of each one is for: 1,500 connections with 64 messages each kept the
    loop busy for seconds. ``left`` is how many more messages this turn may take; whoever works on several takes them
    off. It is filled up again only when it was used up: a message that comes alone needs no turn.

    Args:
        call_soon: Runs a function in the next turn of the loop; None: the running loop's.
    """

    __slots__ = ("_armed", "_call_soon", "_waiting", "left")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object] | None = None) -> None:
        self.left = MESSAGES_PER_TURN
        self._call_soon = call_soon
        self._waiting: deque[Waiting] = deque()
        self._armed = False

    def wait(self, connection: Waiting) -> None:
        """Release a connection in one of the next turns; it holds itself for the reason TURN."""
        self._waiting.append(connection)
        self._arm()

    def _turn(self) -> None:
        self._armed = False
        self.left = MESSAGES_PER_TURN
        waiting = self._waiting
        try:
            for _ in range(len(waiting)):
                if self.left <= 0:
                    break
                waiting.popleft().release(TURN)
        finally:
            if waiting:
                self._arm()

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            (self._call_soon or asyncio.get_running_loop().call_soon)(self._turn)
