"""Error codes and messages for clients: the table of codes, and the messages that have no code.

The codes from 4000 to 4299 end the connection. What leaves it open carries the code ``null``, or one from 4300, because
many clients hang up on any 4000-4099, whatever the server does.
"""

from collections.abc import Mapping
from enum import IntEnum, unique
from types import MappingProxyType
from typing import Final


@unique
class ErrorCode(IntEnum):
    """Pusher's codes. 40xx: don't come back unchanged; 41xx: come back later; 42xx: come back now; 43xx: stay."""

    TLS_ONLY = 4000
    UNKNOWN_APP = 4001
    APP_DISABLED = 4003
    OVER_QUOTA = 4004
    PATH_NOT_FOUND = 4005
    UNSUPPORTED_PROTOCOL = 4007
    NO_PROTOCOL = 4008
    UNAUTHORIZED = 4009
    OVER_CAPACITY = 4100
    RECONNECT = 4200
    PONG_MISSING = 4201
    CLIENT_EVENT_RATE = 4301
    WATCHLIST_LIMIT = 4302


MESSAGES: Final[Mapping[ErrorCode, str]] = MappingProxyType(
    {
        ErrorCode.TLS_ONLY: "Application only accepts SSL connections, reconnect using wss://",
        ErrorCode.UNKNOWN_APP: "App key not in this cluster. Did you forget to specify the cluster?",
        ErrorCode.APP_DISABLED: "Application disabled",
        ErrorCode.OVER_QUOTA: "Application is over connection quota",
        ErrorCode.PATH_NOT_FOUND: "Path not found",
        ErrorCode.UNSUPPORTED_PROTOCOL: "Unsupported protocol version",
        ErrorCode.NO_PROTOCOL: "No protocol version supplied",
        ErrorCode.UNAUTHORIZED: "You got disconnected by the app.",
        ErrorCode.OVER_CAPACITY: "Over capacity",
        ErrorCode.RECONNECT: "Please reconnect immediately",
        ErrorCode.PONG_MISSING: "Pong reply not received",
        ErrorCode.CLIENT_EVENT_RATE: "Client event rejected due to rate limit",
        ErrorCode.WATCHLIST_LIMIT: "Watchlist limit exceeded. Only the first 100 user IDs are accepted.",
    }
)

AUTHORIZATION_TIMED_OUT: Final = "Connection not authorized within timeout"
ORIGIN_REFUSED: Final = "Origin not allowed"

NOT_JSON: Final = "Invalid message: not valid JSON"
NOT_AN_OBJECT: Final = "Invalid message: must be a JSON object with a string 'event'"
BINARY_UNSUPPORTED: Final = "Binary messages are not supported"
CLIENT_EVENTS_OFF: Final = "To send client events, you must enable this feature in the Settings page of your dashboard."
CLIENT_EVENT_ON_PUBLIC: Final = "Client event rejected - only supported on private and presence channels"
CLIENT_EVENT_ON_ENCRYPTED: Final = "Client event rejected - this app does not accept them on encrypted channels"
CLIENT_EVENT_TOO_DEEP: Final = "Client event rejected - data is nested too deeply"
SIGNIN_OFF: Final = "User authentication is not enabled for this app"
SIGNIN_FORMAT: Final = "Invalid format: auth must have the format key:signature"
SIGNIN_UNAVAILABLE: Final = "Sign-in is not possible at the moment, please try again"

_ECHO_LIMIT = 512  # characters of a client's own text that an error repeats, so that an answer can't dwarf its question


def shorten(text: str) -> str:
    """Return ``text``, cut to the length that an error may repeat."""
    return text if len(text) <= _ECHO_LIMIT else text[:_ECHO_LIMIT] + "..."


def unknown_app(key: str) -> str:
    """Return the text for a key that no app has."""
    return f"App key {shorten(key)} not in this cluster. Did you forget to specify the cluster?"


def missing(parameter: str) -> str:
    """Return the text for a parameter that is absent or of the wrong type."""
    return f"Missing parameter: {parameter}"


def invalid_channel(channel: str, max_length: int) -> str:
    """Return the text for a name that no channel can have."""
    return (
        f"Invalid channel name: {shorten(channel)} (at most {max_length} characters, only letters, digits and _-=@,.;)"
    )


def existing_subscription(channel: str) -> str:
    """Return the text for a second subscribe."""
    return f"Existing subscription to channel {channel}"


def too_many_subscriptions(limit: int) -> str:
    """Return the text for a subscribe past the connection's limit."""
    return f"Too many subscriptions: a connection can have at most {limit}"


def auth_missing(channel: str) -> str:
    """Return the text for a subscribe without the auth that the channel needs."""
    return f"Auth info required to subscribe to {channel}"


def auth_format(channel: str) -> str:
    """Return the text for an auth without a colon."""
    return f"Auth value for subscription to {channel} is invalid: should be of format 'key:signature'"


def auth_key(key: str) -> str:
    """Return the text for an auth that names a key of another app."""
    return f"Invalid key in subscription auth data: '{shorten(key)}'"


def auth_signature(string_to_sign: str, signature: str) -> str:
    """Return the text for a wrong signature; there is no secret in the string to sign."""
    return (
        f"Invalid signature: Expected HMAC SHA256 hex digest of {shorten(string_to_sign)}, but got {shorten(signature)}"
    )


def channel_full(channel: str, limit: int) -> str:
    """Return the text for a presence channel that has all the members it may have."""
    return f"Channel {channel} is full: it can have at most {limit} members"


def subscribe_unavailable(channel: str) -> str:
    """Return the text for a subscribe that the cluster can't carry out now."""
    return f"Subscribing to {channel} is not possible at the moment, please try again"


def unsupported_event(event: str) -> str:
    """Return the text for an event that clients can't send."""
    return f"Unsupported event received on socket: {shorten(event)}"


def not_subscribed(channel: str) -> str:
    """Return the text for a client event on a channel that the sender isn't on."""
    return f"Cannot broadcast client event (connection not subscribed to channel {shorten(channel)})"


def event_name_too_long(limit: int) -> str:
    """Return the text for an event name over the limit, in characters."""
    return f"Client event rejected - the event name is longer than {limit} characters"


def event_data_too_big(limit: int) -> str:
    """Return the text for data over the limit, in bytes."""
    return f"Client event rejected - the data is larger than {limit} bytes"


def already_signed_in(user_id: str) -> str:
    """Return the text for a sign-in as another user."""
    return f"Already signed in as user {user_id}"


def watchlist_limit(limit: int) -> str:
    """Return the text of 4302."""
    return f"Watchlist limit exceeded. Only the first {limit} user IDs are accepted."


def signin_key(key: str) -> str:
    """Return the text for a sign-in that names a key of another app."""
    return f"Invalid key in sign-in auth data: '{shorten(key)}'"


def user_channel(channel: str) -> str:
    """Return the text for a subscribe to the internal channel of another user."""
    return f"Not signed in as the user of {shorten(channel)}"
