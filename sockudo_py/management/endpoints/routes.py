"""The management routes about endpoints. Free of what carries them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sockudo_py.endpoints import Endpoint
from sockudo_py.http.description.notation import FLAG, Param, words
from sockudo_py.management.endpoints.documents import Document
from sockudo_py.management.endpoints.editing import Edited, Editor
from sockudo_py.management.endpoints.shapes import shape, wrapped
from sockudo_py.management.requests.aliases import Alias, alias_of, aliased
from sockudo_py.management.requests.cursors import read_cursor, write_cursor
from sockudo_py.management.requests.models import EndpointBody, NoBody, RotateBody, read
from sockudo_py.management.requests.params import APP_ID, PAGE
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.scope import app_of, may_see, one_app_of, unknown_webhook
from sockudo_py.management.requests.values import Answer, Asked, Fields, Refused, invalid, iso
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry

_LIST = (
    APP_ID,
    Param("enabled", says="true: those that are on; false: those that are off.", schema=FLAG),
    Param("figures", says="true: with what became of deliveries, and the last attempts.", schema=FLAG),
    *PAGE,
)
_DROP = Param("drop", says="What waits becomes dead letters.", schema=words(["to_dlq"]))
_EXAMPLE = {"url": "https://example.com/webhooks", "event_types": ["channel_occupied", "channel_vacated"]}

DROPPED = "endpoint_disabled"  # the class of dead letters that waited for an endpoint which was disabled

Drop = Callable[[str, str], Awaitable[int]]
# Returns of an endpoint what /v1 shows in "webhook" besides, and in "statistics".
Figures = Callable[[Endpoint], Awaitable[tuple[Mapping[str, Any], Mapping[str, Any]]]]
# Returns what a list with ``figures=true`` shows of each endpoint, by uid.
ListFigures = Callable[[Sequence[str]], Awaitable[Mapping[str, Mapping[str, Any]]]]


class EndpointRoutes:
    """Answers requests about endpoints.

    Args:
        registry: All that there are now.
        document: Returns what the API keeps of an endpoint; None: it stands in a file.
        editor: Changes them; None: no changes, as for a command that looks into the queue while no server runs.
        drop: Makes dead letters of what waits for an endpoint, with this error class; returns how many.
        rotation_grace: Returns for how many seconds an old secret still signs, where the request says nothing.
        figures: What ``GET /v1/webhooks/{id}`` says of deliveries; None: nothing.
    """

    def __init__(
        self,
        registry: "EndpointRegistry | Listed",
        *,
        document: Callable[[str], Document | None] = lambda _: None,
        editor: Editor | None = None,
        drop: Drop | None = None,
        rotation_grace: Callable[[], float] = lambda: 86400.0,
        figures: Figures | None = None,
    ) -> None:
        self._registry = registry
        self._document = document
        self._editor = editor
        self._drop = drop
        self._rotation_grace = rotation_grace
        self.figures = figures
        route = partial(Route, tag="Endpoints")
        changed = partial(route, body=EndpointBody, example=_EXAMPLE)
        self.list_figures: ListFigures | None = None
        self.table = (
            *aliased(route("GET", "", self.list, fields=_LIST), lambda shapes: {200: shapes.list}),
            *aliased(route("GET", "/{id}", self.show), lambda shapes: {200: shapes.one}),
            *aliased(changed("POST", "", self.create), lambda shapes: {201: shapes.created}),
            *aliased(changed("PUT", "/{id}", self.replace), lambda shapes: {200: shapes.changed}),
            *aliased(
                route("PATCH", "/{id}", self.merge, body=EndpointBody, merges=True, example={"name": "Orders"}),
                lambda shapes: {200: shapes.changed},
            ),
            *aliased(route("DELETE", "/{id}", self.delete, body=NoBody, answers={204: None})),
            *aliased(route("POST", "/{id}/enable", self.enable, body=NoBody), lambda shapes: {200: shapes.enabled}),
            *aliased(
                route("POST", "/{id}/disable", self.disable, fields=(_DROP,)), lambda shapes: {200: shapes.disabled}
            ),
            *aliased(
                route("POST", "/{id}/rotate-secret", self.rotate, body=RotateBody), lambda shapes: {200: shapes.rotated}
            ),
        )

    async def list(self, asked: Asked) -> Answer:
        """List endpoints: those of files last, else the newest first. ``figures=true`` adds what became of attempts."""
        fields = Fields(asked)
        app_id = app_of(asked.admin, asked.app_id or fields.text("app_id"))
        enabled = fields.flag("enabled") if fields.text("enabled") is not None else None
        limit, cursor = fields.number("limit"), fields.text("cursor")
        behind = None if cursor is None else read_cursor(cursor)
        chosen = (
            (self._order(one), one)
            for one in self._registry.all()
            if app_id in (None, one.app_id) and enabled in (None, one.enabled)
        )
        found = sorted(chosen, key=lambda pair: pair[0])
        rest = [pair for pair in found if behind is None or pair[0] > behind]
        alias = alias_of(asked.route)
        listed = [one for _, one in rest[:limit]]
        shown = [shape(one, self._document(one.uid), alias) for one in listed]
        if fields.flag("figures") and self.list_figures is not None:
            figures = await self.list_figures([one.uid for one in listed])
            for row, one in zip(shown, listed, strict=True):
                row["figures"] = dict(figures[one.uid])
        more = write_cursor(rest[limit - 1][0]) if len(rest) > limit else None
        return Answer(200, {"webhooks": shown, "next_cursor": more})

    async def show(self, asked: Asked) -> Answer:
        """Show one endpoint, by uid or number."""
        endpoint = self.find(asked)
        Fields(asked)
        alias = alias_of(asked.route)
        answer = wrapped(shape(endpoint, self._document(endpoint.uid), alias), alias)
        if alias.wrapped and self.figures is not None:
            webhook, statistics = await self.figures(endpoint)
            answer["webhook"] |= webhook
            answer["statistics"] = dict(statistics)
        return Answer(200, answer)

    async def create(self, asked: Asked) -> Answer:
        """Make an endpoint."""
        app_id = asked.body.get("app_id")
        if app_id is not None and not isinstance(app_id, str):
            read(EndpointBody, asked.body)  # refuses it
        if asked.app_id is not None and app_id is not None and app_id != asked.app_id:
            raise Refused(404, "not_found", "there is no such app")
        wanted = asked.app_id or (app_id if isinstance(app_id, str) else None)
        alias = alias_of(asked.route)
        owner = one_app_of(asked.admin, wanted)
        edited = await self._edits().create(asked.admin, owner, alias.profile, asked.body)
        return Answer(201, self._edited(edited, alias))

    async def replace(self, asked: Asked) -> Answer:
        """Replace an endpoint's fields: what is missing becomes the default. A secret that is not given stays."""
        return await self._update(asked, merge=False)

    async def merge(self, asked: Asked) -> Answer:
        """Merge fields into those of an endpoint; null resets one to its default."""
        return await self._update(asked, merge=True)

    async def _update(self, asked: Asked, *, merge: bool) -> Answer:
        endpoint = self.find(asked)
        app_id = asked.body.get("app_id")
        if isinstance(app_id, str):
            app_of(asked.admin, app_id)  # a tenant never names another app
        edited = await self._edits().update(asked.admin, endpoint.uid, asked.body, merge=merge)
        return Answer(200, self._edited(edited, alias_of(asked.route)))

    async def delete(self, asked: Asked) -> Answer:
        """Delete an endpoint."""
        endpoint = self.find(asked)
        read(NoBody, asked.body)
        await self._edits().delete(asked.admin, endpoint.uid)
        return Answer(204)

    async def enable(self, asked: Asked) -> Answer:
        """Switch an endpoint on."""
        found = self.find(asked)
        read(NoBody, asked.body)
        alias = alias_of(asked.route)
        endpoint = await self._edits().switch(asked.admin, found.uid, True)
        return Answer(200, wrapped(shape(endpoint, self._document(endpoint.uid), alias), alias))

    async def disable(self, asked: Asked) -> Answer:
        """Switch an endpoint off. What waits for it is kept; with ``?drop=to_dlq`` it becomes dead letters."""
        found = self.find(asked)
        fields = Fields(asked)
        drop = fields.text("drop")
        if drop not in (None, "to_dlq"):
            raise invalid("drop", "must be to_dlq")
        alias = alias_of(asked.route)
        endpoint = await self._edits().switch(asked.admin, found.uid, False)
        shown = wrapped(shape(endpoint, self._document(endpoint.uid), alias), alias)
        if drop is not None and self._drop is not None:
            shown["dropped"] = await self._drop(endpoint.uid, DROPPED)
        return Answer(200, shown)

    async def rotate(self, asked: Asked) -> Answer:
        """Give an endpoint another secret."""
        found = self.find(asked)
        body = read(RotateBody, asked.body)
        grace = self._rotation_grace() if body.grace_s is None else float(body.grace_s)
        given = None if body.secret is None else body.secret.get_secret_value()
        edited, until = await self._edits().rotate(asked.admin, found.uid, grace, given)
        expires_at = None if until is None else iso(int(until * 1000))
        return Answer(200, self._edited(edited, alias_of(asked.route), previous_secret_expires_at=expires_at))

    def find(self, asked: Asked) -> Endpoint:
        """Return the endpoint that the path names, by uid or number. Raises Refused: 404."""
        (wanted,) = asked.segments
        found = self._registry.by_uid(wanted)
        if found is None and wanted.isascii() and wanted.isdigit():
            found = next((one for one in self._registry.all() if str(one.id) == wanted), None)
        if found is None or not may_see(asked.admin, found) or asked.app_id not in (None, found.app_id):
            raise unknown_webhook(wanted)
        return found

    def _edits(self) -> Editor:
        if self._editor is None:
            raise Refused(409, "no_server", "endpoints are changed by the running server alone; start it")
        return self._editor

    def _edited(self, edited: Edited, alias: Alias, **more: Any) -> dict[str, Any]:
        endpoint = edited.endpoint
        shown = shape(endpoint, self._document(endpoint.uid), alias)
        if edited.secret is not None or edited.created:
            shown["secret"] = edited.secret
        if edited.warnings:
            shown["warnings"] = list(edited.warnings)
        return wrapped(shown | more, alias)

    def _order(self, endpoint: Endpoint) -> tuple[int, str]:
        document = self._document(endpoint.uid)
        return (0 if document is None else -document.number, endpoint.uid)


class Listed:
    """Endpoints without a registry, for ``EndpointRoutes``.

    Args:
        endpoints: Returns all that there are now.
    """

    def __init__(self, endpoints: Callable[[], Iterable[Endpoint]]) -> None:
        self._endpoints = endpoints

    def all(self) -> Iterable[Endpoint]:
        """Return them."""
        return self._endpoints()

    def by_uid(self, uid: str) -> Endpoint | None:
        """Return the one with this uid."""
        return next((one for one in self._endpoints() if one.uid == uid), None)
