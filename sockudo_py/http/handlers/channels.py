"""GET channels, channel, users: occupied channels and members of presence channels."""

import math

import orjson

from sockudo_py.caches.base import CachedEvent
from sockudo_py.http.context import Call
from sockudo_py.http.handlers.events import attributes
from sockudo_py.http.messages import ApiResponse, echo, error
from sockudo_py.protocol.channels import classify, valid_channel_name

LIST_ATTRIBUTES = frozenset(("user_count",))
CHANNEL_ATTRIBUTES = frozenset(("user_count", "subscription_count", "cache"))
_INTERNAL = "#server-to-user-"


async def channels(call: Call) -> ApiResponse:
    """List the occupied channels; with ``info=user_count`` the users of presence channels."""
    refused = call.spend_read()
    if refused is not None:
        return refused
    prefix = call.params.get("filter_by_prefix", "")
    asked = attributes(call.params.get("info"), LIST_ATTRIBUTES)
    if isinstance(asked, ApiResponse):
        return asked
    if asked and not prefix.startswith("presence-"):
        return error(400, "info=user_count needs a filter_by_prefix that starts with presence-")
    found = await call.node.channels(call.app, prefix)
    listed = {
        name: {"user_count": stats.user_count or 0} if asked else {}
        for name, stats in found.items()
        if not name.startswith(_INTERNAL)
    }
    return ApiResponse(200, orjson.dumps({"channels": listed}))


async def channel(call: Call) -> ApiResponse:
    """Answer whether a channel is occupied (an unknown one is not), with the attributes that ``info`` asks for."""
    refused = call.spend_read() or _invalid_name(call)
    if refused is not None:
        return refused
    name = call.segments[1]
    kind = classify(name)
    asked = attributes(call.params.get("info"), CHANNEL_ATTRIBUTES)
    if isinstance(asked, ApiResponse):
        return asked
    if "user_count" in asked and not kind.presence:
        return error(400, "info=user_count is for presence channels only")
    if "cache" in asked and not kind.cached:
        return error(400, "info=cache is for cache channels only")
    stats = await call.node.channel(call.app, name)
    answer: dict[str, object] = {"occupied": stats is not None}
    if "user_count" in asked:
        answer["user_count"] = (stats.user_count or 0) if stats else 0
    if "subscription_count" in asked:
        answer["subscription_count"] = stats.subscription_count if stats else 0
    if "cache" in asked:
        answer["cache"] = _remembered(await call.node.cached(call.app, name))
    return ApiResponse(200, orjson.dumps(answer))


async def users(call: Call) -> ApiResponse:
    """List the members of a presence channel."""
    refused = call.spend_read() or _invalid_name(call)
    if refused is not None:
        return refused
    name = call.segments[1]
    if not classify(name).presence:
        return error(400, "Users can be listed for presence channels only")
    members = await call.node.members(call.app, name)
    return ApiResponse(200, orjson.dumps({"users": [{"id": user_id} for user_id in members]}))


def _invalid_name(call: Call) -> ApiResponse | None:
    name = call.segments[1]
    if valid_channel_name(name, call.app.max_channel_name_length):
        return None
    return error(400, f"Invalid channel name: {echo(name)}")


def _remembered(event: CachedEvent | None) -> dict[str, object] | None:
    """Return the data of the last event, and the whole seconds it will be remembered (rounded up)."""
    if event is None:
        return None
    return {"data": orjson.loads(event.payload)["data"], "ttl": max(0, math.ceil(event.ttl))}
