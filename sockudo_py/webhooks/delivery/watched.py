"""Attempts as followers of the tap see them. Callers look first whether there is a follower."""

from sockudo_py.endpoints import Endpoint
from sockudo_py.logs import shortened
from sockudo_py.tap import Details, Tap
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.targets.base import Failure

_SHOWN = 200  # characters


def tell_attempt(tap: Tap, attempt: Attempt, endpoint: Endpoint) -> None:
    """Tell of one attempt."""

    def details() -> Details:
        failure = attempt.outcome if isinstance(attempt.outcome, Failure) else None
        shown: Details = {
            "webhook": endpoint.uid,
            "webhook_name": shortened(endpoint.name, _SHOWN),
            "delivery": attempt.job.id,
            "attempt": attempt.number,
            "events": attempt.job.count(),
            "duration_ms": round(attempt.duration * 1000),
        }
        if failure is not None:
            shown.update(error=shortened(failure.message, _SHOWN), error_class=failure.error_class)
            if failure.status is not None:
                shown["status"] = failure.status
        if attempt.retry_in is not None:
            shown["retry_in_s"] = round(attempt.retry_in, 1)
        return shown

    tap.tell(f"webhook_{attempt.status}", endpoint.app_id, None, None, None, details)
