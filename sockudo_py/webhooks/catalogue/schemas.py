"""JSON Schemas of requests, by profile, and examples of events. Pure: made of the models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sockudo_py.endpoints import PROFILE_ENVELOPES, EnvelopeName, ProfileName
from sockudo_py.event_types import EventType
from sockudo_py.webhooks.catalogue.models import EventModel, sample

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Payload = Literal["seed", "pusher"]
Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"}
_MS: Schema = {"type": "integer", "description": "Unix milliseconds"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how a request looks."""

    profile: ProfileName = "pusher"
    payload: Payload = "seed"

    @property
    def envelope(self) -> EnvelopeName:
        """How events are wrapped."""
        return PROFILE_ENVELOPES[self.profile]


def request_schema(event: EventModel | EventType, shape: Shape) -> Schema:
    """Return the schema of a request's body that carries this event (with ``pusher``: one or more of it)."""
    if shape.envelope == "pusher":
        body = _object({"time_ms": _MS, "events": {"type": "array", "minItems": 1, "items": _event(event, shape)}})
    else:
        body = _wrapped(event, shape)
    return {"$schema": DIALECT, "title": event.name, "description": event.description, **body}


def example(event: EventModel | EventType, time_ms: int, event_id: str) -> dict[str, Any]:
    """Return an event as queues keep it, with made-up values."""
    if isinstance(event, EventModel):
        return sample(event, time_ms)
    return {"name": event.name, "event_id": event_id, "data": event.example, "time_ms": time_ms}


def _event(event: EventModel | EventType, shape: Shape) -> Schema:
    """One event in the envelope ``pusher``."""
    name = {"const": event.name}
    time = {} if shape.payload == "pusher" else {"time_ms": _MS}
    if isinstance(event, EventType):
        fields = {"name": name, "event_id": _TEXT, "data": _data(event), "user_id": _TEXT, **time}
        return _object(fields, optional={"user_id"})
    shown = [field for field in event.fields if not (field.seed_only and shape.payload == "pusher")]
    fields = {field.name: {"type": field.type, "description": field.description} for field in shown}
    return _object({"name": name, **fields, **time}, optional={field.name for field in shown if not field.required})


def _wrapped(event: EventModel | EventType, shape: Shape) -> Schema:
    """One event in an envelope of its own."""
    name: Schema = {"const": event.name}
    if isinstance(event, EventType):
        data = _data(event)
    else:
        fields: Schema = {field.name: {"type": field.type, "description": field.description} for field in event.fields}
        data = _object(
            {**fields, "time_ms": _MS}, optional={field.name for field in event.fields if not field.required}
        )
    layouts: Mapping[EnvelopeName, Schema] = {
        "pulse": {"event": name, "project_id": _TEXT, "timestamp": _TIME, "data": data},
        "realcast": {"event": name, "timestamp": _TIME, "data": data},
        "remotedevai": {"id": _TEXT, "type": name, "timestamp": _TIME, "data": data},
        "irisx": {"event": name, "event_id": _TEXT, "timestamp": _TIME, "data": data},
        "standard": {"type": name, "timestamp": _TIME, "data": data},
    }
    return _object(layouts[shape.envelope])


def _data(event: EventType) -> Any:
    """The app's schema as it is. One with definitions or an identity of its own is a document within this one."""
    if event.schema is None:
        return {"description": "any JSON value"}
    inner = dict(event.schema)
    return inner if "$id" in inner else {"$id": f"urn:event:{event.name}", **inner}


def _object(fields: Mapping[str, Any], optional: "set[str] | frozenset[str]" = frozenset()) -> Schema:
    required = [name for name in fields if name not in optional]
    return {"type": "object", "properties": dict(fields), "required": required, "additionalProperties": False}
