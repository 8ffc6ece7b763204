"""The route by which receivers without an address read what waits for them. Free of what carries it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sockudo_py.endpoints import Endpoint
from sockudo_py.http.description.notation import Param, number
from sockudo_py.management.requests.aliases import aliased
from sockudo_py.management.requests.answers import FEED
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.values import Answer, Asked, FieldProblem, Fields, Refused, iso
from sockudo_py.webhooks.feeds.cursor import Cursor, read_cursor
from sockudo_py.webhooks.feeds.feeds import MOST_READ, Feeds, Item, NotReadable, Taken

LONGEST_POLL = 60  # seconds
_FIELDS = (
    Param("after", says="A cursor: everything up to it is acknowledged."),
    number("limit", "Deliveries of the answer.", default=20, most=MOST_READ),
    Param(
        "timeout",
        says="Seconds to wait for an event; missing: none.",
        schema={"type": "integer", "minimum": 1, "maximum": LONGEST_POLL},
        most=LONGEST_POLL,
    ),
)


class FeedRoutes:
    """Answers requests for feeds.

    Args:
        feeds: Has them; None: this server sends no webhooks.
        find: Returns the endpoint that a request names. Raises Refused.
    """

    def __init__(self, feeds: Feeds | None, find: Callable[[Asked], Endpoint]) -> None:
        self._feeds = feeds
        self._find = find
        # An acknowledgement takes events out of the feed: so the key needs the scope `write`, though it is a GET.
        self.table = tuple(
            aliased(
                Route(
                    "GET", "/{id}/feed", self.read, scope="write", fields=_FIELDS, answers={200: FEED}, tag="Deliveries"
                )
            )
        )

    async def read(self, asked: Asked) -> Answer:
        """Acknowledge everything up to ``after``, and return what follows, as soon as there is something."""
        endpoint = self._find(replace(asked, segments=asked.segments[:1]))
        fields = Fields(asked)
        after, limit, timeout = _cursor(fields.text("after")), fields.number("limit"), fields.number("timeout")
        if self._feeds is None:
            raise Refused(409, "not_a_feed", "this server sends no webhooks, so nothing waits to be read")
        try:
            page = await self._feeds.read(endpoint.uid, after, limit, float(timeout))
        except NotReadable as problem:
            endpoint = self._find(replace(asked, segments=asked.segments[:1]))  # deleted meanwhile: refused
            raise Refused(409, "not_a_feed" if endpoint.feed is None else "not_readable", str(problem)) from problem
        except Taken as problem:
            raise Refused(409, "feed_taken", str(problem)) from problem
        return Answer(
            200,
            {
                "items": [_shown(item) for item in page.items],
                "start": page.start,
                "cursor": page.cursor,
                "retries_s": list(endpoint.retry.schedule),
                "request_timeout_ms": round(endpoint.request_timeout * 1000),
            },
        )


def _shown(item: Item) -> dict[str, Any]:
    job = item.job
    return {
        "delivery_id": job.id,
        "cursor": item.cursor,
        "events": job.count(),
        "event_types": sorted({str(event.get("name", "")) for event in job.events()}),
        "created_at": iso(job.created_ms),
        "requests": [
            {"headers": [list(header) for header in request.headers], "body": request.body.decode()}
            for request in item.requests
        ],
    }


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    try:
        return read_cursor(text)
    except ValueError as error:
        message = "is none of the cursors that this route has given"
        raise Refused(422, "invalid_field", f"after: {message}", [FieldProblem("after", message)]) from error
