"""The server's own events as models: of these come schemas, examples, and the tables of the documentation. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

FieldType = Literal["string", "integer"]


@dataclass(frozen=True, slots=True)
class EventField:
    """One field of an event. ``seed_only``: endpoints with ``payload: pusher`` do not get it."""

    name: str
    type: FieldType
    description: str
    example: Any
    required: bool = True
    seed_only: bool = False


@dataclass(frozen=True, slots=True)
class EventModel:
    """One type of event; ``fields`` without ``name`` and ``time_ms``, which all have."""

    name: str
    description: str
    fields: tuple[EventField, ...]


_SOCKET = "123456789.987654321"


def _channel(example: str, description: str = "the channel") -> EventField:
    return EventField("channel", "string", description, example)


_USER = EventField("user_id", "string", "the user, as the application's backend signed it", "17")
_MEMBER_SOCKET = EventField(
    "socket_id", "string", "the connection, where it is known", _SOCKET, required=False, seed_only=True
)

_EVENTS = (
    EventModel("channel_occupied", "A channel got its first subscription.", (_channel("news"),)),
    EventModel("channel_vacated", "A channel has lost its last subscription.", (_channel("news"),)),
    EventModel(
        "member_added",
        "A user's first connection joined a presence channel.",
        (
            _channel("presence-room", "the presence channel"),
            _USER,
            _MEMBER_SOCKET,
            EventField(
                "data",
                "string",
                "JSON text with user_id and, if the backend gave one, user_info",
                '{"user_id":"17","user_info":{"name":"Ann"}}',
                seed_only=True,
            ),
        ),
    ),
    EventModel(
        "member_removed",
        "A user's last connection has left a presence channel.",
        (_channel("presence-room", "the presence channel"), _USER, _MEMBER_SOCKET),
    ),
    EventModel(
        "client_event",
        "A client sent an event.",
        (
            _channel("presence-room", "the private, presence or encrypted channel"),
            EventField("event", "string", "the name that the client chose; it begins with client-", "client-typing"),
            EventField("data", "string", "what subscribers get: usually JSON text", '{"typing":true}'),
            EventField("socket_id", "string", "the sender", _SOCKET),
            EventField("user_id", "string", "the sender's user, on presence channels", "17", required=False),
        ),
    ),
    EventModel(
        "cache_miss", "A client subscribed to a cache channel that holds no event.", (_channel("cache-prices"),)
    ),
    EventModel(
        "subscription_count",
        "The number of subscriptions of a channel has changed.",
        (_channel("news"), EventField("subscription_count", "integer", "subscriptions now", 3)),
    ),
    EventModel(
        "connection_established",
        "A client has connected.",
        (EventField("socket_id", "string", "the connection", _SOCKET),),
    ),
    EventModel(
        "connection_terminated",
        "A connected client is gone.",
        (EventField("socket_id", "string", "the connection", _SOCKET),),
    ),
)

EVENTS: Mapping[str, EventModel] = MappingProxyType({one.name: one for one in _EVENTS})


def sample(model: EventModel, time_ms: int) -> dict[str, Any]:
    """Return the example of an event as queues keep it."""
    return {"name": model.name, **{field.name: field.example for field in model.fields}, "time_ms": time_ms}
