"""Which handler answers a request of the management API.

Routes come in groups. A group is any object with a ``table``: one for endpoints, one for the queue, one for triggers,
and so on. ``wiring/serving/management.py`` makes the groups and gives them to one ``Router``, which the main port and
the admin socket share, so a route is served on both. To add one, write a module with a group, and add it in
``Management.__init__`` there.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol
from urllib.parse import unquote

from sockudo_py.config.sections.types import Section
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.http.description.notation import Param, Schema
from sockudo_py.management.requests.values import Answer, Asked, Refused

log = logging.getLogger(__name__)

MOST_BODY = 256 * 1024  # bytes of a request's body, where the route says nothing else
APP = "{app}"

Handler = Callable[[Asked], Awaitable[Answer]]
Access = Literal["key", "signed", "open"]


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    Args:
        method: In capitals. GET answers HEAD, too.
        pattern: Such as ``/apps/{app}/webhooks/{id}``. ``{app}`` becomes ``Asked.app_id``, other variables
            ``Asked.segments``, percent-decoded. A literal wins over a variable, whatever the order of routes.
        handler: Answers. It may raise Refused, Unavailable (503) and other SockudoErrors (409).
        scope: What the key must be allowed to do; None: ``read`` for GET, else ``write``.
        access: ``key``: for admin keys and links. ``signed``: besides, for requests that are signed as those of the
            HTTP API by a key of the app that ``{app}`` names. ``open``: for everybody; ``Asked.admin`` may do nothing.
        most_body: The most bytes that the body may have, else 413.
        links: Whether it is for tenants with a link, too; else there is no such route for them.
        fields: Of query or body, as ``values.Fields`` reads them; it refuses others.
        headers: That have a meaning.
        body: The model that reads the body, or its schema; None: the body holds ``fields``, if anything.
        merges: The body is a merge patch (RFC 7396) of what the model describes.
        answers: By status, the schema of each answer that is no error; None: it has no content.
        example: A body.
        tag: The part of the API that it belongs to.

    The last seven, and the handler's docstring, are what the OpenAPI document says about the route.
    """

    method: str
    pattern: str
    handler: Handler
    scope: Literal["read", "write"] | None = None
    access: Access = "key"
    most_body: int = MOST_BODY
    links: bool = True
    fields: tuple[Param, ...] = ()
    headers: tuple[Param, ...] = ()
    body: type[Section] | Schema | None = None
    merges: bool = False
    answers: Mapping[int, Schema | None] = field(default_factory=dict)
    example: Mapping[str, Any] | None = None
    tag: str = ""

    @property
    def needed(self) -> str:
        """The scope that the key must have."""
        return self.scope or ("read" if self.method == "GET" else "write")


class Group(Protocol):
    """Some routes that belong together."""

    @property
    def table(self) -> Sequence[Route]:
        """Its routes. They don't change."""


@dataclass(frozen=True, slots=True)
class Match:
    """A route that a path fits, with the variables of the path."""

    route: Route
    app_id: str | None
    segments: tuple[str, ...]


class Router:
    """Finds the route of a request, and lets its handler answer.

    Args:
        groups: All routes.
        roots: What is below them is the management API's, with a route or without.
    """

    def __init__(self, groups: Iterable[Group], *, roots: tuple[str, ...] = ("/api/", "/v1/")) -> None:
        self._roots = roots
        self._by_length: dict[int, list[tuple[tuple[str, ...], Route]]] = {}
        for route in (route for group in groups for route in group.table):
            words = tuple(route.pattern.split("/"))
            self._by_length.setdefault(len(words), []).append((words, route))
        for routes in self._by_length.values():  # literals before variables, from the left
            routes.sort(key=lambda one: [word.startswith("{") for word in one[0]])

    @property
    def routes(self) -> list[Route]:
        """All routes, sorted by pattern and method."""
        found = [route for routes in self._by_length.values() for _, route in routes]
        return sorted(found, key=lambda route: (route.pattern, route.method))

    def owns(self, path: str) -> bool:
        """Return whether a raw path is the management API's, if only to say that there is no such route."""
        return path.startswith(self._roots) or bool(self._fitting(path))

    def find(self, method: str, path: str) -> Match:
        """Return the route of a raw path: still percent-encoded, without query and prefix. Raises Refused."""
        fitting = self._fitting(path)
        if not fitting:
            raise Refused(404, "not_found", "there is no such route")
        words = fitting[0][0]
        # Of routes that differ in their variables only the most literal ones count: queue/stats is no {id}/stats.
        same = {route.method: (found, route) for found, route in reversed(fitting) if _shape(found) == _shape(words)}
        wanted = "GET" if method == "HEAD" else method
        if wanted not in same:
            allowed = ", ".join(sorted({*same, *(["HEAD"] if "GET" in same else []), "OPTIONS"}))
            raise Refused(405, "method_not_allowed", f"allowed: {allowed}", headers=(("Allow", allowed),))
        words, route = same[wanted]
        app_id = None
        segments = []
        for word, part in zip(words, path.split("/"), strict=True):
            if word == APP:
                app_id = unquote(part)
            elif word.startswith("{"):
                segments.append(unquote(part))
        return Match(route, app_id, tuple(segments))

    async def handle(self, method: str, path: str, asked: Asked) -> Answer:
        """Return the answer to a request whose key is known. ``path`` as in ``find``. Never raises."""
        try:
            match = self.find(method, path)
        except Refused as problem:
            return problem.answer()
        return await self.answer(match, asked)

    async def answer(self, match: Match, asked: Asked) -> Answer:
        """Return the answer of a route that ``find`` has found. Never raises."""
        route = match.route
        try:
            if asked.admin.link and not route.links:
                raise Refused(404, "not_found", "there is no such route")
            if route.access != "open" and route.needed not in asked.admin.scopes:
                raise Refused(403, "forbidden", f"the key has no scope {route.needed}")
            return await route.handler(
                replace(asked, app_id=match.app_id, segments=match.segments, route=route.pattern, known=route.fields)
            )
        except Refused as problem:
            return problem.answer()
        except Unavailable as problem:
            log.warning("%s %s: %s", route.method, route.pattern, problem)
            text = "the store or the queue can't be reached right now; try again later"
            return Refused(503, "unavailable", text, headers=(("Retry-After", "1"),)).answer()
        except SockudoError as problem:
            return Refused(409, "impossible", str(problem)).answer()
        except Exception:
            log.exception("%s %s failed", route.method, route.pattern)
            return Refused(500, "internal", "internal error; the log has the reason").answer()

    def _fitting(self, path: str) -> list[tuple[tuple[str, ...], Route]]:
        parts = path.split("/")
        return [
            (words, route)
            for words, route in self._by_length.get(len(parts), ())
            if all(part == word or (word.startswith("{") and part) for part, word in zip(parts, words, strict=True))
        ]


def _shape(words: Sequence[str]) -> list[str]:
    return ["{}" if word.startswith("{") else word for word in words]
