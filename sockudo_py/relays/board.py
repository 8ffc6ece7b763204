"""The contract of boards: what nodes post about themselves for operators, and topics that nodes follow."""

from collections.abc import Callable
from typing import Protocol

Message = Callable[[str, bytes], None]  # topic, payload


class Board(Protocol):
    """Notes of nodes, and messages to all nodes that follow a topic, this one included.

    Nothing here is needed for clients. Messages may be lost. No method but ``read`` waits, and none raises but it.
    """

    node_id: str  # of this node; another one after each start

    def start(self, on_message: Message) -> None:
        """Begin: ``on_message`` gets the messages of followed topics."""

    async def open(self) -> None:
        """Connect. Raises ``SockudoError``."""

    async def close(self) -> None:
        """Remove this node's note, and close the connection."""

    def follow(self, topic: str) -> None:
        """Get the messages of a topic from now on, also after the connection was lost."""

    def leave(self, topic: str) -> None:
        """Undo ``follow``."""

    def tell(self, topic: str, payload: bytes) -> None:
        """Send a message."""

    def post(self, note: bytes) -> None:
        """Replace this node's note."""

    async def read(self) -> dict[str, bytes]:
        """Return the notes of all nodes by id, those of nodes that died lately too. Raises ``Unavailable``."""

    def forget(self, node_id: str) -> None:
        """Take the note of a node away that is gone."""
