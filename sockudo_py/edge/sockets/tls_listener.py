"""Accepts connections that begin with TLS.

The event loop's own TLS servers don't report a connection before its handshake is over: clients that never finish it
would take the last descriptors of the process unseen. Here each is looked at when it is accepted.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress

from sockudo_py.process.descriptors import Descriptors, is_shortage

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT = 10.0  # seconds
SLOW = 1.0  # seconds; a slower handshake is ended when there is no room for another
_REST = 0.25  # seconds without accepting when no descriptor is left at all


class TlsListener:
    """Shakes hands with every client that connects. After a handshake the connection gets its protocol.

    Args:
        listeners: Listening sockets; closed by ``close``.
        make: Makes the protocols.
        context: For the handshakes.
        descriptors: Tell which connection is one too many; None: none is.
        make_room: Ends another connection that has shaken hands, and returns whether it could.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        make: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        descriptors: Descriptors | None,
        make_room: Callable[[], bool],
    ) -> None:
        self._listeners = list(listeners)
        self._make = make
        self.context = context  # may be replaced, for the handshakes that follow
        self._descriptors = descriptors
        self._make_room = make_room
        self._loop = asyncio.get_running_loop()
        self._shaking: dict[asyncio.Task[None], float] = {}  # since when, the longest first
        for listener in self._listeners:
            listener.setblocking(False)
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def close(self) -> None:
        """Stop accepting, and drop connections that have not finished their handshake."""
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        for task in self._shaking:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        """Accept one connection; the loop calls again while there are more."""
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as problem:
            if self._descriptors is not None and is_shortage(problem):
                self._descriptors.short("connection")
            else:
                log.error("connections can't be accepted", extra={"error": str(problem)})
            self._loop.remove_reader(listener.fileno())  # else the loop would call again at once, and for ever
            self._loop.call_later(_REST, self._go_on, listener)
            return
        if self._descriptors is not None and not self._descriptors.admits(self._crowd_out):
            sock.close()
            return
        sock.setblocking(False)
        task = self._loop.create_task(self._shake(sock))
        self._shaking[task] = self._loop.time()
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._shaking.pop(task, None)

    def _crowd_out(self) -> bool:
        """End the slowest handshake, else a connection after its handshake; return whether there was one.

        Else strangers who never begin would keep all others out. A client in a storm of them is no slower than these.
        """
        task, since = next(iter(self._shaking.items()), (None, 0.0))
        if task is None or self._loop.time() - since < SLOW:
            return self._make_room()
        del self._shaking[task]
        task.cancel()
        return True

    def _go_on(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    async def _shake(self, sock: socket.socket) -> None:
        with suppress(OSError, asyncio.CancelledError):  # strangers' mistakes leave no line; ours to end it at the stop
            await self._loop.connect_accepted_socket(
                self._make, sock, ssl=self.context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT
            )
