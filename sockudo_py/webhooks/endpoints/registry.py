"""Which endpoints there are, and which of them want to hear of what."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sockudo_py.changes import Change, ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError
from sockudo_py.webhooks.endpoints.filters import ChannelTest, compile_filter, wants
from sockudo_py.webhooks.endpoints.validation import EndpointRules, endpoint_problems
from sockudo_py.webhooks.events import EVENT_NAMES

EndpointListener = Callable[[Endpoint | None, Endpoint | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """An enabled endpoint that lists an event. ``test`` says whether it wants a channel; None: all of them.

    ``told`` False: it lists only the opposite event, and is not told of this one; the ledger is.
    """

    endpoint: str
    test: ChannelTest | None
    told: bool = True


Routes = Mapping[type[Change], tuple[Route, ...]]

OPPOSITES: Mapping[type[Change], type[Change]] = MappingProxyType(
    {
        ChannelOccupied: ChannelVacated,
        ChannelVacated: ChannelOccupied,
        MemberAdded: MemberRemoved,
        MemberRemoved: MemberAdded,
    }
)


class EndpointRegistry:
    """The endpoints of every app. Replaced per app as a whole; readers never see half of a change.

    ``routes`` is for the hot path: app id -> kind of change -> routes. An app or a kind that nobody wants to hear of is
    not in it, so that it costs one look-up. A disabled endpoint has no routes: what waits for it stays, nothing is
    added.

    ``ledger``: what begins and what ends is noted, so whoever wants the one has a route for the other, too.
    """

    def __init__(self, rules: EndpointRules | None = None, *, ledger: bool = False) -> None:
        self._ledger = ledger
        self.routes: dict[str, Routes] = {}
        self._rules = rules or EndpointRules()
        self._by_app: dict[str, tuple[Endpoint, ...]] = {}
        self._by_uid: dict[str, Endpoint] = {}
        self._listeners: list[EndpointListener] = []

    def replace(self, app_id: str, endpoints: Iterable[Endpoint]) -> None:
        """Set the endpoints of an app; none of them removes it.

        Raises ConfigError naming every mistake; nothing has changed then.
        """
        new = tuple(endpoints)
        problems = [problem for endpoint in new for problem in endpoint_problems(endpoint, self._rules)]
        problems.extend(self._clashes(app_id, new))
        if problems:
            raise ConfigError(problems)
        self._set(app_id, new)

    def disable(self, uid: str) -> bool:
        """Switch an endpoint off until its app is set again; return whether it was on."""
        endpoint = self._by_uid.get(uid)
        if endpoint is None or not endpoint.enabled:
            return False
        off = replace(endpoint, enabled=False)
        others = self._by_app[endpoint.app_id]
        self._set(endpoint.app_id, tuple(off if one is endpoint else one for one in others))
        return True

    def _set(self, app_id: str, new: tuple[Endpoint, ...]) -> None:
        old = {endpoint.uid: endpoint for endpoint in self._by_app.get(app_id, ())}
        if new:
            self._by_app[app_id] = new
        else:
            self._by_app.pop(app_id, None)
        for uid in old:
            del self._by_uid[uid]
        for endpoint in new:
            self._by_uid[endpoint.uid] = endpoint
        routes = _routes(new, ledger=self._ledger)
        if routes:
            self.routes[app_id] = routes
        else:
            self.routes.pop(app_id, None)
        for endpoint in new:
            before = old.pop(endpoint.uid, None)
            if before is not endpoint:
                self._tell(before, endpoint)
        for gone in old.values():
            self._tell(gone, None)

    def by_uid(self, uid: str) -> Endpoint | None:
        """Return the endpoint with this uid, disabled ones too."""
        return self._by_uid.get(uid)

    def by_app(self, app_id: str) -> tuple[Endpoint, ...]:
        """Return the endpoints of an app, disabled ones too."""
        return self._by_app.get(app_id, ())

    def all(self) -> Iterable[Endpoint]:
        """Return every endpoint."""
        return tuple(self._by_uid.values())

    def subscribe(self, listener: EndpointListener) -> None:
        """Call ``listener(old, new)`` for every endpoint of later changes; None: there was, or is, none."""
        self._listeners.append(listener)

    def _tell(self, old: Endpoint | None, new: Endpoint | None) -> None:
        for listener in self._listeners:
            listener(old, new)

    def _clashes(self, app_id: str, endpoints: tuple[Endpoint, ...]) -> Iterable[str]:
        seen: set[str] = set()
        for endpoint in endpoints:
            other = self._by_uid.get(endpoint.uid)
            if endpoint.uid in seen or (other is not None and other.app_id != app_id):
                yield f"app {app_id}: webhook uid {endpoint.uid} is used twice; give each its own"
            if endpoint.app_id != app_id:
                yield f"app {app_id}: webhook {endpoint.uid} belongs to app {endpoint.app_id}"
            seen.add(endpoint.uid)


def _routes(endpoints: Iterable[Endpoint], *, ledger: bool) -> Routes:
    enabled = [(endpoint, compile_filter(endpoint.filter)) for endpoint in endpoints if endpoint.enabled]
    routes: dict[type[Change], tuple[Route, ...]] = {}
    for kind, name in EVENT_NAMES.items():
        opposite = EVENT_NAMES[OPPOSITES[kind]] if ledger and kind in OPPOSITES else None
        wanted = [
            Route(endpoint.uid, test, told)
            for endpoint, test in enabled
            if (told := wants(endpoint, name)) or (opposite is not None and wants(endpoint, opposite))
        ]
        if wanted:
            routes[kind] = tuple(wanted)
    return routes
