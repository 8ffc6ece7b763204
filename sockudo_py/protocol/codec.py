"""Every message of the server, as JSON in UTF-8 and not yet framed.

``data`` is always a string that holds JSON, and never left out, because Swift, Java and .NET need it so. The exceptions
are ``pusher:error`` and ``pusher:subscription_error``, whose data is an object. Keys come in hosted Pusher's order:
event, data, channel.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from orjson import dumps

from sockudo_py.protocol.effects import Member

PING: Final = b'{"event":"pusher:ping","data":"{}"}'
PONG: Final = b'{"event":"pusher:pong","data":"{}"}'


def error(code: int | None, message: str) -> bytes:
    """Return a ``pusher:error``. With None for a code it is a complaint that changes nothing."""
    return dumps({"event": "pusher:error", "data": {"code": code, "message": message}})


def connection_established(socket_id: str, activity_timeout: int) -> bytes:
    """Return the greeting. ``activity_timeout`` is in seconds and at least 1: pusher-js takes 0 for a broken server."""
    data = f'{{\\"socket_id\\":\\"{socket_id}\\",\\"activity_timeout\\":{activity_timeout}}}'
    return f'{{"event":"pusher:connection_established","data":"{data}"}}'.encode()


def subscription_succeeded(channel: str, roster: Mapping[str, str] | None = None) -> bytes:
    """Return the confirmation of a subscription.

    Args:
        channel: Its name.
        roster: For presence channels: user_info as JSON text by user id, the new member included.
    """
    if roster is None:
        return b'{"event":"pusher_internal:subscription_succeeded","data":"{}","channel":' + dumps(channel) + b"}"
    return dumps(
        {"event": "pusher_internal:subscription_succeeded", "data": _presence_data(roster), "channel": channel}
    )


def _presence_data(roster: Mapping[str, str]) -> str:
    """Return the members as JSON text. The infos are text already; only ids that JSON escapes cost more than a join."""
    ids = dumps(list(roster)).decode()
    if "\\" in ids:
        pairs = [f"{dumps(user_id).decode()}:{info}" for user_id, info in roster.items()]
    else:
        pairs = [f'"{user_id}":{info}' for user_id, info in roster.items()]
    return f'{{"presence":{{"count":{len(roster)},"ids":{ids},"hash":{{{",".join(pairs)}}}}}}}'


def subscription_error(channel: str, kind: str, message: str, status: int) -> bytes:
    """Return soketi's answer to a refused subscription, which Laravel Echo's ``error()`` listens for."""
    data = {"type": kind, "error": message, "status": status}
    return dumps({"event": "pusher:subscription_error", "channel": channel, "data": data})


def member_added(channel: str, member: Member) -> bytes:
    """Return the news of a new member, for the others."""
    data = f'{{"user_id":{dumps(member.user_id).decode()},"user_info":{member.user_info}}}'
    return server_event("pusher_internal:member_added", data, channel)


def member_removed(channel: str, user_id: str) -> bytes:
    """Return the news that a user's last connection left, for the rest."""
    data = f'{{"user_id":{dumps(user_id).decode()}}}'
    return server_event("pusher_internal:member_removed", data, channel)


def subscription_count(channel: str, count: int) -> bytes:
    """Return the number of subscriptions of a channel, for its subscribers."""
    return server_event("pusher_internal:subscription_count", f'{{"subscription_count":{count}}}', channel)


def cache_miss(channel: str) -> bytes:
    """Return the news that a cache channel holds no event."""
    return b'{"event":"pusher:cache_miss","data":"{}","channel":' + dumps(channel) + b"}"


def server_event(name: str, data: str, channel: str) -> bytes:
    """Return an event of the server. ``data`` goes out exactly as it is."""
    return dumps({"event": name, "data": data, "channel": channel})


json_string: Callable[[str], bytes] = dumps  # a text as a JSON string: a part for ``event``


def event(channel: str, name_json: bytes, data_json: bytes) -> bytes:
    """Return an event of the server from parts that ``json_string`` made once for all channels of a publish."""
    return b'{"event":' + name_json + b',"data":' + data_json + b',"channel":' + dumps(channel) + b"}"


def client_event(channel: str, name: str, data: str, user_id: str | None) -> bytes:
    """Return a client event as the other subscribers receive it. ``user_id`` is the sender's, on presence channels."""
    if user_id is None:
        return dumps({"event": name, "data": data, "channel": channel})
    return dumps({"event": name, "data": data, "channel": channel, "user_id": user_id})


def signin_success(user_data: str) -> bytes:
    """Return the confirmation of a sign-in, which repeats ``user_data`` verbatim."""
    return dumps({"event": "pusher:signin_success", "data": dumps({"user_data": user_data}).decode()})


def watchlist_events(online: Iterable[str], offline: Iterable[str]) -> bytes:
    """Return who of a watchlist is or came online and offline; a side without users is left out."""
    sides = (("online", list(online)), ("offline", list(offline)))
    events = [{"name": name, "user_ids": user_ids} for name, user_ids in sides if user_ids]
    return dumps({"event": "pusher_internal:watchlist_events", "data": dumps({"events": events}).decode()})
