"""Causes of refusals and their remedies, by the code or by the beginning of the text that the client got. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """What is wrong, and what to change where. ``name`` is for programs and for links."""

    name: str
    cause: str
    remedy: str


CONNECTIONS: Final[Mapping[str, Reason]] = {
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
    "4009": Reason(
        "terminated",
        "A backend of the app has ended the connections of this user.",
        "Nothing, where that was meant. Else look which backend calls POST /apps/ID/users/USER/terminate_connections.",
    ),
    "4100": Reason(
        "node_full",
        "This server takes no more connections at the moment.",
        "Raise max_connections or the limit of open files (ulimit -n), or start another server. A high watermark "
        "(watermarks) refuses clients, too.",
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
SUBSCRIPTIONS: Final[Mapping[str, Reason]] = {
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
ADDRESS: Final = Reason(
    "address_limit",
    "More connections or requests came from one address than it may make.",
    "Raise rate_limiter.websocket_rate_limit or rate_limiter.api_rate_limit. Behind a proxy all clients have its "
    "address: name it in trusted_proxies.",
)
REQUESTS: Final[tuple[tuple[str, Reason], ...]] = (
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
    ("Rate limit exceeded: too many requests from this address", ADDRESS),
    (
        "Rate limit exceeded",
        Reason(
            "rate_limit",
            "The app's backend sends more requests or events than the app's limit allows.",
            "Send events in batches, or raise the app's max_backend_events_per_second or max_read_requests_per_second.",
        ),
    ),
    *(
        (
            start,
            Reason(
                "event_size",
                "The event or the batch is larger than it may be, or goes to more channels at once.",
                "Send less at once, or raise the key of event_limits that it is about (or the app's own limit).",
            ),
        )
        for start in ("The data content of this event", "Event name must", "An event takes", "A batch may")
    ),
    (
        "App key",
        Reason("request_key", "No app has this key.", "Use key and secret of the app whose id stands in the path."),
    ),
)
OTHER: Final = Reason(
    "other", "The server refused it for the reason that it told the client.", "Change what the text below names."
)


MESSAGES: Final[tuple[tuple[str, Reason], ...]] = (
    (
        "Client event rejected due to rate limit",
        Reason(
            "client_event_rate",
            "The client sends more client events a second than the app allows.",
            "Send fewer, or raise the app's max_client_events_per_second.",
        ),
    ),
    (
        "To send client events",
        Reason(
            "client_events_off",
            "The app does not allow client events.",
            'Set "enable_client_messages": true for this app.',
        ),
    ),
    (
        "Client event rejected - only supported",
        Reason(
            "client_event_channel",
            "Clients may send events only to private and presence channels.",
            "Use a channel whose name begins with private- or presence-.",
        ),
    ),
    (
        "Client event rejected - the ",
        Reason(
            "client_event_size",
            "The name or the data of the client event is too long.",
            "Send less, or raise event_limits.max_payload_in_kb or max_name_length (or the app's own limits).",
        ),
    ),
    (
        "Cannot broadcast client event",
        Reason(
            "client_event_unsubscribed",
            "The client sent an event to a channel that it is not subscribed to.",
            "Send it after pusher:subscription_succeeded has come.",
        ),
    ),
    (
        "Watchlist limit exceeded",
        Reason(
            "watchlist_size",
            "The user's watchlist has more users than it may have; the first ones count.",
            "Shorten watchlist in the answer of the sign-in endpoint, or raise the app's max_watchlist_size.",
        ),
    ),
    (
        "Connection not authorized within timeout",
        Reason(
            "unauthorized",
            "The client neither signed in nor joined a private channel in time, which this app demands.",
            "Sign in sooner, raise user_authentication_timeout, or switch enable_authorized_connections off.",
        ),
    ),
    (
        "Over capacity: messages were not read",
        Reason(
            "too_slow",
            "The client did not read what was sent to it, and more waited for it than may wait.",
            "Publish less to its channels, or raise websocket.max_bytes. A phone that sleeps comes back by itself.",
        ),
    ),
    (
        "Message too big",
        Reason(
            "message_size",
            "The client sent a message that is larger than any may be.",
            "Send less, or raise websocket_max_payload_kb.",
        ),
    ),
)
WRONG_SECRET: Final = Reason(
    "wrong_secret",
    "The signature is not made with the secret of this key, or not over the string that the server expected.",
    "Compare the string below with what your backend signs. If they are equal, its secret is wrong.",
)
