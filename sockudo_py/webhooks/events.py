"""Webhook events: what a Change looks like to a receiver. Pure.

An event is stored once, with every field (the *seed* style); the leaner *pusher* style is made of it when it is sent,
so that a change of configuration also holds for events that already wait.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from sockudo_py.changes import (
    CacheMissed,
    Change,
    ChannelOccupied,
    ChannelVacated,
    ClientEventSent,
    ConnectionEstablished,
    ConnectionTerminated,
    MemberAdded,
    MemberRemoved,
    SubscriptionCountChanged,
)
from sockudo_py.compact import compact

Event = dict[str, Any]

EVENT_NAMES: Mapping[type[Change], str] = MappingProxyType(
    {
        ChannelOccupied: "channel_occupied",
        ChannelVacated: "channel_vacated",
        MemberAdded: "member_added",
        MemberRemoved: "member_removed",
        ClientEventSent: "client_event",
        CacheMissed: "cache_miss",
        SubscriptionCountChanged: "subscription_count",
        ConnectionEstablished: "connection_established",
        ConnectionTerminated: "connection_terminated",
    }
)

# PHP's SDK raises a TypeError for an event without a channel, and for any event on an encrypted channel: the whole
# request is lost. So these never share a request with others.
CONNECTION_EVENTS = frozenset({"connection_established", "connection_terminated"})
ENCRYPTED_PREFIX = "private-encrypted-"

RESYNC = "resync"  # the field of events that a resync sends: its id
_DROPPED = frozenset(("time_ms", RESYNC))
_MEMBER_DROPPED = _DROPPED | {"socket_id", "data"}


def event_of(change: Change, time_ms: int) -> Event:
    """Return the event for ``change``, which happened at ``time_ms`` (Unix milliseconds), with every field."""
    event = _FIELDS[type(change)](change)
    event["time_ms"] = time_ms
    return event


def encode(event: Event) -> bytes:
    """Return an event as compact JSON. Text that is no valid Unicode (lone surrogates) gets ``?`` in its place."""
    try:
        return compact(orjson.dumps(event))
    except TypeError:
        return compact(orjson.dumps({key: _valid(value) for key, value in event.items()}))


class TextWriter:
    """Writes ``encode(event_of(change, time_ms))`` in far less time, for the frequent kinds.

    It remembers what stands around the name and the data of the last client event, and the last time.
    """

    __slots__ = ("_around", "_end", "_head", "_tail", "_time_ms", "_time_text")

    def __init__(self) -> None:
        self._around: tuple[str, str, str | None] | None = None
        self._head = self._tail = self._time_text = b""
        self._end = self._time_ms = 0

    def text(self, change: Change, time_ms: int) -> bytes:
        """Return the text of a change's event."""
        if type(change) is ClientEventSent:
            if change.payload:
                # The message to subscribers, {"event":…,"data":…,"channel":…}, has event and data as JSON already.
                around = (change.channel, change.socket_id, change.user_id)
                if around != self._around:
                    self._around = around
                    self._head, self._tail, self._end = _around(*around)
                if time_ms != self._time_ms:
                    self._time_ms, self._time_text = time_ms, b"%d}" % time_ms
                return b"".join((self._head, change.payload[1 : self._end], self._tail, self._time_text))
        elif (before := _BEFORE_CHANNEL.get(type(change))) is not None:
            try:
                if time_ms != self._time_ms:
                    self._time_ms, self._time_text = time_ms, b"%d}" % time_ms
                return b"".join((before, orjson.dumps(change.channel), b',"time_ms":', self._time_text))  # type: ignore[union-attr]
            except TypeError:  # no valid Unicode
                pass
        return encode(event_of(change, time_ms))


def _around(channel: str, socket_id: str, user_id: str | None) -> tuple[bytes, bytes, int]:
    """Return what is before event and data in a client event's text, what is between them and the time, and where they
    end in its payload."""
    where = b'"channel":' + orjson.dumps(channel)
    user = b"" if user_id is None else b',"user_id":' + orjson.dumps(user_id)
    tail = b',"socket_id":%b%b,"time_ms":' % (orjson.dumps(socket_id), user)
    return b'{"name":"client_event",%b,' % where, tail, -len(b",%b%b}" % (where, user))


def shares(name: str, channel: str | None) -> bool:
    """Return whether an event may share a request with others."""
    return name not in CONNECTION_EVENTS and (channel is None or not channel.startswith(ENCRYPTED_PREFIX))


def pusher_style(event: Event) -> Event:
    """Return ``event`` with the fields that hosted Pusher documents, and no others."""
    name = event.get("name")
    dropped = _MEMBER_DROPPED if name in ("member_added", "member_removed") else _DROPPED
    return {key: value for key, value in event.items() if key not in dropped}


def _valid(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _channel(change: ChannelOccupied | ChannelVacated | CacheMissed) -> Event:
    return {"name": EVENT_NAMES[type(change)], "channel": change.channel}


def _member(change: MemberAdded | MemberRemoved) -> Event:
    event: Event = {"name": EVENT_NAMES[type(change)], "channel": change.channel, "user_id": change.user_id}
    if change.socket_id is not None:
        event["socket_id"] = change.socket_id
    return event


def _member_added(change: MemberAdded) -> Event:
    event = _member(change)
    event["data"] = member_data(change.user_id, change.user_info)
    return event


def member_data(user_id: str, user_info: str | None) -> str:
    """Return the JSON text ``{"user_id":…,"user_info":…}``. ``user_info`` is JSON text, left out when there is none."""
    member: Event = {"user_id": _valid(user_id)}
    if user_info is not None and user_info != "null":
        member["user_info"] = orjson.Fragment(user_info)
    return orjson.dumps(member).decode()


def _client_event(change: ClientEventSent) -> Event:
    event: Event = {
        "name": "client_event",
        "channel": change.channel,
        "event": change.event,
        "data": change.data,
        "socket_id": change.socket_id,
    }
    if change.user_id is not None:
        event["user_id"] = change.user_id
    return event


def _subscription_count(change: SubscriptionCountChanged) -> Event:
    return {
        "name": "subscription_count",
        "channel": change.channel,
        "subscription_count": change.subscription_count,
    }


def _connection(change: ConnectionEstablished | ConnectionTerminated) -> Event:
    return {"name": EVENT_NAMES[type(change)], "socket_id": change.socket_id}


_FIELDS: Mapping[type[Change], Callable[[Any], Event]] = MappingProxyType(
    {
        ChannelOccupied: _channel,
        ChannelVacated: _channel,
        MemberAdded: _member_added,
        MemberRemoved: _member,
        ClientEventSent: _client_event,
        CacheMissed: _channel,
        SubscriptionCountChanged: _subscription_count,
        ConnectionEstablished: _connection,
        ConnectionTerminated: _connection,
    }
)
# No proxy: it is asked once for each event, and a proxy looks ``get`` up by its name.
_BEFORE_CHANNEL: Final[Mapping[type[Change], bytes]] = {
    kind: b'{"name":"%b","channel":' % EVENT_NAMES[kind].encode()
    for kind in (ChannelOccupied, ChannelVacated, CacheMissed)
}
