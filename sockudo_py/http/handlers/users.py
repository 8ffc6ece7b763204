"""Connections: count those of an app, close those of a user."""

import orjson

from sockudo_py.http.context import Call
from sockudo_py.http.messages import OK, ApiResponse, error
from sockudo_py.protocol.readers.users import MAX_USER_ID_LENGTH, valid_user_id


async def connections(call: Call) -> ApiResponse:
    """Count the clients of the app that are connected to the cluster. Laravel's card for Pulse asks for it."""
    refused = call.spend_read()
    if refused is not None:
        return refused
    return ApiResponse(200, orjson.dumps({"connections": await call.node.app_connections(call.app)}))


def terminate(call: Call) -> ApiResponse:
    """Close all signed-in connections of a user in the whole cluster with 4009. A user without any is no error."""
    return _close(call, reconnect=False)


def force_reconnect(call: Call) -> ApiResponse:
    """Close all signed-in connections of a user with 4200, as Sockudo's SDKs ask for it: they come back at once."""
    return _close(call, reconnect=True)


def _close(call: Call, *, reconnect: bool) -> ApiResponse:
    user_id = call.segments[-1]
    if not valid_user_id(user_id):
        return error(400, f"Invalid user id: expected 1 to {MAX_USER_ID_LENGTH} characters without control characters")
    call.node.terminate_user(call.app, user_id, reconnect=reconnect)
    return OK
