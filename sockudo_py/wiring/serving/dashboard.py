"""The dashboard of a server: what it watches, its routes, and where it is served."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sockudo_py import __version__
from sockudo_py.adapters.base import Adapter
from sockudo_py.apps.base import AppManager
from sockudo_py.config import Config
from sockudo_py.limits.base import RateLimiter
from sockudo_py.management.access import PortAccess, SocketAccess
from sockudo_py.management.credentials.keys import SOCKET_OWNER
from sockudo_py.management.dashboard.login import LoginRoutes
from sockudo_py.management.live.cluster import ClusterConsole
from sockudo_py.management.live.console import Console
from sockudo_py.management.live.overview import INTERVAL, Overview
from sockudo_py.management.live.routes import LiveRoutes
from sockudo_py.management.requests.router import Group
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.process.tasks import cancel
from sockudo_py.relays.board import Board
from sockudo_py.tap import Tap
from sockudo_py.webhooks.service import WebhookService

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)


class Dashboard:
    """The dashboard and the routes behind its pages about clients.

    Args:
        config: Of the server.
        node: Has the clients.
        adapter: Knows whether the cluster can be reached.
        apps: Whose clients they are.
        webhooks: Knows the endpoints.
        tap: What happens.
        metrics: Are sampled.
        access: Who may watch; its sessions are those of the dashboard.
        limiter: Counts logins.
        board: The way to other nodes; None: there are none.
    """

    def __init__(
        self,
        config: Config,
        *,
        node: Node,
        adapter: Adapter,
        apps: AppManager,
        webhooks: WebhookService,
        tap: Tap,
        metrics: Metrics,
        access: PortAccess,
        limiter: RateLimiter,
        board: Board | None,
    ) -> None:
        self._config = config
        self._node = node
        self._adapter = adapter
        self._tap = tap
        self._access = access
        self._started = time.monotonic()
        self._overview = Overview(metrics, time.time)
        self._console = Console(tap, time.time)
        self._nodes = None if board is None else ClusterConsole(board, tap, self._console, self._note, time.time)
        self._sampler: asyncio.Task[None] | None = None
        live = LiveRoutes(
            node,
            apps,
            webhooks.registry.all,
            tap,
            self._overview,
            self._cluster,
            lambda: _differences(self._config),
            access.sessions,
            access.known,
        )
        login = LoginRoutes(access.keys, access.sessions, limiter, prefix=config.url_prefix, secure=config.ssl.enabled)
        self.groups: tuple[Group, ...] = (live, login)

    def use(self, config: Config) -> None:
        """Take up what a reload has changed."""
        self._config = config

    def mount(self, app: "web.Application", remote: Callable[["web.BaseRequest"], str]) -> None:
        """Serve it on the port. aiohttp is imported."""
        from sockudo_py.management.dashboard.app import mount

        ancestors = self._config.webhooks.admin.frame_ancestors
        mount(
            app,
            self._console,
            self._access,
            prefix=self._config.url_prefix,
            frame_ancestors=ancestors,
            remote=remote,
        )

    def mount_stream(self, app: "web.Application") -> None:
        """Serve the live console on the admin socket, for ``sockudo-py tail``. aiohttp is imported."""
        from sockudo_py.management.dashboard.app import mount

        mount(app, self._console, SocketAccess(SOCKET_OWNER))

    async def start(self) -> None:
        """Begin to sample, where a dashboard is served; speak with other nodes. Raises ``SockudoError``."""
        if self._nodes is not None:
            await self._nodes.start()
        if self._access.keys:
            self._sampler = asyncio.get_running_loop().create_task(self._sample(), name="dashboard-sampler")

    async def stop(self) -> None:
        """Sample no more."""
        if self._nodes is not None:
            await self._nodes.stop()
        await cancel(self._sampler)

    async def _sample(self) -> None:
        while True:
            try:
                self._overview.sample()
                self._tap.recorder.expire()
            except Exception:
                log.exception("sampling figures for the dashboard failed")
            await asyncio.sleep(INTERVAL)

    def _note(self) -> dict[str, Any]:
        return {
            "id": self._config.server_id or f"{socket.gethostname()}:{self._config.port}",
            "state": "draining" if self._node.draining else "up",
            "version": __version__,
            "connections": self._node.connections(),
            "up_s": int(time.monotonic() - self._started),
        }

    async def _cluster(self) -> dict[str, Any]:
        away = not self._adapter.healthy()
        nodes = [{**self._note(), "here": True}]
        if self._nodes is not None and not away:
            nodes = await self._nodes.nodes() or nodes
        return {"driver": self._config.adapter.driver, "away": away, "nodes": nodes}


def _differences(config: Config) -> list[dict[str, Any]]:
    from sockudo_py.config.printing.differences import differences

    return differences(config)
