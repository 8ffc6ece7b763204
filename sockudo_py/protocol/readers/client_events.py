"""Reads a client event: is it allowed, and what do the other subscribers get; and a window that counts them. Pure."""

from array import array
from collections.abc import Mapping
from typing import Final

from orjson import dumps

from sockudo_py.protocol import codec, errors
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels.table import classify, is_private
from sockudo_py.protocol.effects import Member, Relay, Reply, make_relay
from sockudo_py.protocol.readers.messages import Message, complaint

_FIRST_ROOM: Final = 16  # events that a window has room for at first
_LONG_AGO: Final = float("-inf")


class SlidingWindow:
    """At most ``limit`` events in any second, exactly: the times of the accepted ones in a ring.

    Made for a connection when it first sends a client event, so that silent ones pay nothing. The ring grows with what
    one second really saw, up to the limit, so that a limit of a million costs the usual sender a few bytes too.
    """

    __slots__ = ("_next", "_times", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._times = array("d", [_LONG_AGO]) * min(limit, _FIRST_ROOM)
        self._next = 0

    def allow(self, now: float) -> bool:
        """Return whether one more event at ``now`` (seconds) is within the limit, and count it if so."""
        if self.limit <= 0:
            return False
        times, position = self._times, self._next
        if now - times[position] < 1.0:  # the oldest one still counts: the ring is full
            room = min(len(times), self.limit - len(times))
            if room == 0:
                return False
            times[position:position] = array("d", [_LONG_AGO]) * room
        times[position] = now
        self._next = (position + 1) % len(times)
        return True


def read_client_event(app: App, channels: Mapping[str, Member | None], event: str, message: Message) -> Relay | Reply:
    """Return what the other subscribers are to get, or what is wrong with a client event.

    Args:
        app: The connection's app.
        channels: What the connection is subscribed to, with the member on presence channels.
        event: The message's name, which begins with ``client-``.
        message: All of the message.
    """
    if not app.client_events:
        return complaint(errors.CLIENT_EVENTS_OFF)
    if len(event) > app.max_event_name_length:
        return complaint(errors.event_name_too_long(app.max_event_name_length))
    channel = message.get("channel")
    if type(channel) is not str or not channel:
        return complaint(errors.missing("channel"))
    if not is_private(channel):
        return complaint(errors.CLIENT_EVENT_ON_PUBLIC)
    if not app.client_events_on_encrypted and classify(channel).encrypted:
        return complaint(errors.CLIENT_EVENT_ON_ENCRYPTED)
    if channel not in channels:
        return complaint(errors.not_subscribed(channel))
    member = channels[channel]
    data = message.get("data", "{}")  # pusher-js leaves it out for ``undefined``
    if type(data) is not str:  # recipients get a string always; one stays as it is, so that nothing is encoded twice
        try:
            data = dumps(data).decode()
        except TypeError:  # orjson reads 1024 levels, but writes only 254
            return complaint(errors.CLIENT_EVENT_TOO_DEEP)
    if len(data) > app.max_event_bytes or (not data.isascii() and len(data.encode()) > app.max_event_bytes):
        return complaint(errors.event_data_too_big(app.max_event_bytes))
    user_id = None if member is None else member.user_id
    return make_relay(channel, event, data, user_id, codec.client_event(channel, event, data, user_id))
