"""What the management routes answer, as schemas. ``tests/e2e/test_openapi.py`` holds a running server to them.

Each stands beside its route in a ``table``; those of endpoints come in the two shapes of ``aliases.Alias``.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from sockudo_py.endpoints import AuthType, ProfileName
from sockudo_py.http.description.notation import (
    ANYTHING,
    DECIMAL,
    FLAG,
    MOMENT,
    NUMBER,
    OBJECT,
    TEXT,
    Schema,
    by_name,
    many,
    maybe,
    record,
    words,
)

_MAYBE_TEXT, _MAYBE_NUMBER, _MAYBE_MOMENT = maybe(TEXT), maybe(NUMBER), maybe(MOMENT)

ERROR: Final = record(
    "Error",
    {
        "error": record(
            "",
            {"code": {**TEXT, "description": "For programs."}, "message": {**TEXT, "description": "For people."}},
            {"fields": many(record("", {"field": TEXT, "message": TEXT}))},
        )
    },
)


def listed(name: str, entry: Schema) -> Schema:
    """Return the schema of one page of a list."""
    return record("", {name: many(entry), "next_cursor": _MAYBE_TEXT})


# -- endpoints

_RATE: Final = record("", {"per_second": _MAYBE_NUMBER, "per_minute": _MAYBE_NUMBER, "per_hour": _MAYBE_NUMBER})
_ENDPOINT: Final[Mapping[str, Schema]] = {
    "uid": TEXT,
    "number": NUMBER,
    "app_id": TEXT,
    "name": TEXT,
    "description": TEXT,
    "events": many(TEXT),
    "event_types": many(TEXT),
    "enabled": FLAG,
    "active": FLAG,
    "profile": words(get_args(ProfileName)),
    "also_sign": many(words(get_args(ProfileName))),
    "signed_with": words(("secret", "app")),
    "filter": OBJECT,
    "headers": {**by_name(TEXT), "description": "Every value is `***`."},
    "header_names": many(TEXT),
    "json_style": TEXT,
    "payload": TEXT,
    "retries_s": many(DECIMAL),
    "request_timeout_ms": NUMBER,
    "connect_timeout_ms": NUMBER,
    "rate_limit": _RATE,
    "max_in_flight": _MAYBE_NUMBER,
    "ordering": TEXT,
    "auto_resync": FLAG,
    "previous_secret_expires_at": _MAYBE_MOMENT,
    "source": words(("file", "api")),
    "created_at": _MAYBE_MOMENT,
    "updated_at": _MAYBE_MOMENT,
}
_TARGET: Final[Mapping[str, Schema]] = {
    "url": TEXT,
    "lambda": OBJECT,
    "feed": record("", {"retention_s": NUMBER, "max_events": NUMBER}),
    "auth": record("", {"type": words(get_args(AuthType))}, closed=False),
    "public_keys": many(TEXT),
}
_SECRET: Final = {**maybe(TEXT), "description": "Shown this once. null: the app's secret signs."}
_WARNINGS: Final[Mapping[str, Schema]] = {"warnings": many(TEXT)}
_FIGURES: Final[Mapping[str, Schema]] = {
    "total_deliveries": NUMBER,
    "successful_deliveries": NUMBER,
    "failed_deliveries": NUMBER,
    "last_success_at": _MAYBE_MOMENT,
    "last_failure_at": _MAYBE_MOMENT,
}
_LIST_FIGURES: Final = record(
    "WebhookFigures",
    {
        "successful": NUMBER,
        "failed": NUMBER,
        "attempts": NUMBER,
        "avg_duration_ms": NUMBER,
        "p95_duration_ms": NUMBER,
        "last_success_at": _MAYBE_MOMENT,
        "last_failure_at": _MAYBE_MOMENT,
        "consecutive_failures": NUMBER,
        "circuit": words(("closed", "half_open", "open")),
        "recent": {
            **many({"type": "array"}),
            "description": "The last attempts, oldest first: of each the milliseconds, and whether it was delivered.",
        },
    },
)


def _endpoint(name: str, wrapped: bool, fields: Mapping[str, Schema], optional: Mapping[str, Schema]) -> Schema:
    ident = {**NUMBER, "description": "As `number`."} if wrapped else {**TEXT, "description": "As `uid`."}
    name = f"{name}V1" if wrapped else name
    return record(name, {"id": ident, **_ENDPOINT, **fields}, {**_TARGET, **optional})


class Shapes:
    """The answers about endpoints in one of the two shapes."""

    def __init__(self, wrapped: bool) -> None:
        def around(shown: Schema, **more: Schema) -> Schema:
            return record("", {"webhook": shown}, more) if wrapped else shown

        webhook = _endpoint("Webhook", wrapped, {}, {})
        self.list = listed("webhooks", _endpoint("ListedWebhook", wrapped, {}, {"figures": _LIST_FIGURES}))
        self.one = webhook
        if wrapped:
            shown = _endpoint("WebhookWithFigures", wrapped, {}, _FIGURES)
            self.one = around(shown, statistics=by_name(TEXT))
        self.created = around(_endpoint("CreatedWebhook", wrapped, {"secret": _SECRET}, _WARNINGS))
        self.changed = around(_endpoint("ChangedWebhook", wrapped, {}, {"secret": TEXT, **_WARNINGS}))
        self.enabled = around(webhook)
        dropped: Schema = {**NUMBER, "description": "What waited and is among the dead letters now."}
        if wrapped:
            self.disabled = around(webhook, dropped=dropped)
        else:
            self.disabled = _endpoint("DisabledWebhook", wrapped, {}, {"dropped": dropped})
        rotated = {"secret": TEXT, "previous_secret_expires_at": _MAYBE_MOMENT}
        self.rotated = around(_endpoint("RotatedWebhook", wrapped, rotated, _WARNINGS))


BARE: Final = Shapes(wrapped=False)
WRAPPED: Final = Shapes(wrapped=True)

PROJECT: Final = record(
    "Project",
    {
        "project_id": TEXT,
        "webhook_url": TEXT,
        "events": many(TEXT),
        "webhook": _endpoint("ProjectWebhook", False, {}, {"secret": _SECRET}),
    },
    {"secret": _SECRET, **_WARNINGS},
)
PROBLEM: Final = record("DeliveryProblem", {"class": TEXT, "message": _MAYBE_TEXT}, {"status": _MAYBE_NUMBER})
TRIED: Final = record(
    "TestResult",
    {
        "success": FLAG,
        "status_code": _MAYBE_NUMBER,
        "duration_ms": DECIMAL,
        "response_body": TEXT,
        "response_truncated": FLAG,
        "delivery_id": TEXT,
        "event_type": TEXT,
        "test": FLAG,
        "error": maybe(PROBLEM),
    },
)

# -- deliveries

_TIMING: Final = ("queued_ms", "dns_ms", "connect_ms", "tls_ms", "ttfb_ms", "total_ms")
_ATTEMPT: Final[Mapping[str, Schema]] = {
    "id": {**TEXT, "description": "Of the delivery."},
    "attempt_id": TEXT,
    "webhook_id": TEXT,
    "app_id": TEXT,
    "event_ids": many(TEXT),
    "event_types": many(TEXT),
    "event_count": NUMBER,
    "attempt": NUMBER,
    "max_attempts": NUMBER,
    "status": words(("delivered", "retrying", "failed", "pending")),
    "http_status": _MAYBE_NUMBER,
    "response_body": TEXT,
    "response_truncated": FLAG,
    "error": maybe(PROBLEM),
    "request_headers": by_name(TEXT),
    "signed": maybe(record("", {"bytes": _MAYBE_NUMBER, "sha256": TEXT})),
    "target": TEXT,
    "timing": record("", dict.fromkeys(_TIMING, _MAYBE_NUMBER)),
    "created_at": _MAYBE_MOMENT,
    "started_at": _MAYBE_MOMENT,
    "finished_at": _MAYBE_MOMENT,
    "next_attempt_at": _MAYBE_MOMENT,
    "size": NUMBER,
    "test": FLAG,
    "redrive": NUMBER,
    "retry_of": _MAYBE_TEXT,
}
ATTEMPT: Final = record("Attempt", _ATTEMPT)
LOGGED: Final = record("LogEntry", {"message": TEXT, "timestamp": _MAYBE_MOMENT, **_ATTEMPT})
_PAYLOAD: Final = {"description": "The events; null: they are not kept any more."}
DELIVERY: Final[Schema] = {
    "anyOf": [
        record("Delivery", {**_ATTEMPT, "attempts": many(ATTEMPT), "payload": _PAYLOAD}),
        record(
            "PendingDelivery",
            {
                "id": TEXT,
                "webhook_id": TEXT,
                "app_id": TEXT,
                "status": words(("pending",)),
                "created_at": _MAYBE_MOMENT,
                "retry_of": _MAYBE_TEXT,
                "attempts": many(ATTEMPT),
                "payload": _PAYLOAD,
            },
        ),
    ]
}
RETRIED: Final = record("Retried", {"delivery_id": TEXT, "retry_of": TEXT, "webhook_id": TEXT})
MATCHED: Final = record("", {"matched": NUMBER}, {"more": FLAG})
REPLAYED: Final = record("", {"retried": NUMBER, "next_cursor": _MAYBE_TEXT})
RESYNC: Final = record(
    "Resync",
    {"resync_id": TEXT, "webhook_id": TEXT, "channels": NUMBER, "members": NUMBER, "stamp": _MAYBE_MOMENT},
)
FEED: Final = record(
    "Feed",
    {
        "items": many(
            record(
                "",
                {
                    "delivery_id": TEXT,
                    "cursor": TEXT,
                    "events": NUMBER,
                    "event_types": many(TEXT),
                    "created_at": _MAYBE_MOMENT,
                    "requests": many(record("", {"headers": many(many(TEXT)), "body": TEXT})),
                },
            )
        ),
        "start": TEXT,
        "cursor": TEXT,
        "retries_s": many(DECIMAL),
        "request_timeout_ms": NUMBER,
    },
)
STATISTICS: Final = record(
    "Statistics",
    {
        "webhookId": TEXT,
        "webhook_id": TEXT,
        "total": NUMBER,
        "successful": NUMBER,
        "failed": NUMBER,
        "pending": NUMBER,
        "retrying": NUMBER,
        "in_flight": NUMBER,
        "success_rate": DECIMAL,
        "attempts": NUMBER,
        "avg_duration_ms": DECIMAL,
        "p95_duration_ms": DECIMAL,
        "last_success_at": _MAYBE_MOMENT,
        "last_failure_at": _MAYBE_MOMENT,
        "consecutive_failures": NUMBER,
        "circuit": words(("closed", "half_open", "open")),
        "received": NUMBER,
        "processed": NUMBER,
    },
)

# -- the queue

_LETTER: Final[Mapping[str, Schema]] = {
    "id": _MAYBE_TEXT,
    "webhook_id": _MAYBE_TEXT,
    "app_id": _MAYBE_TEXT,
    "event_types": many(TEXT),
    "event_count": NUMBER,
    "attempts": _MAYBE_NUMBER,
    "redrives": _MAYBE_NUMBER,
    "error": maybe(PROBLEM),
    "created_at": _MAYBE_MOMENT,
    "failed_at": _MAYBE_MOMENT,
    "raw": {**TEXT, "description": "A text in the queue that is no job."},
    "payload": many(ANYTHING),
    "job": OBJECT,
}
LETTER: Final = record("DeadLetter", {"id": _MAYBE_TEXT, "size": NUMBER}, _LETTER)
LETTER_WHOLE: Final = record(
    "WholeDeadLetter", {"id": _MAYBE_TEXT, "size": NUMBER}, {**_LETTER, "attempt_log": many(ATTEMPT)}
)
QUEUE: Final = record(
    "QueueFigures",
    {"waiting": NUMBER, "active": NUMBER, "failed": NUMBER, "paused": NUMBER, "lanes": many(OBJECT)},
    closed=False,
)
COUNTED: Final = record("", {"retried": NUMBER})
DELETED: Final = record("", {"deleted": NUMBER})

# -- the rest

CHANGE: Final = record(
    "Change", {"number": NUMBER}, {"at": _MAYBE_MOMENT, "by": TEXT, "action": TEXT, "fields": many(TEXT)}, closed=False
)
TRIGGERED: Final = record("Triggered", {"event_id": TEXT, "matched": NUMBER}, {"refused": many(TEXT)})
_EVENT: Final[Mapping[str, Schema]] = {
    "name": TEXT,
    "description": TEXT,
    "origin": words(("server", "application")),
    "schema": {"description": "JSON Schema of a request."},
    "example": ANYTHING,
}
_SHAPE: Final[Mapping[str, Schema]] = {"profile": words(get_args(ProfileName)), "payload": TEXT}
EVENTS: Final = record("", {**_SHAPE, "events": many(record("Event", _EVENT)), "next_cursor": _MAYBE_TEXT})
EVENT: Final = record("ShapedEvent", {**_SHAPE, **_EVENT})
LINK: Final = record("Link", {"token": TEXT, "app_id": TEXT, "scope": TEXT, "expires_at": MOMENT})
SESSION: Final = record(
    "Session",
    {"name": _MAYBE_TEXT, "apps": many(TEXT), "every_app": FLAG, "scopes": many(TEXT), "link": FLAG},
    {"csrf": TEXT, "expires_at": MOMENT},
)
LOGIN: Final = record("Login", {"csrf": TEXT, "expires_at": NUMBER, "name": TEXT})
APP: Final = record(
    "App",
    {"id": TEXT, "enabled": FLAG, "keys": many(TEXT), "connections": NUMBER, "webhooks": NUMBER, "options": OBJECT},
)
CHANNELS: Final = record(
    "",
    {
        "channels": many(record("", {"channel": TEXT, "subscription_count": NUMBER}, {"user_count": NUMBER})),
        "total": NUMBER,
    },
)
_REFUSAL: Final[Mapping[str, Any]] = dict.fromkeys(
    ("app_id", "what", "name", "cause", "remedy", "code", "told", "address"), TEXT
)
REFUSALS: Final = record("", {"refusals": many(record("Refusal", {**_REFUSAL, "count": NUMBER}, closed=False))})
FOUND: Final = record("", {"found": many(record("Found", {"type": TEXT}, closed=False))})
OVERVIEW: Final = record(
    "Overview", {"interval_s": DECIMAL, "now": by_name(DECIMAL), "samples": many(by_name(DECIMAL))}
)
CLUSTER: Final = record("Cluster", {"driver": TEXT, "away": FLAG, "nodes": many(OBJECT)})
DIFFERENCES: Final = record(
    "",
    {"differences": many(record("", {"key": TEXT, "value": ANYTHING, "default": ANYTHING, "source": _MAYBE_TEXT}))},
)
PUBLISHED: Final = record("", {"channels": by_name(NUMBER), "bytes": NUMBER})
CLOSED: Final = record("", {"closed": NUMBER})
CLOSED_USER: Final = record("", {"closed": TEXT})
EMPTY: Final = record("", {})
