"""What an application asks for when it triggers an event. Pure.

RemoteDevAI's and IRISX's names of the fields are understood: ``eventType``, ``eventId``, ``userId``, ``tenantId`` and
``payload`` (in place of ``data``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

from sockudo_py.event_types import reserved

EVENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
MOST_ID = 200  # characters
MOST_KEY = 255  # characters
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "event_type": ("event_type", "eventType"),
    "event_id": ("event_id", "eventId"),
    "user_id": ("user_id", "userId"),
    "tenant_id": ("tenant_id", "tenantId"),
    "data": ("data", "payload"),
}
_KNOWN = frozenset(name for names in _FIELDS.values() for name in names)
_NAME = {"type": ["string", "null"], "minLength": 1, "maxLength": MOST_ID}
# The fields as a JSON Schema; which types are reserved, it does not say.
BODY: Final[Mapping[str, Any]] = {
    "title": "Trigger",
    "type": "object",
    "properties": {
        **{name: {"type": "string", "pattern": f"^{EVENT_TYPE.pattern}$"} for name in _FIELDS["event_type"]},
        **{name: _NAME for field in ("event_id", "user_id", "tenant_id") for name in _FIELDS[field]},
        **{name: {} for name in _FIELDS["data"]},
    },
    "anyOf": [{"required": [name]} for name in _FIELDS["event_type"]],
    "allOf": [{"not": {"required": list(names)}} for names in _FIELDS.values()],
    "additionalProperties": False,
}


class NotTriggered(Exception):
    """The event is refused. ``code`` is for programs, the message for people; ``fields`` say where it is wrong."""

    def __init__(self, status: int, code: str, message: str, *fields: tuple[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Asked:
    """A checked request. ``data`` is any JSON value. ``event_id`` None: the server makes one."""

    event_type: str
    data: Any
    event_id: str | None = None
    user_id: str | None = None

    def fingerprint(self) -> str:
        """Return a digest that differs between requests, however they are written."""
        meaning = [self.event_type, self.event_id, self.user_id, self.data]
        return sha256(orjson.dumps(meaning, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]

    def text(self, event_id: str, time_ms: int) -> bytes:
        """Return the event's JSON as queues keep it."""
        event: dict[str, Any] = {"name": self.event_type, "event_id": event_id, "data": self.data}
        if self.user_id is not None:
            event["user_id"] = self.user_id
        event["time_ms"] = time_ms
        return orjson.dumps(event)


def read(given: Mapping[str, Any], app_id: str) -> Asked:
    """Return what the body of a request to the routes of an app asks for. Raises NotTriggered."""
    unknown = sorted(given.keys() - _KNOWN)
    if unknown:
        raise _refused("unknown_field", *((name[:MOST_ID], "is unknown") for name in unknown[:20]))
    found: dict[str, Any] = {}
    for field, names in _FIELDS.items():
        there = [name for name in names if name in given]
        if len(there) > 1:
            raise _refused("invalid_field", (there[1], f"is another name of {there[0]}; give one of them"))
        if there:
            found[field] = there[0], given[there[0]]
    event_type = _text(found, "event_type", MOST_ID)
    if event_type is None:
        raise _refused("invalid_field", ("event_type", "is missing"))
    if EVENT_TYPE.fullmatch(event_type) is None:
        message = f"must be letters, digits and _ . : -, at most {MOST_ID}, and begin with a letter or a digit"
        raise _refused("invalid_field", ("event_type", message))
    if reserved(event_type):
        message = f"{event_type} is an event of the server itself; choose another name"
        raise _refused("reserved_event_type", ("event_type", message))
    tenant = _text(found, "tenant_id", MOST_ID)
    if tenant is not None and tenant != app_id:
        raise NotTriggered(404, "not_found", "tenant_id: is not the app that the path names")
    _, data = found.get("data", ("", {}))
    return Asked(event_type, data, _text(found, "event_id", MOST_ID), _text(found, "user_id", MOST_ID))


def read_key(given: str | None) -> str | None:
    """Return the idempotency key of a header. Raises NotTriggered."""
    if given is not None and not (0 < len(given) <= MOST_KEY and _PRINTABLE.fullmatch(given)):
        message = f"Idempotency-Key: must have 1 to {MOST_KEY} characters, and no control characters"
        raise NotTriggered(400, "invalid_idempotency_key", message)
    return given


def _text(found: Mapping[str, tuple[str, Any]], field: str, most: int) -> str | None:
    if field not in found:
        return None
    name, value = found[field]
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= most or _PRINTABLE.fullmatch(value) is None:
        message = f"must be a text of 1 to {most} characters, without control characters"
        raise _refused("invalid_field", (name, message))
    return value


def _refused(code: str, *fields: tuple[str, str]) -> NotTriggered:
    return NotTriggered(422, code, "; ".join(f"{name}: {message}" for name, message in fields), *fields)
