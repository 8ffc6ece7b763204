"""The server of one process: build, start, drain, stop."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from sockudo_py.adapters.base import Measured, Restorable, Sweeping, Tells
from sockudo_py.apps.current import CurrentApps
from sockudo_py.changes import Change, OnChange
from sockudo_py.clients.wheel import Wheel, tick_for
from sockudo_py.config import Config
from sockudo_py.edge.newcomers import Newcomers
from sockudo_py.edge.server import EdgeServer
from sockudo_py.edge.sockets.listening import shown
from sockudo_py.endpoints import OPERATORS
from sockudo_py.errors import ConfigError
from sockudo_py.http.api import Api
from sockudo_py.http.cors import Cors
from sockudo_py.http.handlers.health import Health
from sockudo_py.http.operators import OperatorAccess
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.process.descriptors import REMEDY, Descriptors, open_limit
from sockudo_py.process.gc_tuner import GcTuner
from sockudo_py.process.lag import LoopLag
from sockudo_py.tap import Tap
from sockudo_py.webhooks.endpoints.registry import CONFIG
from sockudo_py.webhooks.service import WebhookService
from sockudo_py.wiring.app_changes import AppChanges
from sockudo_py.wiring.brake import ClientBrake
from sockudo_py.wiring.certificates import Certificates, read_pair
from sockudo_py.wiring.checks import spare_needless_queue
from sockudo_py.wiring.drivers.admins import admin_socket_path
from sockudo_py.wiring.drivers.apps import endpoint_rules, make_apps, make_operators
from sockudo_py.wiring.drivers.cluster import make_adapter, make_board, make_cache, make_keys, make_limiter, make_relay
from sockudo_py.wiring.drivers.history import make_history
from sockudo_py.wiring.drivers.missing import refuse_unbuilt
from sockudo_py.wiring.drivers.queues import make_endpoint_store, make_queue, spool_path, sqlite_file, store_driver
from sockudo_py.wiring.drivers.shared_redis import Opens, SharedRedis
from sockudo_py.wiring.drivers.watermarks import make_watermarks
from sockudo_py.wiring.drivers.webhooks import delivery_settings, make_targets
from sockudo_py.wiring.key_file import KeyFile
from sockudo_py.wiring.mistakes import gathered, keys_of_adapter, keys_of_queue, naming
from sockudo_py.wiring.place import Place
from sockudo_py.wiring.reload import Reloader
from sockudo_py.wiring.serving.admin import AdminSocket
from sockudo_py.wiring.serving.management import Management
from sockudo_py.wiring.serving.port import limit_of, make_edge, max_body_bytes, proxies_of
from sockudo_py.wiring.serving.web import WebServers

log = logging.getLogger(__name__)

LAST_CONNECTIONS = 1.0  # seconds at shutdown for that part, and for requests that are being answered


class Server:
    """Everything of one process. ``start`` once, then ``stop`` once, also when ``start`` raised.

    Args:
        config: Of the server.
        place: Of a worker; None: the server is this process.
    """

    def __init__(self, config: Config, place: Place | None = None) -> None:
        config, warning = spare_needless_queue(config)
        if warning is not None:
            log.warning("%s", warning)
        self._config = config
        self._place = place
        self._retires = False
        self._rules = endpoint_rules(config)
        self.metrics = metrics = Metrics()
        self.tap = Tap()
        self._descriptors = descriptors = Descriptors(
            open_limit(),
            deliveries=config.queue.concurrency * config.queue.reliability.worker_prefetch,
            metrics=metrics,
        )
        problems: list[str] = []
        with gathered(problems):
            refuse_unbuilt(config)
        with gathered(problems):
            self._tls = read_pair(config) if config.ssl.enabled else None
        with gathered(problems):
            self.apps = CurrentApps(make_apps(config, self._rules, metrics))
        with gathered(problems):
            targets = make_targets(config, metrics, descriptors)
        with gathered(problems):
            make_operators(config, self._rules)
        if problems:
            raise ConfigError(problems)
        self._loop = loop = asyncio.get_running_loop()
        shared = SharedRedis(config)
        self._limiter = make_limiter(config, shared)
        self._relay = make_relay(config, shared) if config.http_transport.enabled else None
        self._cache = make_cache(config, shared)
        self._keys = make_keys(config, shared)
        file = sqlite_file(config)
        self._queue = make_queue(config, metrics, file)
        self._history = make_history(config, metrics)
        self._adapter = adapter = make_adapter(config, loop, metrics, shared)
        self._newcomers = Newcomers()
        self.brake = ClientBrake(
            adapter,
            self._newcomers,
            dispatcher=lambda: self.webhooks.dispatcher,
            node=lambda: self.node,
        )
        self.webhooks = WebhookService(
            self._queue,
            targets,
            metrics,
            delivery_settings(config, self._rules),
            # An adapter that is shared sweeps up after its nodes itself.
            occupancy=adapter if isinstance(adapter, Restorable) else None,
            truth=adapter.held if isinstance(adapter, Tells) else None,
            history=self._history,
            brake=self.brake,
            tap=self.tap,
        )
        on_change: OnChange = self.webhooks.add if config.sends_webhooks else _ignore
        self._watermarks = watermarks = make_watermarks(config, metrics)
        self.node = Node(
            adapter=adapter,
            cache=self._cache,
            metrics=metrics,
            call_soon=loop.call_soon,
            call_later=loop.call_later,
            clock=loop.time,
            max_connections=min(config.max_connections or descriptors.clients, descriptors.clients),
            on_full=self._full,
            watermarks=self._watermarks,
            tap=self.tap,
            on_change=on_change,
            wanted=self.webhooks.registry.routes,
        )
        limits = config.rate_limiter
        health = Health(
            node=self.node,
            apps=self.apps,
            metrics=metrics,
            checks={
                "adapter": adapter.healthy,
                "app_manager": self.apps.healthy,
                **({} if place is None else {"workers": lambda: not place.ill()}),
            },
            crowded=lambda: [] if watermarks is None else watermarks.past(self.node.connections()),
            webhooks=self._usage,
            cluster=adapter.usage if isinstance(adapter, Measured) else None,
            worker=None if place is None else place.worker,
        )
        self._health = health
        api_limit = limits.api_rate_limit
        address_limit = limit_of(config, api_limit)
        self._management = Management(
            config,
            apps=self.apps,
            webhooks=self.webhooks,
            queue=self._queue,
            store=make_endpoint_store(config, metrics, file),
            targets=targets,
            rules=self._rules,
            history=self._history,
            limiter=self._limiter,
            address_limit=address_limit,
            node=self.node,
            adapter=adapter,
            tap=self.tap,
            metrics=metrics,
            board=make_board(config, shared) if config.webhooks.admin.enabled else None,
        )
        self._proxies = proxies_of(config, api_limit.trust_hops)
        self._api = Api(
            node=self.node,
            apps=self.apps,
            metrics=metrics,
            keys=self._keys,
            limiter=self._limiter,
            health=health,
            operators=OperatorAccess(
                config.http_api.usage_enabled,
                is_admin=self._management.keys.see_everything,
                behind_local_proxy=self._proxies.on_this_machine()
                or bool(api_limit.trust_hops or limits.websocket_rate_limit.trust_hops),
            ),
            address_limit=address_limit,
            path_prefix=config.url_prefix,
            tap=self.tap,
        )
        self._app_changes = AppChanges(config, self.webhooks, self.node, self._management.managed)
        self._lag = LoopLag(metrics)
        self._gc_tuner = GcTuner(metrics)
        tick = tick_for(
            config.activity_timeout,
            config.ping_interval,
            config.pong_timeout,
            config.user_authentication_timeout,
            config.http_transport.session_timeout,
            config.http_transport.poll_timeout,
        )
        self._wheel = Wheel(loop.time, loop.call_later, tick)
        cors = config.cors
        self._cors = Cors(cors.origin, cors.methods, cors.allowed_headers, cors.credentials)
        self._web = WebServers(
            config,
            api=self._api,
            metrics=metrics,
            cors=self._cors,
            proxies=self._proxies,
            wheel=self._wheel,
            descriptors=descriptors,
            max_body_bytes=max_body_bytes(config),
            api_shutdown=LAST_CONNECTIONS,
            management=self._management,
        )
        self._edge: EdgeServer | None = None
        self._certificates: Certificates | None = None
        self._opening: asyncio.Task[None] | None = None
        self._admin: AdminSocket | None = None
        self._opened = AsyncExitStack()

    @property
    def port(self) -> int:
        """The port of clients and of the HTTP API."""
        return self._edge.port if self._edge else self._config.port

    @property
    def metrics_port(self) -> int | None:
        """The port of ``/metrics``; None when it is off."""
        return self._web.metrics_port

    def login_link(self) -> str | None:
        """Return the token of a link that logs in to the dashboard; None: there is no ``webhooks.admin.key_file``."""
        return self._management.login_link()

    @property
    def key_file(self) -> KeyFile | None:
        """The admin key of ``webhooks.admin.key_file``; None: there is none."""
        return self._management.key_file

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, started or not."""
        return self._management.openapi()

    @property
    def made(self) -> int:
        """How many endpoints the management API has made."""
        return self._management.managed.count

    async def start(self) -> None:
        """Open the drivers, then the ports. Raises ConfigError or SockudoError; see also ``complete``."""
        config, opened = self._config, self._opened
        opened.callback(self._say_stopped)
        await self._web.listen()
        opened.push_async_callback(self._web.close_metrics)
        self._lag.start()
        opened.callback(self._lag.stop)
        if self._watermarks is not None:
            self._watermarks.start()
            opened.callback(self._watermarks.stop)
        opened.push_async_callback(self._cache.close)
        opened.push_async_callback(self._keys.close)
        opened.push_async_callback(self._limiter.close)
        if self._relay is not None:
            opened.push_async_callback(self._relay.close)
        with naming(config, *keys_of_queue(config.queue.driver)):
            await self._queue.open()
        opened.push_async_callback(self._queue.close)
        if self._history is not None:
            with naming(config, *keys_of_queue(config.queue.driver)):
                await self._history.open()
            opened.push_async_callback(self._history.close)
        await self.apps.start(self._app_changes.changed)
        opened.push_async_callback(self.apps.stop)
        # First, so that no row of a database can take the uid of an operator's endpoint.
        self.webhooks.replace(OPERATORS, CONFIG, make_operators(config, self._rules))
        self._app_changes.begin(self.apps.all())
        with naming(config, *keys_of_queue(store_driver(config))):
            opened.push_async_callback(self._management.stop)
            await self._management.start()
        opened.push_async_callback(self._adapter.close)  # when the webhooks are stopped: it hears what is stored
        self._gc_tuner.start()  # before webhooks, which may find much that was left
        opened.callback(self._gc_tuner.stop)
        if config.sends_webhooks:
            if spool_path(config) is None and config.queue.driver != "memory" and self.webhooks.registry.all():
                log.warning(
                    "webhooks.spool.path is not set: events that the queue has not taken at shutdown are lost; "
                    "name a file there, or in WEBHOOK_SPOOL_PATH, on a disk that outlives the process"
                )
            await self.webhooks.start()
            opened.push_async_callback(self.webhooks.stop)
        path = admin_socket_path(config)
        if path is not None and config.queue.driver != "none":
            given = "webhooks.admin.socket" if config.webhooks.admin.socket is not None else None
            listener = None if self._place is None else self._place.admin
            self._admin = AdminSocket(
                self._management.router,
                path,
                given,
                listener,
                mount_stream=self._management.dashboard.mount_stream,
            )
            opened.push_async_callback(self._admin.close)
            await self._admin.listen()
        with naming(config, *keys_of_adapter(config.adapter.driver)):
            await self._adapter.open()
            for driver in (self._cache, self._keys, self._limiter, self._relay):
                if isinstance(driver, Opens):
                    await driver.open()
        opened.push_async_callback(self._adapter.stop)
        await self._management.dashboard.start()
        opened.push_async_callback(self._management.dashboard.stop)
        self._management.healing.start()
        opened.push_async_callback(self._management.healing.stop)
        self._wheel.start()
        opened.callback(self._wheel.stop)
        opened.push_async_callback(self._web.close_api)
        edge = self._make_edge()
        with naming(config, "unix_socket.path"):
            await edge.start()
        self._edge = edge
        if self._tls is not None:
            self._certificates = Certificates(config, self._tls[1], edge.use_tls)
            self._certificates.start()
            opened.callback(self._certificates.stop)
        opened.push_async_callback(self._close_connections, edge)
        opened.push_async_callback(self._drain, edge)
        opened.callback(self.webhooks.feeds.end)  # readers that wait for events would hold up the stop
        log.info("listening on %s", shown(config.host, self.port))
        self._say_room()
        self._opening = self._loop.create_task(self._open_rest())
        opened.push_async_callback(self._end_opening)

    async def _open_rest(self) -> None:
        await self._web.open()
        if self._admin is not None:
            await self._admin.open()

    def _say_room(self) -> None:
        files, wanted = self._descriptors, self._config.max_connections
        log.info("%d files may be open: room for %d clients", files.limit, files.clients)
        if wanted is not None and wanted > files.clients:
            log.warning(
                "max_connections is %d, but %d open files leave room for %d clients; %s",
                wanted,
                files.limit,
                files.clients,
                REMEDY,
            )
        queue = self._config.queue
        if not files.suffices and queue.driver != "none":
            log.warning(
                "queue.%s.concurrency x queue.reliability.worker_prefetch allow %d webhook requests at a time, too "
                "many for %d open files; lower them, or %s",
                queue.driver,
                queue.concurrency * queue.reliability.worker_prefetch,
                files.limit,
                REMEDY,
            )

    def _full(self) -> None:
        """Count a refused client as a shortage, unless the configuration asks for that limit."""
        wanted = self._config.max_connections
        if wanted is None or wanted > self._descriptors.clients:
            self._descriptors.client_refused()

    async def complete(self) -> None:
        """Wait for the rest of the start, which clients and backends don't need. Raises SockudoError when it fails."""
        if self._opening is not None:
            await asyncio.shield(self._opening)

    def reloader(self, done: Callable[[bool], None] | None = None) -> Reloader:
        """Return what reloads the configuration of this server, once it has started, until it stops.

        ``done``: see ``Reloader``.
        """
        reloader = Reloader(
            self._config,
            rules=self._rules,
            apps=self.apps,
            certificates=self._certificates,
            use=self._use,
            metrics=self.metrics,
            done=done,
        )
        self._opened.push_async_callback(reloader.close)
        return reloader

    def ill(self) -> list[str]:
        """Return the parts that are not healthy."""
        return self._health.ill()

    def names(self) -> Sequence[str]:
        """Return the names of this node in its cluster, for the supervisor, which sees this process end."""
        return self._adapter.names() if isinstance(self._adapter, Sweeping) else ()

    def expire(self, names: Sequence[str]) -> bool:
        """Declare other nodes dead, whose process has ended. Returns False when that can't be done now."""
        return isinstance(self._adapter, Sweeping) and self._adapter.expire(names)

    def retire(self) -> None:
        """Make the next ``stop`` that of a worker with a successor: clients need not look for another server."""
        self._retires = True
        self._health.stay()

    def _use(self, config: Config) -> None:
        self._config = config
        self._app_changes.use(config)
        self._management.use(config)

    async def stop(self) -> None:
        """Undo ``start`` in reverse: drain clients, deliver what is left, close.

        Each part is bounded in time; what they add up to stands in docs/stopping.md.
        """
        await self._opened.aclose()

    async def _end_opening(self) -> None:
        """Cancel the rest of the start, which may be waiting for free descriptors."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])

    def _say_stopped(self) -> None:
        if self._edge is not None:
            log.info("stopped")

    async def _drain(self, edge: EdgeServer) -> None:
        delay, grace = 0.0 if self._retires else self._config.drain_delay, self._config.shutdown_grace_period
        most = longest_stop(self._config) - self._config.drain_delay + delay
        self._health.leave()
        log.info("stopping, which takes at most about %gs; another signal leaves at once, without finishing", most)
        if delay:
            log.info("/up says 503 from now on; the port is closed in %gs", delay)
            await asyncio.sleep(delay)
        edge.stop_accepting()
        log.info("the port is closed; sending %s away, at most %gs", _count(self.node.connections(), "client"), grace)
        await self.node.drain(grace)

    async def _close_connections(self, edge: EdgeServer) -> None:
        if edge.open:
            log.info("waiting for the ends of %s, at most %gs", _count(edge.open, "connection"), LAST_CONNECTIONS)
        await asyncio.gather(edge.close(LAST_CONNECTIONS), self._web.close_api())

    def _make_edge(self) -> EdgeServer:
        return make_edge(
            self._config,
            node=self.node,
            wheel=self._wheel,
            clock=self._loop.time,
            apps=self.apps,
            metrics=self.metrics,
            tap=self.tap,
            api=self._api,
            fallback=self._web.fallback,
            relay=self._relay,
            proxies=self._proxies,
            cors=self._cors,
            limiter=self._limiter,
            descriptors=self._descriptors,
            newcomers=self._newcomers,
            tls=self._tls[0] if self._tls is not None else None,
            place=self._place,
        )

    async def _usage(self) -> Mapping[str, object]:
        config = self._config
        return {"enabled": config.sends_webhooks, "queue_driver": config.queue.driver, **self.webhooks.usage()}


def longest_stop(config: Config) -> float:
    """Return how many seconds a stop takes at most (docs/stopping.md)."""
    deliveries = config.queue.reliability.shutdown_timeout_ms / 1000 if config.sends_webhooks else 0.0
    return config.drain_delay + config.shutdown_grace_period + LAST_CONNECTIONS + deliveries


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _ignore(change: Change, stored: Callable[[], None] | None = None) -> None:
    """Take the place of the webhooks where they are switched off."""
    if stored is not None:
        stored()
