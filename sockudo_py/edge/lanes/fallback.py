"""The lane of everything else: another server, aiohttp, goes on with the connection."""

import asyncio
from collections.abc import Callable

from sockudo_py.clients.open_connections import OpenConnections
from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import TakenOver, TakeOverLane
from sockudo_py.http.messages import ApiResponse, error, problem_with_coding


class FallbackLane(TakeOverLane):
    """Takes every request, so it stands last.

    Args:
        make: Makes the other server's protocol of a connection (an aiohttp ``web.Server`` does).
        open_connections: The port's; the other server counts its own.
    """

    def __init__(self, make: Callable[[], asyncio.Protocol], open_connections: OpenConnections) -> None:
        self._make = make
        self._open_connections = open_connections

    def takes(self, head: Head) -> bool:
        """Take it."""
        return True

    def refusal(self, head: Head) -> ApiResponse | None:
        """Return the error for bodies in a coding that aiohttp would leave as it is."""
        problem = problem_with_coding(head.text(b"transfer-encoding"))
        return None if problem is None else error(501, problem)

    def take_over(self, taken: TakenOver) -> None:
        """Give the other server the connection and the bytes that came."""
        protocol = self._make()
        taken.transport.set_protocol(protocol)
        self._open_connections.leave()
        protocol.connection_made(taken.transport)
        protocol.data_received(taken.head_bytes + taken.rest)
