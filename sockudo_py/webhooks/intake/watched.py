"""Events that the queue has taken, as followers of the tap see them. Callers look first whether there is a follower."""

import json
from collections.abc import Sequence

from sockudo_py.logs import shortened
from sockudo_py.queues.base import Append
from sockudo_py.tap import Tap

_MOST_EVENT = 4096  # bytes


def tell_queued(tap: Tap, events: Sequence[Append]) -> None:
    """Tell of events that the queue has taken."""
    for event in events:
        text = event.event
        tap.tell(
            "webhook_queued",
            event.app_id,
            None if event.source is None else event.source.socket_id,
            _channel(text),
            None,
            lambda uid=event.endpoint, text=text: {  # type: ignore[misc]
                "webhook": uid,
                "data": shortened(text, _MOST_EVENT),
            },
        )


def _channel(text: bytes) -> str | None:
    try:
        found = json.loads(text).get("channel")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
