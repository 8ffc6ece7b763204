"""Presence channels: who a subscriber is, from the ``channel_data`` that the app's backend signed."""

from orjson import JSONDecodeError, dumps

from sockudo_py.protocol.app import App
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.surrogates import loads

# A JSON number past this is rounded on the way through a float, and two users could become one.
_EXACT_FLOAT = 2**53


def read_member(app: App, channel_data: str) -> Member | str:
    """Return the member that ``channel_data`` describes, or what is wrong with it."""
    try:
        document = loads(channel_data)
    except JSONDecodeError:
        return "channel_data is not valid JSON"
    if type(document) is not dict:
        return "channel_data must be a JSON object"
    user_id = _id_text(document.get("user_id"))
    if user_id is None:
        return "channel_data must have a user_id, a non-empty string or a number"
    user_info = info_text(document.get("user_info"))
    if user_info is None:
        return "user_info is nested too deeply"
    return within_limits(app, Member(user_id, user_info))


def within_limits(app: App, member: Member) -> Member | str:
    """Return the member, or which limit of the app it breaks."""
    if len(member.user_id) > app.max_user_id_length:
        return f"user_id is longer than {app.max_user_id_length} characters"
    if len(member.user_info.encode()) > app.max_user_info_bytes:
        return f"user_info is larger than {app.max_user_info_bytes} bytes"
    return member


def info_text(user_info: object) -> str | None:
    """Return user_info as compact JSON text (``"null"`` for None), or None when it is nested too deeply to be sent."""
    if user_info is None:
        return "null"
    try:
        return dumps(user_info).decode()
    except TypeError:  # orjson reads 1024 levels, but writes only 254
        return None


def _id_text(value: object) -> str | None:
    if type(value) is str:
        return value or None
    if type(value) is int:
        return str(value)
    if type(value) is float and abs(value) < _EXACT_FLOAT:
        return str(int(value)) if value.is_integer() else repr(value)
    return None
