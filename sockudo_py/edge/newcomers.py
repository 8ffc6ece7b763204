"""New connections that wait for the answer to their handshake, because their address causes too many webhook events."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

LET_IN_AT_ONCE: Final = 20  # connections, 2 ms
LET_IN_INTERVAL: Final = 0.01  # seconds
CAPACITY: Final = 10_000  # that wait; past it the one that has waited longest is dropped
_MAX_BYTES: Final = 4096  # kept of what a client sends before its handshake is answered

Address = tuple[str, str]  # app id, address


class Newcomers:
    """Connections that wait, in the order in which they came. New ones of ``addresses`` have to wait."""

    def __init__(self) -> None:
        self.addresses: Collection[Address] = ()
        self._waiting: dict[Newcomer, None] = {}
        self._letting_in = False

    def set(self, addresses: Collection[Address]) -> None:
        """Let new connections of these addresses wait from now on, and no others."""
        self.addresses = addresses
        if self._waiting and not self._letting_in:
            self._let_in()

    def enter(self, newcomer: "Newcomer") -> None:
        """Let one more wait."""
        self._waiting[newcomer] = None
        if len(self._waiting) > CAPACITY:
            self.evict()

    def evict(self) -> bool:
        """Drop the connection that has waited longest; return False when none waits."""
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            return False
        oldest.drop()
        return True

    def leave(self, newcomer: "Newcomer") -> None:
        """Forget one; it need not be here."""
        self._waiting.pop(newcomer, None)

    def abort(self) -> None:
        """Drop all of them."""
        for newcomer in list(self._waiting):
            newcomer.drop()

    def __len__(self) -> int:
        return len(self._waiting)

    def _let_in(self) -> None:
        self._letting_in = False
        free = [newcomer for newcomer in self._waiting if newcomer.address not in self.addresses]
        for newcomer in free[:LET_IN_AT_ONCE]:
            del self._waiting[newcomer]
            newcomer.go_on()
        if len(free) > LET_IN_AT_ONCE:
            self._letting_in = True
            asyncio.get_running_loop().call_later(LET_IN_INTERVAL, self._let_in)


class Newcomer(asyncio.Protocol):
    """A connection that waits. It stays among the open connections.

    Args:
        newcomers: Where it waits.
        address: The noisy address that it waits for.
        transport: Its own.
        received: What came after the handshake's request.
        opens: Called with all that came after the request, to go on.
    """

    __slots__ = ("_left", "_newcomers", "_opens", "_received", "_transport", "address")

    def __init__(
        self,
        newcomers: Newcomers,
        address: Address,
        transport: asyncio.Transport,
        received: bytes,
        *,
        opens: Callable[[bytes], None],
        left: Callable[[], None],
    ) -> None:
        self.address = address
        self._newcomers = newcomers
        self._transport = transport
        self._received = received
        self._opens = opens
        self._left = left
        transport.set_protocol(self)
        newcomers.enter(self)

    def go_on(self) -> None:
        """Have the handshake answered."""
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        self._opens(self._received)

    def drop(self) -> None:
        """Close at once."""
        self._newcomers.leave(self)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Keep what comes in; a client has no reason to send more before its answer."""
        self._received += data
        if len(self._received) > _MAX_BYTES:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget about it."""
        self._newcomers.leave(self)
        self._left()
