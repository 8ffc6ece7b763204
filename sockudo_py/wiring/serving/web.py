"""What aiohttp serves: the requests that no other lane of the port takes, and the metrics port.

Importing aiohttp is a good part of the whole start. So it is imported in a thread, once clients connect and backends
publish already; a request that needs it meanwhile waits for that fraction of a second.
"""

import asyncio
import codecs
import logging
from typing import TYPE_CHECKING

from sockudo_py.clients.wheel import Wheel
from sockudo_py.config import Config
from sockudo_py.edge.deadlines import DeadlineQueue
from sockudo_py.edge.fallback.behind import Behind
from sockudo_py.edge.fallback.deferred import DeferredServer
from sockudo_py.edge.fallback.unread import Unread
from sockudo_py.edge.proxies import TrustedProxies
from sockudo_py.errors import SockudoError
from sockudo_py.http.api import Api
from sockudo_py.http.cors import Cors
from sockudo_py.metrics import Metrics
from sockudo_py.process.descriptors import Descriptors, is_shortage
from sockudo_py.wiring.serving.management import Management
from sockudo_py.wiring.serving.metrics_listeners import MetricsListeners

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

METRICS_SHUTDOWN = 0.1  # seconds; a scrape is answered in one go, and a connection without one need not be waited for
AGAIN = 1.0  # seconds between two tries to import aiohttp
MOST_UNREAD = 10_000  # connections whose clients don't read; past it the oldest must go
LINGER = 2.0  # seconds that a client may go on sending a body that was refused


class WebServers:
    """The aiohttp servers of a process. Connections may come before ``open``.

    Args:
        config: Of the server.
        api: Answers.
        metrics: Served on the metrics port.
        cors: What browsers of other origins may do with the API.
        proxies: Whose ``X-Forwarded-For`` is believed.
        wheel: Times out connections.
        descriptors: Says whether there is room for a scrape.
        max_body_bytes: Of a request to the API.
        api_shutdown: Seconds at the stop for requests to the API that are being answered.
        management: Served besides the API.
    """

    def __init__(
        self,
        config: Config,
        *,
        api: Api,
        metrics: Metrics,
        cors: Cors,
        proxies: TrustedProxies,
        wheel: Wheel,
        descriptors: Descriptors,
        max_body_bytes: int,
        api_shutdown: float,
        management: Management,
    ) -> None:
        self.fallback = DeferredServer()  # of the port
        self._config = config
        self._api = api
        self._metrics = metrics
        self._cors = cors
        self._proxies = proxies
        self._max_body_bytes = max_body_bytes
        self._api_shutdown = api_shutdown
        self._management = management
        self._descriptors = descriptors
        self._scrapes = DeferredServer(descriptors.admits_scrape)
        self._unread = DeadlineQueue(wheel, config.http_api.write_timeout, MOST_UNREAD)
        self._listeners = MetricsListeners(config)
        self._api_runner: web.AppRunner | None = None
        self._metrics_runner: web.AppRunner | None = None

    @property
    def metrics_port(self) -> int | None:
        """The port of ``/metrics``; None while it is not open."""
        return self._listeners.port

    async def listen(self) -> None:
        """Take the metrics port, if there shall be one. Raises SockudoError."""
        if self._config.metrics.enabled:
            await self._listeners.open(self._scrapes)

    async def open(self) -> None:
        """Import aiohttp and serve the connections that wait for it. Raises SockudoError when it can't be imported.

        Files that can't be read now may be readable in a moment: that is tried again, for ever.
        """
        while True:
            try:
                await asyncio.to_thread(_import)
                break
            except (ImportError, OSError) as problem:
                if is_shortage(problem):
                    self._descriptors.short("import")
                elif isinstance(problem, ImportError):
                    raise SockudoError(f"aiohttp can't be imported ({problem}); install sockudo-py again") from problem
                else:
                    log.error("can't import aiohttp, trying again in a second: %s", problem)
            await asyncio.sleep(AGAIN)
        self._api_runner = self._make_api()
        await self._let_in(self._api_runner, self.fallback)
        if self._config.metrics.enabled:
            self._metrics_runner = self._make_metrics()
            await self._let_in(self._metrics_runner, self._scrapes)

    async def close_api(self) -> None:
        """End the connections that the port handed on. Once is enough; more does no harm."""
        self.fallback.close()
        runner, self._api_runner = self._api_runner, None
        if runner is not None:
            await runner.cleanup()

    async def close_metrics(self) -> None:
        """Close the metrics port and its connections."""
        self._listeners.close()
        self._scrapes.close()
        if self._metrics_runner is not None:
            await self._metrics_runner.cleanup()

    async def _let_in(self, runner: "web.AppRunner", door: DeferredServer) -> None:
        await runner.setup()
        server, clock = runner.server, asyncio.get_running_loop().time
        if server is None:
            raise RuntimeError("an AppRunner has a server after setup")
        door.open(lambda: Unread(Behind(server()), self._unread, clock))

    def _make_api(self) -> "web.AppRunner":
        from sockudo_py.http.app import build_app, make_runner

        http = self._config.http_api
        app = build_app(
            self._api,
            path_prefix=self._config.url_prefix,
            cors=self._cors,
            max_body_bytes=self._max_body_bytes,
            body_timeout=http.body_timeout,
            remote=self._client_address,
            mounts=[lambda app: self._management.mount(app, self._client_address, self._api.observe)],
        )
        return make_runner(
            app,
            keepalive_timeout=http.keep_alive_timeout,
            shutdown_timeout=self._api_shutdown,
            lingering_time=LINGER,
        )

    def _make_metrics(self) -> "web.AppRunner":
        from sockudo_py.http.app import make_runner
        from sockudo_py.http.metrics import build_metrics_app

        app = build_metrics_app(self._metrics, prefix=self._config.metrics.prometheus.prefix)
        return make_runner(
            app, keepalive_timeout=self._config.http_api.keep_alive_timeout, shutdown_timeout=METRICS_SHUTDOWN
        )

    def _client_address(self, request: "web.BaseRequest") -> str:
        said = request.headers.getall("X-Forwarded-For", ())  # proxies may append a header of their own
        return self._proxies.client(request.remote or "", ", ".join(said) if said else None)


def _import() -> None:
    codecs.lookup("idna")  # else the first look-up of a name imports it, in a moment that may have no descriptor
    from aiohttp import http_parser

    import sockudo_py.http.app
    import sockudo_py.http.metrics
    import sockudo_py.management.app
    import sockudo_py.management.dashboard.app  # noqa: F401

    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        log.warning("can't use aiohttp's compiled parser, using the slow one: install aiohttp again, or restart")
