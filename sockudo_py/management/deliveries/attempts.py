"""How attempts of deliveries look in answers. Pure."""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from sockudo_py.management.requests.values import Refused, iso
from sockudo_py.stores.history.base import Link
from sockudo_py.stores.history.packs import Kept
from sockudo_py.webhooks.history.rows import ids_of, read_details

# The words of Pulse's log, by error class.
_WORDS: Mapping[str, str] = {
    "timeout_connect": "Connection timeout",
    "timeout_read": "Connection timeout",
    "tls": "SSL certificate error",
    "dns": "Name resolution error",
    "connect": "Connection refused",
    "reset": "Connection reset",
}
_UNAUTHORIZED = 401


def attempt_id(kept: Kept) -> str:
    """Return what names a row."""
    return f"at_{kept.place}"


def shown(kept: Kept, links: Mapping[str, Link]) -> dict[str, Any]:
    """Return an attempt as JSON. ``links``: whose retries deliveries are."""
    details = read_details(kept)
    link = links.get(kept.delivery)
    return {
        "id": kept.delivery,
        "attempt_id": attempt_id(kept),
        "webhook_id": kept.endpoint,
        "app_id": kept.app_id,
        "event_ids": ids_of(details, kept.delivery),
        "event_types": list(kept.event_types()),
        "event_count": details.event_count,
        "attempt": kept.number,
        "max_attempts": details.max_attempts,
        "status": kept.status,
        "http_status": details.http_status,
        "response_body": details.response_body,
        "response_truncated": details.response_truncated,
        "error": {"class": details.error_class, "message": details.message} if details.error_class else None,
        "request_headers": dict(details.request_headers),
        "signed": {"bytes": details.signed_bytes, "sha256": details.signed_sha256} if details.signed_sha256 else None,
        "target": details.target,
        "timing": {
            "queued_ms": details.queued_ms,
            "dns_ms": details.dns_ms,
            "connect_ms": details.connect_ms,
            "tls_ms": details.tls_ms,
            "ttfb_ms": details.ttfb_ms,
            "total_ms": details.total_ms,
        },
        "created_at": iso(kept.created_ms),
        "started_at": iso(details.started_ms),
        "finished_at": iso(kept.finished_ms),
        "next_attempt_at": iso(details.next_ms),
        "size": kept.size,
        "test": kept.test,
        "redrive": kept.redrive,
        "retry_of": link.retry_of if link is not None else None,
    }


def logged(kept: Kept, links: Mapping[str, Link]) -> dict[str, Any]:
    """Return an attempt as an entry of the log, whose ``message`` is in Pulse's words."""
    entry = shown(kept, links)
    return {"message": _message(entry), "timestamp": entry["finished_at"], **entry}


def _message(entry: Mapping[str, Any]) -> str:
    error = entry["error"]
    if error is None:
        return "Delivered"
    if entry["http_status"] == _UNAUTHORIZED:
        return "Invalid signature"
    return str(_WORDS.get(error["class"], error["message"]))


def whole(
    attempts: Sequence[Kept], links: Mapping[str, Link], payload: bytes | None, *, again: bool = False
) -> dict[str, Any]:
    """Return a delivery as JSON: its last attempt, all attempts, and its events (None: they are not kept any more).

    ``again``: it is a dead letter that was sent again and has not been tried since.
    """
    last = shown(attempts[-1], links)
    if again:
        last["status"] = "pending"
    return {**last, "attempts": [shown(kept, links) for kept in attempts], "payload": events_of(payload)}


def pending(link: Link, payload: bytes | None) -> dict[str, Any]:
    """Return a retry that has no attempt yet, as JSON."""
    return {
        "id": link.delivery,
        "webhook_id": link.endpoint,
        "app_id": link.app_id,
        "status": "pending",
        "created_at": iso(link.time_ms),
        "retry_of": link.retry_of,
        "attempts": [],
        "payload": events_of(payload),
    }


def events_of(payload: bytes | None) -> Any:
    """Return the events of a payload."""
    return None if payload is None else orjson.loads(payload)


def links_wanted(rows: Iterable[Kept]) -> list[str]:
    """Return the deliveries whose origin is asked for."""
    return list(dict.fromkeys(kept.delivery for kept in rows))


def write_cursor(place: int | None) -> str | None:
    """Return the cursor of those that follow; None: there are none."""
    return None if place is None else base64.urlsafe_b64encode(b"h%d" % place).decode().rstrip("=")


def read_cursor(cursor: str | None) -> int | None:
    """Return the place of a cursor. Raises Refused: 400."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        text = b""
    if not (text[:1] == b"h" and text[1:].isdigit() and len(text) < 18):
        raise Refused(400, "invalid_cursor", "cursor: is none that this server has given")
    return int(text[1:])
