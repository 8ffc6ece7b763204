"""One thing that happened, as those see it who follow."""

from collections.abc import Callable
from typing import Final, NamedTuple

Details = dict[str, object]


class Row(NamedTuple):
    """One thing that happened. ``details`` makes the rest of it, when a follower shows it.

    ``kind`` is one of ``KINDS``. ``app_id`` is empty where no app is known.
    """

    kind: str
    app_id: str
    socket_id: str | None
    channel: str | None
    user_id: str | None
    details: Callable[[], Details]


KINDS: Final = (
    "connect",
    "disconnect",
    "refuse",
    "subscribe",
    "unsubscribe",
    "client_event",
    "publish",
    "webhook_queued",
    "webhook_delivered",
    "webhook_retrying",
    "webhook_failed",
)
