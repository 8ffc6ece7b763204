"""Envelopes as text between nodes, and the topic of each. Pure.

A *topic* says whom an envelope is for, with a NUL behind the app id: ``ch:APP CHANNEL`` is the subscribers of a
channel, ``u:APP USER`` the signed-in connections of a user, ``w:APP USER`` the clients that watch a user. Channel
names and app ids have no NUL; a user id may have anything.

A payload begins with a letter and the eight hexadecimal digits of the node that it comes from. The rest is:

- ``p``, a message: the socket that is left out and the message. On ``ch:`` a ``Publication``, on ``u:`` a
  ``UserMessage``;
- ``+`` and ``-``, a member came or went: its user id and, for ``+``, its user_info;
- ``c``, a count: in decimal digits;
- ``t`` and ``f``, end all connections of the user; with ``f`` they come back at once: nothing;
- ``y`` and ``n``, the user is online or is not: nothing.

A socket or user id with something behind it is written with its length in bytes before it, as ``7:123.456``. Scripts in
the service write payloads too, so the form is one that they can make.
"""

from typing import Final, assert_never

from sockudo_py.adapters.base import (
    CountChanged,
    Envelope,
    MemberCame,
    MemberWent,
    Publication,
    UserMessage,
    UserStatus,
    UserTermination,
)

NODE_ID_LENGTH: Final = 8
_HEAD: Final = 1 + NODE_ID_LENGTH
_MOST_DIGITS: Final = 15  # of a count or length: a hostile one could take long to read


class BadEnvelope(ValueError):
    """What arrived is no envelope that this version knows."""


def channel_topic(app_id: str, channel: str) -> bytes:
    """Return the topic of the subscribers of a channel."""
    return b"ch:%b\0%b" % (_bytes(app_id), _bytes(channel))


def user_topic(app_id: str, user_id: str) -> bytes:
    """Return the topic of the signed-in connections of a user."""
    return b"u:%b\0%b" % (_bytes(app_id), _bytes(user_id))


def watch_topic(app_id: str, user_id: str) -> bytes:
    """Return the topic for the watchers of a user."""
    return b"w:%b\0%b" % (_bytes(app_id), _bytes(user_id))


def encode(envelope: Envelope, node_id: str) -> tuple[bytes, bytes]:
    """Return the topic and the payload of an envelope from the node ``node_id``, eight hexadecimal digits."""
    node = node_id.encode("ascii")
    match envelope:
        case Publication(app_id, channel, payload, exclude_socket):
            return channel_topic(app_id, channel), b"p%b%b%b" % (node, _counted(exclude_socket or ""), payload)
        case UserMessage(app_id, user_id, payload, exclude_socket):
            return user_topic(app_id, user_id), b"p%b%b%b" % (node, _counted(exclude_socket or ""), payload)
        case UserTermination(app_id, user_id, reconnect):
            return user_topic(app_id, user_id), (b"f" if reconnect else b"t") + node
        case UserStatus(app_id, user_id, online):
            return watch_topic(app_id, user_id), (b"y" if online else b"n") + node
        case MemberCame(app_id, channel, user_id, user_info):
            return channel_topic(app_id, channel), b"+%b%b%b" % (node, _counted(user_id), _bytes(user_info))
        case MemberWent(app_id, channel, user_id):
            return channel_topic(app_id, channel), b"-%b%b" % (node, _bytes(user_id))
        case CountChanged(app_id, channel, count):
            return channel_topic(app_id, channel), b"c%b%d" % (node, count)
        case _:
            assert_never(envelope)


def origin(payload: bytes) -> str:
    """Return the id of the node that a payload comes from: what a node published itself is not for it."""
    return payload[1:_HEAD].decode("ascii", "replace")


def decode(topic: bytes, payload: bytes) -> Envelope:
    """Return the envelope. Raises BadEnvelope: a newer version, or something else, may have published it."""
    kind, letter, rest = topic[: topic.find(b":") + 1], payload[:1], payload[_HEAD:]
    key = topic[len(kind) :]
    app, separator, name = key.partition(b"\0")
    if not separator or len(payload) < _HEAD:
        raise BadEnvelope("no envelope")
    try:
        app_id, subject = _text(app), _text(name)
        match kind, letter:
            case b"ch:", b"p":
                socket, message = _count_off(rest)
                return Publication(app_id, subject, message, socket or None)
            case b"ch:", b"+":
                user_id, user_info = _count_off(rest)
                return MemberCame(app_id, subject, user_id, _text(user_info))
            case b"ch:", b"-":
                return MemberWent(app_id, subject, _text(rest))
            case b"ch:", b"c":
                return CountChanged(app_id, subject, _number(rest))
            case b"u:", b"p":
                socket, message = _count_off(rest)
                return UserMessage(app_id, subject, message, socket or None)
            case b"u:", b"t" | b"f":
                return UserTermination(app_id, subject, letter == b"f")
            case b"w:", b"y" | b"n":
                return UserStatus(app_id, subject, letter == b"y")
    except ValueError as error:
        raise BadEnvelope(str(error)) from None
    raise BadEnvelope("an unknown letter or topic")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON has lone surrogates, so user ids have


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _counted(text: str) -> bytes:
    data = _bytes(text)
    return b"%d:%b" % (len(data), data)


def _count_off(data: bytes) -> tuple[str, bytes]:
    length, separator, rest = data.partition(b":")
    size = _number(length)
    if not separator or size > len(rest):
        raise BadEnvelope("cut off")
    return _text(rest[:size]), rest[size:]


def _number(digits: bytes) -> int:
    if not (digits.isdigit() and len(digits) <= _MOST_DIGITS):
        raise BadEnvelope("not a number")
    return int(digits)
