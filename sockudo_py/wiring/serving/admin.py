"""The admin socket: ``sockudo-py webhooks`` asks the running server on it."""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sockudo_py.edge.fallback.deferred import DeferredServer
from sockudo_py.edge.sockets.listening import remedy, serve_unix
from sockudo_py.errors import SockudoError
from sockudo_py.management.access import SocketAccess
from sockudo_py.management.credentials.keys import SOCKET_OWNER
from sockudo_py.management.requests.router import Router
from sockudo_py.process.unix_socket import UnixListener

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

MODE = 0o600  # only the server's user and root: who may open it may do everything
BACKLOG = 100  # connections that wait
IDLE = 30.0  # seconds that a connection may ask for nothing
SHUTDOWN = 1.0  # seconds at the stop for requests that are being answered


class AdminSocket:
    """Serves the management routes on a Unix socket.

    Args:
        router: Answers.
        path: Where.
        named: What the configuration calls it when an operator chose the path; None: it is the default one, and the
            server starts without the socket where the file system has none.
        listener: A bound socket to listen on; the supervisor owns its file.
        mount_stream: Adds the live console to an application.
    """

    def __init__(
        self,
        router: Router,
        path: Path,
        named: str | None,
        listener: socket.socket | None = None,
        *,
        mount_stream: Callable[["web.Application"], None],
    ) -> None:
        self._router = router
        self._path = path
        self._named = named
        self._unix = UnixListener(path, MODE)
        self._bound = listener
        self._mount_stream = mount_stream
        self._deferred = DeferredServer()
        self._listener: asyncio.Server | None = None
        self._runner: web.AppRunner | None = None

    async def listen(self) -> None:
        """Take the path. Who connects waits for ``open``. Raises SockudoError when an operator chose it in vain."""
        try:
            listener = self._bound or self._unix.bind()
        except OSError as problem:
            text = f"can't listen on {self._path}: {remedy(problem)}"
            if self._named is not None:
                raise SockudoError(f"{self._named}: {text}") from problem
            log.warning(
                "%s; without this socket `sockudo-py webhooks` can only look at the queue while the server runs. "
                "webhooks.admin.socket names another path",
                text,
            )
            return
        self._listener = await serve_unix(self._deferred, listener, BACKLOG)

    async def open(self) -> None:
        """Answer from now on. Imports aiohttp."""
        if self._listener is None:
            return
        from aiohttp import web

        from sockudo_py.http.app import make_runner, plain_errors
        from sockudo_py.management.app import mount

        app = web.Application(middlewares=[plain_errors])
        self._mount_stream(app)
        mount(app, self._router, SocketAccess(SOCKET_OWNER))
        self._runner = make_runner(app, keepalive_timeout=IDLE, shutdown_timeout=SHUTDOWN)
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("an AppRunner has a server after setup")
        self._deferred.open(server)

    async def close(self) -> None:
        """Let go of the path and end the connections."""
        if self._listener is not None:
            self._listener.close()
        self._unix.remove()
        self._deferred.close()
        if self._runner is not None:
            await self._runner.cleanup()
