"""Clients that are not read for a moment because they ask for more than their share."""

from collections.abc import Callable
from functools import partial

from sockudo_py.hub import PACED, Sink

_ROUNDING = 1e-6  # seconds


class Paced:
    """Holds each client until the end of its last pause: one read may cause several.

    Args:
        call_later: Runs a function after a number of seconds.
        clock: Seconds, never going back.
    """

    def __init__(self, call_later: Callable[[float, Callable[[], None]], object], clock: Callable[[], float]) -> None:
        self._call_later = call_later
        self._clock = clock
        self._until: dict[Sink, float] = {}

    def pause(self, client: Sink, seconds: float) -> None:
        """Stop reading the client for this many seconds."""
        held = client in self._until
        self._until[client] = self._clock() + seconds
        if not held:
            client.hold(PACED)
            self._call_later(seconds, partial(self._release, client))

    def _release(self, client: Sink) -> None:
        left = self._until[client] - self._clock()
        if left > _ROUNDING:
            self._call_later(left, partial(self._release, client))
            return
        del self._until[client]
        client.release(PACED)
