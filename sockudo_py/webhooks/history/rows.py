"""What the history keeps of an attempt. Pure.

No secret is in it: of the headers only those that this server makes are written out, and where a receiver sends a
secret back, its answer has asterisks in that place. ``row_of`` runs for nearly every delivery, so what depends on the
endpoint alone is remembered, and the details are a list without names.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, cast

from sockudo_py.endpoints import Endpoint
from sockudo_py.stores.history.packs import Row
from sockudo_py.webhooks.delivery.attempt import Attempt
from sockudo_py.webhooks.endpoints.profiles import (
    BODY,
    ID_HEADER,
    SENT_WITH_ALL,
    TIME_HEADER,
    fill,
    scheme_headers,
    schemes_of,
)
from sockudo_py.webhooks.targets.base import Delivered, Request

MASK = "***"
MOST_ANSWER = 4096  # bytes
_MOST_IDS = 100  # events of a delivery that are named
_MOST_TYPES = 20  # of different events
_LONGEST_NAME = 200  # characters of an event's id or type
_SHORTEST_SECRET = 4  # characters; anything shorter may stand anywhere
_CLOSED = frozenset({"authorization", "proxy-authorization", "cookie"})
_name_of = itemgetter(0)
_OWN = b'[{"name":"'
_NAME = len(_OWN)
# From the tuple of all fields, in half the time of ``Row(...)``.
_row = cast("Callable[[tuple[Any, ...]], Row]", partial(tuple.__new__, Row))


@dataclass(frozen=True, slots=True)
class Details:
    """What the details of a row say, besides what the row itself does. Times are Unix ms, durations ms."""

    max_attempts: int
    target: str
    event_ids: Sequence[str]
    event_count: int
    started_ms: int
    next_ms: int | None
    http_status: int | None
    queued_ms: int | None
    dns_ms: int | None
    connect_ms: int | None
    tls_ms: int | None
    ttfb_ms: int | None
    total_ms: int
    error_class: str | None
    message: str | None
    response_body: str
    response_truncated: bool
    request_headers: Sequence[tuple[str, str]]
    signed_bytes: int | None
    signed_sha256: str | None


def read_details(details: Sequence[Any]) -> Details:
    """Return what the details of a row say."""
    return Details(*details)


def row_of(attempt: Attempt, endpoint: Endpoint) -> Row:
    """Return the row of an attempt. The payload is kept with the first attempt of a delivery, and with the last."""
    job, outcome, request = attempt.job, attempt.outcome, attempt.request
    number, status = attempt.number, attempt.status
    duration_ms = round(attempt.duration * 1000)
    started_ms = attempt.started_ms
    created_ms = queued_from = job.created_ms
    finished_ms = started_ms + duration_ms
    text, timing = job.events_text, outcome.timing
    size = len(text)
    if job.own == 1 and text.startswith(_OWN):  # one event of a built-in kind: its time is the job's
        types, ids, count = text[_NAME : text.index(b'"', _NAME)].decode(), [job.id], 1
    else:
        events = job.events()
        types, count = _types(events), len(events)
        ids = [_id(event, job.id, at, count) for at, event in enumerate(events[:_MOST_IDS])]
        time_ms = events[0].get("time_ms") if events else None
        if type(time_ms) is int and 0 < time_ms < 2**53:
            created_ms = time_ms
    error_class = message = None
    if not isinstance(outcome, Delivered):
        error_class, message = outcome.error_class, outcome.message
    headers: Sequence[tuple[str, str]] = ()
    signed_bytes = signed_sha256 = None
    if request is not None:
        headers, open_names = request.headers, _open_names(endpoint)
        if not open_names.issuperset(map(_name_of, headers)):
            headers = [(name, given if name in open_names else MASK) for name, given in headers]
        signed = _signed(endpoint, request)
        signed_bytes, signed_sha256 = len(signed), hashlib.sha256(signed).hexdigest()
    body = outcome.response_body
    return _row(
        (
            job.id,
            status,
            number,
            job.redrives,
            created_ms,
            finished_ms,
            attempt.test,
            types,
            size,
            size if number == 1 or status != "retrying" else 0,
            (
                attempt.max_attempts,
                attempt.target,
                ids,
                count,
                started_ms,
                None if attempt.retry_in is None else finished_ms + round(attempt.retry_in * 1000),
                outcome.status,
                max(0, started_ms - queued_from) if number == 1 else None,
                timing.dns_ms,
                timing.connect_ms,
                timing.tls_ms,
                timing.ttfb_ms,
                duration_ms,
                error_class,
                message,
                _answer(body, endpoint, request) if body else "",
                outcome.response_truncated or len(body) > MOST_ANSWER,
                headers,
                signed_bytes,
                signed_sha256,
            ),
        )
    )


def _types(events: list[dict[str, Any]]) -> str:
    if len(events) == 1:
        return _type(events[0].get("name"))
    names = dict.fromkeys(event.get("name") if isinstance(event.get("name"), str) else "" for event in events)
    return "\n".join(_type(name) for name in list(names)[:_MOST_TYPES])


def _type(name: object) -> str:
    if isinstance(name, str):
        return name if len(name) <= _LONGEST_NAME and "\n" not in name else name.replace("\n", " ")[:_LONGEST_NAME]
    return ""


def _id(event: dict[str, Any], delivery: str, at: int, number: int) -> str:
    given = event.get("event_id")
    if given is not None:
        return str(given)[:_LONGEST_NAME]
    return delivery if number == 1 else f"{delivery}_{at}"


def _signed(endpoint: Endpoint, request: Request) -> bytes:
    """Return the bytes that the first signature of a request was made over."""
    template = schemes_of(endpoint)[0].content
    if template == BODY:
        return request.body
    given = dict(request.headers)
    return fill(template, request.body, given.get(ID_HEADER, ""), given.get(TIME_HEADER, ""))


@lru_cache(maxsize=4096)
def _open_names(endpoint: Endpoint) -> frozenset[str]:
    """Return the headers whose values may be shown: signatures, ids and times, nothing that somebody has given."""
    ours = {name for scheme in schemes_of(endpoint) for name in scheme_headers(scheme)}
    return frozenset(name for name in ours if name.lower() not in _CLOSED) | SENT_WITH_ALL


def _answer(body: bytes, endpoint: Endpoint, request: Request | None) -> str:
    text = body[:MOST_ANSWER].decode("utf-8", "replace")
    secrets = _secrets(endpoint)
    if request is not None and not _open_names(endpoint).issuperset(map(_name_of, request.headers)):
        open_names = _open_names(endpoint)
        given = {value for name, value in request.headers if name not in open_names}
        secrets = _longest_first({*secrets, *given, *map(_after_word, given)})
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


@lru_cache(maxsize=4096)
def _secrets(endpoint: Endpoint) -> tuple[str, ...]:
    values = {secret.value for secret in endpoint.secrets}
    values |= {key.secret.decode("utf-8", "replace") for key in endpoint.app_keys}
    return _longest_first(values)


def _after_word(value: str) -> str:
    return value.partition(" ")[2]  # of "Bearer TOKEN", which may come back as TOKEN


def _longest_first(values: set[str]) -> tuple[str, ...]:
    return tuple(sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True))
