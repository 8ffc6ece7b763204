"""Why a client can't connect or subscribe, and what to change where: causes and remedies in sentences. Pure."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sockudo_py.management.live.causes import (
    ADDRESS,
    CONNECTIONS,
    MESSAGES,
    OTHER,
    REQUESTS,
    SUBSCRIPTIONS,
    WRONG_SECRET,
    Reason,
)
from sockudo_py.protocol.app import App
from sockudo_py.protocol.signatures import verify
from sockudo_py.tap import Refusal

_EXPECTED = re.compile(
    r"Invalid signature: Expected HMAC SHA256 hex digest of (?P<text>.*), but got (?P<given>\S*)$", re.DOTALL
)
_OF_BATCH = re.compile(r"^Event \d+ of the batch: ")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What this server knows that helps to find a cause.

    ``app_of_key`` returns the app that has a key. ``app`` returns an app by its id. ``sockets`` returns socket ids of
    an app, ``channels`` channels that its clients asked for.
    """

    app: Callable[[str], App | None]
    app_of_key: Callable[[str], App | None]
    apps: Callable[[], Iterable[App]]
    sockets: Callable[[str], Iterable[str]]
    channels: Callable[[str], Iterable[str]]


def explain(refusal: Refusal, evidence: Evidence) -> Reason:
    """Return the cause of a refusal and its remedy."""
    if refusal.what == "connection":
        return _connection(refusal, evidence)
    if refusal.what == "subscription":
        return _subscription(refusal, evidence)
    if refusal.what == "message":
        return _message(refusal)
    error = _OF_BATCH.sub("", refusal.error)
    return next((reason for start, reason in REQUESTS if error.startswith(start)), OTHER)


def expected_string(refusal: Refusal) -> str | None:
    """Return the string that the server expected to be signed; None: the refusal is not about a signature."""
    found = _EXPECTED.match(refusal.error)
    if found is not None:
        return found["text"]
    found = re.search(r'HmacSHA256Hex\("(?P<text>.*)", your_secret_key\)', refusal.error, re.DOTALL)
    return found["text"] if found is not None else None


def _connection(refusal: Refusal, evidence: Evidence) -> Reason:
    if refusal.reason == "4001":
        key = str(refusal.more.get("key") or "")
        near = _near(key, evidence)
        return Reason(
            "unknown_key",
            f"No app of this server has the key {key or '(none)'}.",
            f"Did you mean {near}? Compare the client's key with the page Apps."
            if near
            else "Compare the client's key with the page Apps, and check that the client connects to this server.",
        )
    if refusal.reason == "4009" and "rigin" in refusal.error:
        origin = refusal.more.get("origin")
        said = f"the origin {origin}" if origin else "no origin"
        return Reason(
            "origin",
            f"The client's page sent {said}, which the app's allowed_origins do not have.",
            f'Add "{origin}" to allowed_origins of the app.'
            if origin
            else "Only browsers send an origin. Add * to allowed_origins of the app to let other clients in.",
        )
    if refusal.error.endswith("from this address"):
        return ADDRESS
    return CONNECTIONS.get(refusal.reason, OTHER)


def _near(key: str, evidence: Evidence) -> str | None:
    """Return the key of an app that differs only in case or in spaces around it, or its id: usual slips."""
    plain = key.strip().lower()
    for app in evidence.apps():
        if plain == app.id.lower():
            return f"{app.keys[0].key} (this is the id of an app, not its key)"
        for pair in app.keys:
            if plain and pair.key.lower() == plain:
                return pair.key
    return None


def _subscription(refusal: Refusal, evidence: Evidence) -> Reason:
    if refusal.reason == "unknown_key":
        found = re.search(r"'(?P<key>[^']*)'", refusal.error)
        owner = evidence.app_of_key(found["key"]) if found else None
        if owner is not None:
            return Reason(
                "other_apps_key",
                f"The auth endpoint signed with a key of the app {owner.id}; the client is connected to the app "
                f"{refusal.app_id}.",
                f"Give the backend key and secret of the app {refusal.app_id}, or the client the key of {owner.id}.",
            )
        return Reason(
            "other_apps_key",
            f"The auth endpoint signed with a key that the app {refusal.app_id} does not have.",
            f"Give the backend key and secret of the app {refusal.app_id}.",
        )
    if refusal.reason == "wrong_signature":
        return _signature(refusal, evidence)
    return SUBSCRIPTIONS.get(refusal.reason, OTHER)


def _signature(refusal: Refusal, evidence: Evidence) -> Reason:
    found = _EXPECTED.match(refusal.error)
    app = evidence.app(refusal.app_id)
    if found is None or app is None:
        return WRONG_SECRET
    text, given = found["text"], found["given"]
    socket_id, _, rest = text.partition(":")
    channel, colon, data = rest.partition(":")
    secrets = [pair.secret for pair in app.keys]
    for other in evidence.sockets(app.id):
        if other != socket_id and _fits(secrets, f"{other}:{rest}", given):
            return Reason(
                "other_socket",
                f"The signature is for the socket {other}; this connection is {socket_id}.",
                "The backend must sign the socket_id of each auth request. Do not cache answers of the auth endpoint: "
                "a client gets a new socket_id whenever it reconnects.",
            )
    for name in evidence.channels(app.id):
        if name != channel and _fits(secrets, f"{socket_id}:{name}{colon}{data}", given):
            return Reason(
                "other_channel",
                f"The signature is for the channel {name}; the client subscribes to {channel}.",
                "The backend must sign the channel_name of each auth request.",
            )
    if colon and _fits(secrets, f"{socket_id}:{channel}", given):
        return Reason(
            "unsigned_channel_data",
            "The signature does not cover channel_data.",
            "On presence channels sign SOCKET_ID:CHANNEL:CHANNEL_DATA, with exactly the channel_data that is returned.",
        )
    for another in evidence.apps():
        if another.id != app.id and _fits([pair.secret for pair in another.keys], text, given):
            return Reason(
                "wrong_secret",
                f"The signature is made with the secret of the app {another.id}, and the key of {app.id}.",
                f"Give the backend the secret of the app {app.id}.",
            )
    return WRONG_SECRET


def _fits(secrets: Iterable[bytes], text: str, given: str) -> bool:
    return any(verify(secret, text, given) for secret in secrets)


def _message(refusal: Refusal) -> Reason:
    found = next((reason for start, reason in MESSAGES if refusal.error.startswith(start)), None)
    return found or CONNECTIONS.get(refusal.reason, OTHER)
