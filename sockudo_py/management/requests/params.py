"""Fields that several management routes know: each is read by ``values.Fields`` and described in the document."""

from typing import Final

from sockudo_py.http.description.notation import FLAG, Param, flag, listed, moment, number

MOST_LISTED: Final = 200  # entries in one page of a list

APP_ID: Final = Param("app_id", says="The app; may be missing where the key is for one app, or the path names it.")
LIMIT: Final = number("limit", "Entries in one page.", default=50, most=MOST_LISTED)
CURSOR: Final = Param("cursor", says="The `next_cursor` of the page before.")
PAGE: Final = (LIMIT, CURSOR)
WEBHOOK: Final = (
    Param("webhookId", says="Uid of an endpoint."),
    Param("webhook_id", says="The same; `webhookId` wins."),
)
TIMES: Final = (moment("since", "From this time on."), moment("until", "Before this time."))
DRY_RUN: Final = flag("dry_run", "Only count what would be done.")
TEST: Final = Param("test", says="true: test deliveries alone; false: none of them.", schema=FLAG)
EVENT_TYPE: Final = (
    Param("event_type", says="Type of an event in the delivery."),
    Param("eventType", says="The same; `event_type` wins."),
)


def statuses(*known: str) -> Param:
    """Return the field that chooses deliveries by how they ended."""
    one = {"type": "string", "enum": list(known)}
    in_body = {"anyOf": [one, {"type": "array", "items": one}]}
    return listed("status", f"One or several of {', '.join(known)}.", *known, in_body=in_body)
