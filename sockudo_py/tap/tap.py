"""The tap: one call for each thing that happens, and only while it has a follower."""

import time
from collections.abc import Callable

from sockudo_py.tap.recorder import MOST_TEXT, Recorder
from sockudo_py.tap.row import Details, Row

Follower = Callable[[Row], None]


class Tap:
    """Tells followers what happens.

    Callers look first, since there is hardly ever a follower: at ``on`` on hot paths, at ``cold`` where clients come,
    go, subscribe and make mistakes. A refusal is always reported: the recorder keeps the last ones.
    """

    __slots__ = ("_followers", "cold", "on", "recorder")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """``clock``: Unix seconds."""
        self.on = False
        self.cold = False
        self._followers: tuple[Follower, ...] = ()
        self.recorder = Recorder(clock, self._set)

    def follow(self, follower: Follower) -> None:
        """Call ``follower`` with each row from now on. It must not raise, and should be quick."""
        self._followers = (*self._followers, follower)
        self._set()

    def leave(self, follower: Follower) -> None:
        """Undo ``follow``."""
        self._followers = tuple(one for one in self._followers if one != follower)
        self._set()

    def tell(
        self,
        kind: str,
        app_id: str,
        socket_id: str | None,
        channel: str | None,
        user_id: str | None,
        details: Callable[[], Details],
    ) -> None:
        """Report one thing that happened."""
        row = Row(kind, app_id, socket_id, channel, user_id, details)
        if socket_id is not None and self.recorder.flights:
            self.recorder.note(row)
        for follower in self._followers:
            follower(row)

    def refused(
        self,
        what: str,
        reason: str,
        error: str,
        *,
        app_id: str,
        socket_id: str | None = None,
        channel: str | None = None,
        address: str = "",
        more: Details | None = None,
    ) -> None:
        """Note that a connection, a subscription, a client event or a request was refused.

        Args:
            what: ``connection``, ``subscription``, ``message`` or ``request``.
            reason: A word or a code.
            error: The text that the client or the backend got.
            app_id: Empty where no app is known.
            socket_id: Whose, where there is a connection.
            channel: The subscription's.
            address: Where it came from.
            more: What else helps to find the cause. No secrets.
        """
        error = error[:MOST_TEXT]
        if socket_id is not None:
            self.recorder.begin(socket_id)
        self.recorder.refused(what, reason, error, app_id, socket_id, channel, address, more or {})
        if self.cold:
            details = {"what": what, "reason": reason, "error": error, "address": address, **(more or {})}
            self.tell("refuse", app_id, socket_id, channel, None, lambda: details)

    def _set(self) -> None:
        self.on = bool(self._followers) or self.recorder.watched > 0
        self.cold = self.on or bool(self.recorder.flights)
