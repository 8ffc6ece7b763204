"""How often the subscribers of a channel get their count."""

from collections.abc import Callable
from functools import partial
from typing import Final

from sockudo_py.protocol.source import Source

UNTHROTTLED: Final = 100  # subscriptions up to which every change is sent
INTERVAL: Final = 5.0  # seconds between two counts above that


class SubscriptionCounts:
    """Passes counts on, those over 100 at most once per 5 s and channel; the last one of them always comes through.

    Each comes with the source of the step that changed it, where that was a step of this node.
    """

    def __init__(
        self,
        send: Callable[[str, str, int, Source | None], None],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        """``send`` takes app id, channel, count and source; ``call_later`` seconds and a function."""
        self._send = send
        self._call_later = call_later
        # Channels that got a count less than an interval ago, with the count that waits for the interval to end.
        self._waiting: dict[tuple[str, str], tuple[int, Source | None] | None] = {}

    def changed(self, app_id: str, channel: str, count: int, source: Source | None) -> None:
        """Take note of a new count, and of whose step it comes from; None: one of another node."""
        key = (app_id, channel)
        throttled = key in self._waiting
        if count > UNTHROTTLED:
            self._waiting[key] = (count, source) if throttled else None
            if throttled:
                return
            self._call_later(INTERVAL, partial(self._interval_over, key))
        elif throttled:
            self._waiting[key] = None  # what waited is out of date
        self._send(app_id, channel, count, source)

    def _interval_over(self, key: tuple[str, str]) -> None:
        waiting = self._waiting.pop(key)
        if waiting is not None:
            self.changed(*key, *waiting)
