"""Test deliveries: a person sends a made-up event to an endpoint, with the real target, signature and headers.

A test delivery bypasses the queue: no retry, no statistics, no dead letter.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import orjson

from sockudo_py.endpoints import OPERATORS, Endpoint
from sockudo_py.event_types import EventType
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.catalogue.models import EVENTS, EventModel
from sockudo_py.webhooks.catalogue.schemas import example
from sockudo_py.webhooks.delivery.requests.attempt import Attempt, requests_for
from sockudo_py.webhooks.events import Event
from sockudo_py.webhooks.operators.kinds import ENDPOINT_FAILING
from sockudo_py.webhooks.targets.base import Delivered, Failure, Target

_DEFAULT = "channel_occupied"


@dataclass(frozen=True, slots=True)
class TestDelivery:
    """The outcome. ``error_class`` and ``message`` are None when it was delivered."""

    delivery_id: str
    event_type: str
    delivered: bool
    status: int | None
    duration_ms: int
    response_body: bytes = field(repr=False)
    response_truncated: bool = False
    error_class: str | None = None
    message: str | None = None


def sample_event(event_type: str, app_id: str, time_ms: int, registered: EventModel | EventType | None = None) -> Event:
    """Return an event of this type as a receiver would see it: the catalogue's example, if it has one.

    ``registered``: the type as the catalogue of the app knows it; None: one of the server's own, or unknown.
    """
    model = registered or EVENTS.get(event_type)
    event_id = f"evt_test_{secrets.token_hex(8)}"
    if isinstance(model, EventModel):
        return example(model, time_ms, event_id)
    if model is None or model.example is None:
        model = EventType(event_type, example={"test": True, "message": "This is a webhook test"})
    return example(model, time_ms, event_id)


def usual_event_type(endpoint: Endpoint) -> str:
    """Return a type that the endpoint listens to."""
    listed = sorted(endpoint.event_types - {"*"})
    return listed[0] if listed else ENDPOINT_FAILING if endpoint.app_id == OPERATORS else _DEFAULT


async def attempt(
    endpoint: Endpoint,
    targets: Mapping[str, Target],
    event_type: str | None = None,
    *,
    catalogue: Callable[[str, str], EventModel | EventType | None] = lambda app_id, name: None,
    keep: Callable[[Attempt, Endpoint], Awaitable[None]] | None = None,
    clock: Callable[[], float] = time.time,
) -> TestDelivery:
    """Send one event to an endpoint, enabled or not, and return the outcome. The endpoint's filter does not count.

    Args:
        endpoint: Where to.
        targets: By name, "http" and "lambda"; the caller closes them.
        event_type: Any name; None: one that the endpoint listens to.
        catalogue: Returns what an app knows under a name, as ``Catalogue.find``.
        keep: Gets the attempt, for a history.
        clock: Unix seconds.
    """
    now = clock()
    time_ms = int(now * 1000)
    name = event_type or usual_event_type(endpoint)
    event = sample_event(name, endpoint.app_id, time_ms, catalogue(endpoint.app_id, name))
    delivery_id = f"dl_test_{secrets.token_hex(12)}"
    job = Job(delivery_id, endpoint.uid, endpoint.app_id, time_ms, orjson.dumps([event]))
    [request] = requests_for(endpoint, job, now)
    target = targets.get("http" if endpoint.function is None else "lambda")
    started = time.perf_counter()
    outcome = (
        Failure("lambda_error", "no target can invoke functions") if target is None else await target.send(request)
    )
    duration = time.perf_counter() - started
    if keep is not None:
        kept = Attempt(
            job=job,
            number=1,
            max_attempts=1,
            target="http" if target is None else target.name,
            outcome=outcome,
            status="delivered" if isinstance(outcome, Delivered) else "failed",
            started_ms=time_ms,
            duration=duration,
            request=request,
            test=True,
        )
        await keep(kept, endpoint)
    failure = outcome if isinstance(outcome, Failure) else None
    return TestDelivery(
        delivery_id=delivery_id,
        event_type=name,
        delivered=isinstance(outcome, Delivered),
        status=outcome.status,
        duration_ms=round(duration * 1000),
        response_body=outcome.response_body,
        response_truncated=outcome.response_truncated,
        error_class=failure.error_class if failure else None,
        message=failure.message if failure else None,
    )
