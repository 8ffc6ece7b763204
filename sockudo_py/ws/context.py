"""What all WebSocket connections of a server share."""

from collections.abc import Callable

from sockudo_py.clients.node import ClientNode
from sockudo_py.clients.open_connections import OpenConnections
from sockudo_py.clients.wheel import Wheel
from sockudo_py.ws.deflate import Compression
from sockudo_py.ws.frames import FrameReaders
from sockudo_py.ws.turns import Turns


class ConnectionContext:
    """What all connections of a server share.

    Args:
        node: Carries out effects.
        wheel: Asks connections for their liveness; its clock is the sessions' clock.
        clock: Monotonic seconds.
        max_message_bytes: Longest inbound message.
        max_unsent_bytes: What may wait in this process for a client to read it; past it the client is closed as slow.
        close_timeout: Seconds that a client has for its part of the closing handshake.
        slow_timeout: Seconds that a slow client has to read what waits for it, the close frame included.
        compress: Agree to permessage-deflate with clients that offer it.
    """

    __slots__ = (
        "clock",
        "close_timeout",
        "compression",
        "max_unsent_bytes",
        "node",
        "open",
        "readers",
        "slow_timeout",
        "turns",
        "wheel",
    )

    def __init__(
        self,
        *,
        node: ClientNode,
        wheel: Wheel,
        clock: Callable[[], float],
        max_message_bytes: int = 131_072,
        max_unsent_bytes: int = 1_048_576,
        close_timeout: float = 3.0,
        slow_timeout: float = 1.0,
        compress: bool = False,
    ) -> None:
        self.node = node
        self.wheel = wheel
        self.clock = clock
        self.readers = FrameReaders(max_message_bytes)
        self.compression = Compression(max_message_bytes) if compress else None
        self.max_unsent_bytes = max_unsent_bytes
        self.close_timeout = close_timeout
        self.slow_timeout = slow_timeout
        self.open = OpenConnections()
        self.turns = Turns()
