"""What clients do, and what happens to them: for the log at level debug, and for the followers of the tap.

Callers look at ``logs.tracing`` and at the tap first; here neither is checked again.
"""

import json
import logging
from collections.abc import Sequence

from sockudo_py import logs
from sockudo_py.hub import Sink
from sockudo_py.logs import shortened
from sockudo_py.protocol.effects import Member
from sockudo_py.tap import Tap

log = logging.getLogger(__name__)

_SHOWN = 200  # characters of a name or a text from outside
_MOST_DATA = 4096  # bytes of a message that followers see


def client(
    tap: Tap, sink: Sink, kind: str, what: str, channel: str | None = None, user_id: str | None = None, **more: object
) -> None:
    """Report what a client did, or what happened to it. ``what`` is for the log, ``kind`` for followers."""
    session = sink.session
    if logs.tracing:
        named = {} if channel is None else {"channel": shortened(channel, _SHOWN)}
        user = {} if user_id is None else {"user_id": shortened(user_id, _SHOWN)}
        about = {"app_id": session.app.id, "socket_id": session.socket_id, "address": session.source.shown}
        log.debug(what, extra={**about, **named, **user, **more})
    if tap.cold:
        known = user_id if user_id is not None else session.user_id
        tap.tell(kind, session.app.id, session.socket_id, channel, known, lambda: dict(more))


def client_event(tap: Tap, sink: Sink, channel: str, event: str, payload: bytes, user_id: str | None) -> None:
    """Report a client event."""
    session = sink.session
    if logs.tracing:
        about = {"app_id": session.app.id, "socket_id": session.socket_id, "address": session.source.shown}
        log.debug("client event", extra={**about, "channel": channel, "event": shortened(event)})
    if tap.on:
        tap.tell(
            "client_event",
            session.app.id,
            session.socket_id,
            channel,
            user_id,
            lambda: {"event": shortened(event, _SHOWN), "frame": shortened(payload, _MOST_DATA)},
        )


def error(tap: Tap, sink: Sink, payload: bytes) -> str:
    """Report a ``pusher:error`` that a client gets; return its code, ``none`` where it has none."""
    data = json.loads(payload)["data"]
    code, text = data["code"], str(data["message"])
    _tell_error(tap, sink, "error" if code is None else str(code), text)
    if logs.tracing:
        session = sink.session
        about = {"app_id": session.app.id, "socket_id": session.socket_id, "address": session.source.shown}
        log.debug("client got an error", extra={**about, "code": code, "error": shortened(text, _SHOWN)})
    return "none" if code is None else str(code)


def closed(tap: Tap, sink: Sink, code: int, message: str) -> None:
    """Report that a transport closes a client with this code and message."""
    _tell_error(tap, sink, str(code), message)


def _tell_error(tap: Tap, sink: Sink, reason: str, text: str) -> None:
    session = sink.session
    tap.refused(
        "message",
        reason,
        text,
        app_id=session.app.id,
        socket_id=session.socket_id,
        address=session.source.shown,
    )


def refused(tap: Tap, sink: Sink, reason: str, channel: str, payload: bytes) -> None:
    """Report why a subscription was refused; ``payload`` is what the client is sent first."""
    session = sink.session
    data = json.loads(payload)["data"]
    text = str(data.get("message") or data.get("error") or "")
    tap.refused(
        "subscription",
        reason,
        text,
        app_id=session.app.id,
        socket_id=session.socket_id,
        channel=shortened(channel, _SHOWN) or None,
        address=session.source.shown,
    )
    if logs.tracing:
        about = {"app_id": session.app.id, "socket_id": session.socket_id, "address": session.source.shown}
        named = {"channel": shortened(channel, _SHOWN)} if channel else {}
        log.debug("subscription refused", extra={**about, "reason": reason, **named, "error": shortened(text, _SHOWN)})


def subscribed(tap: Tap, sink: Sink, channel: str, member: Member | None) -> None:
    """Report a subscription; for a presence channel, with the user's id."""
    client(tap, sink, "subscribe", "client subscribed", channel, None if member is None else member.user_id)


def published(
    tap: Tap, app_id: str, channels: Sequence[str], event: str, data: str, exclude_socket: str | None
) -> None:
    """Report a publish to followers; the HTTP API logs it."""
    for channel in channels:
        tap.tell(
            "publish",
            app_id,
            None,
            channel,
            None,
            lambda: {
                "event": shortened(event, _SHOWN),
                "data": shortened(data, _MOST_DATA),
                **({} if exclude_socket is None else {"without": exclude_socket}),
            },
        )
