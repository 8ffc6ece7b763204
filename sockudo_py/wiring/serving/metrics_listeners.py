"""The sockets of the metrics port, of a server of its own and of one with workers."""

import asyncio
from collections.abc import Callable

from sockudo_py.config import Config
from sockudo_py.edge.sockets.listening import bind, remedy, shown
from sockudo_py.errors import SockudoError


class MetricsListeners:
    """The listeners of ``metrics.port``, not open yet."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._listeners: list[asyncio.Server] = []

    @property
    def port(self) -> int | None:
        """The port; None while none is open."""
        sockets = self._listeners[0].sockets if self._listeners else ()
        port: int | None = sockets[0].getsockname()[1] if sockets else None
        return port

    async def open(self, make: Callable[[], asyncio.Protocol]) -> None:
        """Listen; ``make`` makes the protocol of each connection. Raises SockudoError with key and remedy."""
        metrics, host = self._config.metrics, self._config.metrics_host
        loop = asyncio.get_running_loop()
        try:
            for listener in await bind(host, metrics.port):
                self._listeners.append(await loop.create_server(make, sock=listener))
        except OSError as problem:
            place = self._config.named("metrics.host" if metrics.host else "host", "metrics.port")
            raise SockudoError(
                f"can't listen on {shown(host, metrics.port)}{place} for metrics: {remedy(problem)}, "
                "or set metrics.enabled to false"
            ) from problem

    def close(self) -> None:
        """Take no more connections."""
        for listener in self._listeners:
            listener.close()
