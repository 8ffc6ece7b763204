"""One client's side of the Pusher protocol as a state machine: messages in, effects out. No I/O, no clock.

The state lies here; what the client can ask is told in ``subscribe.py``, ``users.py`` and ``client_events.py``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from orjson import JSONDecodeError, loads

from sockudo_py.protocol import codec, errors, subscribe, users
from sockudo_py.protocol.app import App
from sockudo_py.protocol.client_events import SlidingWindow, client_event
from sockudo_py.protocol.effects import Effect, Member, Ping, Relay, Reply
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.messages import Message, complaint
from sockudo_py.protocol.opening import Refusal, refusal, refusal_effects
from sockudo_py.protocol.pacing import paced
from sockudo_py.protocol.source import Source
from sockudo_py.protocol.subscribe import ABSENT, Pending
from sockudo_py.protocol.surrogates import loads_again
from sockudo_py.protocol.users import SignInRequest


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the sessions of all apps."""

    activity_timeout: float = 120.0  # seconds that clients are told, as the next whole second: then they ping
    ping_interval: float = 45.0  # a client that is silent for so many seconds is pinged, or for activity_timeout
    pong_timeout: float = 30.0  # seconds to answer it
    error_style: Literal["pusher", "soketi", "both"] = "both"  # how a refused subscription is told
    strict_protocol: bool = False  # refuse connections that don't tell their protocol version

    @property
    def silence(self) -> float:
        """Seconds after which a silent client is pinged."""
        return min(self.activity_timeout, self.ping_interval)


# Some clients answer only one of them: Java's never ``pusher:ping``, old ones know no control frames.
_BOTH_PINGS: Final = (Ping(), Reply(codec.PING))
_CONTROL_PING: Final = (Ping(),)
_PONG: Final = Reply(codec.PONG)
_NOT_JSON: Final = complaint(errors.NOT_JSON)
_NOT_AN_OBJECT: Final = complaint(errors.NOT_AN_OBJECT)
_BINARY: Final = complaint(errors.BINARY_UNSUPPORTED)


class Session:
    """One connection from its greeting to its end.

    For everybody:
        app: May be replaced at any time by a newer one.
        socket_id: Fixed.
        source: Fixed; names the connection in what it causes.
        user_id: Whom it is signed in as.
        closed: Set once ``Close`` was among the effects, or by ``end``; then it has no more to say.
        last_seen: Seconds of the shell's monotonic clock; the shell may write it.

    The other attributes belong to the modules of this folder.
    """

    __slots__ = (
        "app",
        "authorized",
        "channels",
        "closed",
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
        self.pinged_at: float | None = None  # when a ping went out that may still be unanswered
        self.ws_pings = False  # the client itself pings by control frames, so it is pinged by nothing else
        self.authorized = False  # the app's backend has signed something for it
        self.channels: dict[str, Member | Pending | None] = {}  # joined: the member; under way: a Pending
        self.user: Member | None = None
        self.user_channel = False  # it asked for #server-to-user-...
        self.signing_in: SignInRequest | None = None
        self.window: SlidingWindow | None = None
        self.paid_until = 0.0  # when its subscriptions are paid, see pacing.py

    def open(self) -> list[Effect]:
        """Return the greeting, which must be the first message."""
        return [Reply(codec.connection_established(self.socket_id, max(1, ceil(self.settings.activity_timeout))))]

    def receive(self, message: str | bytes, now: float) -> list[Effect]:
        """Return what one text message leads to. Whatever it holds, the worst is an error in the answer.

        Subscribing, signing in and what is refused counts: who does it too fast gets a Pause (``pacing.py``).
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
                return paced(self, [_NOT_JSON])
        event = parsed.get("event") if type(parsed) is dict else None
        if type(event) is not str:
            return paced(self, [_NOT_AN_OBJECT])
        if event.startswith("client-"):
            effects = client_event(self, event, parsed, now)
            return effects if type(effects[0]) is Relay else paced(self, effects)
        handler = _HANDLERS.get(event)
        if handler is None:
            return paced(self, [complaint(errors.unsupported_event(event))])
        return handler(self, parsed)

    def receive_binary(self, now: float) -> list[Effect]:
        """Return the answer to a binary message, which the protocol doesn't know."""
        self.last_seen = now
        return [] if self.closed else paced(self, [_BINARY])

    def control_frame(self, now: float) -> None:
        """Take a WebSocket ping for a sign of life; from now on this client is pinged by such frames alone."""
        self.last_seen = now
        self.ws_pings = True

    def joined(self, channel: str, roster: Mapping[str, str] | None) -> list[Effect]:
        """Return what a successful ``Join`` leads to: the confirmation, or a ``Leave`` if it is no longer wanted.

        ``roster`` is the members of a presence channel, user_info as JSON text by user id, the new one included.
        Raises KeyError when no join of the channel is under way, like the next two.
        """
        return subscribe.joined(self, channel, roster)

    def join_refused(self, channel: str, limit: int) -> list[Effect]:
        """Return what a ``Join`` leads to that was refused because the channel already has ``limit`` members."""
        return subscribe.join_refused(self, channel, limit)

    def join_unavailable(self, channel: str) -> list[Effect]:
        """Return what a ``Join`` leads to that the cluster can't carry out now. The client may subscribe again."""
        return subscribe.join_unavailable(self, channel)

    def signed_in(self, user_id: str, online: frozenset[str] | None) -> list[Effect]:
        """Return what a successful ``SignIn`` leads to: the confirmation, then the state of the watchlist.

        ``online`` tells who of the watchlist is online; None when there is no watchlist. ``user_id`` is set also when
        the connection has ended meanwhile, so that the shell knows whom to sign out.
        """
        return users.signed_in(self, user_id, online)

    def sign_in_failed(self, user_id: str) -> list[Effect]:
        """Return what a ``SignIn`` leads to that the cluster can't carry out now. The client may try again."""
        return users.sign_in_failed(self, user_id)

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
            return list(pings), min(again, now + self.settings.pong_timeout)
        deadline = self.pinged_at + self.settings.pong_timeout
        if now >= deadline:
            return self.close(refusal(ErrorCode.PONG_MISSING)), None
        return [], min(again, deadline)

    def close(self, reason: Refusal) -> list[Effect]:
        """Return what ends the connection for this reason; nothing when it has already ended."""
        if self.closed:
            return []
        self.closed = True
        return refusal_effects(reason)

    def end(self) -> None:
        """Note that the socket is gone. Joins whose outcome comes later are answered with ``Leave``."""
        self.closed = True

    def subscribed(self, channel: str) -> bool:
        """Return whether the channel is joined."""
        return not isinstance(self.channels.get(channel, ABSENT), Pending)

    def subscriptions(self) -> Iterator[tuple[str, Member | None]]:
        """Yield the joined channels, with the member on presence channels."""
        for channel, entry in self.channels.items():
            if not isinstance(entry, Pending):
                yield channel, entry


def _subscribe(session: Session, message: Message) -> list[Effect]:
    return paced(session, subscribe.subscribe(session, message))


def _sign_in(session: Session, message: Message) -> list[Effect]:
    return paced(session, users.sign_in(session, message))


def _heard(session: Session, message: Message) -> list[Effect]:
    return []  # a pong: that it came is all it says


def _pong(session: Session, message: Message) -> list[Effect]:
    return [_PONG]


_HANDLERS: Final[Mapping[str, Callable[[Session, Message], list[Effect]]]] = {
    "pusher:ping": _pong,
    "pusher:pong": _heard,
    "pusher:subscribe": _subscribe,
    "pusher:unsubscribe": subscribe.unsubscribe,
    "pusher:signin": _sign_in,
}
