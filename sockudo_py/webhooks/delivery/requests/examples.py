"""Examples of requests for the catalogue, made as real ones are. Pure."""

from typing import Any

import orjson

from sockudo_py.endpoints import Endpoint
from sockudo_py.event_types import EventType
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.catalogue.models import EventModel
from sockudo_py.webhooks.catalogue.schemas import Shape, example
from sockudo_py.webhooks.delivery.requests.envelopes import bodies

_TIME_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def request_example(event: EventModel | EventType, shape: Shape, app_id: str) -> Any:
    """Return the body of a request that carries this event, made as real ones are."""
    endpoint = Endpoint(
        uid="wh_example", id=1, app_id=app_id, app_keys=(), profile=shape.profile, payload=shape.payload
    )
    text = orjson.dumps([example(event, _TIME_MS, "evt_0f3c9a51")])
    job = Job("dl_0f3c9a51", endpoint.uid, app_id, _TIME_MS, text)
    [body] = bodies(endpoint, job, lambda: _TIME_MS)
    return orjson.loads(body.content)
