"""How fast one connection may go on subscribing, signing in, or sending what is refused. Pure."""

from typing import Final

_ROUNDING: Final = 1e-6  # seconds
_LEAST: Final = 0.1  # seconds of a pause, so that a client that floods us does not wake us for each of its messages


def spend(paid_until: float, now: float, rate: float, burst: float) -> tuple[float, float]:
    """Count one more and return when all is paid, and for how many seconds nothing more should be taken (0.0: go on).

    A bucket of ``burst`` tokens into which ``rate`` fall a second, kept as one number: the time at which it is full
    again, which is ``paid_until`` of the next call (0.0 before the first). Nothing is refused: who takes more than
    there is owes it, and pauses until it is there.
    """
    full = burst / rate  # seconds from an empty bucket to a full one
    if paid_until < now:
        paid_until = now
    paid_until += 1.0 / rate
    owed = paid_until - now - full
    return paid_until, 0.0 if owed <= _ROUNDING else owed + min(_LEAST, full / 2)
