"""Signing in: who a connection says it is, and whom it wants to watch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard

from orjson import JSONDecodeError

from sockudo_py.protocol import codec, errors
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels.presence import info_text
from sockudo_py.protocol.effects import Effect, Member, Reply, SignIn
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.messages import Message, complaint, parameters
from sockudo_py.protocol.signatures import user_string, verify
from sockudo_py.protocol.surrogates import loads

if TYPE_CHECKING:
    from sockudo_py.protocol.session import Session

MAX_USER_ID_LENGTH: Final = 200  # what the server SDKs accept in ``sendToUser`` and the paths of the HTTP API


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """A sign-in that was signed by the app's backend."""

    user: Member
    user_data: str  # verbatim, for the confirmation
    watchlist: tuple[str, ...] = ()
    watchlist_cut: bool = False  # it was longer than the app allows


def sign_in(session: "Session", message: Message) -> list[Effect]:
    """Return what ``pusher:signin`` leads to: a SignIn, or why not. Only the first of a connection needs one."""
    if not session.app.user_authentication:
        return [complaint(errors.SIGNIN_OFF)]
    request = read_sign_in(session.app, session.socket_id, parameters(message))
    if isinstance(request, str):
        return [complaint(request)]
    user_id = request.user.user_id
    under_way = session.signing_in
    taken = session.user_id if under_way is None else under_way.user.user_id
    if taken is not None and taken != user_id:
        return [complaint(errors.already_signed_in(taken))]
    session.authorized = True
    if session.user_id is not None:  # once more as the same user: the info may be new, the watchlist stays
        session.user = request.user
        return [Reply(codec.signin_success(request.user_data))]
    if under_way is not None:  # one answer will do for both
        return []
    session.signing_in = request
    return [SignIn(user_id, request.watchlist)]


def signed_in(session: "Session", user_id: str, online: frozenset[str] | None) -> list[Effect]:
    """Return what a successful SignIn leads to."""
    request = session.signing_in
    if request is None or request.user.user_id != user_id:
        return []
    session.signing_in = None
    session.user_id = user_id
    session.user = request.user
    if session.closed:
        return []
    effects: list[Effect] = [Reply(codec.signin_success(request.user_data))]
    if request.watchlist and online is not None:
        here = [watched for watched in request.watchlist if watched in online]
        away = [watched for watched in request.watchlist if watched not in online]
        effects.append(Reply(codec.watchlist_events(here, away)))
    if request.watchlist_cut:
        message = errors.watchlist_limit(len(request.watchlist))
        effects.append(Reply(codec.error(ErrorCode.WATCHLIST_LIMIT, message)))
    return effects


def sign_in_failed(session: "Session", user_id: str) -> list[Effect]:
    """Return what a SignIn leads to that the cluster can't carry out."""
    request = session.signing_in
    if request is None or request.user.user_id != user_id:
        return []
    session.signing_in = None
    return [] if session.closed else [complaint(errors.SIGNIN_UNAVAILABLE)]


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


def valid_user_id(user_id: object) -> TypeGuard[str]:
    """Return whether somebody can be signed in under this id: 1 to 200 characters, none of them a control character."""
    return (
        isinstance(user_id, str)
        and 0 < len(user_id) <= MAX_USER_ID_LENGTH
        and not any(character < " " or character == "\x7f" for character in user_id)
    )


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
