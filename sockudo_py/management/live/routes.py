"""The routes behind the pages about clients: apps, refusals, the inspector, figures, the event creator."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

from sockudo_py.apps.base import AppManager
from sockudo_py.endpoints import Endpoint
from sockudo_py.http.description.notation import ANYTHING, Param, listed, many, number, record
from sockudo_py.management.credentials.keys import EVERY_APP, Admin
from sockudo_py.management.credentials.sessions import Sessions
from sockudo_py.management.live.inspector import InspectedNode, Inspector
from sockudo_py.management.live.overview import Overview
from sockudo_py.management.live.reasons import Evidence, expected_string, explain
from sockudo_py.management.requests.answers import (
    APP,
    CHANNELS,
    CLOSED,
    CLOSED_USER,
    CLUSTER,
    DIFFERENCES,
    FOUND,
    OVERVIEW,
    PUBLISHED,
    REFUSALS,
    SESSION,
)
from sockudo_py.management.requests.params import APP_ID
from sockudo_py.management.requests.router import Handler, Route
from sockudo_py.management.requests.values import Answer, Asked, Fields, Refused, invalid, iso
from sockudo_py.protocol.app import App
from sockudo_py.protocol.channels.table import valid_channel_name
from sockudo_py.protocol.readers.users import valid_user_id
from sockudo_py.protocol.surrogates import without_surrogates
from sockudo_py.tap import Tap

MOST_TRIED: Final = 1000  # socket ids, or channels, that a wrong signature is compared with
MOST_CHANNELS: Final = 200
MOST_REFUSALS: Final = 200
_CHANNELS: Final = (
    Param("prefix", says="What names begin with."),
    number("limit", "Channels, the largest first.", default=50, most=MOST_CHANNELS),
)
_REFUSALS: Final = number("limit", "Refusals, the newest first.", default=50, most=MOST_REFUSALS)
_TEXT: Final = Param("q", says="The id or name of a channel, user, socket, app, webhook, delivery.", required=True)
_EVENT: Final = (
    Param("channel", says="Where the event goes."),
    listed("channels", "More such channels."),
    Param("name", says="Of the event.", required=True),
    Param("data", says="Of the event; what is no text is sent as JSON.", in_body=ANYTHING),
    Param("socket_id", says="The connection that does not get it."),
)
_LIMITS: Final = (
    "max_connections",
    "client_events",
    "client_events_per_second",
    "user_authentication",
    "subscription_count",
    "watchlist",
    "require_tls",
    "allowed_origins",
    "authorization_timeout",
    "max_presence_members",
    "max_event_bytes",
    "max_channels_per_event",
    "max_batch_size",
    "max_subscriptions",
    "subscribes_per_second",
    "subscribe_burst",
    "backend_events_per_second",
    "read_requests_per_second",
    "cache_ttl",
)


class LiveNode(InspectedNode, Protocol):
    """What these routes ask of the node (``node.Node`` is one)."""

    def publish(self, app: App, channels: list[str], event: str, data: str, exclude_socket: str | None = None) -> None:
        """Send an event to the subscribers of each of the channels. Never raises."""

    def terminate_user(self, app: App, user_id: str, *, reconnect: bool = False) -> None:
        """Close all signed-in connections of a user; with ``reconnect`` they come back at once."""

    async def app_connections(self, app: App) -> int:
        """Return how many clients of the app are connected to the cluster."""


class LiveRoutes:
    """Answers requests about clients.

    Args:
        node: Clients and channels.
        apps: Whose they are.
        endpoints: Returns all webhook endpoints that there are now.
        tap: Its recorder has the refusals.
        overview: Figures of the last hour.
        cluster: Returns the facts about the nodes.
        configuration: Returns what the configuration says that is no default.
        sessions: Of the dashboard.
        who: Returns whose key, link or session is in headers.
    """

    def __init__(
        self,
        node: LiveNode,
        apps: AppManager,
        endpoints: Callable[[], Iterable[Endpoint]],
        tap: Tap,
        overview: Overview,
        cluster: Callable[[], Awaitable[dict[str, Any]]],
        configuration: Callable[[], list[dict[str, Any]]],
        sessions: Sessions,
        who: Callable[[Mapping[str, str]], Admin | None],
    ) -> None:
        self._node = node
        self._apps = apps
        self._endpoints = endpoints
        self._tap = tap
        self._overview = overview
        self._cluster = cluster
        self._configuration = configuration
        self._sessions = sessions
        self._who = who
        self._inspector = Inspector(node, tap)

    @property
    def table(self) -> Sequence[Route]:
        """The routes."""

        def get(pattern: str, handler: Handler, *, links: bool = False, **said: Any) -> Route:
            return Route("GET", pattern, handler, links=links, tag="Dashboard", **said)

        def post(rest: str, handler: Handler, **said: Any) -> Route:
            return Route("POST", f"/api/apps/{{app}}{rest}", handler, links=False, tag="Dashboard", **said)

        return (
            Route("GET", "/api/session", self.session, access="open", answers={200: SESSION}, tag="Dashboard"),
            get("/api/apps", self.apps, answers={200: record("", {"apps": many(APP)})}),
            get("/api/apps/{app}", self.app, answers={200: APP}),
            get("/api/apps/{app}/channels", self.channels, links=True, fields=_CHANNELS, answers={200: CHANNELS}),
            get("/api/refusals", self.refusals, fields=(APP_ID, _REFUSALS), answers={200: REFUSALS}),
            get("/api/inspect", self.inspect, fields=(_TEXT, APP_ID), answers={200: FOUND}),
            get("/api/overview", self.overview, answers={200: OVERVIEW}),
            get("/api/cluster", self.cluster, answers={200: CLUSTER}),
            get("/api/configuration", self.configuration, answers={200: DIFFERENCES}),
            post("/events", self.publish, fields=_EVENT, answers={200: PUBLISHED}),
            post("/connections/{socket}/terminate", self.terminate, answers={200: CLOSED}),
            post("/connections/{socket}/reconnect", self.reconnect, answers={200: CLOSED}),
            post("/users/{user}/terminate", self.terminate_user, answers={200: CLOSED_USER}),
            post("/users/{user}/reconnect", self.reconnect_user, answers={200: CLOSED_USER}),
        )

    # -- who may see what

    def _visible(self, admin: Admin) -> list[App]:
        every = EVERY_APP in admin.apps
        return [one.app for one in self._apps.all() if every or one.app.id in admin.apps]

    def _named(self, asked: Asked) -> App:
        app = self._apps.by_id(asked.app_id or "")
        if app is None or not (EVERY_APP in asked.admin.apps or app.id in asked.admin.apps):
            raise Refused(404, "not_found", "there is no such app")
        return app

    async def session(self, asked: Asked) -> Answer:
        """Show who asks, and what they may do. Without a key there is an answer, too: pages ask before a login."""
        Fields(asked)
        admin = self._who(asked.headers)
        if admin is None:
            return Answer(200, {"name": None, "apps": [], "every_app": False, "scopes": [], "link": False})
        session = self._sessions.find(asked.headers)
        return Answer(
            200,
            {
                **({} if session is None else {"csrf": session.csrf, "expires_at": iso(session.expires * 1000)}),
                "name": admin.name,
                "apps": sorted(app.id for app in self._visible(admin)),
                "every_app": EVERY_APP in admin.apps,
                "scopes": sorted(admin.scopes),
                "link": admin.link,
            },
        )

    # -- apps

    async def apps(self, asked: Asked) -> Answer:
        """List apps with their options and limits, never their secrets."""
        Fields(asked)
        return Answer(200, {"apps": [await self._app(app) for app in self._visible(asked.admin)]})

    async def app(self, asked: Asked) -> Answer:
        """Show one app."""
        Fields(asked)
        return Answer(200, await self._app(self._named(asked)))

    async def _app(self, app: App) -> dict[str, Any]:
        limits = {name: getattr(app, name) for name in _LIMITS}
        return {
            "id": app.id,
            "enabled": app.enabled,
            "keys": [pair.key for pair in app.keys],
            "connections": await self._node.app_connections(app),
            "webhooks": sum(1 for one in self._endpoints() if one.app_id == app.id),
            "options": {name: list(value) if isinstance(value, tuple) else value for name, value in limits.items()},
        }

    async def channels(self, asked: Asked) -> Answer:
        """List occupied channels whose names begin with ``prefix``, the largest first."""
        fields = Fields(asked)
        app, limit = self._named(asked), fields.number("limit")
        found = await self._node.channels(app, fields.text("prefix") or "")
        largest = sorted(found.items(), key=lambda one: (-one[1].subscription_count, one[0]))[:limit]
        shown = [{"channel": name, **asdict_of(stats)} for name, stats in largest]
        return Answer(200, {"channels": shown, "total": len(found)})

    # -- what goes wrong

    async def refusals(self, asked: Asked) -> Answer:
        """List the last refusals, newest first, each with its cause and what to change where."""
        fields = Fields(asked)
        limit, wanted = fields.number("limit"), fields.text("app_id")
        visible = {app.id for app in self._visible(asked.admin)}
        if EVERY_APP in asked.admin.apps:
            visible.add("")  # clients that named no known app
        if wanted is not None and wanted not in visible:
            raise Refused(404, "not_found", "there is no such app")
        evidence = Evidence(
            app=self._apps.by_id,
            app_of_key=lambda key: self._seen(asked.admin, self._apps.by_key(key)),
            apps=lambda: self._visible(asked.admin),
            sockets=lambda app_id: self._node.view.socket_ids(app_id, MOST_TRIED),
            channels=lambda app_id: self._node.view.channels_of(app_id, MOST_TRIED),
        )
        kept = [one for one in self._tap.recorder.refusals(wanted) if one.app_id in visible][:limit]
        shown = []
        for one in kept:
            reason = explain(one, evidence)
            shown.append(
                {
                    "app_id": one.app_id,
                    "what": one.what,
                    "name": reason.name,
                    "cause": reason.cause,
                    "remedy": reason.remedy,
                    "code": one.reason,
                    "told": one.error,
                    "expected_string": expected_string(one),
                    "socket_id": one.socket_id,
                    "channel": one.channel,
                    "address": one.address,
                    "count": one.count,
                    "first_at": iso(one.first_ms),
                    "last_at": iso(one.last_ms),
                    **{name: value for name, value in one.more.items() if value is not None},
                }
            )
        return Answer(200, {"refusals": shown})

    def _seen(self, admin: Admin, app: App | None) -> App | None:
        return app if app is not None and (EVERY_APP in admin.apps or app.id in admin.apps) else None

    async def inspect(self, asked: Asked) -> Answer:
        """Find what a text means: a channel, a user, a socket, an app, a webhook, a delivery."""
        fields = Fields(asked)
        text, wanted = fields.text("q"), fields.text("app_id")
        if text is None:
            raise invalid("q", "is missing; name a channel, a user, a socket id, a webhook")
        apps = [app for app in self._visible(asked.admin) if wanted in (None, app.id)]
        ids = {app.id for app in apps}
        mine = [one for one in self._endpoints() if one.app_id in ids]
        return Answer(200, {"found": await self._inspector.find(text.strip()[:300], apps, mine)})

    # -- figures, nodes, configuration

    async def overview(self, asked: Asked) -> Answer:
        """Show the figures of this server's last hour."""
        Fields(asked)
        _of_everything(asked.admin)
        return Answer(200, self._overview.document())

    async def cluster(self, asked: Asked) -> Answer:
        """Show the nodes of the cluster."""
        Fields(asked)
        _of_everything(asked.admin)
        return Answer(200, await self._cluster())

    async def configuration(self, asked: Asked) -> Answer:
        """Show what the configuration says that is no default, secrets as ``***``."""
        Fields(asked)
        _of_everything(asked.admin)
        return Answer(200, {"differences": self._configuration()})

    # -- doing something

    async def publish(self, asked: Asked) -> Answer:
        """Send an event to channels, and say how many got it."""
        fields = Fields(asked)
        app = self._named(asked)
        one, several = fields.text("channel"), fields.words("channels")
        channels = list(dict.fromkeys([*([one] if one else []), *(several or [])]))
        name = fields.text("name")
        if not channels or name is None:
            raise invalid("name" if channels else "channel", "is missing")
        if len(channels) > app.max_channels_per_event:
            raise invalid("channels", f"at most {app.max_channels_per_event}")
        for channel in channels:
            if not valid_channel_name(channel, app.max_channel_name_length):
                raise invalid("channels", f"{channel[:200]} is no name of a channel")
        if len(name) > app.max_event_name_length:
            raise invalid("name", f"at most {app.max_event_name_length} characters")
        data = asked.body.get("data", "")
        text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        text = without_surrogates(text)
        if len(text.encode()) > app.max_event_bytes:
            raise Refused(413, "too_large", f"data: more than {app.max_event_bytes} bytes")
        if not app.enabled:
            raise Refused(409, "app_disabled", "the app is switched off")
        counts = {}
        for channel in channels:
            stats = await self._node.channel(app, channel)
            counts[channel] = 0 if stats is None else stats.subscription_count
        self._node.publish(app, channels, without_surrogates(name), text, fields.text("socket_id"))
        return Answer(200, {"channels": counts, "bytes": len(text.encode())})

    async def terminate(self, asked: Asked) -> Answer:
        """Close one connection of this node with 4009: it is to stay away."""
        return self._close(asked, reconnect=False)

    async def reconnect(self, asked: Asked) -> Answer:
        """Close one connection of this node with 4200: it comes back at once."""
        return self._close(asked, reconnect=True)

    def _close(self, asked: Asked, *, reconnect: bool) -> Answer:
        Fields(asked)
        app = self._named(asked)
        if not self._node.view.close(app.id, asked.segments[0], reconnect=reconnect):
            raise Refused(404, "unknown_connection", "this connection is not on this server (any more)")
        return Answer(200, {"closed": 1})

    async def terminate_user(self, asked: Asked) -> Answer:
        """Close all connections of a signed-in user with 4009, in the whole cluster."""
        return self._close_user(asked, reconnect=False)

    async def reconnect_user(self, asked: Asked) -> Answer:
        """Close all connections of a signed-in user with 4200, in the whole cluster."""
        return self._close_user(asked, reconnect=True)

    def _close_user(self, asked: Asked, *, reconnect: bool) -> Answer:
        Fields(asked)
        app, user_id = self._named(asked), asked.segments[0]
        if not valid_user_id(user_id):
            raise Refused(422, "invalid_field", "this is no id of a user")
        self._node.terminate_user(app, user_id, reconnect=reconnect)
        return Answer(200, {"closed": "all connections of the user"})


def asdict_of(stats: Any) -> dict[str, Any]:
    """Return the figures of a channel that there are."""
    return {name: value for name, value in asdict(stats).items() if value is not None}


def _of_everything(admin: Admin) -> None:
    if not admin.sees_everything():
        raise Refused(403, "forbidden", "this is for keys of all apps")
