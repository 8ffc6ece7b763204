"""A relay between nodes in one process: messages wait until the test delivers them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sockudo_py.errors import Unavailable
from sockudo_py.relays.base import Found, Listener


@dataclass
class Wire:
    """What the relays of a test share."""

    owners: dict[str, str] = field(default_factory=dict)
    relays: "dict[str, FakeRelay]" = field(default_factory=dict)
    waiting: list[tuple[str, bytes]] = field(default_factory=list)
    away: bool = False

    def deliver(self) -> None:
        """Deliver what waits, and what that leads to."""
        while self.waiting:
            node_id, payload = self.waiting.pop(0)
            relay = self.relays.get(node_id)
            if relay is not None and relay.listener is not None:
                relay.listener.message(payload)


class FakeRelay:
    """A ``Relay``."""

    def __init__(self, wire: Wire, node_id: str) -> None:
        self.node_id = node_id
        self.listener: Listener | None = None
        self._wire = wire
        wire.relays[node_id] = self

    def start(self, listener: Listener) -> None:
        self.listener = listener

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def claim(self, key: str, then: Found) -> None:
        if self._wire.away:
            then(Unavailable("away"))
            return
        before = self._wire.owners.get(key)
        self._wire.owners.setdefault(key, self.node_id)
        then(before)

    def take(self, key: str) -> None:
        self._wire.owners[key] = self.node_id

    def owner(self, key: str, then: Found) -> None:
        then(Unavailable("away") if self._wire.away else self._wire.owners.get(key))

    def keep(self, keys: list[str]) -> None:
        pass

    def release(self, key: str) -> None:
        self._wire.owners.pop(key, None)

    def send(self, node_id: str, payload: bytes, then: Callable[[bool], None] | None = None) -> None:
        arrives = not self._wire.away and node_id in self._wire.relays
        if arrives:
            self._wire.waiting.append((node_id, payload))
        if then is not None:
            then(arrives)
