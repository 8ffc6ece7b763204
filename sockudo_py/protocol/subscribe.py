"""Subscribing and unsubscribing, as functions over the session: what the client asks, and what became of its joins."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sockudo_py.protocol import codec, errors
from sockudo_py.protocol.authorization import Refused, authorize
from sockudo_py.protocol.channels.table import classify, user_of, valid_channel_name
from sockudo_py.protocol.effects import Effect, Join, Leave, Member, RefuseSubscription, Reply
from sockudo_py.protocol.messages import Message, complaint, parameters

if TYPE_CHECKING:
    from sockudo_py.protocol.session import Session


class Pending:
    """A join whose outcome isn't known yet.

    ``member`` is whom it was asked for; ``wanted`` and ``then`` say what the client has come to want meanwhile: to be
    subscribed or not, and as whom.
    """

    __slots__ = ("member", "then", "wanted")

    def __init__(self, member: Member | None) -> None:
        self.member = member
        self.then = member
        self.wanted = True


_LIMIT_REACHED: Final = ("LimitReached", 403)  # in soketi's words
_UNAVAILABLE: Final = ("ServiceUnavailable", 503)

ABSENT: Final = Pending(None)  # the default of look-ups in Session.channels: whatever is a Pending there isn't joined


def subscribe(session: "Session", message: Message) -> list[Effect]:
    """Return what ``pusher:subscribe`` leads to: a Join, or why not."""
    data = parameters(message)
    channel = data.get("channel")
    if not isinstance(channel, str) or not channel:
        return _refuse(errors.missing("data.channel"), "no_channel")
    channel_class = classify(channel)
    if channel_class.server_to_user:
        return _subscribe_user_channel(session, channel)
    app = session.app
    # Before the signature: it is the colon in no valid name that makes signed strings unambiguous.
    if not valid_channel_name(channel, app.max_channel_name_length):
        return _refuse(errors.invalid_channel(channel, app.max_channel_name_length), "invalid_channel")
    member = None
    if channel_class.private:
        outcome = authorize(app, session.socket_id, session.user, channel, channel_class, data)
        if isinstance(outcome, Refused):
            return refuse(session, channel, outcome)
        member = outcome
    channels = session.channels
    entry = channels.get(channel, ABSENT)
    if entry is not ABSENT:
        if not isinstance(entry, Pending) or entry.wanted:
            return _refuse(errors.existing_subscription(channel), "already_subscribed")
        entry.wanted = True  # unsubscribed while its join is under way, and back again: that join will do
        entry.then = member
        return []
    limit = app.max_subscriptions
    if limit is not None and len(channels) >= limit:
        return refuse(
            session,
            channel,
            Refused(errors.too_many_subscriptions(limit), "too_many_subscriptions", *_LIMIT_REACHED),
        )
    if channel_class.private:
        session.authorized = True
    channels[channel] = Pending(member)
    return [Join(channel, member)]


def _subscribe_user_channel(session: "Session", channel: str) -> list[Effect]:
    """Answer pusher-js, which asks for its user's channel after signing in. Being signed in delivers, so no join."""
    if session.user_id is None or user_of(channel) != session.user_id:
        return refuse(session, channel, Refused(errors.user_channel(channel), "not_signed_in"))
    if session.user_channel:
        return _refuse(errors.existing_subscription(channel), "already_subscribed")
    session.user_channel = True
    return [Reply(codec.subscription_succeeded(channel))]


def unsubscribe(session: "Session", message: Message) -> list[Effect]:
    """Return what ``pusher:unsubscribe`` leads to: a Leave, or nothing for a channel that it isn't on."""
    channel = parameters(message).get("channel")
    if not isinstance(channel, str) or not channel:
        return [complaint(errors.missing("data.channel"))]
    entry = session.channels.get(channel, ABSENT)
    if not isinstance(entry, Pending):
        del session.channels[channel]
        return [Leave(channel, entry)]
    if entry is not ABSENT:
        entry.wanted = False
    elif session.user_id is not None and user_of(channel) == session.user_id:
        session.user_channel = False
    return []


def joined(session: "Session", channel: str, roster: Mapping[str, str] | None) -> list[Effect]:
    """Return what a successful Join leads to."""
    pending = _settle(session, channel)
    member = pending.member
    if session.closed or not pending.wanted:
        return [Leave(channel, member)]
    if pending.then != member:
        return [Leave(channel, member), _join_again(session, channel, pending.then)]
    session.channels[channel] = member
    return [Reply(codec.subscription_succeeded(channel, roster))]


def join_refused(session: "Session", channel: str, limit: int) -> list[Effect]:
    """Return what a Join leads to that the channel has no room for."""
    pending = _settle(session, channel)
    if session.closed or not pending.wanted:
        return []
    if pending.then != pending.member:
        return [_join_again(session, channel, pending.then)]
    return refuse(session, channel, Refused(errors.channel_full(channel, limit), "channel_full", *_LIMIT_REACHED))


def join_unavailable(session: "Session", channel: str) -> list[Effect]:
    """Return what a Join leads to that the cluster can't carry out."""
    pending = _settle(session, channel)
    if session.closed or not pending.wanted:
        return []
    return refuse(session, channel, Refused(errors.subscribe_unavailable(channel), "unavailable", *_UNAVAILABLE))


def refuse(session: "Session", channel: str, refused: Refused) -> list[Effect]:
    """Return the refusal of a subscription in the dialects that are configured."""
    style = session.settings.error_style
    dialects: list[bytes] = []
    if style != "soketi":
        dialects.append(codec.error(None, refused.message))
    if style != "pusher":
        dialects.append(codec.subscription_error(channel, refused.kind, refused.message, refused.status))
    return [RefuseSubscription(dialects[0], refused.reason), *map(Reply, dialects[1:])]


def _refuse(message: str, reason: str) -> list[Effect]:
    """Return the refusal of what is no subscription of any channel, or one that is there already."""
    return [RefuseSubscription(codec.error(None, message), reason)]


def _settle(session: "Session", channel: str) -> Pending:
    pending = session.channels.get(channel, ABSENT)
    if pending is ABSENT or not isinstance(pending, Pending):
        raise KeyError(f"no join of {channel} is under way")
    del session.channels[channel]
    return pending


def _join_again(session: "Session", channel: str, member: Member | None) -> Join:
    """Return the Join of a client that unsubscribed, and subscribed as somebody else, before its join was settled."""
    session.channels[channel] = Pending(member)
    return Join(channel, member)
