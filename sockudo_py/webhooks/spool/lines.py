"""The lines of a spool file: one event each, as a JSON object. Pure."""

import base64
from dataclasses import dataclass
from sys import intern

import orjson

from sockudo_py.queues.base import Append

_TYPES = {"id": str, "endpoint": str, "app_id": str, "event": str, "created_ms": int, "solo": bool}
_LATEST_MS = 10**16 - 1  # what every queue can hold


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of a spool file that is no event: which one, what is wrong with it, and its bytes."""

    number: int
    problem: str
    text: bytes


def line_of(event: Append) -> bytes:
    """Return the line of an event, with its newline."""
    fields = {
        "id": event.id,
        "endpoint": event.endpoint,
        "app_id": event.app_id,
        "event": base64.b64encode(event.event).decode(),
        "created_ms": event.created_ms,
        "solo": event.solo,
    }
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def event_in(line: bytes) -> Append:
    """Return the event of a line; raise ValueError with what is wrong. A person may have written it."""
    try:
        fields = orjson.loads(line)
    except ValueError:
        raise ValueError("is not JSON" if line.endswith(b"\n") else "is cut off, or not JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("is not a JSON object")
    for name, kind in _TYPES.items():
        if type(fields.get(name)) is not kind:
            raise ValueError(f"{name} is missing or of another type than {kind.__name__}")
        if fields[name] == "":
            raise ValueError(f"{name} is empty")
    if not 0 <= fields["created_ms"] <= _LATEST_MS:
        raise ValueError("created_ms is not a Unix time in milliseconds")
    try:
        event = base64.b64decode(fields["event"], validate=True)
        sound = isinstance(orjson.loads(event), dict)
    except ValueError:
        sound = False
    if not sound:  # it would spoil the whole batch that it becomes a part of
        raise ValueError("event is not a JSON object in base64")
    endpoint, app_id = intern(fields["endpoint"]), intern(fields["app_id"])  # which many events share
    return Append(fields["id"], endpoint, app_id, event, fields["created_ms"], fields["solo"])
