"""The sessions of this process by app and id. Pure."""

from collections import OrderedDict
from typing import Final, Generic, Protocol, TypeVar

CAPACITY: Final = 10_000  # sessions without a receive request: they hold no connection that would bound them
APP_CAPACITY: Final = 5_000  # ... of one app, so that one app can't use up all of them
KEPT_BYTES: Final = 268_435_456  # that wait for the next requests of all sessions together

Key = tuple[str, str]  # app id, session id


class Kept(Protocol):
    """A session."""

    key: Key

    def evict(self) -> None:
        """End now: others need the place. It is in no list of those that wait any more."""


S = TypeVar("S", bound=Kept)


class Sessions(Generic[S]):
    """All sessions, and among them those that wait for a receive request, in the order in which they began to.

    Too many of those evict the one that has waited longest; so do too many bytes that are kept for them.
    """

    def __init__(
        self, capacity: int = CAPACITY, app_capacity: int = APP_CAPACITY, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._capacity = capacity
        self._app_capacity = app_capacity
        self._most_bytes = kept_bytes
        self._all: dict[Key, S] = {}
        self._waiting: OrderedDict[Key, S] = OrderedDict()
        self._of_app: dict[str, OrderedDict[Key, S]] = {}
        self.kept_bytes = 0

    def get(self, key: Key) -> S | None:
        """Return a session, None when there is none."""
        return self._all.get(key)

    def names(self) -> list[Key]:
        """Return the keys of all sessions."""
        return list(self._all)

    def add(self, session: S) -> None:
        """Remember a session, whose key no other has."""
        self._all[session.key] = session

    def remove(self, session: S) -> None:
        """Forget a session; it need not be here."""
        if self._all.get(session.key) is session:
            del self._all[session.key]
            self.leave(session)

    def wait(self, session: S) -> None:
        """Note that a session waits for a receive request from now on."""
        app_id = session.key[0]
        of_app = self._of_app.setdefault(app_id, OrderedDict())
        for waiting in (self._waiting, of_app):
            waiting[session.key] = session
            waiting.move_to_end(session.key)
        if len(of_app) > self._app_capacity:
            self._evict(of_app)
        elif len(self._waiting) > self._capacity:
            self._evict(self._waiting)

    def leave(self, session: S) -> None:
        """Note that a session does not wait any more; it need not have waited."""
        if self._waiting.get(session.key) is not session:
            return
        del self._waiting[session.key]
        of_app = self._of_app[session.key[0]]
        del of_app[session.key]
        if not of_app:
            del self._of_app[session.key[0]]

    def keep(self, more: int) -> None:
        """Count bytes that are kept for the next request of a session, or no longer."""
        self.kept_bytes += more

    def crowded(self) -> bool:
        """Return whether more bytes are kept than may be."""
        return self.kept_bytes > self._most_bytes

    def evict_oldest(self) -> bool:
        """Evict the session that has waited longest; return False when none waits."""
        return self._evict(self._waiting)

    @property
    def waiting(self) -> int:
        """How many sessions wait for a receive request."""
        return len(self._waiting)

    def __len__(self) -> int:
        return len(self._all)

    def _evict(self, waiting: OrderedDict[Key, S]) -> bool:
        if not waiting:
            return False
        oldest = next(iter(waiting.values()))
        self.leave(oldest)
        oldest.evict()
        return True
