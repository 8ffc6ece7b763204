"""What the history keeps of an attempt. Pure.

No secret is in it: of the headers only those that this server makes are written out, and where a receiver sends a
secret back, its answer has asterisks in that place.
"""

import hashlib
from functools import lru_cache
from typing import Any

import orjson

from sockudo_py.endpoints import Endpoint
from sockudo_py.stores.history.base import Row
from sockudo_py.webhooks.delivery.attempt import Attempt
from sockudo_py.webhooks.endpoints.headers import OURS
from sockudo_py.webhooks.endpoints.profiles import scheme_headers, schemes_of, signed_content
from sockudo_py.webhooks.targets.base import Delivered, Request

MASK = "***"
MOST_ANSWER = 4096  # bytes
_MOST_IDS = 100  # events of a delivery that are named
_MOST_TYPES = 20  # of different events
_LONGEST_NAME = 200  # characters of an event's id or type
_SHORTEST_SECRET = 4  # characters; anything shorter may stand anywhere
_OPEN = OURS | {"content-type", "user-agent"}


def row_of(attempt: Attempt, endpoint: Endpoint) -> Row:
    """Return the row of an attempt."""
    job, outcome, request = attempt.job, attempt.outcome, attempt.request
    duration_ms = round(attempt.duration * 1000)
    finished_ms = attempt.started_ms + duration_ms
    events = job.events()
    timing = outcome.timing
    document: dict[str, Any] = {
        "max_attempts": attempt.max_attempts,
        "target": attempt.target,
        "event_ids": [_id(event, job.id, at, len(events)) for at, event in enumerate(events[:_MOST_IDS])],
        "event_count": len(events),
        "started_ms": attempt.started_ms,
        "next_ms": None if attempt.retry_in is None else finished_ms + round(attempt.retry_in * 1000),
        "http_status": outcome.status,
        "timing": {
            "queued_ms": max(0, attempt.started_ms - job.created_ms) if attempt.number == 1 else None,
            "dns_ms": timing.dns_ms,
            "connect_ms": timing.connect_ms,
            "tls_ms": timing.tls_ms,
            "ttfb_ms": timing.ttfb_ms,
            "total_ms": duration_ms,
        },
    }
    if not isinstance(outcome, Delivered):
        document["error"] = [outcome.error_class, outcome.message]
    if outcome.response_body:
        document["response_body"] = _answer(outcome.response_body, endpoint, request)
        document["response_truncated"] = outcome.response_truncated or len(outcome.response_body) > MOST_ANSWER
    if request is not None:
        open_names = _open_names(endpoint)
        document["request_headers"] = [
            (name, value if name.lower() in open_names else MASK) for name, value in request.headers
        ]
        signed = signed_content(endpoint, request.body, request.headers)
        document["signed"] = [len(signed), hashlib.sha256(signed).hexdigest()]
    time_ms = events[0].get("time_ms") if events else None
    return Row(
        endpoint.uid,
        endpoint.app_id,
        job.id,
        attempt.status,
        attempt.number,
        job.redrives,
        time_ms if type(time_ms) is int and 0 < time_ms < 2**53 else job.created_ms,
        finished_ms,
        _types(events),
        orjson.dumps(document),
        job.events_text,
        attempt.test,
    )


def _types(events: list[dict[str, Any]]) -> tuple[str, ...]:
    names = dict.fromkeys(str(event.get("name", "")) for event in events)
    return tuple(name.replace("\n", " ")[:_LONGEST_NAME] for name in list(names)[:_MOST_TYPES])


def _id(event: dict[str, Any], delivery: str, at: int, number: int) -> str:
    given = event.get("event_id")
    if given is not None:
        return str(given)[:_LONGEST_NAME]
    return delivery if number == 1 else f"{delivery}_{at}"


@lru_cache(maxsize=4096)
def _open_names(endpoint: Endpoint) -> frozenset[str]:
    """Return the headers (lower case) whose values may be shown: signatures, ids and times, nothing that is given."""
    ours = {name.lower() for scheme in schemes_of(endpoint) for name in scheme_headers(scheme)} | _OPEN
    return frozenset(ours - {"authorization", "proxy-authorization", "cookie"})


def _answer(body: bytes, endpoint: Endpoint, request: Request | None) -> str:
    text = body[:MOST_ANSWER].decode("utf-8", "replace")
    for secret in _secrets(endpoint, request):
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def _secrets(endpoint: Endpoint, request: Request | None) -> list[str]:
    values = {value for _, value in endpoint.headers}
    values |= {value.partition(" ")[2] for value in values if " " in value}  # "Bearer TOKEN" sent back as TOKEN
    values |= {secret.value for secret in endpoint.secrets}
    values |= {key.secret.decode("utf-8", "replace") for key in endpoint.app_keys}
    if request is not None:
        values |= {value for name, value in request.headers if name.lower() not in _open_names(endpoint)}
    return sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)
