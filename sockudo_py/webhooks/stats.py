"""Figures of this process over the last hour, for ``/usage`` and the queue statistics."""

from dataclasses import dataclass
from typing import Any

from sockudo_py.endpoints import Endpoint
from sockudo_py.webhooks.endpoints.guard import redact_url
from sockudo_py.webhooks.endpoints.keypairs import public_keys

_MINUTES = 60


@dataclass(slots=True)
class _Minute:
    number: int = -1
    delivered: int = 0
    failed: int = 0
    attempts: int = 0
    seconds: float = 0.0


class DeliveryStats:
    """Counts per minute, for sixty minutes. Times are Unix seconds."""

    def __init__(self) -> None:
        self._minutes = [_Minute() for _ in range(_MINUTES)]

    def attempt(self, now: float, seconds: float) -> None:
        """Count an attempt that took ``seconds``."""
        minute = self._minute(now)
        minute.attempts += 1
        minute.seconds += seconds

    def delivered(self, now: float) -> None:
        """Count a delivery that succeeded."""
        self._minute(now).delivered += 1

    def failed(self, now: float) -> None:
        """Count a delivery that was given up."""
        self._minute(now).failed += 1

    def completed(self, now: float) -> int:
        """Return how many deliveries have succeeded."""
        newest = int(now // 60)
        return sum(minute.delivered for minute in self._minutes if newest - _MINUTES < minute.number <= newest)

    def summary(self, now: float, queue_depth: int) -> dict[str, Any]:
        """Return the documented figures: ``webhook_success_rate`` "95%", ``average_processing_time`` "150ms" ..."""
        newest = int(now // 60)
        recent = [minute for minute in self._minutes if newest - _MINUTES < minute.number <= newest]
        delivered = sum(minute.delivered for minute in recent)
        failed = sum(minute.failed for minute in recent)
        attempts = sum(minute.attempts for minute in recent)
        seconds = sum(minute.seconds for minute in recent)
        ended = delivered + failed
        return {
            "webhook_success_rate": f"{100 * delivered // ended if ended else 100}%",
            "average_processing_time": f"{round(1000 * seconds / attempts) if attempts else 0}ms",
            "queue_depth": queue_depth,
            "failed_webhooks_last_hour": failed,
        }

    def _minute(self, now: float) -> _Minute:
        number = int(now // 60)
        minute = self._minutes[number % _MINUTES]
        if minute.number != number:
            minute.number, minute.delivered, minute.failed = number, 0, 0
            minute.attempts, minute.seconds = 0, 0.0
        return minute


def describe_endpoint(endpoint: Endpoint) -> dict[str, Any]:
    """Return what anybody may see of an endpoint: no secret, no header value, of the URL only where it goes.

    Path and query are the secret of many receivers (Slack, Discord, Zapier ...), and ``GET /usage`` is public.
    """
    shown: dict[str, Any] = {
        "id": endpoint.id,
        "uid": endpoint.uid,
        "app_id": endpoint.app_id,
        "name": endpoint.name,
        "event_types": sorted(endpoint.event_types),
        "enabled": endpoint.enabled,
        "profile": endpoint.profile,
    }
    if keys := public_keys(endpoint):
        shown["public_keys"] = keys
    if endpoint.function is not None:
        shown["lambda"] = {"function_name": endpoint.function.function_name, "region": endpoint.function.region}
    elif endpoint.feed is not None:
        shown["feed"] = {"retention_s": round(endpoint.feed.retention), "max_events": endpoint.feed.max_events}
    else:
        shown["url"] = redact_url(endpoint.url)
    return shown
