"""Why a client can't connect or subscribe, and what to change where: causes and remedies in sentences. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sockudo_py.protocol.app import App
from sockudo_py.protocol.signatures import verify
from sockudo_py.tap import Refusal

_EXPECTED = re.compile(
    r"Invalid signature: Expected HMAC SHA256 hex digest of (?P<text>.*), but got (?P<given>\S*)$", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Reason:
    """What is wrong, and what to change where. ``name`` is for programs and for links."""

    name: str
    cause: str
    remedy: str


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


_CONNECTIONS: Final[Mapping[str, Reason]] = {
    "4000": Reason(
        "tls_required",
        "The app takes encrypted connections only, and the client came without TLS.",
        "Connect with wss:// (pusher-js: forceTLS: true and wssPort). Behind a proxy that ends TLS, let the proxy send "
        "X-Forwarded-Proto: https and name the proxy in trusted_proxies.",
    ),
    "4003": Reason(
        "app_disabled",
        "The app is switched off.",
        'Set "enabled": true for this app in the configuration and reload the server.',
    ),
    "4004": Reason(
        "app_full",
        "The app has as many connections as it may have.",
        "Raise max_connections of the app, or close connections that nobody uses.",
    ),
    "4005": Reason(
        "path",
        "The client asked for a path that belongs to no app.",
        "The path must be /app/KEY, after path_prefix where the server has one. In pusher-js wsPath holds only what "
        "stands before /app; a proxy must pass the path on unchanged.",
    ),
    "4007": Reason(
        "protocol",
        "The client speaks a version of the protocol that this server does not know.",
        "Update the client's SDK. Clients written by hand connect with ?protocol=7.",
    ),
    "4008": Reason(
        "protocol_missing",
        "The client does not say which version of the protocol it speaks.",
        "Connect with ?protocol=7, or set strict_protocol to false.",
    ),
    "4100": Reason(
        "node_full",
        "This server takes no more connections at the moment.",
        "Raise max_connections or the limit of open files (ulimit -n), or start another server. If the text names an "
        "address, rate_limiter.websocket_rate_limit refused it.",
    ),
    "4200": Reason(
        "stopping",
        "The server is stopping and sends clients to another one.",
        "Nothing: SDKs come back by themselves. If it stays so, no server is left behind the proxy.",
    ),
    "4201": Reason(
        "silent",
        "The client did not answer a ping.",
        "Often a laptop that sleeps or a proxy that cuts idle connections: let the proxy wait longer than "
        "activity_timeout.",
    ),
}
_SUBSCRIPTIONS: Final[Mapping[str, Reason]] = {
    "no_auth": Reason(
        "no_auth",
        "The client asked for a private or presence channel and sent no auth.",
        "Give the SDK an auth endpoint (pusher-js: channelAuthorization.endpoint) that answers "
        '{"auth": "KEY:SIGNATURE"}. Clients without an SDK send it in data.auth of pusher:subscribe.',
    ),
    "auth_format": Reason(
        "auth_format",
        "auth has no colon in it.",
        "The backend must answer auth as KEY:SIGNATURE. Use the server SDK's authorizeChannel.",
    ),
    "invalid_channel": Reason(
        "channel_name",
        "The channel's name has characters that are not allowed, or it is too long.",
        "Names have letters, digits and _ - = @ , . ; only, and at most max_channel_name_length characters.",
    ),
    "no_channel": Reason(
        "channel_missing", "The client named no channel.", "Send the name as data.channel of pusher:subscribe."
    ),
    "channel_data": Reason(
        "channel_data",
        "channel_data of a presence channel is missing or not valid.",
        'The backend must sign and return channel_data: a string that holds JSON with "user_id", within the app\'s '
        "limits for presence members.",
    ),
    "channel_full": Reason(
        "channel_full",
        "The presence channel has as many members as it may have.",
        "Raise presence.max_members_per_channel (or the app's own limit), or use an ordinary channel.",
    ),
    "too_many_subscriptions": Reason(
        "too_many_subscriptions",
        "The connection has as many subscriptions as it may have.",
        "Unsubscribe from channels that are not shown any more, or raise the app's max_subscriptions.",
    ),
    "unavailable": Reason(
        "unavailable",
        "The cluster's store could not be asked at that moment.",
        "Look at Redis: the page Cluster and the log say since when it is away.",
    ),
}
_REQUESTS: Final[tuple[tuple[str, Reason], ...]] = (
    (
        "Timestamp expired",
        Reason(
            "clock",
            "The request was signed at a time that is more than 600 seconds off.",
            "Set the clock of the machine that publishes (NTP). A request that waited long in a queue of yours must be "
            "signed again.",
        ),
    ),
    (
        "Invalid body_md5",
        Reason(
            "body_md5",
            "The body that arrived is not the body that was signed.",
            "Sign exactly the bytes that are sent: encode JSON once. A proxy or a client library that changes the body "
            "breaks the signature, too.",
        ),
    ),
    (
        "Missing required parameter: body_md5",
        Reason("body_md5", "The request has a body and no body_md5.", "Sign requests with a server SDK of Pusher."),
    ),
    (
        "Missing required parameter",
        Reason("unsigned", "The request is not signed.", "Use a server SDK of Pusher with the app's key and secret."),
    ),
    (
        "Unknown auth_key",
        Reason(
            "request_key",
            "The request is signed with a key that this app does not have.",
            "Use key and secret of the app whose id stands in the path.",
        ),
    ),
    (
        "Unknown app",
        Reason("request_app", "No app has the id that stands in the path.", "Check PUSHER_APP_ID of the backend."),
    ),
    (
        "Invalid signature",
        Reason(
            "request_signature",
            "The request is signed with another secret, or what arrived is not what was signed.",
            "Compare the string that the server expected (below) with what your code signs. If they are equal, the "
            "secret is wrong. If paths differ, a proxy rewrites them.",
        ),
    ),
    ("App disabled", Reason("app_disabled", "The app is switched off.", 'Set "enabled": true for this app.')),
    (
        "Rate limit exceeded",
        Reason(
            "rate_limit",
            "The app or the address sends more requests than its limit allows.",
            "Send events in batches, or raise the limit that the text names.",
        ),
    ),
    (
        "App key",
        Reason("request_key", "No app has this key.", "Use key and secret of the app whose id stands in the path."),
    ),
)
_OTHER: Final = Reason(
    "other", "The server refused it for the reason that it told the client.", "Change what the text below names."
)


def explain(refusal: Refusal, evidence: Evidence) -> Reason:
    """Return the cause of a refusal and its remedy."""
    if refusal.what == "connection":
        return _connection(refusal, evidence)
    if refusal.what == "subscription":
        return _subscription(refusal, evidence)
    if refusal.what == "message":
        return _message(refusal)
    return next((reason for start, reason in _REQUESTS if refusal.error.startswith(start)), _OTHER)


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
    return _CONNECTIONS.get(refusal.reason, _OTHER)


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
    return _SUBSCRIPTIONS.get(refusal.reason, _OTHER)


def _signature(refusal: Refusal, evidence: Evidence) -> Reason:
    found = _EXPECTED.match(refusal.error)
    app = evidence.app(refusal.app_id)
    if found is None or app is None:
        return _WRONG_SECRET
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
    return _WRONG_SECRET


_WRONG_SECRET: Final = Reason(
    "wrong_secret",
    "The signature is not made with the secret of this key, or not over the string that the server expected.",
    "Compare the string below with what your backend signs. If they are equal, its secret is wrong.",
)


def _fits(secrets: Iterable[bytes], text: str, given: str) -> bool:
    return any(verify(secret, text, given) for secret in secrets)


def _message(refusal: Refusal) -> Reason:
    if refusal.reason == "4301":
        return Reason(
            "client_event_rate",
            "The client sends more client events a second than the app allows.",
            "Send fewer, or raise the app's max_client_events_per_second.",
        )
    if refusal.error.startswith("To send client events"):
        return Reason(
            "client_events_off",
            "The app does not allow client events.",
            'Set "enable_client_messages": true for this app.',
        )
    if refusal.error.startswith("Client event rejected - only supported"):
        return Reason(
            "client_event_channel",
            "Clients may send events only to private and presence channels.",
            "Use a channel whose name begins with private- or presence-.",
        )
    if refusal.error.startswith("Cannot broadcast client event"):
        return Reason(
            "client_event_unsubscribed",
            "The client sent an event to a channel that it is not subscribed to.",
            "Send it after pusher:subscription_succeeded has come.",
        )
    return _CONNECTIONS.get(refusal.reason, _OTHER)
