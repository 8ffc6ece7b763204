"""Whether a failed delivery is tried again, and when. Pure."""

import math
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from sockudo_py.endpoints import RetryOn, RetryPolicy
from sockudo_py.webhooks.targets.base import FINAL, NETWORK, Failure

RETRY_AFTER_MAX = 3600.0
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after ``delay`` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Put the delivery among the dead letters with this error class."""

    error_class: str


def retry_delay(
    attempt: int,
    schedule: tuple[float, ...],
    retry_after: float | None = None,
    *,
    retry_after_max: float = RETRY_AFTER_MAX,
) -> float | None:
    """Return the seconds to wait before retry ``attempt``, or None to give up.

    Args:
        attempt: 1 for the first retry.
        schedule: Seconds before each retry; its length is the retry limit.
        retry_after: The target's ``Retry-After`` in seconds. It can only lengthen a wait, up to ``retry_after_max``,
            so that a target can slow us down but can't park a job for a day.
        retry_after_max: Seconds, an hour unless the endpoint says otherwise.
    """
    if attempt > len(schedule):
        return None
    wait = schedule[attempt - 1]
    if retry_after is None:
        return wait
    return max(wait, min(retry_after, retry_after_max))


def wants_retry(failure: Failure, retry_on: RetryOn) -> bool:
    """Return whether a failure of this kind is worth another attempt under the endpoint's policy."""
    if failure.error_class in FINAL:
        return False
    if retry_on == "non_2xx" or failure.error_class in NETWORK:
        return True
    status = failure.status
    if status is None or status >= 500:
        return True
    return retry_on == "transient" and status in _TRANSIENT_STATUS


def decide(policy: RetryPolicy, failure: Failure, attempt: int, age: float | None, dice: float) -> Retry | GiveUp:
    """Return what to do after a failed attempt.

    Args:
        policy: The endpoint's.
        failure: What went wrong.
        attempt: Number of the failed attempt, 1 for the first one.
        age: Seconds since the delivery came into being; None where that does not count.
        dice: A random number in [0, 1) for the jitter.
    """
    if not wants_retry(failure, policy.retry_on):
        return GiveUp(failure.error_class)
    retry_after = failure.retry_after if policy.honor_retry_after else None
    delay = retry_delay(attempt, policy.schedule, retry_after, retry_after_max=policy.retry_after_max)
    if delay is None:
        return GiveUp(failure.error_class)
    delay *= 1 + policy.jitter * dice
    if policy.max_age is not None and age is not None and age + delay > policy.max_age:
        return GiveUp("expired")
    return Retry(delay)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (a number or an HTTP date), None when it is no use.

    ``now`` is Unix seconds.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value) if len(value) <= 12 else math.inf
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    try:
        return max(0.0, date.timestamp() - now)
    except (ValueError, OverflowError):
        return None
