"""The management API of a server: its routes, its keys, its store, and where it is served."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sockudo_py import logs
from sockudo_py.adapters.base import Adapter
from sockudo_py.apps.base import AppManager
from sockudo_py.config import Config
from sockudo_py.endpoints import Endpoint
from sockudo_py.limits.base import RateLimiter, RequestLimit
from sockudo_py.management.access import PortAccess
from sockudo_py.management.audit import AuditRoutes
from sockudo_py.management.catalogue import CatalogueRoutes
from sockudo_py.management.credentials.keys import AdminKeys
from sockudo_py.management.deliveries.feeds import FeedRoutes
from sockudo_py.management.deliveries.letters import letters_of
from sockudo_py.management.deliveries.queue import QueueRoutes
from sockudo_py.management.deliveries.resyncing import ResyncRoutes
from sockudo_py.management.deliveries.routes import DeliveryRoutes
from sockudo_py.management.deliveries.statistics import StatisticsRoutes
from sockudo_py.management.deliveries.trigger import TriggerRoutes
from sockudo_py.management.deliveries.trying import TestRoutes
from sockudo_py.management.endpoints import making
from sockudo_py.management.endpoints.documents import Document
from sockudo_py.management.endpoints.editing import Editor
from sockudo_py.management.endpoints.healing import Healing
from sockudo_py.management.endpoints.managed import ManagedEndpoints
from sockudo_py.management.endpoints.order_notes import StoredNotes
from sockudo_py.management.endpoints.projects import ProjectRoutes
from sockudo_py.management.endpoints.routes import EndpointRoutes
from sockudo_py.management.links import LinkRoutes
from sockudo_py.management.openapi.document import document
from sockudo_py.management.openapi.routes import OpenApiRoutes
from sockudo_py.management.requests.router import Group, Router
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.protocol.app import App
from sockudo_py.queues.base import Queue
from sockudo_py.relays.board import Board
from sockudo_py.stores.endpoints.base import EndpointStore
from sockudo_py.stores.history.base import History
from sockudo_py.tap import Tap
from sockudo_py.webhooks.endpoints.validation import EndpointRules
from sockudo_py.webhooks.service import WebhookService
from sockudo_py.webhooks.targets.base import Target
from sockudo_py.webhooks.targets.http.target import HttpTarget
from sockudo_py.wiring.drivers.admins import admin_key_file, admin_limit, admins
from sockudo_py.wiring.drivers.history import make_past
from sockudo_py.wiring.serving.dashboard import Dashboard

if TYPE_CHECKING:
    from aiohttp import web


class Management:
    """The management API. ``router`` is for the port and for the admin socket.

    Args:
        config: Of the server.
        apps: Who may sign, and whose keys sign webhooks.
        webhooks: Knows the endpoints.
        queue: Has figures and dead letters.
        store: Keeps endpoints; opened and closed here.
        targets: For test deliveries.
        rules: What endpoints may be.
        history: Of the deliveries; None: none is kept.
        limiter: Counts what each key asks.
        address_limit: How often one address may ask without a key that is known.
        node: Has the clients that the dashboard shows.
        adapter: Knows whether the cluster can be reached.
        tap: What happens, for the live console.
        metrics: Figures for the dashboard.
        board: The way to the dashboards of other nodes; None: there are none.
    """

    def __init__(
        self,
        config: Config,
        *,
        apps: AppManager,
        webhooks: WebhookService,
        queue: Queue,
        store: EndpointStore,
        targets: Mapping[str, Target],
        rules: EndpointRules,
        history: History | None,
        limiter: RateLimiter,
        address_limit: RequestLimit | None,
        node: Node,
        adapter: Adapter,
        tap: Tap,
        metrics: Metrics,
        board: Board | None,
    ) -> None:
        self._config = config
        self._queue = queue
        self._http = targets["http"]
        self._store = store
        self._served = config.webhooks.admin.enabled
        self.key_file = admin_key_file(config)
        if self.key_file is not None:
            logs.hide([self.key_file.key])
        self.keys = AdminKeys(admins(config, self.key_file))
        registry = webhooks.registry
        self.managed = ManagedEndpoints(store, registry, apps=apps, define=self._define, rules=rules)
        editor = Editor(
            self.managed,
            registry,
            apps=apps,
            define=self._define,
            rules=rules,
            permits=self._permits,
            sends=config.sends_webhooks,
        )
        endpoints = EndpointRoutes(
            registry,
            document=self.managed.document,
            editor=editor,
            drop=self._drop,
            rotation_grace=lambda: self._config.webhooks.signature.rotation_grace_s,
        )
        trigger = TriggerRoutes(
            webhooks.trigger if config.sends_webhooks else None,
            apps,
            limiter,
            most_body=config.http_api.request_limit_in_mb * 1024 * 1024,
        )
        if webhooks.resync is not None and config.sends_webhooks:
            order = webhooks.resync.order
            order.notes = StoredNotes(self.managed, order.noted)
        self.healing = Healing(self.managed, registry, webhooks.resync if config.sends_webhooks else None)
        letters, writer = letters_of(queue), webhooks.history
        past = make_past(history, webhooks, queue, letters)
        reader = None if past is None else past.reader
        statistics = StatisticsRoutes(reader, queue, webhooks.circuit, endpoints.find)
        endpoints.figures = statistics.beside
        endpoints.list_figures = statistics.of_list
        groups: list[Group] = [
            endpoints,
            ProjectRoutes(self.managed, editor),
            TestRoutes(
                endpoints.find,
                targets,
                limiter,
                store,
                webhooks.catalogue.find,
                None if writer is None else writer.keep,
            ),
            DeliveryRoutes(past, endpoints.find, store),
            ResyncRoutes(endpoints.find, webhooks.resync if config.sends_webhooks else None, store),
            FeedRoutes(webhooks.feeds if config.sends_webhooks else None, endpoints.find),
            statistics,
            QueueRoutes(
                letters, registry.all, figures=webhooks.figures, store=store, reader=reader, healing=self.healing
            ),
            AuditRoutes(store),
            trigger,
            CatalogueRoutes(webhooks.catalogue),
        ]
        # It is the applications', whatever operators may do.
        documented = OpenApiRoutes(lambda: self._trigger_alone.routes, config.url_prefix)
        self._trigger_alone = Router([trigger, documented], roots=())
        self._access = PortAccess(
            self.keys,
            apps=apps,
            limiter=limiter,
            key_limit=admin_limit(config),
            address_limit=address_limit,
            path_prefix=config.url_prefix,
        )
        self.dashboard = Dashboard(
            config,
            node=node,
            adapter=adapter,
            apps=apps,
            webhooks=webhooks,
            tap=tap,
            metrics=metrics,
            access=self._access,
            limiter=limiter,
            board=board,
        )
        groups += [
            LinkRoutes(self._access.links, apps, store),
            *self.dashboard.groups,
            OpenApiRoutes(lambda: self.router.routes, config.url_prefix),
        ]
        self.router = Router(groups)

    async def start(self) -> None:
        """Open the store and take up what it has. The endpoints of the configuration are known. Raises SockudoError."""
        await self._store.open()
        await self.managed.start()

    async def stop(self) -> None:
        """Stop following the store, and close it."""
        await self.managed.stop()
        await self._store.close()

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return document(self.router.routes, prefix=self._config.url_prefix)

    def login_link(self) -> str | None:
        """Return the token of a link that logs in with the key of the file; None: there is no such file."""
        return None if self.key_file is None else self._access.sessions.login_link(self.key_file.admin)

    def use(self, config: Config) -> None:
        """Take up what a reload has changed."""
        self._config = config
        self.keys.replace(admins(config, self.key_file))
        self._access.key_limit = admin_limit(config)
        self.managed.redefine()
        self.dashboard.use(config)

    def mount(
        self,
        app: "web.Application",
        remote: Callable[["web.BaseRequest"], str],
        observe: Callable[[int, float], None],
    ) -> None:
        """Serve the routes on the port; where the configuration says no, only that of applications' events.

        aiohttp is imported.
        """
        from sockudo_py.management.app import mount

        if self._served:
            self.dashboard.mount(app, remote)
        router = self.router if self._served else self._trigger_alone
        prefix = self._config.url_prefix
        mount(app, router, self._access, prefix=prefix, remote=remote, observe=observe)

    def _define(self, document: Document, app: App) -> Endpoint:
        return making.define(document, app, self._config.webhooks)

    async def _permits(self, url: str) -> bool | None:
        return await self._http.permits(url, trusted=False) if isinstance(self._http, HttpTarget) else True

    async def _drop(self, uid: str, error_class: str) -> int:
        await self._queue.pause(uid)  # else what comes meanwhile is sent still
        return await self._queue.drop(uid, error_class)
