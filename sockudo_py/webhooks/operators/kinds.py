"""The kinds of notices that operators get. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sockudo_py.event_types import RESERVED_PREFIX, EventType

ENDPOINT_FAILING = f"{RESERVED_PREFIX}endpoint_failing"
ENDPOINT_RECOVERED = f"{RESERVED_PREFIX}endpoint_recovered"
ENDPOINT_DISABLED = f"{RESERVED_PREFIX}endpoint_disabled"
CIRCUIT_OPENED = f"{RESERVED_PREFIX}circuit_opened"
DEAD_LETTERS_HIGH = f"{RESERVED_PREFIX}dead_letters_high"
QUEUE_OLD = f"{RESERVED_PREFIX}queue_old"
SPOOL_DROPPING = f"{RESERVED_PREFIX}spool_dropping"

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_ENDPOINT: Mapping[str, Any] = {"webhook_id": _TEXT, "webhook_name": _TEXT, "app_id": _TEXT}
_EXAMPLE: Mapping[str, Any] = {"webhook_id": "wh_orders", "webhook_name": "orders", "app_id": "my-app"}


def _kind(name: str, description: str, fields: Mapping[str, Any], example: Mapping[str, Any]) -> EventType:
    schema = {"type": "object", "properties": dict(fields), "required": list(fields), "additionalProperties": False}
    return EventType(name, description, schema, dict(example))


_KINDS = (
    _kind(
        ENDPOINT_FAILING,
        "Ten attempts in a row have failed at an endpoint.",
        {**_ENDPOINT, "failures": _NUMBER, "error_class": _TEXT},
        {**_EXAMPLE, "failures": 10, "error_class": "connect"},
    ),
    _kind(
        ENDPOINT_RECOVERED,
        "An endpoint that was failing takes deliveries again.",
        {**_ENDPOINT, "failures": _NUMBER},
        {**_EXAMPLE, "failures": 25},
    ),
    _kind(
        ENDPOINT_DISABLED,
        "An endpoint gets nothing any more: it was switched off, answered 410, or has failed for too long.",
        {**_ENDPOINT, "reason": {"enum": ["switched_off", "410", "failing"]}},
        {**_EXAMPLE, "reason": "failing"},
    ),
    _kind(
        CIRCUIT_OPENED,
        "The circuit breaker of an endpoint has opened: it is left alone for a while.",
        {**_ENDPOINT, "failures": _NUMBER, "seconds": _NUMBER},
        {**_EXAMPLE, "failures": 10, "seconds": 30},
    ),
    _kind(
        DEAD_LETTERS_HIGH,
        "There are as many dead letters as webhooks.dlq.warn_len, or more.",
        {"dead_letters": _NUMBER, "threshold": _NUMBER},
        {"dead_letters": 112, "threshold": 100},
    ),
    _kind(
        QUEUE_OLD,
        "A job has waited in the queue for over a minute.",
        {"oldest_waiting_s": _NUMBER, "threshold_s": _NUMBER},
        {"oldest_waiting_s": 75, "threshold_s": 60},
    ),
    _kind(
        SPOOL_DROPPING,
        "The queue is away, the spool is full, and events are lost.",
        {"dropped": _NUMBER, "waiting": _NUMBER},
        {"dropped": 300, "waiting": 100000},
    ),
)
KINDS: Mapping[str, EventType] = MappingProxyType({one.name: one for one in _KINDS})
