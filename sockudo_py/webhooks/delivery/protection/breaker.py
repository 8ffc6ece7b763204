"""Circuit breakers: an endpoint that keeps failing is left alone for a while. Pure: times are arguments, in seconds."""

from dataclasses import dataclass

CLOSED, HALF_OPEN, OPEN = range(3)  # as the metric shows them


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a breaker opens, and for how long: ``open`` seconds, each further time twice as long, up to ``max_open``."""

    consecutive_failures: int = 10
    open: float = 30.0
    max_open: float = 600.0


class _Breaker:
    __slots__ = ("failures", "open_for", "probe", "state", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.state = CLOSED
        self.open_for = 0.0
        self.until = 0.0  # open: until then nothing is sent; half-open: until then the probe must have its result
        self.probe = ""  # half-open: token of the one delivery that may go


class Breakers:
    """One breaker per endpoint that is failing; an endpoint that works has none."""

    __slots__ = ("_breakers", "_settings")

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._breakers: dict[str, _Breaker] = {}

    def state(self, uid: str) -> int:
        """Return CLOSED, HALF_OPEN or OPEN."""
        breaker = self._breakers.get(uid)
        return CLOSED if breaker is None else breaker.state

    def failures(self, uid: str) -> int:
        """Return how often the endpoint has failed in a row."""
        breaker = self._breakers.get(uid)
        return 0 if breaker is None else breaker.failures

    def hold(self, uid: str, token: str, now: float, patience: float) -> float:
        """Return for how long a delivery has to wait; 0: it may go.

        The first one after the open time goes as a probe; its result must come within ``patience``.
        """
        breaker = self._breakers.get(uid)
        if breaker is None or breaker.state == CLOSED:
            return 0.0
        if now < breaker.until:
            return breaker.until - now
        breaker.state, breaker.probe, breaker.until = HALF_OPEN, token, now + patience
        return 0.0

    def succeeded(self, uid: str) -> bool:
        """Note a success, whenever its request began. Return whether that closed the breaker."""
        breaker = self._breakers.pop(uid, None)
        return breaker is not None and breaker.state != CLOSED

    def failed(self, uid: str, token: str, now: float) -> float:
        """Note a failure. Return for how long the breaker is open from now on; 0 when this failure changed nothing.

        Deliveries that were under way when it opened, and fail later, do not prolong the time.
        """
        breaker = self._breakers.get(uid)
        if breaker is None:
            breaker = self._breakers[uid] = _Breaker()
        breaker.failures += 1
        if breaker.state == CLOSED:
            if breaker.failures < self._settings.consecutive_failures:
                return 0.0
            breaker.open_for = self._settings.open
        elif breaker.state == HALF_OPEN and token == breaker.probe:
            breaker.open_for = min(2 * breaker.open_for, self._settings.max_open)
        else:
            return 0.0
        breaker.state, breaker.until = OPEN, now + breaker.open_for
        return breaker.open_for

    def forget(self, uid: str) -> None:
        """Start anew with an endpoint."""
        self._breakers.pop(uid, None)
