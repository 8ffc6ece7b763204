"""The three ways to write the routes of endpoints. Each leads to one handler, and has its own shape of answers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from sockudo_py.endpoints import ProfileName
from sockudo_py.http.description.notation import Schema
from sockudo_py.management.requests.answers import BARE, WRAPPED, Shapes
from sockudo_py.management.requests.router import Route


@dataclass(frozen=True, slots=True)
class Alias:
    """One way to write them.

    Args:
        root: Where its routes begin.
        profile: Of endpoints that are created here, unless the body names another.
        wrapped: Answers are ``{"webhook": {...}}`` with an integer ``id``; else bare, and ``id`` is the uid.
    """

    root: str
    profile: ProfileName
    wrapped: bool = False


API = Alias("/api/webhooks", "remotedevai")
V1 = Alias("/v1/webhooks", "irisx", wrapped=True)
APPS = Alias("/apps/{app}/webhooks", "pusher")
ALIASES = (API, V1, APPS)


def aliased(route: Route, shaped: Callable[[Shapes], Mapping[int, Schema | None]] | None = None) -> Iterator[Route]:
    """Yield the route in every way to write it.

    Args:
        route: Its pattern is what follows the root, such as ``/{id}/test``.
        shaped: Returns its answers in one of the shapes; None: they are the same in both.
    """
    for alias in ALIASES:
        answers = route.answers if shaped is None else shaped(WRAPPED if alias.wrapped else BARE)
        yield replace(route, pattern=alias.root + route.pattern, answers=answers)


def alias_of(route: str) -> Alias:
    """Return the alias of the pattern of a route (``Asked.route``); that of /api where it is none of them."""
    for alias in ALIASES:
        if route.startswith(alias.root):
            return alias
    return API
