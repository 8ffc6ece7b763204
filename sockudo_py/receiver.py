"""Verifies and reads webhooks, for programs that receive them.

Only the standard library is needed, and nothing else of this package, so this file may also be copied into a program
(that is why it is a single one, and longer than most)::

    delivery = verify(raw_body, request.headers, secret=SECRET, profile="irisx")
    for event in delivery.events: ...

``docs/receiving.md`` shows it with aiohttp, FastAPI, Flask, Django and the plain ``http.server``.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

Profile = Literal["pusher", "sockudo", "pulse", "realcast", "remotedevai", "irisx", "standard", "custom"]
Reason = Literal[
    "missing_header", "malformed_header", "unknown_key", "wrong_signature", "too_old", "too_new", "malformed_body"
]
TOLERANCE = 300.0

_BODY, _TIMESTAMP_BODY, _ID_TIMESTAMP_BODY = "{body}", "{timestamp}.{body}", "{id}.{timestamp}.{body}"
_PLACEHOLDER = re.compile(r"(\{id\}|\{timestamp\}|\{body\})")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")  # not \d: int() takes digits of every script


class VerificationError(Exception):
    """The request is forged, too old, or unreadable: answer 401 and drop it.

    ``reason`` is one of a fixed set. The text names the header or the part of the body; it never holds a secret, a
    signature or anything else that the sender chose.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Custom:
    """How an endpoint of profile ``custom`` signs; the defaults are the server's.

    ``template`` is what is signed, with ``{id}``, ``{timestamp}`` and ``{body}`` in it; ``timestamp_header`` and
    ``id_header`` say where the first two stand (``webhook-timestamp`` and ``webhook-id`` are always sent).
    """

    header: str = "X-Signature"
    template: str = _BODY
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    timestamp_header: str = "webhook-timestamp"
    id_header: str = "webhook-id"


@dataclass(frozen=True, slots=True)
class _Scheme(Custom):
    """A row of the table: ``keyed``: the app's keys sign; ``listed``: many signatures in one header."""

    keyed: bool = False
    listed: bool = False
    bare_too: bool = False  # the value without the prefix is as good


_PUSHER = _Scheme("X-Pusher-Signature", prefix="sha256=", keyed=True, bare_too=True)
_SCHEMES: Mapping[str, _Scheme] = MappingProxyType(
    {
        "pusher": _PUSHER,  # bare; the same server may be set to the form with a prefix, so both take both
        "sockudo": _PUSHER,
        "pulse": _Scheme("X-Webhook-Signature", prefix="sha256="),
        "realcast": _Scheme("X-RealCast-Signature", prefix="sha256=", id_header="X-RealCast-Webhook-Id"),
        "remotedevai": _Scheme("X-Webhook-Signature", _TIMESTAMP_BODY, timestamp_header="X-Webhook-Timestamp"),
        "irisx": _Scheme("X-IRISX-Signature", _TIMESTAMP_BODY, prefix="sha256=", timestamp_header="X-IRISX-Timestamp"),
        "standard": _Scheme("webhook-signature", _ID_TIMESTAMP_BODY, "base64", "v1,", listed=True),
    }
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A genuine request.

    Args:
        profile: The one that it was checked with.
        id: Names this request; the same on every attempt. None when the sender gave none.
        id_signed: Whether the signature covers ``id``. If not, an attacker can replay with another id.
        timestamp: Unix seconds when it was signed; for pulse and realcast when the event happened, as their signature
            covers no other time. None when the body has none.
        attempt: 1 for the first one; None when the sender gave none. Not signed.
        key: The app's key that signed; profiles pusher and sockudo.
        events: The events: all of a batch, or the one that the body is.
        payload: The whole body.
        digest: SHA-256 of the body in hex.
    """

    profile: Profile
    id: str | None
    id_signed: bool
    timestamp: float | None
    attempt: int | None
    key: str | None
    events: tuple[dict[str, Any], ...] = field(repr=False)
    payload: dict[str, Any] = field(repr=False)
    digest: str


def verify(
    body: bytes,
    headers: Mapping[str, str],
    *,
    secret: str | None = None,
    secrets: Iterable[str] = (),
    keys: Mapping[str, str] | None = None,
    profile: Profile = "pusher",
    custom: Custom | None = None,
    tolerance: float | None = TOLERANCE,
    now: float | None = None,
) -> Delivery:
    """Return the delivery in a genuine request.

    Args:
        body: The bytes as they came, never JSON that was parsed and written again.
        headers: Of the request; names in any case.
        secret: The shared one: the app's for pusher and sockudo, the endpoint's for all others.
        secrets: More of them, all as good: both of a rotation.
        keys: Pusher key -> secret, instead of ``secret``: then a request of any other app is refused.
        profile: How the endpoint signs.
        custom: The details of profile ``custom``.
        tolerance: Seconds that the signed time may differ from ``now``, both ways; None: any. It stands in a header
            (remotedevai, irisx, standard, custom with ``{timestamp}``) or in the body's ``time_ms`` (pusher, sockudo).
            pulse and realcast sign no time of sending: only ``Seen`` stops replays there.
        now: Unix seconds; without it, the clock's.

    Raises:
        VerificationError: The request must not be believed.
        ValueError: The arguments are unusable, such as no secret, or an empty one.
        TypeError: ``body`` is not bytes.
    """
    if not isinstance(body, bytes):
        raise TypeError("body must be the raw bytes of the request")
    scheme = _scheme(profile, custom)
    fields = _lower(headers)
    key, shared = _secrets(scheme, fields, [*secrets] if secret is None else [secret, *secrets], keys)
    stamp = _signed(fields, scheme.timestamp_header) if "{timestamp}" in scheme.template else None
    ident = _signed(fields, scheme.id_header) if "{id}" in scheme.template else None
    _check_signature(scheme, fields, _content(scheme.template, body, ident, stamp), shared)
    signed_at = _unix(scheme.timestamp_header, stamp) if stamp is not None else None
    payload = _parse(body)
    if scheme.keyed:
        signed_at = _time_ms(payload, required=tolerance is not None)
    if signed_at is not None and tolerance is not None:
        _check_time(signed_at, time.time() if now is None else now, tolerance)
    attempt = _first(fields, "X-Sockudo-Attempt") or ""
    return Delivery(
        profile=profile,
        id=ident or _first(fields, scheme.id_header) or _first(fields, "webhook-id"),
        id_signed=ident is not None,
        timestamp=signed_at if signed_at is not None else _event_time(payload),
        attempt=int(attempt) if _TIMESTAMP.fullmatch(attempt) else None,
        key=key,
        events=_events(payload),
        payload=payload,
        digest=hashlib.sha256(body).hexdigest(),
    )


class Seen:
    """Remembers deliveries for ``ttl`` seconds, at most ``size`` of them, to handle each one once. Thread-safe.

    A delivery was seen when its id was (a retry), or its signed part (a replay under another id). For many processes
    keep ``delivery.id`` in a database instead.
    """

    def __init__(
        self, *, size: int = 10_000, ttl: float = 86_400.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = size
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, float] = OrderedDict()  # mark -> when to forget it; oldest first

    def add(self, delivery: Delivery) -> bool:
        """Remember a delivery; return whether it is new."""
        marks = _marks(delivery)
        with self._lock:
            now = self._clock()
            while self._known and next(iter(self._known.values())) <= now:
                self._known.popitem(last=False)
            new = not any(mark in self._known for mark in marks)
            if new:
                for mark in marks:
                    self._known[mark] = now + self._ttl
                while len(self._known) > 2 * self._size:  # two marks each
                    self._known.popitem(last=False)
            return new

    def discard(self, delivery: Delivery) -> None:
        """Forget a delivery: handling it failed, and its retry must come through."""
        with self._lock:
            for mark in _marks(delivery):
                self._known.pop(mark, None)


def _marks(delivery: Delivery) -> list[str]:
    marks = [] if delivery.id is None else [f"id {delivery.id}"]
    return marks if delivery.id_signed else [*marks, f"body {delivery.digest}"]


def _scheme(profile: str, custom: Custom | None) -> _Scheme:
    if profile != "custom":
        if custom is not None:
            raise ValueError("custom: only with profile custom")
        if profile not in _SCHEMES:
            raise ValueError(f"{profile!r} is no profile; known are {', '.join(_SCHEMES)}, custom")
        return _SCHEMES[profile]
    given = custom or Custom()
    if "{body}" not in given.template:
        raise ValueError("custom.template: without {body} anybody could change the body")
    return _Scheme(given.header, given.template, given.encoding, given.prefix, given.timestamp_header, given.id_header)


def _lower(headers: Mapping[str, str]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in headers.items():
        fields.setdefault(name.lower(), []).append(value)
    return fields


def _one(fields: Mapping[str, list[str]], name: str) -> str:
    values = fields.get(name.lower(), [])
    if not values or not values[0]:
        raise VerificationError("missing_header", f"{name}: missing")
    if len(values) > 1:
        raise VerificationError("malformed_header", f"{name}: given {len(values)} times")
    return values[0]


def _first(fields: Mapping[str, list[str]], name: str) -> str | None:
    return next(iter(fields.get(name.lower(), ())), None)


def _signed(fields: Mapping[str, list[str]], name: str) -> str:
    value = _one(fields, name)
    if not value.isascii():  # two spellings of such a value could become the same signed bytes
        raise VerificationError("malformed_header", f"{name}: not ASCII")
    return value


def _secrets(
    scheme: _Scheme, fields: Mapping[str, list[str]], given: list[str], keys: Mapping[str, str] | None
) -> tuple[str | None, list[bytes]]:
    """Return the app's key that the request names, and the HMAC keys; one of them must have signed it."""
    if keys is not None and (given or not scheme.keyed):
        raise ValueError("keys: only for profiles pusher and sockudo, and instead of secret and secrets")
    key = _one(fields, "X-Pusher-Key") if scheme.keyed and (keys is not None or "x-pusher-key" in fields) else None
    if keys is not None:
        if key is None or key not in keys:
            raise VerificationError("unknown_key", "X-Pusher-Key: not a key of ours")
        given = [keys[key]]
    if not given:
        raise ValueError("a secret is needed")
    return key, [_key(one, scheme.listed) for one in given]


def _key(secret: str, standard: bool) -> bytes:
    if not secret:
        raise ValueError("a secret is empty: anybody could sign with it")
    if not standard:
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a secret of profile standard is whsec_ and base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"a secret of profile standard has 24 to 64 bytes, not {len(key)}")
    return key


def _content(template: str, body: bytes, ident: str | None, stamp: str | None) -> bytes:
    values = {"{id}": (ident or "").encode(), "{timestamp}": (stamp or "").encode(), "{body}": body}
    return b"".join(values[part] if part in values else part.encode() for part in _PLACEHOLDER.split(template))


def _check_signature(scheme: _Scheme, fields: Mapping[str, list[str]], content: bytes, shared: Iterable[bytes]) -> None:
    given = _one(fields, scheme.header)
    received = given.split(" ") if scheme.listed else [given]
    previous = f"{scheme.header}-Previous"  # signed with the secret before the current one, while that still holds
    if not scheme.listed and not scheme.keyed and previous.lower() in fields:
        received.append(_one(fields, previous))
    good = False
    for key in shared:
        digest = hmac.digest(key, content, "sha256")
        text = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
        expected = [scheme.prefix + text, *([text] if scheme.bare_too else ())]
        for one in received:
            for wanted in expected:
                good |= _same(wanted, one)
    if not good:
        raise VerificationError("wrong_signature", f"{scheme.header}: not the signature of this request")


def _same(expected: str, received: str) -> bool:
    """Compare in constant time. Lengths are no secret; compare_digest raises for a str that is not ASCII."""
    if len(received) != len(expected) or not received.isascii():
        return False
    return hmac.compare_digest(expected, received)


def _unix(name: str, stamp: str) -> float:
    if not _TIMESTAMP.fullmatch(stamp):
        raise VerificationError("malformed_header", f"{name}: not Unix seconds")
    return float(stamp)


def _check_time(signed_at: float, now: float, tolerance: float) -> None:
    if signed_at < now - tolerance:
        raise VerificationError("too_old", f"signed over {tolerance:g} s ago")
    if signed_at > now + tolerance:
        raise VerificationError("too_new", f"signed over {tolerance:g} s in the future; is this clock right?")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise VerificationError("malformed_body", "the body is not JSON") from None
    if not isinstance(payload, dict):
        raise VerificationError("malformed_body", "the body is not a JSON object")
    return payload


def _time_ms(payload: Mapping[str, Any], *, required: bool) -> float | None:
    value = payload.get("time_ms")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value / 1000
    if required:
        raise VerificationError("malformed_body", "time_ms: not Unix milliseconds")
    return None


def _event_time(payload: Mapping[str, Any]) -> float | None:
    text = payload.get("timestamp")
    if not isinstance(text, str):
        return _time_ms(payload, required=False)
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _events(payload: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    if "time_ms" not in payload or "events" not in payload:
        return (payload,)
    events = payload["events"]
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise VerificationError("malformed_body", "events: not a list of objects")
    return tuple(events)
