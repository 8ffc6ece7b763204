"""Logs what a limit by address refuses: clients learn it at once, operators within a minute."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

INTERVAL = 60.0  # seconds between two lines


class LimitNotice:
    """Logs the refusals of one limit, at most one line a minute.

    Args:
        refused: What the limit refuses, such as ``HTTP API requests``.
        key: The configuration key of the limit.
        clock: Monotonic seconds.
    """

    def __init__(self, refused: str, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._refused = refused
        self._key = key
        self._clock = clock
        self._count = 0
        self._next = float("-inf")

    def add(self, address: str) -> None:
        """Count one refusal, of this address, and log what has been refused since the last line."""
        self._count += 1
        now = self._clock()
        if now < self._next:
            return
        log.warning(
            "limit by address: %d %s refused since the last such line; raise %s, or 0 for no limit. "
            "Behind a proxy all clients have its address: name it in trusted_proxies",
            self._count,
            self._refused,
            self._key,
            extra={"address": address},
        )
        self._count, self._next = 0, now + INTERVAL
