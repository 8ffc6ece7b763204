"""A board over Redis: a hash with a note of each node, and topics."""

import secrets
from typing import Any, Final

from sockudo_py.links.redis.shared import Shared
from sockudo_py.relays.board import Message

_NOTES: Final = b"nodes"


class RedisBoard:
    """A ``Board``.

    Args:
        redis: The connections, which others may use too.
        prefix: Of all keys and topics; hash tag and colon at its end.
    """

    def __init__(self, redis: Shared, prefix: str) -> None:
        self.node_id = secrets.token_hex(8)
        self._redis = redis
        self._prefix = prefix.encode()
        self._on_message: Message | None = None
        self._followed: set[str] = set()
        self._connected = False
        self._way = redis.way(self._prefix)
        self._way.add(self._prefix, self)

    def start(self, on_message: Message) -> None:
        """See ``Board.start``."""
        self._on_message = on_message

    async def open(self) -> None:
        """See ``Board.open``."""
        await self._redis.open()

    async def close(self) -> None:
        """See ``Board.close``."""
        self.forget(self.node_id)
        await self._redis.close()

    def follow(self, topic: str) -> None:
        """See ``Board.follow``."""
        if topic not in self._followed:
            self._followed.add(topic)
            if self._connected:
                self._way.subscribe(self._prefix + topic.encode())

    def leave(self, topic: str) -> None:
        """See ``Board.leave``."""
        if topic in self._followed:
            self._followed.discard(topic)
            if self._connected:
                self._way.unsubscribe(self._prefix + topic.encode())

    def tell(self, topic: str, payload: bytes) -> None:
        """See ``Board.tell``."""
        self._redis.command(self._way.publish_command, self._prefix + topic.encode(), payload, then=_ignore)

    def post(self, note: bytes) -> None:
        """See ``Board.post``."""
        self._redis.command("HSET", self._prefix + _NOTES, self.node_id, note, then=_ignore)

    async def read(self) -> dict[str, bytes]:
        """See ``Board.read``."""
        found = await self._way.query("HGETALL", self._prefix + _NOTES)
        if isinstance(found, list):
            found = dict(zip(found[::2], found[1::2], strict=True))
        return {name.decode("ascii", "replace"): note for name, note in found.items()}

    def forget(self, node_id: str) -> None:
        """See ``Board.forget``."""
        self._redis.command("HDEL", self._prefix + _NOTES, node_id, then=_ignore)

    # -- the connection's side --

    def connected(self, run_id: str) -> None:
        """Follow the topics again."""
        self._connected = True
        for topic in self._followed:
            self._way.subscribe(self._prefix + topic.encode())
        self._way.is_ready(self._prefix)

    def lost(self) -> None:
        """Note that nothing can be followed."""
        self._connected = False

    def message(self, topic: bytes, payload: bytes) -> None:
        """Hand a message on."""
        name = topic.decode("ascii", "replace")
        if name in self._followed and self._on_message is not None:
            self._on_message(name, payload)


def _ignore(answer: Any) -> None:
    pass
