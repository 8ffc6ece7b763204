"""What a session asks its shell to do. Pure values, compared with ``==`` in tests.

The order of a list of effects is the order in which they must be carried out.
"""

from typing import Any, Final

from sockudo_py.protocol.values import new, value

MAX_REASON_BYTES: Final = 123  # of a ``Close``: WebSocket has no room for more


@value
class Member:
    """Who sits behind a presence subscription. ``user_info`` is compact JSON text (``"null"`` when none was given)."""

    user_id: str
    user_info: str = "null"


@value
class Reply:
    """Send one message to this client. ``payload`` is the JSON text as UTF-8, not yet framed."""

    payload: bytes


@value
class RefuseSubscription(Reply):
    """Send the message that says why a subscription was refused. ``reason`` is a word for metrics and logs.

    ``channel`` is what was asked for: not every dialect's message names it.
    """

    reason: str
    channel: str = ""


@value
class Ping:
    """Send a WebSocket PING control frame."""


@value
class Close:
    """End the connection with this WebSocket close code. ``reason`` is at most 123 bytes of UTF-8."""

    code: int
    reason: str


@value
class Join:
    """Subscribe to ``channel``; the outcome goes to ``Session.joined``, ``join_refused`` or ``join_unavailable``.

    ``member`` is set for presence channels only.
    """

    channel: str
    member: Member | None = None


@value
class Leave:
    """Give up the subscription to ``channel``. ``member`` is whom it was held for, on presence channels."""

    channel: str
    member: Member | None = None


@value
class Relay:
    """Pass a client event on to all other subscribers. ``payload`` is the message for them, not yet framed."""

    channel: str
    event: str
    data: str
    user_id: str | None
    payload: bytes


def make_relay(channel: str, event: str, data: str, user_id: str | None, payload: bytes) -> Relay:
    """Return ``Relay(channel, event, data, user_id, payload)`` in less time: one is made for every client event."""
    made: Any = new(Relay)  # frozen for mypy
    made.channel, made.event, made.data = channel, event, data
    made.user_id, made.payload = user_id, payload
    relay: Relay = made
    return relay


@value
class SignIn:
    """This connection now belongs to a user; the outcome goes to ``Session.signed_in`` or ``sign_in_failed``.

    At most one succeeds per connection: signing in again as the same user asks nothing of the shell.
    """

    user_id: str
    watchlist: tuple[str, ...] = ()


@value
class Pause:
    """Stop reading this client for this many seconds: it asks for more than its share. It gets no message."""

    seconds: float


Effect = Reply | RefuseSubscription | Ping | Close | Join | Leave | Relay | SignIn | Pause


def cut_reason(reason: str) -> str:
    """Return the longest beginning of ``reason`` that is at most 123 bytes of valid UTF-8."""
    encoded = reason.encode("utf-8", "replace")
    if len(encoded) <= MAX_REASON_BYTES:
        return reason
    return encoded[:MAX_REASON_BYTES].decode("utf-8", "ignore")
