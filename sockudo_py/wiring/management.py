"""The management API of a server: its routes, its keys, and where it is served."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sockudo_py.adapters.base import Adapter
from sockudo_py.apps.base import AppManager
from sockudo_py.config import Config
from sockudo_py.limits.base import RateLimiter, RequestLimit
from sockudo_py.management.access import PortAccess
from sockudo_py.management.endpoints import EndpointRoutes
from sockudo_py.management.keys import AdminKeys
from sockudo_py.management.letters import letters_of
from sockudo_py.management.queue import QueueRoutes
from sockudo_py.management.router import Group, Router
from sockudo_py.management.trigger import TriggerRoutes
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.queues.base import Queue
from sockudo_py.tap import Tap
from sockudo_py.webhooks.service import WebhookService
from sockudo_py.wiring.dashboard import Dashboard
from sockudo_py.wiring.drivers import admin_limit, admins

if TYPE_CHECKING:
    from aiohttp import web


class Management:
    """The management API. ``router`` is for the port and for the admin socket.

    Args:
        config: Of the server.
        apps: Whose keys may sign requests to some of the routes.
        webhooks: Knows the endpoints.
        queue: Has figures and dead letters.
        limiter: Counts what each key asks.
        address_limit: How often one address may ask without a key that is known.
        node: Has the clients that the dashboard shows.
        adapter: Knows whether the cluster can be reached.
        tap: What happens, for the live console.
        metrics: Figures for the dashboard.
    """

    def __init__(
        self,
        config: Config,
        *,
        apps: AppManager,
        webhooks: WebhookService,
        queue: Queue,
        limiter: RateLimiter,
        address_limit: RequestLimit | None,
        node: Node,
        adapter: Adapter,
        tap: Tap,
        metrics: Metrics,
    ) -> None:
        self._prefix = config.url_prefix
        self._served = config.webhooks.admin.enabled
        self.keys = AdminKeys(admins(config))
        endpoints = webhooks.registry.all
        trigger = TriggerRoutes(
            webhooks.trigger if config.sends_webhooks else None,
            apps,
            limiter,
            most_body=config.http_api.request_limit_in_mb * 1024 * 1024,
        )
        groups: list[Group] = [EndpointRoutes(endpoints), QueueRoutes(letters_of(queue), endpoints), trigger]
        self._trigger_alone = Router([trigger], roots=())  # it is the applications', whatever operators may do
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
        )
        self.router = Router([*groups, *self.dashboard.groups])

    def use(self, config: Config) -> None:
        """Take up what a reload has changed."""
        self.keys.replace(admins(config))
        self._access.key_limit = admin_limit(config)
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
        mount(app, router, self._access, prefix=self._prefix, remote=remote, observe=observe)
