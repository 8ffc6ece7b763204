"""The listening sockets: one TCP port, with or without TLS, and perhaps a Unix socket beside it."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sockudo_py.edge.connection import HttpConnection
from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.sockets.dropped import Dropped
from sockudo_py.edge.sockets.listening import bind, remedy, serve_unix, shown
from sockudo_py.edge.sockets.tls_listener import TlsListener
from sockudo_py.errors import SockudoError
from sockudo_py.process.unix_socket import UnixListener

_ACCEPTED_AT_ONCE = 32  # by asyncio, before any of them is looked at; uvloop accepts one after the other
_LAST_TURNS = 1.0  # seconds; dropped transports need a turn or two of the loop to be gone


class EdgeServer:
    """Accepts connections and gives each an ``HttpConnection``.

    Args:
        context: What the fronts work with.
        host: Address or name to listen on.
        port: 0 takes a free one.
        named: What a message about host and port says of where they come from, such as `` (HOST)``.
        tls: Speak TLS on the port.
        reuse_port: Let several processes listen on the port; the kernel spreads the connections.
        backlog: Connections that the kernel keeps for us until we accept them. A storm of reconnects must fit; the
            machine's ``net.core.somaxconn`` bounds it.
        unix_path: Also listen on a Unix socket there.
        unix_mode: Its file mode.
        listeners: Bound sockets to listen on in place of ``host`` and ``port``; other processes may have them too.
        unix_listener: The same for the Unix socket; the supervisor owns its file.
    """

    def __init__(
        self,
        context: FrontContext,
        *,
        host: str,
        port: int,
        named: str = "",
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
        backlog: int = 8192,
        unix_path: Path | None = None,
        unix_mode: int = 0o660,
        listeners: Sequence[socket.socket] = (),
        unix_listener: socket.socket | None = None,
    ) -> None:
        self._context = context
        self._host = host
        self._port = port
        self._named = named
        self._tls = tls
        self._reuse_port = reuse_port
        self._backlog = backlog
        self._unix = None if unix_path is None else UnixListener(unix_path, unix_mode)
        self._listeners = list(listeners)
        self._unix_listener = unix_listener
        self._servers: list[asyncio.Server | TlsListener] = []

    @property
    def port(self) -> int:
        """The port that is listened on: the one taken when the configured one is 0."""
        return self._port

    @property
    def open(self) -> int:
        """How many connections are open; those that aiohttp serves are not counted."""
        return self._context.connections.open.count

    async def start(self) -> None:
        """Listen. Raises SockudoError that names the address, the reason and the remedy."""
        try:
            await self._listen_tcp()
            if self._unix_listener is not None:
                self._servers.append(await self._serve_unix(self._unix_listener))
            elif self._unix is not None:
                self._servers.append(await self._listen_unix(self._unix))
        except SockudoError:
            self.stop_accepting()
            raise

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Use another context for handshakes that begin from now on."""
        self._tls = context
        for server in self._servers:
            if isinstance(server, TlsListener):
                server.context = context

    def stop_accepting(self) -> None:
        """Close the listening sockets. Open connections stay, those of HTTP for the request that they are at."""
        self._context.begin_to_close()
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._unix is not None:
            self._unix.remove()

    async def close(self, grace: float) -> None:
        """End every connection that is not with the fallback.

        Requests that are being answered get ``grace`` seconds, WebSocket connections what is left of them for their
        closing handshakes. Then the rest is dropped. (``Node.drain`` has told clients before.)
        """
        self.stop_accepting()
        context = self._context
        for queue in (context.heads, context.bodies, context.idle):
            queue.abort()
        context.newcomers.abort()
        await context.connections.open.empty(grace)
        for front in list(context.busy):
            front.drop()
        context.connections.wheel.abort_all()
        await context.connections.open.empty(_LAST_TURNS)

    def _front(self) -> asyncio.Protocol:
        """Return the protocol of a connection that the loop has accepted in this moment.

        Not later: until ``connection_made`` others may have ended, and the lowest number that is free
        would be one of theirs.
        """
        context = self._context
        if context.descriptors is None or context.descriptors.admits(context.make_room):
            return HttpConnection(context, secure=False)
        return Dropped()

    async def _listen_tcp(self) -> None:
        make = self._front if self._tls is None else partial(HttpConnection, self._context, secure=True)
        try:
            listeners = self._listeners or await bind(self._host, self._port, reuse_port=self._reuse_port)
            self._port = listeners[0].getsockname()[1]
            for listener in listeners:
                if self._tls is None:
                    self._servers.append(await self._serve(listener, make))
                else:
                    listener.listen(self._backlog)
            if self._tls is not None:
                self._servers.append(
                    TlsListener(listeners, make, self._tls, self._context.descriptors, self._context.make_room)
                )
        except OSError as problem:
            where = f"{shown(self._host, self._port)}{self._named}"
            raise SockudoError(f"can't listen on {where}: {remedy(problem)}") from problem

    async def _serve(self, listener: socket.socket, make: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        server = await asyncio.get_running_loop().create_server(make, sock=listener, backlog=_ACCEPTED_AT_ONCE)
        with socket.socket(fileno=os.dup(listener.fileno())) as same:
            same.listen(self._backlog)  # again: asyncio accepts as many at once as it was told to let wait
        return server

    async def _listen_unix(self, unix: UnixListener) -> asyncio.Server:
        try:
            listener = unix.bind()
        except OSError as problem:
            raise SockudoError(f"can't listen on {unix.path}: {remedy(problem)}") from problem
        return await self._serve_unix(listener)

    async def _serve_unix(self, listener: socket.socket) -> asyncio.Server:
        return await serve_unix(self._front, listener, self._backlog)
