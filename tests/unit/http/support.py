"""Fakes that keep the contracts, and requests signed as the SDKs sign them."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import quote_plus

from sockudo_py.adapters.base import ChannelStats
from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.caches.base import CachedEvent, IdempotencyKeys
from sockudo_py.caches.memory_keys import MemoryKeys
from sockudo_py.errors import Unavailable
from sockudo_py.http.api import Api, ApiRequest, ApiResponse
from sockudo_py.http.handlers.health import Health
from sockudo_py.http.operators import OperatorAccess
from sockudo_py.limits.base import Allowance, RequestLimit
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.app import App, AppKey

KEY = "278d425bdf160c739803"
SECRET = "7ad3773142a6692b25b8"
NOW = 1353088179
APP = App(id="3", keys=(AppKey(KEY, SECRET.encode()),))
OTHER = App(id="4", keys=(AppKey("otherkey", b"othersecret"),))


class Published(NamedTuple):
    app: App
    channels: tuple[str, ...]
    event: str
    data: str
    exclude: str | None


class FakeNode:
    """Remembers what it was asked for; ``away`` makes every question fail."""

    def __init__(self) -> None:
        self.draining = False
        self.away = False
        self.broken = False
        self.published: list[Published] = []
        self.terminated: list[tuple[str, str]] = []
        self.reconnected: list[tuple[str, str]] = []
        self.stats: dict[str, ChannelStats] = {}
        self.users: dict[str, list[str]] = {}
        self.cache: dict[str, CachedEvent] = {}
        self.connected = 0

    def publish(
        self, app: App, channels: Sequence[str], event: str, data: str, exclude_socket: str | None = None
    ) -> None:
        if self.broken:
            raise RuntimeError("a defect")
        self.published.append(Published(app, tuple(channels), event, data, exclude_socket))

    async def channel(self, app: App, name: str) -> ChannelStats | None:
        self._ask()
        return self.stats.get(name)

    async def channels(self, app: App, prefix: str) -> dict[str, ChannelStats]:
        self._ask()
        return {name: stats for name, stats in self.stats.items() if name.startswith(prefix)}

    async def members(self, app: App, name: str) -> list[str]:
        self._ask()
        return self.users.get(name, [])

    async def cached(self, app: App, name: str) -> CachedEvent | None:
        self._ask()
        return self.cache.get(name)

    def terminate_user(self, app: App, user_id: str, *, reconnect: bool = False) -> None:
        (self.reconnected if reconnect else self.terminated).append((app.id, user_id))

    async def app_connections(self, app: App) -> int:
        self._ask()
        return self.connected + 1

    def connections(self, app_id: str | None = None) -> int:
        return self.connected

    def _ask(self) -> None:
        if self.broken:
            raise RuntimeError("a defect with hunter2 in it")
        if self.away:
            raise Unavailable("redis://127.0.0.1: connection refused")


class FakeApps:
    """An AppManager over a list."""

    def __init__(self, *apps: App) -> None:
        self.apps = list(apps)

    async def start(self, on_change: Callable[[AppChanged], None]) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing to stop."""

    def by_id(self, app_id: str) -> App | None:
        return next((app for app in self.apps if app.id == app_id), None)

    def by_key(self, key: str) -> App | None:
        return next((app for app in self.apps if app.secret_of(key) is not None), None)

    def all(self) -> Iterable[AppDefinition]:
        return [AppDefinition(app) for app in self.apps]


class FakeLimiter:
    """Allows what is left in one window that never ends."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = {}

    def take(self, key: str, limit: int, window: float, cost: int = 1) -> Allowance:
        if self.spent.get(key, 0) + cost > limit:
            return Allowance(False, window / 4)
        self.spent[key] = self.spent.get(key, 0) + cost
        return Allowance(True)

    async def close(self) -> None:
        """Nothing to close."""


def sign(secret: str, method: str, path: str, params: Mapping[str, str]) -> str:
    """Return the signature as the reference says, written a second time and independently of the server's code."""
    query = "&".join(f"{name}={value}" for name, value in sorted((n.lower(), v) for n, v in params.items()))
    return hmac.new(secret.encode(), f"{method}\n{path}\n{query}".encode(), hashlib.sha256).hexdigest()


def signed(
    method: str,
    path: str,
    body: bytes = b"",
    params: Mapping[str, str] | None = None,
    *,
    key: str = KEY,
    secret: str = SECRET,
    now: int = NOW,
    sent_path: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> ApiRequest:
    """Return a correctly signed request. ``sent_path``: what goes over the wire; ``extra``: overrides after signing."""
    query = {"auth_key": key, "auth_timestamp": str(now), "auth_version": "1.0", **(params or {})}
    if body:
        query.setdefault("body_md5", hashlib.md5(body).hexdigest())
    query["auth_signature"] = sign(secret, method, path, query)
    query.update(extra or {})
    text = "&".join(f"{name}={quote_plus(value)}" for name, value in query.items())
    return ApiRequest(method, sent_path or path, text, {}, body, "203.0.113.9")


def post(content: object, path: str = "/apps/3/events", **options: str) -> ApiRequest:
    """Return a signed POST of this JSON."""
    return signed("POST", path, json.dumps(content, ensure_ascii=False).encode(), options)


def get(path: str, **params: str) -> ApiRequest:
    """Return a signed GET."""
    return signed("GET", path, params=params)


@dataclass
class World:
    """An Api with fakes around it."""

    node: FakeNode = field(default_factory=FakeNode)
    apps: FakeApps = field(default_factory=lambda: FakeApps(APP, OTHER))
    metrics: Metrics = field(default_factory=Metrics)
    keys: IdempotencyKeys | None = None
    timer: Callable[[], float] = time.perf_counter
    limiter: FakeLimiter = field(default_factory=FakeLimiter)
    now: float = NOW
    prefix: str = ""
    address_limit: RequestLimit | None = None
    with_health: bool = True
    operators: OperatorAccess | None = field(default_factory=OperatorAccess)

    def __post_init__(self) -> None:
        if self.keys is None:
            self.keys = MemoryKeys(lambda: self.now)
        health = Health(node=self.node, apps=self.apps, metrics=self.metrics, clock=lambda: self.now)
        self.api = Api(
            node=self.node,
            apps=self.apps,
            metrics=self.metrics,
            keys=self.keys,
            limiter=self.limiter,
            clock=lambda: self.now,
            timer=self.timer,
            health=health if self.with_health else None,
            operators=self.operators,
            address_limit=self.address_limit,
            path_prefix=self.prefix,
        )

    def configure(self, **changes: object) -> App:
        """Replace the app with id 3 by one with these changes."""
        app = replace(APP, **changes)  # type: ignore[arg-type]
        self.apps.apps[0] = app
        return app

    def now_answer(self, request: ApiRequest) -> ApiResponse:
        """Return the response of a request that has to be answered at once."""
        answer = self.api.handle(request)
        assert isinstance(answer, ApiResponse), "this request must be answered without a task"
        return answer

    async def ask(self, request: ApiRequest) -> ApiResponse:
        """Return the response, waiting for it where the API has to ask around."""
        answer = self.api.handle(request)
        return answer if isinstance(answer, ApiResponse) else await answer


def text(response: ApiResponse) -> str:
    """Return the text of an error, which must be one."""
    assert response.status >= 400
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.body.endswith(b"\n")
    return response.body.decode()
