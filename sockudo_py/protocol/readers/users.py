"""Reads a sign-in: the user of a connection, and its watchlist. Pure; the session keeps the state."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeGuard

from orjson import JSONDecodeError

from sockudo_py.protocol import errors
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels.presence import info_text
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.signatures import user_string, verify
from sockudo_py.protocol.surrogates import loads

MAX_USER_ID_LENGTH: Final = 200  # what the server SDKs accept in ``sendToUser`` and the paths of the HTTP API


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """A sign-in that was signed by the app's backend."""

    user: Member
    user_data: str  # verbatim, for the confirmation
    watchlist: tuple[str, ...] = ()
    watchlist_cut: bool = False  # it was longer than the app allows


def read_sign_in(app: App, socket_id: str, data: Mapping[str, object]) -> SignInRequest | str:
    """Return the sign-in that the parameters of ``pusher:signin`` ask for, or what is wrong with it."""
    auth = data.get("auth")
    if not isinstance(auth, str) or ":" not in auth:
        return errors.SIGNIN_FORMAT
    user_data = data.get("user_data")
    if not isinstance(user_data, str):
        return errors.missing("data.user_data")
    key, _, signature = auth.partition(":")
    secret = app.secret_of(key)
    if secret is None:
        return errors.signin_key(key)
    signed = user_string(socket_id, user_data)
    if not verify(secret, signed, signature):
        return errors.auth_signature(signed, signature)
    return _read_user_data(app, user_data)


# Control characters, and what stands for bytes that are no UTF-8.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def valid_user_id(user_id: object) -> TypeGuard[str]:
    """Return whether a user may have this id: 1 to 200 characters, none of them a control character."""
    return isinstance(user_id, str) and 0 < len(user_id) <= MAX_USER_ID_LENGTH and _FORBIDDEN.search(user_id) is None


def _read_user_data(app: App, user_data: str) -> SignInRequest | str:
    try:
        document = loads(user_data)
    except JSONDecodeError:
        return "Invalid user_data: not valid JSON"
    if not isinstance(document, dict):
        return "Invalid user_data: must be a JSON object"
    user_id = document.get("id")
    if not valid_user_id(user_id):
        return f"Invalid user_data: id must be a string of 1 to {MAX_USER_ID_LENGTH} characters, no control characters"
    user_info = document.get("user_info")
    if user_info is not None and not isinstance(user_info, dict):
        return "Invalid user_data: user_info must be an object"
    info = info_text(user_info)
    if info is None:
        return "Invalid user_data: user_info is nested too deeply"
    user = Member(user_id, info)
    if not app.watchlist:
        return SignInRequest(user, user_data)
    watchlist = document.get("watchlist")
    if watchlist is None:
        watchlist = []
    if not isinstance(watchlist, list) or not all(isinstance(watched, str) and watched for watched in watchlist):
        return "Invalid user_data: watchlist must be an array of user ids, which are non-empty strings"
    distinct = tuple(dict.fromkeys(watchlist))
    limit = app.max_watchlist
    return SignInRequest(user, user_data, distinct[:limit], len(distinct) > limit)
