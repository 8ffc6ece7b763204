"""What is stored, and so may leave the outbox in Redis."""

from functools import partial
from typing import Any, Final

from sockudo_py.adapters.redis.link import Link
from sockudo_py.adapters.redis.view.transitions import Outbox

_AT_ONCE: Final = 1000


class Acks:
    """Ids of transitions that are stored, on their way to Redis."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: list[str] = []
        self.under_way = 0  # calls without an answer

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, ident: str) -> None:
        """One is stored."""
        self._waiting.append(ident)

    def send(self, node_id: str, outbox: Outbox) -> None:
        """Send them; ``outbox`` forgets each when Redis has."""
        while self._waiting:
            idents, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            self.under_way += 1
            self._link.ask(["HDEL", b"o:" + node_id.encode(), *idents], partial(self._forgotten, outbox, idents))

    def lost(self) -> None:
        """The connection is gone with the answers."""
        self.under_way = 0

    def replace(self, idents: list[str]) -> None:
        """Take these for what is stored and still in Redis."""
        self._waiting = idents

    def _forgotten(self, outbox: Outbox, idents: list[str], answer: Any) -> None:
        self.under_way -= 1
        outbox.forget(idents)
