"""What all WebSocket connections of a server share."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from sockudo_py.hub import Sink
from sockudo_py.protocol.effects import Effect
from sockudo_py.protocol.opening import Refusal
from sockudo_py.ws.frames import FrameReaders
from sockudo_py.ws.wheel import Wheel


class ClientNode(Protocol):
    """What a client's connection needs of the node, whatever its transport (``node.Node`` is one)."""

    def connect(self, client: Sink) -> Refusal | None:
        """Count the client, or say why it can't be."""

    def begin_work(self, *, alone: bool = False) -> None:
        """Let messages to channels with few subscribers wait for ``end_work``, so that they go out together.

        ``alone`` says that it is the work of one message, which has nothing to wait for.
        """

    def end_work(self) -> None:
        """Write these messages; follows ``begin_work`` in the same turn of the loop."""

    def perform(self, client: Sink, effects: Sequence[Effect]) -> None:
        """Carry out what the client's session asked for."""

    def disconnect(self, client: Sink) -> None:
        """Forget the client and everything it held."""


class Census:
    """How many connections there are, and when the last one is gone."""

    __slots__ = ("_empty", "count")

    def __init__(self) -> None:
        self.count = 0
        self._empty: asyncio.Event | None = None

    def enter(self) -> None:
        """Count one more."""
        self.count += 1

    def leave(self) -> None:
        """Count one less."""
        self.count -= 1
        if self._empty is not None and self.count == 0:
            self._empty.set()

    async def empty(self, seconds: float) -> bool:
        """Wait until nobody is left, for so long at most, and return whether that is so."""
        if self.count:
            self._empty = asyncio.Event()
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
            except TimeoutError:
                return False
            finally:
                self._empty = None
        return True


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
    """

    __slots__ = ("census", "clock", "close_timeout", "max_unsent_bytes", "node", "readers", "slow_timeout", "wheel")

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
    ) -> None:
        self.node = node
        self.wheel = wheel
        self.clock = clock
        self.readers = FrameReaders(max_message_bytes)
        self.max_unsent_bytes = max_unsent_bytes
        self.close_timeout = close_timeout
        self.slow_timeout = slow_timeout
        self.census = Census()
