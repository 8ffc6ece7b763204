"""The lane of WebSocket handshakes."""

import asyncio
from collections.abc import Callable

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import RecallingLane, TakenOver
from sockudo_py.edge.websocket.handshake import Handshake, Handshakes, app_key, nonce, problem_with
from sockudo_py.edge.websocket.opening import open_connection
from sockudo_py.http.messages import ApiResponse, error


class WebSocketLane(RecallingLane):
    """Answers handshakes; the connections go on as ``ws.connection``.

    Args:
        context: The server's.
    """

    def __init__(self, context: FrontContext) -> None:
        self._context = context
        self.handshakes = Handshakes()

    def takes(self, head: Head) -> bool:
        """Take GETs that ask for a WebSocket, or whose path is one of WebSocket connections."""
        return head.method == b"GET" and (
            head.upgrade == b"websocket" or app_key(head.path, self._context.prefix) is not None
        )

    def refusal(self, head: Head) -> ApiResponse | None:
        """Return the error that an unsound handshake deserves."""
        problem = problem_with(head)
        if problem is None:
            return None
        status, text, headers = problem
        return error(status, text, *headers)

    def take_over(self, taken: TakenOver) -> None:
        """Accept the handshake."""
        context, head = self._context, taken.head
        asked = Handshake(head, context.prefix)
        self.handshakes.remember(taken.head_bytes, head, asked)
        open_connection(context, taken.transport, asked, nonce(head), taken.rest, secure=taken.secure)
        if taken.half_closed:
            taken.transport.close()

    def take_known(
        self, data: bytes, transport: asyncio.Transport, *, secure: bool, depart: Callable[[], None]
    ) -> bool:
        """Accept a handshake that differs from one before only in its nonce."""
        found = self.handshakes.find(data)
        if found is None:
            return False
        asked, given = found
        depart()
        open_connection(self._context, transport, asked, given, b"", secure=secure)
        return True
