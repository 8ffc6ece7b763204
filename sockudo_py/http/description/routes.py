"""What each route of the HTTP API takes and gives, for the OpenAPI document. The handlers check requests themselves.

Numbers are those of an app that sets none; ``tests/e2e/test_openapi.py`` holds a running server to it all.
"""

from typing import Any, Final

from sockudo_py.http.description.notation import (
    ANYTHING,
    DECIMAL,
    FLAG,
    NUMBER,
    OBJECT,
    TEXT,
    Param,
    Said,
    Schema,
    by_name,
    many,
    maybe,
    record,
)
from sockudo_py.http.handlers.channels import CHANNEL_ATTRIBUTES, LIST_ATTRIBUTES
from sockudo_py.http.handlers.events import POST_ATTRIBUTES
from sockudo_py.http.idempotency import MAX_KEY

_CHANNEL: Final[Schema] = {**TEXT, "pattern": r"^[A-Za-z0-9_\-=@,.;]{1,200}$", "examples": ["news"]}
_SOCKET: Final[Schema] = {**TEXT, "pattern": r"^[0-9]{1,20}\.[0-9]{1,20}$", "examples": ["123.456"]}
_NAME: Final[Schema] = {
    **TEXT,
    "minLength": 1,
    "maxLength": 200,
    "pattern": "^(?!pusher:|pusher_internal:)",
    "description": "The names that begin with `pusher:` are the server's own.",
}
_KEY: Final[Schema] = {**maybe(TEXT), "pattern": f"^[^\\x00-\\x1f\\x7f]{{1,{MAX_KEY}}}$"}
_DATA: Final[Schema] = {"not": {"type": "null"}, "description": "Up to 10 KB. What is no text is sent as JSON."}


def _attributes(known: frozenset[str]) -> Schema:
    one, names = "|".join(sorted(known)), ", ".join(sorted(known))
    return {
        **TEXT,
        "pattern": f"^(({one})(,({one}))*)?$",
        "description": f"Of {names}, with commas between them.",
    }


def _event(name: str, fields: dict[str, Schema], **more: Any) -> Schema:
    optional = {
        **fields,
        "socket_id": {**maybe(_SOCKET), "description": "The connection that does not get the event."},
        "info": maybe(_attributes(POST_ATTRIBUTES)),
        "idempotency_key": _KEY,
    }
    return {**record(name, {"name": _NAME, "data": _DATA}, optional, closed=False), **more}


_CHANNELS: Final = {"type": "array", "items": _CHANNEL, "minItems": 1, "maxItems": 100}
EVENT: Final = _event(
    "PublishedEvent",
    {"channel": _CHANNEL, "channels": _CHANNELS},
    anyOf=[{"required": ["channels"]}, {"required": ["channel"]}],
)
_OF_BATCH: Final = _event("EventOfBatch", {"channel": _CHANNEL}, required=["name", "data", "channel"])
BATCH: Final = record(
    "Batch",
    {"batch": {"type": "array", "items": _OF_BATCH, "minItems": 1, "maxItems": 10}},
    {"idempotency_key": _KEY},
    closed=False,
)
_COUNTS: Final = record("Counts", {}, {"user_count": NUMBER, "subscription_count": NUMBER})
_EMPTY: Final = record("", {})

_KEY_HEADER: Final = Param("X-Idempotency-Key", says="As `idempotency_key` in the body, which wins.", schema=_KEY)

PUBLISH: Final = Said(
    "Publish an event to one or more channels",
    {200: record("", {}, {"channels": by_name(_COUNTS)})},
    headers=(_KEY_HEADER,),
    body=EVENT,
    example={"name": "headline", "channels": ["news"], "data": '{"text":"hello"}'},
)
PUBLISH_BATCH: Final = Said(
    "Publish several events at once",
    {200: record("", {}, {"batch": many(_COUNTS)})},
    headers=(_KEY_HEADER,),
    body=BATCH,
    example={"batch": [{"name": "headline", "channel": "news", "data": '{"text":"hello"}'}]},
)
PUBLISH_DEPRECATED: Final = Said(
    "Publish as in the first version of the API: the body is the data",
    {202: TEXT},
    headers=(_KEY_HEADER,),
    fields=(
        Param("name", says="Of the event.", schema=_NAME, required=True),
        Param("socket_id", says="The connection that does not get the event.", schema=_SOCKET),
    ),
    body=TEXT,
    example='{"text":"hello"}',
)
CONNECTIONS: Final = Said("Count the connected clients", {200: record("", {"connections": NUMBER})})
LIST: Final = Said(
    "List occupied channels",
    {200: record("", {"channels": by_name(_COUNTS)})},
    fields=(
        Param("filter_by_prefix", says="What names begin with.", schema=TEXT),
        Param("info", says="Needs a prefix that begins with `presence-`.", schema=_attributes(LIST_ATTRIBUTES)),
    ),
)
_CACHED: Final = record("", {"data": ANYTHING, "ttl": NUMBER})
CHANNEL: Final = Said(
    "Show one channel",
    {
        200: record(
            "",
            {"occupied": FLAG},
            {"user_count": NUMBER, "subscription_count": NUMBER, "cache": maybe(_CACHED)},
        )
    },
    fields=(
        Param(
            "info",
            says="`user_count` is for presence channels, `cache` for cache channels.",
            schema=_attributes(CHANNEL_ATTRIBUTES),
        ),
    ),
)
USERS: Final = Said(
    "List the users of a presence channel", {200: record("", {"users": many(record("", {"id": TEXT}))})}
)
TERMINATE: Final = Said("Close the connections of a signed-in user with 4009", {200: _EMPTY})
RECONNECT: Final = Said(
    "Close the connections of a signed-in user with 4200: the clients come back at once", {200: _EMPTY}
)


def probe(says: str) -> Said:
    """Return what there is to say of a probe."""
    return Said(says, {200: TEXT})


USAGE: Final = Said(
    "Show memory, connections, the cluster and webhooks",
    {
        200: record(
            "Usage",
            {
                "version": TEXT,
                "uptime_seconds": DECIMAL,
                "memory": by_name(DECIMAL),
                "connections": record("", {"total": NUMBER, "apps": by_name(NUMBER)}),
                "channels": NUMBER,
                "subscriptions": NUMBER,
            },
            {"worker": TEXT, "cluster": by_name(DECIMAL), "webhooks": OBJECT},
        )
    },
)
