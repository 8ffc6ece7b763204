"""What every transport asks of the node."""

from collections.abc import Sequence
from typing import Protocol

from sockudo_py.hub import Sink
from sockudo_py.protocol.effects import Effect, Relay
from sockudo_py.protocol.readers.opening import Refusal


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

    def relay(self, client: Sink, event: Relay, at_once: bool = False) -> None:
        """Carry out a client event; ``at_once`` says that it came alone. ``begin_work`` need not come before."""

    def tell_closed(self, client: Sink, code: int, message: str) -> None:
        """Take note that the transport itself closes the client, with this code and message. May be called anytime."""

    def disconnect(self, client: Sink) -> None:
        """Forget the client and everything it held."""
