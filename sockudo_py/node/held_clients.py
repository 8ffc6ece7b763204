"""Clients that the server does not read now, because they cause more events than the queue takes."""

from collections.abc import Callable, Collection
from typing import Final

from sockudo_py.hub import CROWDING, Hub, Sink
from sockudo_py.node.slices import in_slices
from sockudo_py.protocol.source import Source

RELEASED_AT_ONCE: Final = 10  # clients; each may have 64 messages that are worked on at once
RELEASE_INTERVAL: Final = 0.01  # seconds


class HeldClients:
    """Holds the clients of the given sources, and releases the others, some at a time."""

    def __init__(self, hub: Hub, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        self._hub = hub
        self._call_later = call_later
        self._held: dict[Source, Sink] = {}

    def set(self, sources: Collection[Source]) -> None:
        """Stop reading exactly these clients. Clients that are gone are passed over."""
        free = [client for source, client in self._held.items() if source not in sources]
        for client in free:
            del self._held[client.session.source]
        for source in sources:
            found = self.find(source)
            if found is not None:
                self._held[source] = found
                found.hold(CROWDING)
        if free:
            in_slices(
                free, self._release, size=RELEASED_AT_ONCE, interval=RELEASE_INTERVAL, call_later=self._call_later
            )

    def find(self, source: Source) -> Sink | None:
        """Return the client of a source; None when it is gone."""
        found = self._hub.sockets(source.app_id).get(source.socket_id)
        return found if found is not None and found.session.source is source else None

    def _release(self, client: Sink) -> None:
        if client.session.source not in self._held:  # as it may be again by now
            client.release(CROWDING)
