"""POST events: what backends publish.

Everything of a request is checked before anything is delivered, so a request that is refused had no effect.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable

import orjson

from sockudo_py import logs
from sockudo_py.adapters.base import ChannelStats
from sockudo_py.errors import Unavailable
from sockudo_py.http.context import Call, NodeApi
from sockudo_py.http.idempotency import Keyed, fingerprint, read_key
from sockudo_py.http.messages import OK, TEXT, ApiResponse, echo, error
from sockudo_py.http.query import parse
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels import classify, user_of, valid_channel_name
from sockudo_py.protocol.readers.users import valid_user_id
from sockudo_py.protocol.signatures import grouped
from sockudo_py.protocol.source import UNIX
from sockudo_py.protocol.surrogates import loads_again, without_surrogates

log = logging.getLogger(__name__)

RESERVED = ("pusher:", "pusher_internal:")
POST_ATTRIBUTES = frozenset(("user_count", "subscription_count"))
_SOCKET_ID = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")
_BODY_PARAMS = frozenset(("name", "data", "channel", "channels", "socket_id", "info", "idempotency_key"))


# One checked event: name, data, channels, the socket that does not get it, and the attributes that were asked for each
# channel. A plain tuple, since every publish makes one.
Event = tuple[str, str, tuple[str, ...], str | None, frozenset[str]]


def publish(call: Call) -> ApiResponse | Awaitable[ApiResponse]:
    """Publish one event to one or more channels. Answers ``{}`` at once, later when info was asked for."""
    params = read_body(call)
    if not isinstance(params, dict):  # asked for the usual case: isinstance is three times as fast when it says yes
        return params
    app = call.app
    event = check(params, app)
    if not isinstance(event, tuple):
        return event
    if "idempotency_key" in params or call.request.idempotency_key is not None:
        return _publish_once(call, params, event)
    if app.backend_events_per_second is not None:
        refused = call.spend_events(1)
        if refused is not None:
            return refused
    name, data, channels, socket_id, info = event
    if logs.tracing:
        trace(call, event)
    call.node.publish(app, channels, name, data, socket_id)
    if not info:
        return OK
    return _with_info(call, channels, info)


def _publish_once(call: Call, params: dict[str, object], event: Event) -> ApiResponse | Awaitable[ApiResponse]:
    key = read_key(params.get("idempotency_key"), call.request.idempotency_key)
    if isinstance(key, ApiResponse):
        return key
    if key is None:
        return _publish(call, event)
    keyed = key_of_event(call, key, event)
    return call.idempotency.once(keyed, call.counters, lambda: _publish(call, event))


def _publish(call: Call, event: Event) -> ApiResponse | Awaitable[ApiResponse]:
    refused = call.spend_events(1)
    if refused is not None:
        return refused
    name, data, channels, socket_id, info = event
    if logs.tracing:
        trace(call, event)
    call.node.publish(call.app, channels, name, data, socket_id)
    return _with_info(call, channels, info) if info else OK


def key_of_event(call: Call, key: str, event: Event) -> Keyed:
    """Return the key of an event, whichever route it comes on."""
    *parts, info = event
    return call.idempotency.keyed(call.app.id, f"event:{key}", fingerprint([*parts, sorted(info)]))


def publish_deprecated(call: Call) -> ApiResponse | Awaitable[ApiResponse]:
    """Publish the way of the first API version: name and socket_id in the query, the body is the data."""
    try:
        data = without_surrogates(call.request.body.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return error(400, "The body is not valid UTF-8")
    params: dict[str, object] = {**call.params, "channel": call.segments[1], "data": data}
    event = check(params, call.app, single=True)
    if isinstance(event, ApiResponse):
        return event
    key = read_key(params.get("idempotency_key"), call.request.idempotency_key)
    if isinstance(key, ApiResponse):
        return key
    if key is None:
        return _accepted(call, event)
    keyed = call.idempotency.keyed(call.app.id, f"deprecated:{key}", fingerprint(event[:4]))
    return call.idempotency.once(keyed, call.counters, lambda: _accepted(call, event))


def _accepted(call: Call, event: Event) -> ApiResponse:
    refused = call.spend_events(1)
    if refused is not None:
        return refused
    name, data, channels, socket_id, _ = event
    if logs.tracing:
        trace(call, event)
    call.node.publish(call.app, channels, name, data, socket_id)
    return ApiResponse(202, b"202 ACCEPTED\n", TEXT)


def read_body(call: Call) -> dict[str, object] | ApiResponse:
    """Return the parameters: those of the JSON body (whatever its Content-Type), completed by those of the query."""
    body = call.request.body
    if not body:
        if not call.params:
            return error(400, "Expected a JSON object in the body, it is empty")
        return _query_params(call)
    try:
        params = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            params = loads_again(body)
        except orjson.JSONDecodeError as problem:
            return error(400, f"Malformed JSON in the body: {echo(str(problem))}")
    if not isinstance(params, dict):
        return error(400, "Expected a JSON object in the body")
    if call.params:
        given = _query_params(call)
        return {**given, **params} if isinstance(given, dict) else given
    return params


def _query_params(call: Call) -> dict[str, object] | ApiResponse:
    found: dict[str, object] = {name: value for name, value in call.params.items() if name in _BODY_PARAMS}
    if "channels" in found:
        channels = grouped(parse(call.request.query))["channels"]
        if any("," in channel for channel in channels):  # signed joined, it would be two channels as well
            return error(400, "A channel whose name holds a comma can't be named in the query; send a JSON body")
        found["channels"] = channels
    return found


def check(params: dict[str, object], app: App, single: bool = False) -> Event | ApiResponse:
    """Return the event these parameters describe, or the error to answer. ``single``: only ``channel`` counts."""
    name = params.get("name")
    if not isinstance(name, str):
        return error(400, "Expected name parameter to be a string")
    if not name or len(name) > app.max_event_name_length:
        return error(400, f"Event name must have 1 to {app.max_event_name_length} characters")
    if name.startswith(RESERVED):
        return error(400, "The 'pusher' namespace is reserved for internal usage")

    data = params.get("data")
    if data is None:
        return error(400, "Missing required parameter: data")
    if not isinstance(data, str):
        try:
            data = orjson.dumps(data).decode()
        except orjson.JSONEncodeError:
            return error(400, "The data of this event is nested too deeply; send it as a string")
    if len(data) > app.max_event_bytes or (not data.isascii() and len(data.encode()) > app.max_event_bytes):
        return error(
            413,
            f"The data content of this event exceeds the allowed maximum ({app.max_event_bytes} bytes). "
            "See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info",
        )

    channel = params.get("channel")
    if type(channel) is str and "channels" not in params and valid_channel_name(channel, app.max_channel_name_length):
        channels: tuple[str, ...] = (channel,)  # most have just this one
    else:
        found = _check_channels(params, app, single)
        if not isinstance(found, tuple):
            return found
        channels = found

    socket_id = params.get("socket_id")
    if socket_id is not None and not (isinstance(socket_id, str) and _SOCKET_ID.fullmatch(socket_id)):
        return error(400, "Invalid socket_id: expected two numbers with a dot between, like 1234.1234")
    info = params.get("info")
    if info is None:
        return name, data, channels, socket_id, NO_ATTRIBUTES
    asked = attributes(info, POST_ATTRIBUTES)
    return asked if isinstance(asked, ApiResponse) else (name, data, channels, socket_id, asked)


def _check_channels(params: dict[str, object], app: App, single: bool) -> tuple[str, ...] | ApiResponse:
    given = None if single else params.get("channels")
    if given is None:
        given = params.get("channel")
        if given is None:
            return error(400, f"Missing required parameter: {'channel' if single else 'channels'}")
        given = [given]
    elif not isinstance(given, list):
        return error(400, "Expected channels parameter to be an array of strings")
    if not given or len(given) > app.max_channels_per_event:
        return error(400, f"An event takes 1 to {app.max_channels_per_event} channels, this one has {len(given)}")
    names: dict[str, None] = {}  # in order, each once
    for channel in given:
        if not isinstance(channel, str):
            return error(400, "Expected each channel to be a string")
        if not valid_channel_name(channel, app.max_channel_name_length) and not valid_user_id(user_of(channel) or ""):
            return error(400, f"Invalid channel name: {echo(channel)}")
        names[channel] = None
    return tuple(names)


NO_ATTRIBUTES: frozenset[str] = frozenset()


def attributes(info: object, known: frozenset[str]) -> frozenset[str] | ApiResponse:
    """Return the attributes that ``info`` lists (comma-separated, or an array), or an error for one not ``known``."""
    if info is None or info == "":
        return NO_ATTRIBUTES
    names = info.split(",") if isinstance(info, str) else info
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return error(400, "Expected info parameter to be a comma-separated string")
    asked = frozenset(name.strip() for name in names)
    unknown = asked - known
    if unknown:
        return error(
            400, f"Unknown info attribute: {echo(', '.join(sorted(unknown)))}. Known here: {', '.join(sorted(known))}"
        )
    return asked


async def _with_info(call: Call, channels: tuple[str, ...], info: frozenset[str]) -> ApiResponse:
    found = await asyncio.gather(*(figures(call.node, call.app, channel, info) for channel in channels))
    return info_answer({"channels": dict(zip(channels, found, strict=True))})


def info_answer(figures: dict[str, object]) -> ApiResponse:
    """Return the answer of a publish that asked for figures."""
    return ApiResponse(200, orjson.dumps(figures))


async def figures(node: NodeApi, app: App, channel: str, asked: frozenset[str]) -> dict[str, int]:
    """Return those attributes that apply to this class of channel.

    The event has been sent already. When the cluster is away, the answer leaves the figures out: an error would make
    the sender repeat the event.
    """
    presence = classify(channel).presence
    if ("user_count" if presence else "subscription_count") not in asked:
        return {}
    try:
        stats = await node.channel(app, channel)
    except Unavailable as problem:
        log.warning("published to %s of app %s, but can't get its counts: %s", channel, app.id, problem)
        return {}
    stats = stats or ChannelStats(0, 0)
    return {"user_count": stats.user_count or 0} if presence else {"subscription_count": stats.subscription_count}


def trace(call: Call, event: Event) -> None:
    """Log a publish at level debug, without what it says."""
    name, data, channels, _, _ = event
    log.debug(
        "published",
        extra={
            "app_id": call.app.id,
            "address": call.request.remote or UNIX,
            "channel": logs.shortened(", ".join(channels)),
            "event": logs.shortened(name),
            "characters": len(data),
        },
    )
