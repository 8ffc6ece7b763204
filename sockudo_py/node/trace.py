"""The lines of level debug about clients. Callers look at ``logs.tracing`` first: here nobody asks again."""

import json
import logging

from sockudo_py.hub import Sink
from sockudo_py.logs import shortened
from sockudo_py.protocol.effects import Member

log = logging.getLogger(__name__)

_SHOWN = 200  # characters of a name or a text from outside


def client(sink: Sink, what: str, **more: object) -> None:
    """Log what a client did, or what happened to it."""
    session = sink.session
    about = {"app_id": session.app.id, "socket_id": session.socket_id, "address": session.source.shown}
    log.debug(what, extra={**about, **more})


def error(sink: Sink, payload: bytes) -> None:
    """Log a ``pusher:error`` that a client gets."""
    data = json.loads(payload)["data"]
    client(sink, "client got an error", code=data["code"], error=shortened(str(data["message"]), _SHOWN))


def refused(sink: Sink, reason: str, payload: bytes) -> None:
    """Log why a subscription was refused; ``payload`` is what the client is sent first."""
    message = json.loads(payload)
    data = message["data"]
    text = data.get("message") or data.get("error") or ""
    channel = {"channel": shortened(message["channel"], _SHOWN)} if "channel" in message else {}
    client(sink, "subscription refused", reason=reason, **channel, error=shortened(str(text), _SHOWN))


def subscribed(sink: Sink, channel: str, member: Member | None) -> None:
    """Log a subscription, of a presence channel with the user's id."""
    user = {} if member is None else {"user_id": shortened(member.user_id, _SHOWN)}
    client(sink, "client subscribed", channel=channel, **user)
