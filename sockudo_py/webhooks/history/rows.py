"""What the history keeps of an attempt. Pure.

No secret is in it: of the headers only those that this server makes are written out, and where a receiver sends a
secret back, its answer has asterisks in that place. ``fields_of`` runs for nearly every delivery, so what depends on
the endpoint alone is remembered, the details are a list without names, and of the headers that every request has
only the values are kept that no other field has (*short* headers).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any

from sockudo_py.endpoints import Endpoint
from sockudo_py.stores.history.packs import Kept, Row
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.endpoints.profiles import (
    BODY,
    CONTENT_TYPE,
    ID_HEADER,
    SENT_WITH_ALL,
    TIME_HEADER,
    Scheme,
    fill,
    scheme_headers,
    schemes_of,
)
from sockudo_py.webhooks.targets.base import Failure, Request

MASK = "***"
MOST_ANSWER = 4096  # bytes
_MOST_IDS = 100  # events of a delivery that are named
_MOST_TYPES = 20  # of different events
_LONGEST_NAME = 200  # characters of an event's id or type
_SHORTEST_SECRET = 4  # bytes; anything shorter may stand anywhere
_LONGEST_SECRET = 4096  # bytes: a secret that begins within the kept part of an answer is looked for as a whole
_CLOSED = frozenset({"authorization", "proxy-authorization", "cookie"})
_OWN = b'[{"name":"'
_OWN_NAMES = re.compile(rb'\{"name":"(\w+)"')  # within strings of an event quotes are escaped


@dataclass(frozen=True, slots=True)
class Details:
    """What the details of a row say, besides what the row itself does. Times are Unix ms, durations ms."""

    max_attempts: int
    target: str
    event_ids: Sequence[str] | None  # None: they have none of their own
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


def read_details(row: Row | Kept) -> Details:
    """Return what the details of a row say."""
    details = Details(*row.details)
    given = details.request_headers
    if not given or not isinstance(given[0], str):
        return details
    agent, time, number, *signatures = given
    return replace(
        details,
        request_headers=(
            ("Content-Type", CONTENT_TYPE),
            ("User-Agent", agent),
            (ID_HEADER, row.delivery),
            (TIME_HEADER, time),
            ("X-Sockudo-Delivery-Id", row.delivery),
            ("X-Sockudo-Attempt", number),
            *(tuple(pair) for pair in signatures),
        ),
    )


def fields_of(attempt: Attempt, sight: "Sight") -> tuple[Any, ...]:
    """Return the fields of an attempt's ``Row``. The payload is kept with the first attempt of a delivery, and with the
    last.
    """
    job, outcome, request = attempt.job, attempt.outcome, attempt.request
    number, status, started_ms = attempt.number, attempt.status, attempt.started_ms
    duration_ms = round(attempt.duration * 1000)
    created_ms = queued_from = job.created_ms
    finished_ms = started_ms + duration_ms
    text, timing = job.events_text, outcome.timing
    size = len(text)
    ids: list[str] | None = None
    count = job.own
    if count and text.startswith(_OWN):  # of built-in kinds: without ids, and the first one's time is the job's
        if count == 1:
            types = text.split(b'"', 4)[3].decode()
        else:
            types = b"\n".join(dict.fromkeys(_OWN_NAMES.findall(text))).decode()
    else:
        events = job.events()
        types, count = _types(events), len(events)
        if any("event_id" in event for event in events):
            ids = [_id(event, job.id, at, count) for at, event in enumerate(events[:_MOST_IDS])]
        time_ms = events[0].get("time_ms") if events else None
        if type(time_ms) is int and 0 < time_ms < 2**53:
            created_ms = time_ms
    error_class = message = None
    if type(outcome) is Failure:
        error_class, message = outcome.error_class, outcome.message
    headers: Sequence[Any] = ()
    signed_bytes = signed_sha256 = None
    if request is not None:
        headers = request.headers
        if len(headers) != sight.usual:  # there are others than ours, or a second signature
            headers = [(name, given if name in sight.open_names else MASK) for name, given in headers]
        elif headers[2][1] == job.id:  # the request has all events of the delivery
            headers = (headers[1][1], headers[3][1], headers[5][1], *headers[6:])
        signed = request.body if sight.template == BODY else _signed(sight.template, request)
        signed_bytes, signed_sha256 = len(signed), sha256(signed).hexdigest()
    answer, cut = "", outcome.response_truncated
    if body := outcome.response_body:
        if len(body) < _SHORTEST_SECRET:
            answer = body.decode("utf-8", "replace")
        else:
            answer, cut = _answer(body, sight, request), cut or len(body) > MOST_ANSWER
    queued_ms = None
    if number == 1:
        queued_ms = started_ms - queued_from if started_ms > queued_from else 0
    return (
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
            queued_ms,
            timing.dns_ms,
            timing.connect_ms,
            timing.tls_ms,
            timing.ttfb_ms,
            duration_ms,
            error_class,
            message,
            answer,
            cut,
            headers,
            signed_bytes,
            signed_sha256,
        ),
    )


def ids_of(details: Details, delivery: str) -> list[str]:
    """Return the ids of the events of a delivery."""
    if details.event_ids is not None:
        return list(details.event_ids)
    number = details.event_count
    return [_id({}, delivery, at, number) for at in range(min(number, _MOST_IDS))]


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


def _signed(template: str, request: Request) -> bytes:
    """Return the bytes that the first signature of a request was made over."""
    given = dict(request.headers)
    return fill(template, request.body, given.get(ID_HEADER, ""), given.get(TIME_HEADER, ""))


@dataclass(frozen=True, slots=True)
class Sight:
    """What may be seen of an endpoint's requests.

    ``open_names`` are the headers whose values are ours: signatures, ids and times, nothing that somebody has given.
    ``usual``: how many headers there are if there are no others; -1: always look. ``secrets``: texts to mask.
    """

    open_names: frozenset[str]
    usual: int
    template: str
    secrets: tuple[bytes, ...]


@lru_cache(maxsize=4096)
def sight_of(endpoint: Endpoint) -> Sight:
    """Return what may be seen of an endpoint's requests."""
    schemes = schemes_of(endpoint)
    ours = {name for scheme in schemes for name in scheme_headers(scheme)}
    open_names = frozenset(name for name in ours if name.lower() not in _CLOSED) | SENT_WITH_ALL
    usual = len(SENT_WITH_ALL) + sum(_number(scheme) for scheme in schemes)
    secrets = {secret.value.encode() for secret in endpoint.secrets} | {key.secret for key in endpoint.app_keys}
    return Sight(
        open_names,
        -1 if endpoint.headers or not ours <= open_names else usual,
        schemes[0].content,
        _longest_first(secrets),
    )


def _number(scheme: Scheme) -> int:
    """Return how many headers a scheme sets while no secret is being rotated."""
    return len(scheme_headers(scheme)) - (scheme.rotation == "previous")


def _answer(body: bytes, sight: Sight, request: Request | None) -> str:
    secrets = sight.secrets
    if request is not None and len(request.headers) != sight.usual:
        given = {value.encode() for name, value in request.headers if name not in sight.open_names}
        tokens = {value.partition(b" ")[2] for value in given}  # of "Bearer TOKEN", which may come back as TOKEN
        secrets = _longest_first({*secrets, *given, *tokens})
    body = body[: MOST_ANSWER + _LONGEST_SECRET]
    for secret in secrets:
        if secret in body:
            body = body.replace(secret, MASK.encode())
    return body[:MOST_ANSWER].decode("utf-8", "replace")


def _longest_first(values: set[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True))
