"""Webhook events: what a Change looks like to a receiver. Pure.

An event is stored once, with every field (the *seed* style); the leaner *pusher* style is made of it when it is sent,
so that a change of configuration also holds for events that already wait.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

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

_MEMBER_EXTRAS = ("socket_id", "data")


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


def texts_of(changes: Sequence[Change], time_ms: int) -> list[bytes]:
    """Return ``encode(event_of(change, time_ms))`` of changes of one kind, of client events in far less time."""
    channel = socket_id = user_id = None
    head = tail = b""
    end = 0
    texts: list[bytes] = []
    for change in changes:
        if type(change) is not ClientEventSent or not change.payload:
            texts.append(encode(event_of(change, time_ms)))
            continue
        # The message to subscribers, {"event":...,"data":...,"channel":...}, has event and data as JSON already.
        if change.channel != channel or change.socket_id != socket_id or change.user_id != user_id:
            channel, socket_id, user_id = change.channel, change.socket_id, change.user_id
            head, tail, end = _around(channel, socket_id, user_id, time_ms)
        texts.append(head + change.payload[1:end] + tail)
    return texts


def _around(channel: str, socket_id: str, user_id: str | None, time_ms: int) -> tuple[bytes, bytes, int]:
    """Return what is before and after event and data in a client event's text, and where they end in its payload."""
    where = b'"channel":' + orjson.dumps(channel)
    user = b"" if user_id is None else b',"user_id":' + orjson.dumps(user_id)
    tail = b',"socket_id":%b%b,"time_ms":%d}' % (orjson.dumps(socket_id), user, time_ms)
    return b'{"name":"client_event",%b,' % where, tail, -len(b",%b%b}" % (where, user))


def shares(name: str, channel: str | None) -> bool:
    """Return whether an event may share a request with others."""
    return name not in CONNECTION_EVENTS and (channel is None or not channel.startswith(ENCRYPTED_PREFIX))


def pusher_style(event: Event) -> Event:
    """Return ``event`` with the fields that hosted Pusher documents, and no others."""
    name = event.get("name")
    dropped = ("time_ms", *_MEMBER_EXTRAS) if name in ("member_added", "member_removed") else ("time_ms",)
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
