"""One client's side of the Pusher protocol as a state machine: messages in, effects out. No I/O, no clock.

Everything that changes a session's state is in this file. Pure functions read what a message asks for (``readers/``). A
table says what can happen to a subscription (``subscription.py``).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar, Final

from orjson import JSONDecodeError, loads

from sockudo_py.protocol import codec, errors
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels.table import classify, user_of, valid_channel_name
from sockudo_py.protocol.effects import Effect, Join, Leave, Member, Pause, Ping, Reply, SignIn
from sockudo_py.protocol.errors import MESSAGES, ErrorCode
from sockudo_py.protocol.pacing import spend
from sockudo_py.protocol.readers.authorization import (
    ErrorStyle,
    Refused,
    authorize,
    invalid_channel,
    refusal_of_subscription,
)
from sockudo_py.protocol.readers.client_events import SlidingWindow, read_client_event
from sockudo_py.protocol.readers.messages import Message, complaint, parameters
from sockudo_py.protocol.readers.opening import Refusal, refusal, refusal_effects
from sockudo_py.protocol.readers.users import SignInRequest, read_sign_in
from sockudo_py.protocol.source import Source
from sockudo_py.protocol.subscription import TRANSITIONS, Answer, Event, Pending, State
from sockudo_py.protocol.surrogates import loads_again


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the sessions of all apps."""

    activity_timeout: float = 120.0  # seconds of silence before clients ping; they get whole ones
    ping_interval: float = 45.0  # seconds of silence before a ping; activity_timeout where that is shorter
    pong_timeout: float = 30.0  # seconds to answer it
    error_style: ErrorStyle = "both"
    strict_protocol: bool = False  # refuse connections that don't tell their protocol version
    silence: float = field(init=False)  # seconds after which a silent client is pinged
    told_timeout: int = field(init=False)  # activity_timeout as clients get it

    def __post_init__(self) -> None:
        object.__setattr__(self, "silence", min(self.activity_timeout, self.ping_interval))
        object.__setattr__(self, "told_timeout", max(1, ceil(self.activity_timeout)))


# Some clients answer only one of them: Java's never ``pusher:ping``, old ones know no control frames.
_BOTH_PINGS: Final = (Ping(), Reply(codec.PING))
_CONTROL_PING: Final = (Ping(),)
_PONG: Final = Reply(codec.PONG)
_NOT_JSON: Final = complaint(errors.NOT_JSON)
_NOT_AN_OBJECT: Final = complaint(errors.NOT_AN_OBJECT)
_BINARY: Final = complaint(errors.BINARY_UNSUPPORTED)
_RATE_EXCEEDED: Final = Reply(codec.error(ErrorCode.CLIENT_EVENT_RATE, MESSAGES[ErrorCode.CLIENT_EVENT_RATE]))
_NO_CHANNEL: Final = Refused(errors.missing("data.channel"), "no_channel", None)
_LIMIT_REACHED: Final = ("LimitReached", 403)  # in soketi's words
_UNAVAILABLE: Final = ("ServiceUnavailable", 503)

_UNCOUNTED: Final = frozenset({"pusher:ping", "pusher:pong", "pusher:unsubscribe"})  # by the pacing
_NO_JOINS: Final[dict[str, Pending]] = {}  # of every session that has no Join under way; nobody writes to it


class Session:
    """One connection from its greeting to its end.

    For everybody:
        app: May be replaced at any time by a newer one.
        socket_id: Fixed.
        source: Fixed; names the connection in what it causes.
        user_id: The user that it is signed in as.
        closed: Set once ``Close`` was among the effects, or by ``end``; then it has no more to say.
        last_seen: Seconds of the shell's monotonic clock; the shell may write it.

    Only the session itself writes the other attributes.
    """

    __slots__ = (
        "app",
        "authorized",
        "channels",
        "closed",
        "joins",
        "last_seen",
        "opened_at",
        "paid_until",
        "pinged_at",
        "settings",
        "signing_in",
        "socket_id",
        "source",
        "user",
        "user_channel",
        "user_id",
        "window",
        "ws_pings",
    )

    def __init__(self, app: App, socket_id: str, settings: Settings, now: float, address: str = "") -> None:
        self.app = app
        self.socket_id = socket_id
        self.source = Source(app.id, socket_id, address)
        self.user_id: str | None = None
        self.closed = False
        self.last_seen = now
        self.settings = settings
        self.opened_at = now
        self.pinged_at: float | None = None  # when the last ping went out; None: it is answered
        self.ws_pings = False  # the client pings by control frames, so the server uses these, too
        self.authorized = False  # the app's backend has signed something for it
        self.channels: dict[str, Member | None] = {}  # what is joined, with the member on presence channels
        self.joins = _NO_JOINS  # what is under way
        self.user: Member | None = None
        self.user_channel = False  # it asked for #server-to-user-...
        self.signing_in: SignInRequest | None = None
        self.window: SlidingWindow | None = None
        self.paid_until = 0.0  # when its subscriptions are paid, see pacing.py

    def open(self) -> list[Effect]:
        """Return the greeting, which must be the first message."""
        return [Reply(codec.connection_established(self.socket_id, self.settings.told_timeout))]

    def first_check(self) -> float:
        """Return when ``check`` is to be asked first, seconds of the shell's clock."""
        silence, timeout = self.settings.silence, self.app.authorization_timeout
        return self.opened_at + (silence if timeout is None else min(silence, timeout))

    def receive(self, message: str | bytes, now: float) -> list[Effect]:
        """Return what one text message leads to. Whatever it holds, the worst is an error in the answer.

        Subscribing, signing in and what is refused counts: a client that is too fast gets a Pause (``pacing.py``).
        Unsubscribing is free, since it takes a subscription first.
        """
        self.last_seen = now
        if self.closed:
            return []
        try:
            parsed = loads(message)
        except JSONDecodeError:
            try:
                parsed = loads_again(message)
            except JSONDecodeError:
                return self._paced([_NOT_JSON])
        event = parsed.get("event") if type(parsed) is dict else None
        if type(event) is not str:
            return self._paced([_NOT_AN_OBJECT])
        if event.startswith("client-"):
            checked = read_client_event(self.app, self.channels, event, parsed)
            if isinstance(checked, Reply):
                return self._paced([checked])
            limit = self.app.client_events_per_second
            if limit is not None:
                window = self.window
                if window is None or window.limit != limit:
                    window = self.window = SlidingWindow(limit)
                if not window.allow(now):
                    return self._paced([_RATE_EXCEEDED])
            return [checked]
        handler = self._HANDLERS.get(event)
        if handler is None:
            return self._paced([complaint(errors.unsupported_event(event))])
        effects = handler(self, parsed)
        return effects if event in _UNCOUNTED else self._paced(effects)

    def receive_binary(self, now: float) -> list[Effect]:
        """Return the answer to a binary message, which the protocol doesn't know."""
        self.last_seen = now
        return [] if self.closed else self._paced([_BINARY])

    def control_frame(self, now: float) -> None:
        """Take a WebSocket ping for a sign of life; from now on this client is pinged by such frames alone."""
        self.last_seen = now
        self.ws_pings = True

    def joined(self, channel: str, roster: Mapping[str, str] | None) -> list[Effect]:
        """Return what a successful ``Join`` leads to: the confirmation, or a ``Leave`` if it is no longer wanted.

        ``roster`` is the members of a presence channel, user_info as JSON text by user id, the new one included.
        Raises KeyError when no join of the channel is under way, like the next two.
        """
        pending, answer = self._settle(channel, "join done")
        if answer == "confirm":
            return [Reply(codec.subscription_succeeded(channel, roster))]
        leave = Leave(channel, pending.member)
        return [leave] if answer == "leave" else [leave, Join(channel, pending.wanted)]

    def join_refused(self, channel: str, limit: int) -> list[Effect]:
        """Return what a ``Join`` leads to that was refused because the channel already has ``limit`` members."""
        pending, answer = self._settle(channel, "join refused")
        if answer == "join":
            return [Join(channel, pending.wanted)]
        if answer == "nothing":
            return []
        return self._refuse(channel, Refused(errors.channel_full(channel, limit), "channel_full", *_LIMIT_REACHED))

    def join_unavailable(self, channel: str) -> list[Effect]:
        """Return what a ``Join`` leads to that the cluster can't carry out now. The client may subscribe again."""
        _, answer = self._settle(channel, "join unavailable")
        if answer == "nothing":
            return []
        return self._refuse(channel, Refused(errors.subscribe_unavailable(channel), "unavailable", *_UNAVAILABLE))

    def signed_in(self, user_id: str, online: frozenset[str] | None) -> list[Effect]:
        """Return what a successful ``SignIn`` leads to: the confirmation, then the state of the watchlist.

        ``online`` tells who of the watchlist is online; None when there is no watchlist. ``user_id`` is set also when
        the connection has ended meanwhile, so that the shell knows whom to sign out.
        """
        request = self.signing_in
        if request is None or request.user.user_id != user_id:
            return []
        self.signing_in = None
        self.user_id = user_id
        self.user = request.user
        if self.closed:
            return []
        effects: list[Effect] = [Reply(codec.signin_success(request.user_data))]
        if request.watchlist and online is not None:
            here = [watched for watched in request.watchlist if watched in online]
            away = [watched for watched in request.watchlist if watched not in online]
            effects.append(Reply(codec.watchlist_events(here, away)))
        if request.watchlist_cut:
            message = errors.watchlist_limit(len(request.watchlist))
            effects.append(Reply(codec.error(ErrorCode.WATCHLIST_LIMIT, message)))
        return effects

    def sign_in_failed(self, user_id: str) -> list[Effect]:
        """Return what a ``SignIn`` leads to that the cluster can't carry out now. The client may try again."""
        request = self.signing_in
        if request is None or request.user.user_id != user_id:
            return []
        self.signing_in = None
        return [] if self.closed else [complaint(errors.SIGNIN_UNAVAILABLE)]

    def check(self, now: float) -> tuple[list[Effect], float | None]:
        """Return what is due at ``now``, and at which time of the same clock to ask again (None: never, it is closed).

        Asking earlier or later than that does no harm.
        """
        if self.closed:
            return [], None
        again = float("inf")
        timeout = self.app.authorization_timeout
        if timeout is not None and not self.authorized:
            again = self.opened_at + timeout
            if now >= again:
                return self.close(Refusal(int(ErrorCode.UNAUTHORIZED), errors.AUTHORIZATION_TIMED_OUT)), None
        # A ping goes out only after a silence, so whatever was seen since then, or at that very time, answers it.
        if self.pinged_at is None or self.last_seen >= self.pinged_at:
            self.pinged_at = None
            silent_until = self.last_seen + self.settings.silence
            if now < silent_until:
                return [], min(again, silent_until)
            self.pinged_at = now
            pings = _CONTROL_PING if self.ws_pings else _BOTH_PINGS
            # An answer may come at once, and the next silence may be shorter than pong_timeout.
            return list(pings), min(again, now + min(self.settings.silence, self.settings.pong_timeout))
        deadline = self.pinged_at + self.settings.pong_timeout
        if now >= deadline:
            return self.close(refusal(ErrorCode.PONG_MISSING)), None
        return [], min(again, deadline)

    def close(self, reason: Refusal) -> list[Effect]:
        """Return what ends the connection for this reason; nothing when it has already ended."""
        if self.closed:
            return []
        self.end()
        return refusal_effects(reason)

    def end(self) -> None:
        """Note that the socket is gone. Joins whose outcome comes later are answered with ``Leave``."""
        self.closed = True
        for pending in self.joins.values():
            pending.state, _ = TRANSITIONS[pending.state]["end"]

    def subscribed(self, channel: str) -> bool:
        """Return whether the channel is joined."""
        return channel in self.channels

    def subscriptions(self) -> Iterator[tuple[str, Member | None]]:
        """Yield the joined channels, with the member on presence channels."""
        return iter(self.channels.items())

    # -- what a client asks for --

    def _subscribe(self, message: Message) -> list[Effect]:
        data = parameters(message)
        channel = data.get("channel")
        if type(channel) is not str or not channel:
            return self._refuse("", _NO_CHANNEL)
        app, channel_class = self.app, classify(channel)
        if channel_class.server_to_user:
            return self._subscribe_user_channel(channel)
        # Before the signature: it is the colon in no valid name that makes signed strings unambiguous.
        if not valid_channel_name(channel, app.max_channel_name_length):
            return self._refuse(channel, invalid_channel(app, channel))
        member: Member | None = None
        if channel_class.private:
            outcome = authorize(app, self.socket_id, self.user, channel, channel_class, data)
            if isinstance(outcome, Refused):
                return self._refuse(channel, outcome)
            member = outcome
        channels, joins = self.channels, self.joins
        if channel in channels or channel in joins:
            return self._subscribe_again(channel, member)
        after, _ = TRANSITIONS["absent"]["subscribe"]
        limit = app.max_subscriptions
        if limit is not None and len(channels) + len(joins) >= limit:
            told = errors.too_many_subscriptions(limit)
            return self._refuse(channel, Refused(told, "too_many_subscriptions", *_LIMIT_REACHED))
        if channel_class.private:
            self.authorized = True
        if joins:
            joins[channel] = Pending(after, member)
        else:
            self.joins = {channel: Pending(after, member)}
        return [Join(channel, member)]

    def _subscribe_again(self, channel: str, member: Member | None) -> list[Effect]:
        """Answer a subscription to a channel that is joined, or whose Join is under way."""
        pending = self.joins.get(channel)
        event: Event = "subscribe" if pending is None or pending.member == member else "subscribe as another"
        after, answer = TRANSITIONS["joined" if pending is None else pending.state][event]
        if answer == "exists" or pending is None:
            return self._refuse_existing(channel)
        pending.state, pending.wanted = after, member
        return []

    def _subscribe_user_channel(self, channel: str) -> list[Effect]:
        """Answer pusher-js, which asks for its user's channel after signing in. Being signed in delivers: no join."""
        if self.user_id is None or user_of(channel) != self.user_id:
            return self._refuse(channel, Refused(errors.user_channel(channel), "not_signed_in"))
        if self.user_channel:
            return self._refuse_existing(channel)
        self.user_channel = True
        return [Reply(codec.subscription_succeeded(channel))]

    def _unsubscribe(self, message: Message) -> list[Effect]:
        channel = parameters(message).get("channel")
        if not isinstance(channel, str) or not channel:
            return [complaint(errors.missing("data.channel"))]
        pending = self.joins.get(channel)
        state: State = "joined" if channel in self.channels else "absent" if pending is None else pending.state
        after, answer = TRANSITIONS[state]["unsubscribe"]
        if answer == "leave":
            return [Leave(channel, self.channels.pop(channel))]
        if pending is not None:
            pending.state = after
        elif self.user_id is not None and user_of(channel) == self.user_id:
            self.user_channel = False
        return []

    def _sign_in(self, message: Message) -> list[Effect]:
        """Only the first sign-in of a connection asks something of the shell."""
        if not self.app.user_authentication:
            return [complaint(errors.SIGNIN_OFF)]
        request = read_sign_in(self.app, self.socket_id, parameters(message))
        if isinstance(request, str):
            return [complaint(request)]
        user_id = request.user.user_id
        under_way = self.signing_in
        taken = self.user_id if under_way is None else under_way.user.user_id
        if taken is not None and taken != user_id:
            return [complaint(errors.already_signed_in(taken))]
        self.authorized = True
        if self.user_id is not None:  # once more as the same user: the info may be new, the watchlist stays
            self.user = request.user
            return [Reply(codec.signin_success(request.user_data))]
        if under_way is not None:  # one answer will do for both
            return []
        self.signing_in = request
        return [SignIn(user_id, request.watchlist)]

    def _pong(self, message: Message) -> list[Effect]:
        return [_PONG]

    def _heard(self, message: Message) -> list[Effect]:
        return []  # a pong: that it came is all it says

    _HANDLERS: ClassVar[Mapping[str, Callable[["Session", Message], list[Effect]]]] = {
        "pusher:ping": _pong,
        "pusher:pong": _heard,
        "pusher:subscribe": _subscribe,
        "pusher:unsubscribe": _unsubscribe,
        "pusher:signin": _sign_in,
    }

    def _paced(self, effects: list[Effect]) -> list[Effect]:
        """Return what a message leads to that counts: the same, and a Pause where the connection had its share."""
        app = self.app
        rate, burst = app.subscribes_per_second, app.subscribe_burst
        if rate is None or burst is None:
            return effects
        if self.paid_until <= self.last_seen:  # nothing is owed, as nearly always: a burst is one at least
            self.paid_until = self.last_seen + 1.0 / rate
            return effects
        self.paid_until, pause = spend(self.paid_until, self.last_seen, rate, burst)
        return [*effects, Pause(pause)] if pause else effects

    def _refuse(self, channel: str, refused: Refused) -> list[Effect]:
        return refusal_of_subscription(channel, refused, self.settings.error_style)

    def _refuse_existing(self, channel: str) -> list[Effect]:
        return self._refuse(channel, Refused(errors.existing_subscription(channel), "already_subscribed", None))

    def _settle(self, channel: str, outcome: Event) -> tuple[Pending, Answer]:
        """Take the outcome of a Join; return the join and what is to be answered."""
        joins = self.joins
        pending = joins.get(channel)
        if pending is None:
            raise KeyError(f"no join of {channel} is under way")
        after, answer = TRANSITIONS[pending.state][outcome]
        if after == "joining":  # now as the other member
            joins[channel] = Pending(after, pending.wanted)
            return pending, answer
        if after == "joined":
            self.channels[channel] = pending.member
        if len(joins) == 1:
            self.joins = _NO_JOINS
        else:
            del joins[channel]
        return pending, answer
