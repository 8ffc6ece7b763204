"""Which endpoints there are, and which events each of them wants."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sockudo_py.changes import Change, ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved
from sockudo_py.endpoints import Endpoint, gathers
from sockudo_py.errors import ConfigError
from sockudo_py.webhooks.endpoints.filters import ChannelTest, compile_filter, wants
from sockudo_py.webhooks.endpoints.validation import EndpointRules, endpoint_problems
from sockudo_py.webhooks.events import CONNECTION_EVENTS, EVENT_NAMES

CONFIG = "config"  # the source of what the configuration and the files of the apps say
MANAGED = "api"  # the source of what the management API has made

# Seconds for which the dispatcher gathers events of endpoints that wait for more of them for much longer. A kill -9 may
# cost what came in that time. The queue waits that much less.
GATHER = 0.005

EndpointListener = Callable[[Endpoint | None, Endpoint | None], None]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """An enabled endpoint that lists an event. ``test`` says whether it wants a channel; None: all of them.

    ``told`` False: it lists only the opposite event, and is not told of this one; the ledger is.
    """

    endpoint: str
    test: ChannelTest | None
    told: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Audience:
    """The routes of one event in one app: at least one. ``has_channel``: the event is about a channel.

    ``everybody``: the endpoints for a channel that passes every filter. ``filters``: there are filters,
    and channels to test. ``urgent``: an endpoint wants its events at once, and not gathered.
    """

    app_id: str
    name: str
    has_channel: bool
    routes: tuple[Route, ...]
    everybody: tuple[str, ...]
    filters: bool
    urgent: bool

    def hearing(self, channel: str) -> tuple[str, ...] | None:
        """Return the endpoints that want a channel; None when not even the ledger wants it."""
        passing = [route for route in self.routes if route.test is None or route.test(channel)]
        return tuple(route.endpoint for route in passing if route.told) if passing else None


Routes = Mapping[type[Change], Audience]

OPPOSITES: Mapping[type[Change], type[Change]] = MappingProxyType(
    {
        ChannelOccupied: ChannelVacated,
        ChannelVacated: ChannelOccupied,
        MemberAdded: MemberRemoved,
        MemberRemoved: MemberAdded,
    }
)


@dataclass(frozen=True, slots=True)
class Override:
    """What ``enable`` or ``disable`` has said about an endpoint, and what its source said then."""

    enabled: bool
    said: bool
    target: str | None = None  # it counts for this one, as ``target_of`` names it; None: for any

    def holds(self, endpoint: Endpoint) -> bool:
        """Return whether it still counts for what the source says now."""
        return endpoint.enabled == self.said and self.target in (None, target_of(endpoint))


class EndpointRegistry:
    """The endpoints of every app. Readers never see half of a change.

    Endpoints come from *sources*: ``CONFIG``, and others such as an API. Each source sets its endpoints of an app as a
    whole, and leaves those of the others alone.

    ``routes`` is for the hot path: app id -> kind of change -> audience. An app or a kind that nobody wants to hear of
    is not in it, so that it costs one look-up; the node looks before it makes a change. A disabled endpoint has no
    routes: what waits for it stays, nothing is added.

    ``ledger``: beginnings and ends are both noted, so an endpoint that wants one has a route for the other, too.
    """

    def __init__(self, rules: EndpointRules | None = None, *, ledger: bool = False) -> None:
        self._ledger = ledger
        self.routes: dict[str, Routes] = {}
        self._rules = rules or EndpointRules()
        self._by_source: dict[str, dict[str, tuple[Endpoint, ...]]] = {}  # app id -> source -> endpoints, overridden
        self._by_app: dict[str, tuple[Endpoint, ...]] = {}
        self._by_uid: dict[str, Endpoint] = {}
        self._overrides: dict[str, Override] = {}
        self._listeners: list[EndpointListener] = []

    def replace(self, app_id: str, source: str, endpoints: Iterable[Endpoint]) -> None:
        """Set the endpoints that a source has for an app; none removes those of this source only.

        What ``disable`` and ``enable`` have said counts on. Raises ConfigError naming every mistake; nothing has
        changed then.
        """
        new = tuple(endpoints)
        # What is here already was looked at when it came: an app may have a thousand, and one of them changes.
        fresh = [endpoint for endpoint in new if self._by_uid.get(endpoint.uid) is not endpoint]
        problems = [problem for endpoint in fresh for problem in endpoint_problems(endpoint, self._rules)]
        problems.extend(self._clashes(app_id, source, new))
        if problems:
            raise ConfigError(problems)
        for endpoint in new:
            override = self._overrides.get(endpoint.uid)
            if override is not None and not override.holds(endpoint):
                del self._overrides[endpoint.uid]
        self._set(app_id, {**self._by_source.get(app_id, {}), source: tuple(map(self._overridden, new))})

    def remove(self, app_id: str) -> None:
        """Forget an app that is gone, with the endpoints of every source."""
        self._set(app_id, {})

    def disable(self, uid: str, *, until_moved: bool = False) -> bool:
        """Switch an endpoint off; return whether it was on.

        It stays off through every ``replace``, until ``enable``, until it is removed, or until its source changes
        ``enabled``. ``until_moved``: also until it has another URL or function, since this one was at fault.
        """
        return self._override(uid, False, until_moved=until_moved)

    def enable(self, uid: str) -> bool:
        """Switch an endpoint on, for as long as ``disable`` would switch it off; return whether it was off."""
        return self._override(uid, True)

    def _override(self, uid: str, enabled: bool, *, until_moved: bool = False) -> bool:
        endpoint = self._by_uid.get(uid)
        if endpoint is None or endpoint.enabled == enabled:
            return False
        before = self._overrides.pop(uid, None)
        said = endpoint.enabled if before is None else before.said
        if said != enabled:
            self._overrides[uid] = Override(enabled, said, target_of(endpoint) if until_moved else None)
        switched = replace(endpoint, enabled=enabled)
        sources = self._by_source[endpoint.app_id]
        self._set(
            endpoint.app_id,
            {name: tuple(switched if one is endpoint else one for one in some) for name, some in sources.items()},
        )
        return True

    def override_of(self, uid: str) -> Override | None:
        """Return what ``enable`` or ``disable`` has said about an endpoint, if that still counts."""
        return self._overrides.get(uid)

    def restore(self, overrides: Mapping[str, Override]) -> None:
        """Let these count, by uid, as far as they hold, and no others: those that a store has kept."""
        touched: dict[str, dict[str, tuple[Endpoint, ...]]] = {}
        for uid in {*self._overrides, *overrides}:
            endpoint, old, new = self._by_uid.get(uid), self._overrides.get(uid), overrides.get(uid)
            if endpoint is None or old == new:
                continue
            said = endpoint.enabled if old is None else old.said
            plain = replace(endpoint, enabled=said)
            if new is not None and not new.holds(plain):
                new = None
            if new is not None:
                self._overrides[uid] = new
            else:
                self._overrides.pop(uid, None)
            enabled = said if new is None else new.enabled
            if enabled != endpoint.enabled:
                sources = touched.get(endpoint.app_id) or self._by_source[endpoint.app_id]
                touched[endpoint.app_id] = {
                    name: tuple(replace(one, enabled=enabled) if one.uid == uid else one for one in some)
                    for name, some in sources.items()
                }
        for app_id, sources in touched.items():
            self._set(app_id, sources)

    def source_of(self, uid: str) -> str | None:
        """Return the source of an endpoint; None: there is no such endpoint."""
        endpoint = self._by_uid.get(uid)
        if endpoint is None:
            return None
        sources = self._by_source[endpoint.app_id]
        return next((name for name, some in sources.items() if any(one is endpoint for one in some)), None)

    def _overridden(self, endpoint: Endpoint) -> Endpoint:
        override = self._overrides.get(endpoint.uid)
        return endpoint if override is None else replace(endpoint, enabled=override.enabled)

    def _set(self, app_id: str, sources: dict[str, tuple[Endpoint, ...]]) -> None:
        old = {endpoint.uid: endpoint for endpoint in self._by_app.get(app_id, ())}
        new = tuple(endpoint for some in sources.values() for endpoint in some)
        if new:
            self._by_source[app_id] = sources
            self._by_app[app_id] = new
        else:
            self._by_source.pop(app_id, None)
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
            self._overrides.pop(gone.uid, None)
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

    def _clashes(self, app_id: str, source: str, endpoints: tuple[Endpoint, ...]) -> Iterable[str]:
        own = {endpoint.uid for endpoint in self._by_source.get(app_id, {}).get(source, ())}
        seen: set[str] = set()
        for endpoint in endpoints:
            uid = endpoint.uid
            if uid in seen or (uid in self._by_uid and uid not in own):
                yield f"app {app_id}: webhook uid {uid} is used twice; give each its own"
            if endpoint.app_id != app_id:
                yield f"app {app_id}: webhook {uid} belongs to app {endpoint.app_id}"
            seen.add(uid)


def target_of(endpoint: Endpoint) -> str:
    """Return a word for where an endpoint leads, which says nothing of it: URLs hold secrets."""
    target: tuple[object, ...] = (endpoint.url, endpoint.function)
    return hashlib.sha256(repr(target if endpoint.feed is None else ("feed",)).encode()).hexdigest()[:32]


def _routes(endpoints: Iterable[Endpoint], *, ledger: bool) -> Routes:
    enabled = [(endpoint, compile_filter(endpoint.filter)) for endpoint in endpoints if endpoint.enabled]
    routes: dict[type[Change], Audience] = {}
    for kind, name in EVENT_NAMES.items():
        opposite = EVENT_NAMES[OPPOSITES[kind]] if ledger and kind in OPPOSITES else None
        wanted = [
            (endpoint, Route(endpoint.uid, test, told))
            for endpoint, test in enabled
            if (told := wants(endpoint, name)) or (opposite is not None and wants(endpoint, opposite))
        ]
        if wanted:
            routes[kind] = _audience(wanted[0][0].app_id, name, wanted)
    return routes


def patient(endpoint: Endpoint) -> bool:
    """Return whether the events of this endpoint may wait in the dispatcher for GATHER seconds."""
    return gathers(endpoint) and endpoint.batching.duration >= 2 * GATHER


def _audience(app_id: str, name: str, wanted: list[tuple[Endpoint, Route]]) -> Audience:
    has_channel = name not in CONNECTION_EVENTS
    return Audience(
        app_id,
        name,
        has_channel,
        tuple(route for _, route in wanted),
        tuple(route.endpoint for _, route in wanted if route.told),
        has_channel and any(route.test is not None for _, route in wanted),
        any(route.told and not patient(endpoint) for endpoint, route in wanted),
    )
