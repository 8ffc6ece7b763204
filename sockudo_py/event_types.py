"""Types of events: an app's own, which it may register, and the names that it may not use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Of these the server says itself that they happened.
RESERVED = frozenset(
    (
        "channel_occupied",
        "channel_vacated",
        "member_added",
        "member_removed",
        "client_event",
        "cache_miss",
        "subscription_count",
        "connection_established",
        "connection_terminated",
        "resync_started",
        "resync_completed",
    )
)
RESERVED_PREFIX = "webhook."  # of what operators hear


def reserved(name: str) -> bool:
    """Return whether a name is that of an event of the server itself."""
    return name in RESERVED or name.startswith(RESERVED_PREFIX)


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of an application's own events. ``schema``: JSON Schema of its data; None: any data will do."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] | None = None
    example: Any = None
