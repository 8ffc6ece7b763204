"""How often the node reports that a cache channel is empty."""

from collections import OrderedDict
from collections.abc import Callable


class CacheMisses:
    """Collapses the misses of a channel within a second: a thousand clients that come back at once need one event."""

    def __init__(self, clock: Callable[[], float], window: float = 1.0) -> None:
        """``clock`` and ``window`` are in seconds."""
        self._clock = clock
        self._window = window
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()  # when, oldest first

    def worth_telling(self, app_id: str, channel: str) -> bool:
        """Return whether this miss is the first of the channel within the window, and remember when it was reported."""
        now = self._clock()
        while self._told and next(iter(self._told.values())) + self._window <= now:
            self._told.popitem(last=False)
        key = (app_id, channel)
        if key in self._told:
            return False
        self._told[key] = now
        return True
