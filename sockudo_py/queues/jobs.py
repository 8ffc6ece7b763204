"""The text of a job: one self-contained JSON encoding, the same in every driver and in every list of Redis.

``{"v":1,"id":…,"ep":…,"kind":"webhook","app":…,"attempt":0,"redrives":0,"created_ms":…,"events":[…]}``

A dead job carries ``"failed_ms":…,"error":{"class":…,"status":…,"message":…}`` after its events. The keys stand in
exactly this order, so that the scripts in Redis find id, endpoint and events by looking at the start of the text,
without parsing it. A text that a person wrote or reformatted is parsed as any JSON. Pure: no clock, no I/O.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import orjson

from sockudo_py.compact import compact
from sockudo_py.errors import SockudoError
from sockudo_py.protocol.values import value
from sockudo_py.queues.base import ALL_DEAD, Append, Claim, DeadLetters, FreshJob, make_fresh

_EVENTS = b',"events":['
_HEAD = re.compile(
    rb'\{"v":1,"id":"([^"\\\x00-\x1f]+)","ep":"([^"\\\x00-\x1f]+)","kind":"webhook","app":"([^"\\\x00-\x1f]*)",'
    rb'"attempt":(\d{1,9}),"redrives":(\d{1,9}),"created_ms":(\d{1,16}),"events":\['
)
_DEAD = re.compile(rb'(.*\]),"failed_ms":(\d+),"error":(\{.*\})\}', re.DOTALL)  # greedy: the last one counts

_FAILED = re.compile(rb'\],"failed_ms":(\d{1,16}),"error":\{"class":"([^"\\\x00-\x1f]*)"')


class PoisonJob(SockudoError):
    """A job text that can't be delivered, whatever is tried. It belongs in ``failed`` (see ``poison``)."""


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job is dead. ``error_class`` is one of the error classes of the delivery log."""

    error_class: str
    message: str = ""
    status: int | None = None


@value
class Job:
    """One batch of events for one endpoint. ``events_text`` is the JSON array exactly as it was appended."""

    id: str
    endpoint: str
    app_id: str
    created_ms: int
    events_text: bytes
    attempt: int = 0
    redrives: int = 0
    failed_ms: int | None = None
    error: JobError | None = None
    parsed: list[dict[str, Any]] | None = field(default=None, repr=False, compare=False)  # of events_text, if known
    own: int = field(default=0, repr=False, compare=False)  # as in ``Claim``

    def events(self) -> list[dict[str, Any]]:
        """Return the events, parsed; don't change them. ``decode`` has made sure that this works."""
        if self.parsed is not None:
            return self.parsed
        events: list[dict[str, Any]] = orjson.loads(self.events_text)
        return events

    def count(self) -> int:
        """Return how many events it has."""
        return self.own or len(self.events())


def encode(job: Job) -> bytes:
    """Return the text of a job."""
    text = _head(job.id, job.endpoint, job.app_id, job.attempt, job.redrives, job.created_ms) + job.events_text
    if job.failed_ms is None and job.error is None:
        return text + b"}"
    return text + _tail(job.failed_ms or 0, job.error or JobError("unknown"))


def encode_event(append: Append) -> bytes:
    """Return the text of a fresh job that holds only this event."""
    return encode_events(append, (append.event,))


def fresh(first: Append, events: Sequence[bytes]) -> FreshJob:
    """Return what a job that holds these events is made of; all else is as in the first one."""
    text = events[0] if len(events) == 1 else b",".join(events)
    return make_fresh((first.id, first.endpoint, first.app_id, first.created_ms, b"".join((b"[", text, b"]"))))


def encode_fresh(job: FreshJob) -> bytes:
    """Return the text of a fresh job."""
    ident, endpoint, app_id, created_ms, events_text = job
    return b'{"v":1,"id":%b%b%d,"events":%b}' % (orjson.dumps(ident), _fresh(endpoint, app_id), created_ms, events_text)


def encode_events(first: Append, events: Sequence[bytes]) -> bytes:
    """Return the text of a fresh job that holds these events; all else is as in the first one."""
    return encode_fresh(fresh(first, events))


def decode(text: bytes, own: int = 0) -> Job:
    """Return the job of a text. ``own``, as in ``Claim``, spares looking at its events.

    Raises:
        PoisonJob: The text is not a job of a version that is known here. The message says what is wrong with it.
    """
    head = _HEAD.match(text)
    if head is not None and text.endswith(b"]}"):
        events_text = text[head.end() - 1 : -1]
        events = None if own else _array(events_text)
        ident, endpoint, app_id, attempt, redrives, created_ms = head.groups()
        try:
            return Job(
                ident.decode(),
                endpoint.decode(),
                app_id.decode(),
                int(created_ms),
                events_text,
                int(attempt),
                int(redrives),
                parsed=events,
                own=own,
            )
        except UnicodeDecodeError as error:
            raise PoisonJob("the job is not UTF-8") from error
    return _decode_any(text)


def of_claim(claim: Claim) -> Job:
    """Return the job of a claim. Raises as ``decode`` does."""
    if claim.fresh is None:
        return decode(claim.job, claim.own)
    ident, endpoint, app_id, created_ms, events_text = claim.fresh
    return Job(ident, endpoint, app_id, created_ms, events_text, own=claim.own)


def header(text: bytes) -> tuple[str, str] | None:
    """Return id and endpoint of a job text, or None for a poison one. Cheap: the events are not looked at."""
    head = _HEAD.match(text)
    try:
        if head is not None:
            return head.group(1).decode(), head.group(2).decode()
        fields = orjson.loads(text)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    ident, endpoint = fields.get("id"), fields.get("ep")
    if isinstance(ident, str) and isinstance(endpoint, str) and ident and endpoint:
        return ident, endpoint
    return None


def created_ms(text: bytes) -> int:
    """Return when the first event of a job was created; 0 for a poison text."""
    head = _HEAD.match(text)
    if head is not None:
        return int(head.group(6))
    try:
        return _decode_any(text).created_ms
    except PoisonJob:
        return 0


def app_of(text: bytes) -> str | None:
    """Return the app of a job that our own code made; None when its text does not name one."""
    head = _HEAD.match(text)
    return head.group(3).decode() if head is not None and head.group(3) else None


def fits(text: bytes, which: DeadLetters) -> bool:
    """Return whether a dead job is one of these. ``queue_chosen.lua`` says the same."""
    if which == ALL_DEAD:
        return True
    fields = _dead_fields(text)
    if fields is None:
        return False
    ident, endpoint, app_id, failed_ms, error_class = fields
    return (
        (which.ids is None or ident in which.ids)
        and which.endpoint in (None, endpoint)
        and which.app_id in (None, app_id)
        and (which.since_ms is None or failed_ms >= which.since_ms)
        and (which.until_ms is None or failed_ms < which.until_ms)
        and which.error_class in (None, error_class)
    )


def merge(first: bytes, events: Sequence[bytes]) -> bytes:
    """Return one job out of a fresh job text and the JSON texts of further events, without parsing any of them."""
    return b",".join((first[:-2], *events)) + b"]}" if events else first


def event_of(text: bytes) -> bytes:
    """Return the JSON of the only event of a text made by ``encode_event``."""
    return text[text.index(_EVENTS) + len(_EVENTS) : -2]


def require_header(text: bytes) -> tuple[str, str]:
    """Return id and endpoint of a job text that our own code made. Raises ValueError when it is none."""
    head = header(text)
    if head is None:
        raise ValueError("this is not the text of a job; make it with jobs.encode()")
    return head


def with_events(job: Job, events: list[dict[str, Any]]) -> Job:
    """Return a job with only these of its events."""
    return replace(job, events_text=orjson.dumps(events), parsed=events, own=0)


def dropped(error_class: str) -> JobError:
    """Return the error of jobs that ``Queue.drop`` moved."""
    return JobError(error_class, "dropped before it was delivered")


def crashed(times: int) -> JobError:
    """Return the error of a job that took its worker down too often."""
    return JobError("poison", f"its lease expired {times} times: the worker died, or hung, each time")


def revive(text: bytes) -> bytes:
    """Return a claimed text as it is delivered: a dead job starts again at attempt 0, ``redrives`` one higher.

    Texts without ``failed_ms`` come back unchanged, and so do poison ones: ``decode`` says what is wrong with them.
    """
    if text.endswith(b"]}") and _HEAD.match(text):
        return text
    try:
        job = _decode_any(text)
    except PoisonJob:
        return text
    if job.failed_ms is None and job.error is None:
        return text
    return encode(replace(job, attempt=0, redrives=job.redrives + 1, failed_ms=None, error=None))


def bury(text: bytes, failed_ms: int, error: JobError) -> bytes:
    """Return the text of a job as it goes to ``failed``; earlier ``failed_ms`` and ``error`` are replaced."""
    try:
        return encode(replace(decode(text), failed_ms=failed_ms, error=error))
    except PoisonJob as problem:
        return poison(text, failed_ms, str(problem))


def poison(text: bytes, failed_ms: int, message: str) -> bytes:
    """Return a dead job around a text that is no job: ``raw`` has the text, for a person to look at."""
    if b'"class":"poison"' in text and b',"raw":' in text:
        return text  # wrapped already
    ident, endpoint = header(text) or (f"poison-{failed_ms}", "")
    shell = _head(ident, endpoint, "", 0, 0, failed_ms) + b"[]" + _tail(failed_ms, JobError("poison", message))
    return shell[:-1] + b',"raw":' + orjson.dumps(text.decode("utf-8", "replace")) + b"}"


@lru_cache(maxsize=4096)
def _fresh(endpoint: str, app_id: str) -> bytes:
    """Return what stands between the id and the number of milliseconds in the head of a job that was never tried."""
    return b',"ep":%b,"kind":"webhook","app":%b,"attempt":0,"redrives":0,"created_ms":' % (
        orjson.dumps(endpoint),
        orjson.dumps(app_id),
    )


def _head(ident: str, endpoint: str, app_id: str, attempt: int, redrives: int, created_ms: int) -> bytes:
    return b'{"v":1,"id":%b,"ep":%b,"kind":"webhook","app":%b,"attempt":%d,"redrives":%d,"created_ms":%d,"events":' % (
        orjson.dumps(ident),
        orjson.dumps(endpoint),
        orjson.dumps(app_id),
        attempt,
        redrives,
        created_ms,
    )


def _tail(failed_ms: int, error: JobError) -> bytes:
    fields = {"class": error.error_class, "status": error.status, "message": error.message}
    return b',"failed_ms":%d,"error":%b}' % (failed_ms, orjson.dumps(fields))


def _array(events_text: bytes) -> list[dict[str, Any]]:
    try:
        events = orjson.loads(events_text)
    except orjson.JSONDecodeError as error:
        raise PoisonJob(f"the events of the job are not JSON: {error}") from error
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise PoisonJob("the events of the job are not a list of objects")
    if not events:
        raise PoisonJob("the job has no events")
    return events


def _decode_any(text: bytes) -> Job:
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise PoisonJob(f"the job is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise PoisonJob("the job is not a JSON object")
    if fields.get("v") != 1:
        raise PoisonJob('the job has no known version ("v" must be 1)')
    ident, endpoint, app_id = (_string(fields, key) for key in ("id", "ep", "app"))
    attempt, redrives = (_count(fields, key, 0) for key in ("attempt", "redrives"))
    created_ms = _count(fields, "created_ms", None)
    head = _HEAD.match(text)
    dead = _DEAD.fullmatch(text) if head is not None else None
    if head is not None and dead is not None:  # ours: keep the very bytes of the events, numbers included
        events_text = dead.group(1)[head.end() - 1 :]
    else:
        events_text = compact(orjson.dumps(fields.get("events")))
    _array(events_text)
    failed_ms = _count(fields, "failed_ms", None) if "failed_ms" in fields else None
    return Job(ident, endpoint, app_id, created_ms, events_text, attempt, redrives, failed_ms, _error(fields))


def _dead_fields(text: bytes) -> tuple[object, object, object, int, object] | None:
    """Return id, endpoint, app, ``failed_ms`` (0: none) and error class of a dead job; None: it is no JSON object."""
    head = _HEAD.match(text)
    failed = _FAILED.match(text, text.rfind(b'],"failed_ms":')) if head is not None else None
    if head is not None and failed is not None:
        ident, endpoint, app_id = (field.decode("utf-8", "replace") for field in head.groups()[:3])
        return ident, endpoint, app_id, int(failed.group(1)), failed.group(2).decode("utf-8", "replace")
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    failed_ms = fields.get("failed_ms")
    if not isinstance(failed_ms, int) or isinstance(failed_ms, bool):
        failed_ms = 0
    error = fields.get("error")
    error_class = error.get("class") if isinstance(error, dict) else None
    return fields.get("id"), fields.get("ep"), fields.get("app"), failed_ms, error_class


def _string(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise PoisonJob(f'"{key}" of the job must be a string that is not empty')
    return value


def _count(fields: Mapping[str, Any], key: str, default: int | None) -> int:
    value = fields.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise PoisonJob(f'"{key}" of the job must be an integer from 0 on')
    return value


def _error(fields: Mapping[str, Any]) -> JobError | None:
    error = fields.get("error")
    if not isinstance(error, dict):
        return None
    status = error.get("status")
    return JobError(
        str(error.get("class", "unknown")),
        str(error.get("message", "")),
        status if isinstance(status, int) and not isinstance(status, bool) else None,
    )
