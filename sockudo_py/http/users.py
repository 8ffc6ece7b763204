"""POST terminate_connections: end the connections of a user."""

import re

from sockudo_py.http.context import Call
from sockudo_py.http.messages import OK, ApiResponse, error

_MAX_USER_ID = 200  # what the SDKs let through
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # also what stands for bytes that are no UTF-8


def valid_user_id(user_id: str) -> bool:
    """Return whether a request may name this user."""
    return 1 <= len(user_id) <= _MAX_USER_ID and _CONTROL.search(user_id) is None


def terminate(call: Call) -> ApiResponse:
    """Close all signed-in connections of a user in the whole cluster. Fine for a user who has none."""
    user_id = call.segments[-1]
    if not valid_user_id(user_id):
        return error(400, f"Invalid user id: expected 1 to {_MAX_USER_ID} characters without control characters")
    call.node.terminate_user(call.app, user_id)
    return OK
