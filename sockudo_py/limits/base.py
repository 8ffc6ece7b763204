"""The contract of rate limiters."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Allowance:
    """The answer to one request: was it within the limit, and in how many seconds it is worth asking again."""

    allowed: bool
    retry_after: float = 0.0


class RateLimiter(Protocol):
    """Counts per key over a window of seconds. Bounded: keys that were not used for a window are forgotten.

    ``take`` never blocks and never raises: a driver with a service behind it keeps a local view and settles with the
    service in
    the background, so a limit may be exceeded by what arrives within one settling interval.
    """

    def take(self, key: str, limit: int, window: float, cost: int = 1) -> Allowance:
        """Spend ``cost`` of the ``limit`` that ``key`` has per ``window`` seconds."""

    async def close(self) -> None:
        """Let go of connections."""
