"""Decides whether a connection may subscribe to a channel, and makes the refusal. The session keeps the state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sockudo_py.protocol import codec, errors
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels.presence import read_member, within_limits
from sockudo_py.protocol.channels.table import ChannelClass
from sockudo_py.protocol.effects import Effect, Member, RefuseSubscription, Reply
from sockudo_py.protocol.signatures import channel_string, verify

ErrorStyle = Literal["pusher", "soketi", "both"]  # the forms of a refused subscription's error


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a subscription can't be.

    ``reason`` is the message in a word, for metrics; ``kind`` and ``status`` are for clients that listen for soketi's
    dialect. Without a kind the refusal is a plain error in every dialect: there is nothing that could be subscribed to,
    or it is subscribed to already.
    """

    message: str
    reason: str
    kind: str | None = "AuthError"
    status: int = 401


def authorize(
    app: App,
    socket_id: str,
    user: Member | None,
    channel: str,
    channel_class: ChannelClass,
    data: Mapping[str, object],
) -> Member | Refused | None:
    """Return the member behind a subscription to a private channel (None where there are no members), or a refusal.

    Args:
        app: The connection's app; whichever of its keys ``auth`` names must have signed.
        socket_id: The connection.
        user: Whom it is signed in as: stands in for a ``channel_data`` that isn't given.
        channel: A valid name.
        channel_class: The class of that name, one of the private ones.
        data: The parameters of ``pusher:subscribe``.
    """
    auth = data.get("auth")
    if type(auth) is not str or not auth:
        return Refused(errors.auth_missing(channel), "no_auth")
    key, colon, signature = auth.partition(":")
    if not colon:
        return Refused(errors.auth_format(channel), "auth_format")
    secret = app.secret_of(key)
    if secret is None:
        return Refused(errors.auth_key(key), "unknown_key")
    channel_data = data.get("channel_data") or None
    if channel_data is not None and type(channel_data) is not str:
        return Refused(f"Invalid channel_data for {channel}: must be a string that holds JSON", "channel_data")
    signed = channel_string(socket_id, channel, channel_data)
    if not verify(secret, signed, signature):
        return Refused(errors.auth_signature(signed, signature), "wrong_signature")
    if not channel_class.presence:
        return None
    if channel_data is not None:
        member = read_member(app, channel_data)
    elif user is not None:
        member = within_limits(app, user)
    else:
        member = "channel_data is required, as the connection is not signed in"
    if isinstance(member, str):
        return Refused(f"Invalid channel_data for {channel}: {member}", "channel_data")
    return member


def invalid_channel(app: App, channel: str) -> Refused:
    """Return the refusal of a name that no channel of the app can have."""
    return Refused(errors.invalid_channel(channel, app.max_channel_name_length), "invalid_channel", None)


def refusal_of_subscription(channel: str, refused: Refused, style: ErrorStyle) -> list[Effect]:
    """Return the messages that refuse a subscription, in the dialects of ``style``."""
    dialects: list[bytes] = []
    if style != "soketi" or refused.kind is None:
        dialects.append(codec.error(None, refused.message))
    if style != "pusher" and refused.kind is not None:
        dialects.append(codec.subscription_error(channel, refused.kind, refused.message, refused.status))
    return [RefuseSubscription(dialects[0], refused.reason, channel), *map(Reply, dialects[1:])]
