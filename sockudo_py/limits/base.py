"""The contract of rate limiters."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RequestLimit:
    """At most ``max_requests`` in ``window`` seconds."""

    max_requests: int
    window: float = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """The answer to one request: whether it was within the limit, and the seconds after which to ask again."""

    allowed: bool
    retry_after: float = 0.0


class RateLimiter(Protocol):
    """Counts per key over a window of seconds. Bounded: keys that were not used for a window are forgotten.

    ``take`` never blocks and never raises. A driver with a service behind it keeps a local view and synchronises it in
    the background, so requests of one synchronisation interval may exceed a limit.
    """

    def take(self, key: str, limit: int, window: float, cost: int = 1) -> Allowance:
        """Spend ``cost`` of the ``limit`` that ``key`` has per ``window`` seconds."""

    async def close(self) -> None:
        """Let go of connections."""
