"""An app on a running server, as a test sees it: connect clients to it, call its HTTP API."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.api import Api
from tests.support.client import Client, connected
from tests.support.hook_receiver import Hook, HookReceiver
from tests.support.server import Config, Server, TestApp, app_config, running, server_config

FAST_RETRY = {"max_retries": 3, "initial_backoff_ms": 100, "max_backoff_ms": 1000}
ALL_EVENTS = [
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "cache_miss",
    "subscription_count",
]


def endpoint(url: str, **settings: Any) -> Config:
    """Return a webhook endpoint that gets every event, one by one and in order."""
    return {
        "url": url,
        "event_types": ALL_EVENTS,
        "ordering": "endpoint",
        "retry": FAST_RETRY,
        "payload": "pusher",
        **settings,
    }


def _two_keys(path: str, url: str) -> Config:
    """The app's own pair is the oldest, so it signs the webhooks."""
    pair = {"key": f"second-key-{path}", "secret": f"second-secret-of-{path}"}
    return {"keys": [pair], "webhooks": [endpoint(f"{url}/{path}/all")]}


def _hooked(path: str, url: str) -> Config:
    return {
        "enable_client_messages": True,
        "webhooks": [endpoint(f"{url}/{path}/all")],
    }


def _hooked_counted(path: str, url: str) -> Config:
    return {**_hooked(path, url), "enable_subscription_count": True}


def _routed(path: str, url: str) -> Config:
    """Endpoints that differ in what they want and how they get it; the last part of the path names them."""

    def one(name: str, **settings: Any) -> Config:
        return endpoint(f"{url}/{path}/{name}", **settings)

    return {
        "enable_client_messages": True,
        "webhooks": [
            one("all"),
            one("occupied", event_types=["channel_occupied"]),
            one("presence", filter={"channel_type": "presence", "channel_prefix": "admin-"}),
            one("prefix", filter={"channel_prefix": "chat-"}),
            one("headers", headers={"X-Source": "sockudo", "Authorization": "Bearer token"}),
            one("prefixed", profile="sockudo"),
            one("seed", payload="seed"),
            one("batched", ordering="none", batching={"enabled": True, "duration": 400, "size": 100}),
            one("hurried", request_timeout_ms=300),
            one("connections", event_types=["connection_established", "connection_terminated", "channel_occupied"]),
        ],
    }


Kind = Callable[[str, str], Config]  # (mailbox path, receiver URL) -> settings of the app
KINDS: dict[str, tuple[int, Kind]] = {  # how many apps of the kind one server has, and their settings
    "plain": (500, lambda path, url: {"enable_client_messages": False}),
    "talk": (150, lambda path, url: {"enable_client_messages": True}),
    "counted": (80, lambda path, url: {"enable_subscription_count": True}),
    "watched": (20, lambda path, url: {"enable_watchlist_events": True}),
    "everything": (
        8,
        lambda path, url: {
            "enable_client_messages": True,
            "enable_subscription_count": True,
            "enable_watchlist_events": True,
        },
    ),
    "quota": (8, lambda path, url: {"max_connections": 1}),
    "disabled": (16, lambda path, url: {"enabled": False}),
    "tls_only": (16, lambda path, url: {"require_tls": True}),
    "origins": (8, lambda path, url: {"allowed_origins": ["https://good.example"]}),
    "two_keys": (16, _two_keys),
    "hooked": (60, _hooked),
    "hooked_counted": (6, _hooked_counted),
    "routed": (24, _routed),
}


@dataclass(slots=True)
class Site:
    """An app on a running server."""

    server: Server
    app: TestApp
    hooks: HookReceiver | None = None
    path: str = ""
    _api: Api | None = field(default=None, repr=False)

    def connect(self, **options: Any) -> AbstractAsyncContextManager[Client]:
        """Connect a client for the length of an ``async with`` block."""
        return connected(self.server, self.app, **options)

    @asynccontextmanager
    async def dial(self, path: str, **options: Any) -> AsyncIterator[Client]:
        """Open a WebSocket to any path and expect nothing."""
        client = await Client.open(self.server.ws_url(path), self.app, **options)
        try:
            yield client
        finally:
            await client.close()

    @property
    def api(self) -> Api:
        """The HTTP API of the app."""
        if self._api is None:
            self._api = Api(self.server, self.app)
        return self._api

    def mailbox(self, name: str = "all") -> str:
        """Return the path of one of the app's webhook endpoints."""
        return f"{self.path}/{name}"

    def events(self, name: str = "all") -> list[dict[str, Any]]:
        """Return the webhook events that came to an endpoint so far."""
        assert self.hooks is not None
        return self.hooks.events(self.mailbox(name))

    def requests(self, name: str = "all") -> list[Hook]:
        """Return the webhook requests that came to an endpoint so far."""
        assert self.hooks is not None
        return self.hooks.hooks(self.mailbox(name))

    def answer(self, name: str, *script: int | float) -> None:
        """Tell an endpoint what to answer next: statuses (int), seconds of silence (float)."""
        assert self.hooks is not None
        self.hooks.answer(self.mailbox(name), *script)

    def close(self) -> None:
        """Give back what the site holds."""
        if self._api is not None:
            self._api.connection.close()
            self._api = None


class Apps:
    """Hands out apps of a shared server; each only once, so that tests don't see each other."""

    def __init__(self, hooks: HookReceiver) -> None:
        self.hooks = hooks
        ids = count(1001)
        self._free: dict[str, list[TestApp]] = {}
        self.config: list[Config] = [app_config(TestApp(), enable_client_messages=True)]
        for kind, (number, settings) in KINDS.items():
            numbers = [next(ids) for _ in range(number)]
            self._free[kind] = [TestApp(str(n), f"key-{n}", f"secret-of-{n}") for n in numbers]
            self.config += [app_config(app, **settings(app.id, hooks.url)) for app in self._free[kind]]

    def take(self, kind: str) -> TestApp:
        """Return an app that nobody has used."""
        free = self._free[kind]
        assert free, f"no app of kind {kind} is left: raise its number in KINDS"
        return free.pop()


@contextmanager
def private_site(folder: Path, app: Config | None = None, **settings: Any) -> Iterator[Site]:
    """Run a server of its own with the app of the published vectors. ``settings``: see ``server_config``."""
    config = server_config(app_config(TestApp(), **(app or {})), **settings)
    with running(config, folder) as server:
        site = Site(server, TestApp())
        try:
            yield site
        finally:
            site.close()
