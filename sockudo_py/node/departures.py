"""Clients that are gone leave their channels without keeping the others waiting."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from sockudo_py.hub import Sink
from sockudo_py.protocol.effects import Member

FEW: Final = 8  # channels that a client may leave on the spot
LEAVES_PER_TURN: Final = 500  # 3 ms

_Held = tuple[str, Member | None]


class Departures:
    """Carries out the leaves of clients that are gone, in order, many of them over several turns of the loop.

    A client may hold 1,000 channels and leaving one costs 6 us, so a hundred of them that vanish together (a proxy went
    down) would stop everybody else for more than half a second.
    """

    def __init__(
        self,
        leave: Callable[[Sink, str, Member | None], None],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        """``leave`` takes one client off one channel; ``call_soon`` runs a function in the next turn of the loop."""
        self._leave = leave
        self._call_soon = call_soon
        self._waiting: deque[tuple[Sink, Iterator[_Held], Callable[[], None]]] = deque()

    def add(self, client: Sink, held: list[_Held], done: Callable[[], None]) -> None:
        """Let ``client`` leave the channels it held, then call ``done``: at once when they are few, else soon."""
        if len(held) <= FEW:
            for channel, member in held:
                self._leave(client, channel, member)
            done()
            return
        self._waiting.append((client, iter(held), done))
        if len(self._waiting) == 1:
            self._call_soon(self._turn)

    def finish(self) -> None:
        """Carry out everything that waits."""
        while self._waiting:
            self._some(LEAVES_PER_TURN)

    def _turn(self) -> None:
        self._some(LEAVES_PER_TURN)
        if self._waiting:
            self._call_soon(self._turn)

    def _some(self, left: int) -> None:
        while left and self._waiting:
            client, held, done = self._waiting[0]
            for channel, member in held:
                self._leave(client, channel, member)
                left -= 1
                if not left:
                    break
            else:
                self._waiting.popleft()
                done()
