"""Who was there when an earlier run ended, and has not come back yet."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from sockudo_py.changes import ChannelVacated, MemberRemoved

Key = tuple[str, str, str | None]  # app id, channel, user id (None: the channel itself)

_SLICE: Final = 500  # changes told at once ...
_PAUSE: Final = 0.02  # ... and the seconds before the next ones


class Missed:
    """Changes that are reported when their delay has passed, unless the channel or member comes back.

    Many may fall due at once: they are reported in slices, each when ``ready`` says that there is room.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
        tell: Callable[[ChannelVacated | MemberRemoved], None],
    ) -> None:
        self._call_later = call_later
        self._clock = clock
        self._tell = tell
        self._ready: Callable[[], bool] = _always
        self._changes: OrderedDict[Key, tuple[float, ChannelVacated | MemberRemoved]] = OrderedDict()
        self._armed = False

    def __len__(self) -> int:
        return len(self._changes)

    def add(
        self, changes: Iterable[ChannelVacated | MemberRemoved], delay: float, ready: Callable[[], bool] | None
    ) -> None:
        """Tell of these after ``delay`` seconds, in this order; ``delay`` is the same at every call."""
        self._ready = ready or _always
        due = self._clock() + delay
        for change in changes:
            user_id = change.user_id if isinstance(change, MemberRemoved) else None
            self._changes[change.app_id, change.channel, user_id] = due, change
        self._arm(delay)

    def of(self, app_id: str) -> list[Key]:
        """Return who of an app is missed."""
        return [key for key in self._changes if key[0] == app_id]

    def back(self, key: Key) -> bool:
        """Forget a channel or member that came back; return whether it was missed."""
        return self._changes.pop(key, None) is not None

    def tell_some(self) -> bool:
        """Tell of some, without waiting for their time; return whether there are more."""
        for _ in range(min(_SLICE, len(self._changes))):
            _, (_, change) = self._changes.popitem(last=False)
            self._tell(change)
        return bool(self._changes)

    def _arm(self, delay: float) -> None:
        if self._changes and not self._armed:
            self._armed = True
            self._call_later(delay, self._tell_due)

    def _tell_due(self) -> None:
        self._armed = False
        if not self._changes:
            return
        now = self._clock()
        due, _ = next(iter(self._changes.values()))
        if due > now:
            self._arm(due - now)
            return
        if self._ready():
            for key, (due, change) in list(islice(self._changes.items(), _SLICE)):
                if due > now:
                    break
                del self._changes[key]
                self._tell(change)
        self._arm(_PAUSE)


def _always() -> bool:
    return True
