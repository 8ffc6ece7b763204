"""The routes of the event catalogue. Free of what carries requests."""

from collections.abc import Sequence
from typing import Any, Protocol, get_args

from sockudo_py.endpoints import ProfileName
from sockudo_py.event_types import EventType
from sockudo_py.http.description.notation import Param, words
from sockudo_py.management.credentials.keys import EVERY_APP, Admin
from sockudo_py.management.requests.aliases import alias_of, aliased
from sockudo_py.management.requests.answers import EVENT
from sockudo_py.management.requests.answers import EVENTS as EVENTS_LISTED
from sockudo_py.management.requests.params import APP_ID, PAGE
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.scope import app_of
from sockudo_py.management.requests.values import Answer, Asked, FieldProblem, Fields, Refused
from sockudo_py.webhooks.catalogue.models import EVENTS, EventModel
from sockudo_py.webhooks.catalogue.schemas import Payload, Shape, request_schema
from sockudo_py.webhooks.delivery.requests.examples import request_example
from sockudo_py.webhooks.operators.kinds import KINDS

_PROFILES, _PAYLOADS = get_args(ProfileName), get_args(Payload)
_SHAPE = (
    APP_ID,
    Param("profile", says="The profile whose requests are shown; else that of the route.", schema=words(_PROFILES)),
    Param("payload", says="As in an endpoint.", schema=words(_PAYLOADS)),
)
_LIST = (*_SHAPE, *PAGE)
_ANY_APP = "my-app"  # in examples, where the request is about none


class Events(Protocol):
    """The events of apps (``webhooks.catalogue.catalogue.Catalogue`` is one)."""

    def registered(self, app_id: str) -> Sequence[EventType]:
        """Return the types that an app has registered."""


class CatalogueRoutes:
    """Answers which events there are, with schema and example of the requests that carry them.

    Args:
        events: Those of each app.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self.table = (
            *aliased(Route("GET", "/events", self.list, fields=_LIST, answers={200: EVENTS_LISTED}, tag="Events")),
            *aliased(Route("GET", "/events/{name}", self.show, fields=_SHAPE, answers={200: EVENT}, tag="Events")),
        )

    async def list(self, asked: Asked) -> Answer:
        """List the events for an app's endpoints: the server's own, then the registered ones by name."""
        fields = Fields(asked)
        app_id, shape = self._asked(asked, fields)
        found = self._all(asked.admin, app_id)
        limit, after = fields.number("limit"), fields.text("cursor")
        names = [one.name for one in found]
        if after is not None and after not in names:
            raise Refused(400, "invalid_cursor", "cursor: is none that this server has given")
        start = 0 if after is None else names.index(after) + 1
        page = found[start : start + limit]
        more = page[-1].name if start + limit < len(found) else None
        shown = [_shown(one, shape, app_id) for one in page]
        return Answer(200, {"profile": shape.profile, "payload": shape.payload, "events": shown, "next_cursor": more})

    async def show(self, asked: Asked) -> Answer:
        """Show one event."""
        app_id, shape = self._asked(asked, Fields(asked))
        (name,) = asked.segments
        for one in self._all(asked.admin, app_id):
            if one.name == name:
                return Answer(200, {"profile": shape.profile, "payload": shape.payload, **_shown(one, shape, app_id)})
        raise Refused(404, "unknown_event", f"there is no event {name[:200]}; others may be triggered all the same")

    def _asked(self, asked: Asked, fields: Fields) -> tuple[str | None, Shape]:
        app_id = app_of(asked.admin, asked.app_id or fields.text("app_id"))
        profile = _one_of("profile", fields.text("profile"), _PROFILES, alias_of(asked.route).profile)
        payload = _one_of("payload", fields.text("payload"), _PAYLOADS, "seed")
        return app_id, Shape(profile, payload)

    def _all(self, admin: Admin, app_id: str | None) -> Sequence[EventModel | EventType]:
        own = () if app_id is None else self._events.registered(app_id)
        for_operators = KINDS.values() if app_id is None and EVERY_APP in admin.apps else ()
        return [*EVENTS.values(), *for_operators, *sorted(own, key=lambda one: one.name)]


def _one_of(field: str, given: str | None, known: Sequence[str], default: str) -> Any:
    if given is not None and given not in known:
        message = f"must be one of {', '.join(known)}"
        raise Refused(422, "invalid_field", f"{field}: {message}", [FieldProblem(field, message)])
    return given or default


def _shown(event: EventModel | EventType, shape: Shape, app_id: str | None) -> dict[str, Any]:
    return {
        "name": event.name,
        "description": event.description,
        "origin": "server" if isinstance(event, EventModel) or event.name in KINDS else "application",
        "schema": request_schema(event, shape),
        "example": request_example(event, shape, app_id or _ANY_APP),
    }
