"""The routes of the HTTP API. Each is signed, for operators, or listed as open; nothing is open by accident."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sockudo_py.http.context import Call
from sockudo_py.http.description import routes as described
from sockudo_py.http.description.notation import Said
from sockudo_py.http.description.routes import probe
from sockudo_py.http.handlers import batches, channels, events, users
from sockudo_py.http.handlers.health import Health
from sockudo_py.http.messages import ApiResponse
from sockudo_py.http.query import decode_segment
from sockudo_py.memo import TwoGenerationCache

Answer = ApiResponse | Awaitable[ApiResponse]


@dataclass(frozen=True, slots=True)
class Signed:
    """A route for backends. Where the pattern names no ``{app_id}``, the auth_key says which app it is."""

    method: str
    pattern: str
    handler: Callable[[Call], Answer]
    said: Said


@dataclass(frozen=True, slots=True)
class Open:
    """A route that needs no signature. ``handler`` gets the path's variables."""

    method: str
    pattern: str
    handler: Callable[[Health, tuple[str, ...]], Answer]
    said: Said


@dataclass(frozen=True, slots=True)
class ForOperators:
    """A route that ``OperatorAccess`` guards. ``handler`` gets the path's variables."""

    method: str
    pattern: str
    handler: Callable[[Health, tuple[str, ...]], Answer]
    said: Said


Route = Signed | Open | ForOperators

ROUTES: tuple[Route, ...] = (
    Signed("POST", "/apps/{app_id}/events", events.publish, described.PUBLISH),
    Signed("POST", "/apps/{app_id}/batch_events", batches.publish_batch, described.PUBLISH_BATCH),
    Signed("GET", "/apps/{app_id}/connections", users.connections, described.CONNECTIONS),
    Signed("GET", "/apps/{app_id}/channels", channels.channels, described.LIST),
    Signed("GET", "/apps/{app_id}/channels/{channel}", channels.channel, described.CHANNEL),
    Signed("GET", "/apps/{app_id}/channels/{channel}/users", channels.users, described.USERS),
    Signed("POST", "/apps/{app_id}/channels/{channel}/events", events.publish_deprecated, described.PUBLISH_DEPRECATED),
    Signed("POST", "/apps/{app_id}/users/{user_id}/terminate_connections", users.terminate, described.TERMINATE),
    # Where the Python SDK 3.3.4 posts to.
    Signed("POST", "/users/{user_id}/terminate_connections", users.terminate, described.TERMINATE),
    Signed("POST", "/apps/{app_id}/users/{user_id}/force_reconnect", users.force_reconnect, described.RECONNECT),
    Open("GET", "/", lambda health, _: health.live(), probe("Answer a probe made for another server")),
    Open("OPTIONS", "/", lambda health, _: health.up(), probe("Answer HAProxy's check, where none is configured")),
    Open(
        "GET",
        "/ready",
        lambda health, _: health.ready(),
        probe("Say whether new clients may come"),
    ),
    Open("GET", "/accept-traffic", lambda health, _: health.accept_traffic(), probe("The same, as soketi calls it")),
    Open("GET", "/up", lambda health, _: health.up(), probe("Say whether the server takes clients")),
    Open("GET", "/up/{app_id}", lambda health, segments: health.up_app(segments[0]), probe("The same of one app")),
    Open("GET", "/live", lambda health, _: health.live(), probe("Say whether the process answers")),
    ForOperators("GET", "/usage", lambda health, _: health.usage(), described.USAGE),
)

PROBES = ("/", "/up", "/live", "/ready", "/accept-traffic")

_REMEMBERED = 512  # matches in each generation ...
_REMEMBERED_LENGTH = 256  # ... of paths up to this length


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request and the path's variables, decoded; ``names_app``: the first variable is the app id."""

    route: Route
    segments: tuple[str, ...]
    names_app: bool


@dataclass(frozen=True, slots=True)
class MethodMismatch:
    """The path exists, for these other methods."""

    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Compiled:
    route: Route
    literals: tuple[tuple[int, str], ...]
    variables: tuple[int, ...]
    names_app: bool


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: tuple[Route, ...] = ROUTES) -> None:
        self._found: TwoGenerationCache[tuple[str, str], Match] = TwoGenerationCache(_REMEMBERED)
        self._by_length: dict[int, list[_Compiled]] = {}
        for route in routes:
            parts = route.pattern.split("/")
            literals = tuple((at, part) for at, part in enumerate(parts) if not part.startswith("{"))
            variables = tuple(at for at, part in enumerate(parts) if part.startswith("{"))
            names_app = isinstance(route, Signed) and route.pattern.startswith("/apps/{app_id}/")
            self._by_length.setdefault(len(parts), []).append(_Compiled(route, literals, variables, names_app))

    def find(self, method: str, path: str) -> Match | MethodMismatch | None:
        """Return the route for this method and raw path. HEAD finds what GET would; None: no such path."""
        asked = (method, path)
        known = self._found.get(asked) or self._found.again(asked)
        if known is not None:
            return known
        found = self._find(method, path)
        if isinstance(found, Match) and len(path) <= _REMEMBERED_LENGTH:
            self._found.keep(asked, found)
        return found

    def _find(self, method: str, path: str) -> Match | MethodMismatch | None:
        parts = path.split("/")
        others: list[str] = []
        for candidate in self._by_length.get(len(parts), ()):
            for at, literal in candidate.literals:
                if parts[at] != literal:
                    break
            else:
                expected = candidate.route.method
                if method == expected or (method == "HEAD" and expected == "GET"):
                    segments = tuple([decode_segment(parts[at]) for at in candidate.variables])
                    return Match(candidate.route, segments, candidate.names_app)
                others += ["GET", "HEAD"] if expected == "GET" else [expected]
        return MethodMismatch(tuple(dict.fromkeys((*others, "OPTIONS")))) if others else None


_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*")


def origin_form(target: str) -> str:
    """Return a request target as path and query, also when it came in absolute form (RFC 9112, section 3.2.2).

    Clients that take the server for a proxy send the absolute form: ``http://host/up``. The host in it is ignored.
    """
    if target.startswith("/"):
        return target
    found = _ABSOLUTE.match(target)
    if found is None:
        return target
    rest = target[found.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def cut_prefix(path: str, prefix: str) -> str:
    """Return the path as the API's routes know it; a path outside the prefix becomes one without a route.

    What probes and operators ask for has a route without the prefix, too.
    """
    if not prefix:
        return path
    if path.startswith(prefix + "/"):
        return path[len(prefix) :]
    if path == prefix:
        return "/"
    return path if path in PROBES or path == "/usage" or path.startswith("/up/") else ""
