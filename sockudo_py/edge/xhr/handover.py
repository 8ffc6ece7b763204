"""Requests of the HTTP transports that reach another worker than the one that has their session.

The kernel gives each connection to any worker. Which one has a session follows from the session's id, so that all agree
on it: the others give it the connection, as a descriptor in a message, with what they have read of it.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, cast
from zlib import crc32

from sockudo_py.edge.connection import HttpConnection
from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import TakenOver, TakeOverLane
from sockudo_py.edge.xhr.requests import XhrPaths
from sockudo_py.http.messages import ApiResponse

log = logging.getLogger(__name__)

_MOST: Final = 512 * 1024  # bytes of a message; the kernel takes about 200,000
_AT_ONCE: Final = 32  # connections taken in one turn of the loop
_AGAIN: Final = 0.01  # seconds until a worker is tried again whose queue is full
_TRIES: Final = 200


def seat_of(session_id: str, seats: int) -> int:
    """Return which of so many workers has a session."""
    return crc32(session_id.encode()) % seats


class HandoverLane(TakeOverLane):
    """Gives connections with a request for a session of another worker to that worker.

    It can't where the server itself speaks TLS: what a connection has agreed on stays in the process.

    Args:
        context: The port's.
        paths: Of the transports.
        seat: Which worker this is, from 0 on.
        to: A socket to each worker.
    """

    def __init__(self, context: FrontContext, paths: XhrPaths, seat: int, to: Sequence[socket.socket]) -> None:
        self._context = context
        self._paths = paths
        self._seat = seat
        self._to = to

    def takes(self, head: Head) -> bool:
        """Take what is another worker's."""
        path = self._paths.read(head.path)
        return path is not None and seat_of(path.session_id, len(self._to)) != self._seat

    def refusal(self, head: Head) -> ApiResponse | None:
        """Return None: the other worker sees to it."""
        return None

    def take_over(self, taken: TakenOver) -> None:
        """Give the connection away."""
        transport = taken.transport
        path = self._paths.read(taken.head.path)
        descriptor = -1
        if path is not None and not taken.secure and not transport.get_write_buffer_size():
            with suppress(OSError):
                descriptor = os.dup(transport.get_extra_info("socket").fileno())
        transport.set_protocol(asyncio.Protocol())
        transport.abort()  # only here: the connection has another descriptor
        self._context.connections.open.leave()
        if path is not None and descriptor >= 0:
            to = self._to[seat_of(path.session_id, len(self._to))]
            _send(to, taken.head_bytes + taken.rest, descriptor, _TRIES)


def _send(to: socket.socket, received: bytes, descriptor: int, tries: int) -> None:
    try:
        socket.send_fds(to, [received], [descriptor], socket.MSG_DONTWAIT)
    except BlockingIOError:
        if tries:
            asyncio.get_running_loop().call_later(_AGAIN, _send, to, received, descriptor, tries - 1)
            return
        log.warning("a connection of an HTTP transport is closed: the worker that has its session takes none")
    except OSError as problem:  # such as a message that is too long
        log.warning("a connection of an HTTP transport is closed", extra={"error": str(problem)})
    os.close(descriptor)


class HandedOver:
    """Takes the connections that other workers give to this one.

    Args:
        context: The port's.
        at: The socket on which they come. The successor of this worker has it, too.
    """

    def __init__(self, context: FrontContext, at: socket.socket) -> None:
        self._context = context
        self._at = at
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        at.setblocking(False)
        self._loop.add_reader(at.fileno(), self._take)

    def close(self) -> None:
        """Take no more."""
        if self._at.fileno() >= 0:
            self._loop.remove_reader(self._at.fileno())
            self._at.close()

    def _take(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                received, descriptors, flags, _ = socket.recv_fds(self._at, _MOST, 1, socket.MSG_CMSG_CLOEXEC)
            except OSError:  # none is left; or no descriptor is free, and the connection is closed
                return
            for descriptor in descriptors:
                sock = socket.socket(fileno=descriptor)
                if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                    sock.close()
                    continue
                sock.setblocking(False)
                task = self._loop.create_task(self._accept(sock, received))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _accept(self, sock: socket.socket, received: bytes) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: _Arrival(self._context, received), sock)
        except OSError as problem:  # the client is gone
            sock.close()
            log.debug("a connection that another worker gave is gone", extra={"error": str(problem)})


class _Arrival(asyncio.Protocol):
    """Begins with what the other worker has read."""

    def __init__(self, context: FrontContext, received: bytes) -> None:
        self._context = context
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        context, real = self._context, cast("asyncio.Transport", transport)
        if context.descriptors is not None and not context.descriptors.admits(context.make_room):
            real.abort()
            return
        connection = HttpConnection(context, secure=False)
        real.set_protocol(connection)
        connection.connection_made(real)
        connection.data_received(self._received)
