"""Bodies of requests: how events are wrapped for a receiver. Pure.

The ``pusher`` envelope carries many events, every other one a single event. Times and ids in a body are the event's own
and the same on every attempt (receivers build replay keys of them); only Pusher's ``time_ms`` follows the clock on late
attempts.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

import orjson

from sockudo_py.compact import compact
from sockudo_py.endpoints import Endpoint, EnvelopeName, batched, envelope_of
from sockudo_py.protocol.values import value
from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.events import EVENT_NAMES, Event, pusher_style

# Pusher's Python SDK refuses a body whose time_ms is over 300 s away; an older delivery gets the time of sending.
FRESH_MS = 240_000

_BUILT_IN = frozenset(EVENT_NAMES.values())
_MAX_SAFE_INTEGER = 2**53 - 1
_MAX_ARRAY_INDEX = 2**32 - 2


@value
class Body:
    """The bytes of one request, the id that names it on every attempt, and which of the job's events it carries."""

    id: str
    content: bytes
    events: range


def bodies(endpoint: Endpoint, job: Job, now_ms: Callable[[], int], max_bytes: int | None = None) -> Iterator[Body]:
    """Make the bodies that carry a job's events to this endpoint, each when it is asked for.

    One body; or one per event, where the envelope holds one; or several of at most ``max_bytes``. Only a body of a
    single event may be larger. The same events have the same ids on every call.
    """
    whole = whole_body(endpoint, job, now_ms())
    if whole is not None and (max_bytes is None or len(whole.content) <= max_bytes or len(whole.events) == 1):
        yield whole
    else:
        make = _batch if batched(endpoint) else _single
        yield from _halves(make, endpoint, job, range(job.count()), now_ms, max_bytes)


def whole_body(endpoint: Endpoint, job: Job, now_ms: int) -> Body | None:
    """Return the body that carries all events of a job, however large it is; None when the envelope holds one event."""
    whole = range(job.count())
    content = (_batch if batched(endpoint) else _single)(endpoint, job, whole, now_ms)
    return None if content is None else Body(job.id, content, whole)


_Maker = Callable[[Endpoint, Job, range, int], bytes | None]


def _halves(
    make: _Maker, endpoint: Endpoint, job: Job, which: range, now_ms: Callable[[], int], max_bytes: int | None
) -> Iterator[Body]:
    if job.parsed is None:
        job = replace(job, parsed=job.events())  # once, and not for each part
    middle = (len(which) + 1) // 2
    for half in (which[:middle], which[middle:]):
        content = make(endpoint, job, half, now_ms())
        if content is not None and (max_bytes is None or len(content) <= max_bytes or len(half) == 1):
            yield Body(_body_id(job, half), content, half)
        else:
            yield from _halves(make, endpoint, job, half, now_ms, max_bytes)


def _body_id(job: Job, which: range) -> str:
    if len(which) == job.count():
        return job.id
    return f"{job.id}_{which[0]}" if len(which) == 1 else f"{job.id}_{which[0]}-{which[-1]}"


def _batch(endpoint: Endpoint, job: Job, which: range, now_ms: int) -> bytes:
    whole = len(which) == job.count()
    time_ms = envelope_time(job.created_ms, now_ms)
    plain = whole and endpoint.json_style == "compact" and endpoint.payload == "seed"
    if plain and (job.own or _built_in(job)):
        return b'{"time_ms":%d,"events":%b}' % (time_ms, job.events_text)
    events = job.events()
    if not whole:
        events = events[which.start : which.stop]
    shown = [pusher_style(event) for event in events] if endpoint.payload == "pusher" else events
    return dump({"time_ms": time_ms, "events": shown}, endpoint.json_style)


def _single(endpoint: Endpoint, job: Job, which: range, now_ms: int) -> bytes | None:
    """None for more than one event."""
    if len(which) > 1:
        return None
    event = job.events()[which[0]]
    time_ms = event.get("time_ms", job.created_ms)
    parts = _Parts(
        app_id=endpoint.app_id,
        name=str(event.get("name", "")),
        id=str(event.get("event_id") or _body_id(job, which)),
        timestamp=iso_time(time_ms if isinstance(time_ms, int) else job.created_ms),
        data=_data(event),
    )
    return dump(_WRAPPERS[envelope_of(endpoint)](parts), endpoint.json_style)


def _built_in(job: Job) -> bool:
    """Return whether these are events of our own kinds: strings and small integers only."""
    return all(event.get("name") in _BUILT_IN for event in job.events())


def envelope_time(created_ms: int, now_ms: int) -> int:
    """Return ``time_ms`` of a Pusher envelope: the creation while that is fresh, the time of sending afterwards."""
    return created_ms if 0 <= now_ms - created_ms < FRESH_MS else now_ms


def iso_time(time_ms: int) -> str:
    """Return ``2025-01-19T10:30:00Z``."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dump(value: object, style: Literal["compact", "python"]) -> bytes:
    """Return JSON bytes: as JavaScript's ``JSON.stringify`` writes it, or as Python's ``json.dumps`` does.

    Some receivers check the signature over re-serialised JSON, so the body has to survive that in their language.
    """
    if style == "python":
        return json.dumps(value).encode()
    return compact(orjson.dumps(js_stable(value)))


def js_stable(value: Any) -> Any:
    """Return ``value`` so that JavaScript's parse and stringify give the same text.

    Whole floats become integers, integers beyond 2^53 strings, and integer-like keys come first, in ascending order.
    """
    if isinstance(value, dict):
        indexes = sorted((key for key in value if _is_index(key)), key=int)
        keys = [*indexes, *(key for key in value if not _is_index(key))] if indexes else value
        return {key: js_stable(value[key]) for key in keys}
    if isinstance(value, list):
        return [js_stable(item) for item in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) <= _MAX_SAFE_INTEGER:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MAX_SAFE_INTEGER:
        return str(value)
    return value


def _is_index(key: str) -> bool:
    if not (key.isascii() and key.isdigit()) or len(key) > 10:
        return False
    return (key == "0" or key[0] != "0") and int(key) <= _MAX_ARRAY_INDEX


def _data(event: Event) -> object:
    if event.get("name") in _BUILT_IN:
        return {key: value for key, value in event.items() if key != "name"}
    return event.get("data", {})


@dataclass(frozen=True, slots=True)
class _Parts:
    app_id: str
    name: str
    id: str
    timestamp: str
    data: object


_WRAPPERS: Mapping[EnvelopeName, Callable[[_Parts], dict[str, object]]] = MappingProxyType(
    {
        "pulse": lambda p: {"event": p.name, "project_id": p.app_id, "timestamp": p.timestamp, "data": p.data},
        "realcast": lambda p: {"event": p.name, "timestamp": p.timestamp, "data": p.data},
        "remotedevai": lambda p: {"id": p.id, "type": p.name, "timestamp": p.timestamp, "data": p.data},
        "irisx": lambda p: {"event": p.name, "event_id": p.id, "timestamp": p.timestamp, "data": p.data},
        "standard": lambda p: {"type": p.name, "timestamp": p.timestamp, "data": p.data},
    }
)
