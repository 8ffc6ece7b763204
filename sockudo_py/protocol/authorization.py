"""May this connection subscribe to this channel? Pure questions; the session keeps the state."""

from collections.abc import Mapping
from dataclasses import dataclass

from sockudo_py.protocol import errors
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels.presence import read_member, within_limits
from sockudo_py.protocol.channels.table import ChannelClass
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.signatures import channel_string, verify


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a subscription can't be.

    ``reason`` is the message in a word, for metrics; ``kind`` and ``status`` are for clients that listen for soketi's
    dialect.
    """

    message: str
    reason: str
    kind: str = "AuthError"
    status: int = 401


def authorize(
    app: App,
    socket_id: str,
    user: Member | None,
    channel: str,
    channel_class: ChannelClass,
    data: Mapping[str, object],
) -> Member | Refused | None:
    """Return the member behind a subscription (None on private channels without members), or why it is refused.

    Args:
        app: The connection's app; whichever of its keys ``auth`` names must have signed.
        socket_id: The connection.
        user: Whom it is signed in as: stands in for a ``channel_data`` that isn't given.
        channel: A valid name of a class that needs a signature.
        channel_class: That class.
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
