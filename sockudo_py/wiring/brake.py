"""The brake of webhooks: it slows down the clients of this process that cause more events than the queue takes."""

from collections.abc import Callable

from sockudo_py.adapters.base import Adapter
from sockudo_py.edge.newcomers import Newcomers
from sockudo_py.node import Node
from sockudo_py.protocol.source import Source
from sockudo_py.webhooks.intake.dispatcher import Dispatcher
from sockudo_py.webhooks.spool.noise import Leaves, Noise

CAUGHT_UP_AT_ONCE = 500  # vacates and removals that were put off: half of what the queue is handed at once


class ClientBrake:
    """``webhooks.spool.crowding.Brake`` over the clients of a node.

    Args:
        adapter: Puts off the leaves of noisy clients.
        newcomers: Lets new connections from noisy addresses wait.
        dispatcher: Returns the dispatcher, which knows whether the spool has hardly any room left.
        node: Returns the node, whose clients they are. Both are made after the brake.
    """

    def __init__(
        self,
        adapter: Adapter,
        newcomers: Newcomers,
        *,
        dispatcher: Callable[[], Dispatcher],
        node: Callable[[], Node],
    ) -> None:
        self._adapter = adapter
        self._newcomers = newcomers
        self._dispatcher = dispatcher
        self._node = node

    def hold(self, noise: Noise) -> None:
        """Stop reading exactly these noisy clients; put off the leaves that they cause."""
        self._adapter.put_off(Leaves(noise, self._dispatcher().nearly_full).wait)
        self._node().hold(noise.sources)
        self._newcomers.set(noise.addresses)

    def crowded(self, crowded: bool) -> None:
        """Put off the leaves of clients while the spool is crowded, and no longer."""
        self._adapter.put_off(Leaves(Noise(), self._dispatcher().nearly_full).wait if crowded else None)

    def here(self, source: Source) -> bool:
        """Return whether this connection is still open."""
        return self._node().here(source)

    def catch_up(self) -> bool:
        """Report some of the changes that were put off; return whether there are more."""
        return self._adapter.tell_put_off(CAUGHT_UP_AT_ONCE)
