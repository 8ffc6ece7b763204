"""What the document says in words: statuses, variables of paths, parts of the API, and who may ask."""

from collections.abc import Mapping
from typing import Any, Final

from sockudo_py.management.credentials.sessions import COOKIE

REFUSALS: Final[Mapping[int, str]] = {
    400: "Malformed, or `app_id` is missing.",
    401: "No key, or an unknown one.",
    403: "The key may not do this.",
    404: "There is no such thing, or not for this key.",
    408: "The body did not arrive in time.",
    409: "It can't be done now, or not here: the message says why.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "Fields are refused; `fields` names them.",
    429: "Too many requests; try again after `Retry-After`.",
    503: "A store or the queue can't be reached; try again after `Retry-After`.",
}
ERRORS: Final[Mapping[int, str]] = {
    400: "The body or a parameter is wrong.",
    401: "The signature, key or timestamp is wrong.",
    403: "The app is disabled.",
    404: "There is no such app.",
    408: "The body did not arrive in time.",
    409: "The idempotency key was used for another request, or is being worked on.",
    413: "The body, or the data of an event, is too large.",
    415: "The body is compressed.",
    429: "A rate limit of the app or the address; try again after `Retry-After`.",
    503: "Draining, out of room, or a store is away; try again after `Retry-After`.",
}
VARIABLES: Final[Mapping[str, str]] = {
    "app": "Id of an app.",
    "app_id": "Id of an app.",
    "id": "Uid or number of an endpoint; of a dead letter its id.",
    "delivery": "Id of a delivery.",
    "name": "Type of an event.",
    "channel": "Name of a channel.",
    "user": "Id of a user.",
    "user_id": "Id of a user.",
    "socket": "Id of a connection.",
}
SIGNED_BY: Final = ("pusherKey", "pusherTimestamp", "pusherVersion", "pusherSignature")
TAGS: Final[Mapping[str, str]] = {
    "HTTP API": "What backends call, signed with a key of the app. It is Pusher's API. Errors are plain text.",
    "Probes": "For load balancers and operators.",
    "Endpoints": "Webhook endpoints. Each route has three forms, which differ in the shape of an endpoint: "
    "`/api/webhooks` and `/apps/{app}/webhooks` (`id` is the uid), `/v1/webhooks` (wrapped, `id` is a number).",
    "Deliveries": "What was sent, how it went, and once more.",
    "Queue": "Figures and dead letters.",
    "Events": "Events of applications, and the catalogue of all events.",
    "Keys and changes": "Links for tenants, and who changed what.",
    "Dashboard": "What the dashboard asks.",
    "Document": "This document.",
}
ABOUT: Final = (
    "The HTTP API that backends call, and the management API of webhooks. Errors of the management API are JSON, those "
    "of the HTTP API plain text. Bodies are read as JSON whatever `Content-Type` says. Besides what is listed, any "
    "request may be answered with 405 (other methods), 431 (the head is too large), 500 (a defect; the log has the "
    "reason), 501 or 505 (not the HTTP that is spoken here)."
)


def needs(*names: str) -> dict[str, list[str]]:
    """Return the requirement that all of these schemes are met."""
    return {name: [] for name in names}


def session(method: str) -> dict[str, list[str]]:
    """Return what the dashboard sends with this method."""
    return needs("session") if method == "GET" else needs("session", "csrf")


KEYS: Final = ({"bearer": list[str]()}, {"pulseKey": list[str]()})
DONE: Final[Mapping[int, str]] = {200: "Done.", 201: "Made.", 202: "Taken.", 204: "Done; there is nothing to say."}


def _in(place: str, name: str, says: str) -> dict[str, str]:
    return {"type": "apiKey", "in": place, "name": name, "description": says}


SCHEMES: Final[Mapping[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An admin key of `webhooks.admin.api_keys`, or the token of a link.",
    },
    "pulseKey": _in("header", "X-Pulse-Key", "The same, as Pulse sends it."),
    "session": _in("cookie", COOKIE, "Of the dashboard."),
    "csrf": _in("header", "X-CSRF-Token", "`csrf` of the session; with everything but GET."),
    "pusherKey": _in("query", "auth_key", "A key of the app."),
    "pusherTimestamp": _in("query", "auth_timestamp", "Unix seconds; 600 of difference are accepted."),
    "pusherVersion": _in("query", "auth_version", "1.0"),
    "pusherSignature": _in(
        "query",
        "auth_signature",
        "HMAC-SHA256 in hex, with the secret of the key, of the method, the path, and the other parameters of the "
        "query sorted by name and joined with `&`, one a line. With a body, its MD5 in hex is one of them: `body_md5`.",
    ),
}
