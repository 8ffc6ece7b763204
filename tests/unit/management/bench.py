"""The management routes over everything in memory, without anything that carries them."""

import asyncio
import ipaddress
import itertools
import json
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from sockudo_py.apps.base import AppDefinition
from sockudo_py.config import WebhooksConfig
from sockudo_py.limits.memory import MemoryRateLimiter
from sockudo_py.management.audit import AuditRoutes
from sockudo_py.management.credentials.keys import SOCKET_OWNER, Admin
from sockudo_py.management.deliveries.feeds import FeedRoutes
from sockudo_py.management.deliveries.letters import letters_of
from sockudo_py.management.deliveries.queue import QueueRoutes
from sockudo_py.management.deliveries.trying import TestRoutes
from sockudo_py.management.endpoints import making
from sockudo_py.management.endpoints.editing import Editor
from sockudo_py.management.endpoints.managed import ManagedEndpoints
from sockudo_py.management.endpoints.projects import ProjectRoutes
from sockudo_py.management.endpoints.routes import EndpointRoutes
from sockudo_py.management.requests.router import Router
from sockudo_py.management.requests.values import Answer, Asked
from sockudo_py.protocol.app import App, AppKey
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.stores.endpoints.base import EndpointStore
from sockudo_py.stores.endpoints.memory import MemoryEndpoints
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.endpoints.validation import EndpointRules
from sockudo_py.webhooks.targets.base import Delivered, Outcome, Request
from sockudo_py.webhooks.targets.http.resolver import AddrInfo
from sockudo_py.webhooks.targets.http.target import HttpTarget

URL = "https://public.example/hook?token=t0ken"
NAMES = {
    "public.example": ["93.184.216.34"],
    "intranet.example": ["10.0.0.1"],
    "mixed.example": ["93.184.216.34", "127.0.0.1"],
    "six.example": ["fd00::1"],
    "localhost": ["127.0.0.1"],
}


def key(*apps: str, scopes: tuple[str, ...] = ("read", "write"), name: str = "tenant") -> Admin:
    """Return an admin key."""
    return Admin(name.encode(), frozenset(apps), frozenset(scopes), name)


def lookup(host: str, port: int, family: int) -> list[AddrInfo]:
    """Return what a name service would."""
    host = host.removesuffix(".")
    if host not in NAMES:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    found: list[AddrInfo] = []
    for address in NAMES[host]:
        version = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        found.append((version, socket.SOCK_STREAM, 6, "", (address, port)))
    return found


class Apps:
    """An app manager whose apps a test changes."""

    def __init__(self, *ids: str) -> None:
        self.found = {one: App(id=one, keys=(AppKey(f"key-{one}", b"secret-of-app"),)) for one in ids}

    async def start(self, on_change: object) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""

    def by_id(self, app_id: str) -> App | None:
        """Return an app."""
        return self.found.get(app_id)

    def by_key(self, key: str) -> App | None:
        """Return none: nobody asks."""
        return None

    def all(self) -> Iterable[AppDefinition]:
        """Return all."""
        return [AppDefinition(app) for app in self.found.values()]


class NoTarget:
    """A target that remembers what it was to send."""

    name = "lambda"

    def __init__(self) -> None:
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Outcome:
        """Take it."""
        self.sent.append(request)
        return Delivered(200)

    def begin(self, request: Request, done: object) -> None:
        """Begin nothing."""

    async def close(self) -> None:
        """Do nothing."""


class Bench:
    """One server. Several may share ``store``."""

    def __init__(self, store: EndpointStore | None = None, **rules: Any) -> None:
        self.store: EndpointStore = MemoryEndpoints() if store is None else store
        self.apps = Apps("1", "2")
        self.registry = EndpointRegistry()
        self.queue = MemoryQueue()
        self.defaults = WebhooksConfig()
        self.now = 1_800_000_000.0
        self.http = HttpTarget(guard=AddressGuard(), trusted_guard=AddressGuard(allow_private=True), lookup=lookup)
        rule = EndpointRules(**rules)
        delays = itertools.cycle([0.0, 0.004, 0.001, 0.007, 0.002])

        async def permits(url: str) -> bool | None:
            await asyncio.sleep(next(delays))  # as a name service: others change things meanwhile
            return await self.http.permits(url, trusted=False)

        def define(document: Any, app: App) -> Any:
            return making.define(document, app, self.defaults)

        self.managed = ManagedEndpoints(self.store, self.registry, apps=self.apps, define=define, rules=rule, poll=0.01)
        self.editor = Editor(
            self.managed,
            self.registry,
            apps=self.apps,
            define=define,
            rules=rule,
            permits=permits,
            clock=lambda: self.now,
        )
        endpoints = EndpointRoutes(
            self.registry, document=self.managed.document, editor=self.editor, drop=self.queue.drop
        )
        limiter = MemoryRateLimiter(lambda: self.now)
        self.router = Router(
            [
                endpoints,
                ProjectRoutes(self.managed, self.editor),
                TestRoutes(endpoints.find, {"http": self.http, "lambda": NoTarget()}, limiter, self.store),
                QueueRoutes(letters_of(self.queue), self.registry.all, store=self.store),
                AuditRoutes(self.store),
                FeedRoutes(None, endpoints.find),
            ]
        )

    async def start(self) -> "Bench":
        """Begin."""
        await self.queue.open()
        await self.managed.start()
        return self

    async def stop(self) -> None:
        """End what runs."""
        await self.managed.stop()
        await self.http.close()

    async def ask(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        admin: Admin = SOCKET_OWNER,
    ) -> Answer:
        """Ask, and insist that the answer is JSON."""
        path, _, query = target.partition("?")
        fields = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        answer = await self.router.handle(method, path, Asked(admin, query=fields, body=body or {}))
        json.dumps(answer.document)
        return answer

    async def made(
        self, admin: Admin = SOCKET_OWNER, target: str = "/apps/1/webhooks", **fields: Any
    ) -> dict[str, Any]:
        """Create an endpoint, and return it."""
        answer = await self.ask("POST", target, {"url": URL, "event_types": ["*"], **fields}, admin)
        assert answer.status == 201, answer
        shown = dict(answer.document)
        found: dict[str, Any] = shown.get("webhook", shown)
        return found


def code(answer: Answer) -> tuple[int, str]:
    """Return status and code of an error."""
    return answer.status, answer.document["error"]["code"]


async def soon(holds: Any, what: str) -> None:
    """Wait until something holds."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(what)
