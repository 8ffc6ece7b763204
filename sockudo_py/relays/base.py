"""The contract of relays: which node owns a session, and messages from one node to another."""

from collections.abc import Callable
from typing import Protocol

from sockudo_py.errors import Unavailable

Found = Callable[[str | Unavailable | None], None]


class Listener(Protocol):
    """Who gets messages."""

    def message(self, payload: bytes) -> None:
        """Take a message for this node. Anything may have sent it."""

    def cut_off(self) -> None:
        """Note that messages to and from this node may have been lost."""


class Relay(Protocol):
    """Owners by key, and messages between nodes.

    Messages of one node to another arrive in order and at most once. No method blocks or raises; each callback is
    called exactly once, on the event loop, perhaps before the method returns.
    """

    node_id: str  # of this node; another one after each start

    def start(self, listener: Listener) -> None:
        """Begin. Messages may come as soon as the relay is open."""

    async def open(self) -> None:
        """Connect. Raises ``SockudoError``."""

    async def close(self) -> None:
        """Let go of the connection."""

    def claim(self, key: str, then: Found) -> None:
        """Make this node the owner of a key that has none; ``then`` gets None, or the node that owns it."""

    def take(self, key: str) -> None:
        """Make this node the owner of a key whose owner is gone."""

    def owner(self, key: str, then: Found) -> None:
        """Ask which node owns a key; ``then`` gets None when none does."""

    def keep(self, keys: list[str]) -> None:
        """Go on owning keys. Without it, they have no owner after ``KEPT`` seconds."""

    def release(self, key: str) -> None:
        """Own a key no longer."""

    def send(self, node_id: str, payload: bytes, then: Callable[[bool], None] | None = None) -> None:
        """Send a message; ``then`` gets False when it is lost, or that node is gone."""


KEPT = 3600  # seconds
