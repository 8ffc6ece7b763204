"""The management routes about endpoints. Free of what carries them."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from sockudo_py.endpoints import Endpoint
from sockudo_py.management.aliases import alias_of, aliased
from sockudo_py.management.scope import app_of, may_see, unknown_webhook
from sockudo_py.management.values import MOST_LISTED, Answer, Asked, Fields, Refused
from sockudo_py.webhooks.stats import describe_endpoint


class EndpointRoutes:
    """Answers requests about endpoints.

    Args:
        endpoints: Returns all that there are now.
    """

    def __init__(self, endpoints: Callable[[], Iterable[Endpoint]]) -> None:
        self._endpoints = endpoints
        self.table = (
            *aliased("GET", "", self.list),
            *aliased("GET", "/{id}", self.show),
        )

    async def list(self, asked: Asked) -> Answer:
        """List endpoints."""
        fields = Fields(asked, frozenset({"app_id", "limit", "cursor"}))
        app_id = app_of(asked.admin, asked.app_id or fields.text("app_id"))
        limit, start = fields.number("limit", 50, MOST_LISTED), _place(fields.text("cursor"))
        found = [one for one in self._endpoints() if app_id in (None, one.app_id)]
        shown = [_endpoint(one, asked) for one in found[start : start + limit]]
        more = str(start + limit) if start + limit < len(found) else None
        return Answer(200, {"webhooks": shown, "next_cursor": more})

    async def show(self, asked: Asked) -> Answer:
        """Show one endpoint, by uid or number."""
        Fields(asked, frozenset())
        shown = _endpoint(self.find(asked), asked)
        return Answer(200, {"webhook": shown} if alias_of(asked.route).wrapped else shown)

    def find(self, asked: Asked) -> Endpoint:
        """Return the endpoint that the path names, by uid or number. Raises Refused: 404."""
        (wanted,) = asked.segments
        for one in self._endpoints():
            if wanted in (one.uid, str(one.id)) and may_see(asked.admin, one) and asked.app_id in (None, one.app_id):
                return one
        raise unknown_webhook(wanted)


def _place(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Refused(400, "invalid_cursor", "cursor: is none that this server has given")
    return int(cursor)


def _endpoint(endpoint: Endpoint, asked: Asked) -> dict[str, Any]:
    shown = describe_endpoint(endpoint)
    shown["number"] = endpoint.id
    shown["id"] = endpoint.id if alias_of(asked.route).wrapped else endpoint.uid
    shown["description"] = endpoint.description
    shown["retries_s"] = list(endpoint.retry.schedule)
    shown["filter"] = {name: value for name, value in asdict(endpoint.filter).items() if value is not None}
    shown["header_names"] = sorted(name for name, _ in endpoint.headers)
    return shown
