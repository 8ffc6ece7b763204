"""Statistics of one endpoint, as sums that attempts are added to. Pure.

A *tally* is what some attempts add; *figures* are what all of them came to. A duration counts in a bucket, so that
percentiles need no list of attempts: the buckets hold one millisecond each up to 127, and above 64 of them span each
doubling. So a percentile is exact up to 127 ms, and at most 1.6 % too high above.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_EXACT = 128  # ms with a bucket each
_SHIFT = 6  # 64 buckets a doubling

Counts = tuple[str, int, int, int, int]  # of one attempt: status, number and redrive as in ``Row``, duration and end


def bucket_of(duration_ms: int) -> int:
    """Return the bucket of a duration."""
    if duration_ms < _EXACT:
        return max(0, duration_ms)
    doublings = duration_ms.bit_length() - _SHIFT - 1
    return (doublings << _SHIFT) + (duration_ms >> doublings)


def longest_in(bucket: int) -> int:
    """Return the longest duration of a bucket, in ms."""
    if bucket < _EXACT:
        return bucket
    doublings = (bucket >> _SHIFT) - 1
    return (((bucket & 63) + 65) << doublings) - 1


@dataclass(slots=True, eq=False)
class Tally:
    """What attempts add to the figures of an endpoint. ``failed`` may be negative: a dead letter was sent again."""

    app_id: str = ""
    successful: int = 0
    failed: int = 0
    attempts: int = 0
    duration_ms: int = 0
    last_success_ms: int = 0
    last_failure_ms: int = 0
    streak: int = 0  # failed attempts since the last good one, of these
    reset: bool = False  # there was a good one
    buckets: dict[int, int] = field(default_factory=dict)

    def add_all(self, attempts: Iterable[Counts]) -> None:
        """Add attempts, in the order of their ends."""
        buckets = self.buckets
        number = total = successful = failed = success_ms = failure_ms = 0
        streak, reset = self.streak, self.reset
        for status, attempt, redrive, duration_ms, finished_ms in attempts:
            number += 1
            total += duration_ms
            bucket = duration_ms if duration_ms < _EXACT else bucket_of(duration_ms)
            buckets[bucket] = buckets.get(bucket, 0) + 1
            if redrive and attempt == 1:  # it had failed for good, and is not over any more
                failed -= 1
            if status == "delivered":
                successful += 1
                success_ms = finished_ms
                streak, reset = 0, True
            else:
                if status == "failed":
                    failed += 1
                failure_ms = finished_ms
                streak += 1
        self.attempts += number
        self.duration_ms += total
        self.successful += successful
        self.failed += failed
        self.last_success_ms = success_ms or self.last_success_ms
        self.last_failure_ms = failure_ms or self.last_failure_ms
        self.streak, self.reset = streak, reset


@dataclass(slots=True)
class Figures:
    """The statistics of an endpoint: of all attempts since it exists, whatever was pruned of them.

    ``successful`` and ``failed`` count deliveries that are over, by their last outcome; times are Unix ms, 0: never.
    """

    successful: int = 0
    failed: int = 0
    attempts: int = 0
    duration_ms: int = 0
    last_success_ms: int = 0
    last_failure_ms: int = 0
    consecutive_failures: int = 0
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, tally: Tally) -> None:
        """Add what a tally says."""
        self.successful += tally.successful
        self.failed += tally.failed
        self.attempts += tally.attempts
        self.duration_ms += tally.duration_ms
        self.last_success_ms = max(self.last_success_ms, tally.last_success_ms)
        self.last_failure_ms = max(self.last_failure_ms, tally.last_failure_ms)
        self.consecutive_failures = tally.streak + (0 if tally.reset else self.consecutive_failures)
        for bucket, count in tally.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    @property
    def average_ms(self) -> int:
        """The mean duration of an attempt; 0: there was none."""
        return round(self.duration_ms / self.attempts) if self.attempts else 0

    def percentile_ms(self, share: float) -> int:
        """Return the duration that this share of the attempts did not exceed; 0: there was none."""
        wanted, seen = share * sum(self.buckets.values()), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return longest_in(bucket)
        return 0

    def copy(self) -> "Figures":
        """Return figures of their own."""
        return replace(self, buckets=dict(self.buckets))

    def dump(self) -> dict[str, Any]:
        """Return it as a value for JSON."""
        return {
            "successful": self.successful,
            "failed": self.failed,
            "attempts": self.attempts,
            "duration_ms": self.duration_ms,
            "last_success_ms": self.last_success_ms,
            "last_failure_ms": self.last_failure_ms,
            "consecutive_failures": self.consecutive_failures,
            "buckets": {str(bucket): count for bucket, count in self.buckets.items()},
        }

    @classmethod
    def load(cls, fields: Mapping[str, Any]) -> "Figures":
        """Return what ``dump`` gave."""
        buckets = {int(bucket): count for bucket, count in fields["buckets"].items()}
        return cls(**{**fields, "buckets": buckets})
