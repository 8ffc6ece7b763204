"""A relay over Redis: a string for each key that is owned, and a topic for each node."""

import secrets
from collections.abc import Callable
from typing import Any, Final

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.commands import refusal
from sockudo_py.links.redis.shared import Shared
from sockudo_py.links.redis.stream import ReplyError
from sockudo_py.relays.base import KEPT, Found, Listener

_TOPIC: Final = b"node:"


class RedisRelay:
    """A ``Relay``.

    Args:
        redis: The connections, which others may use too.
        prefix: Of all keys and topics; hash tag and colon at its end.
    """

    def __init__(self, redis: Shared, prefix: str) -> None:
        self.node_id = secrets.token_hex(8)
        self._redis = redis
        self._prefix = prefix.encode()
        self._own = _TOPIC + self.node_id.encode()
        self._listener: Listener | None = None
        self._way = redis.way(self._prefix)
        self._way.add(self._prefix, self)

    def start(self, listener: Listener) -> None:
        """See ``Relay.start``."""
        self._listener = listener

    async def open(self) -> None:
        """See ``Relay.open``."""
        await self._redis.open()

    async def close(self) -> None:
        """See ``Relay.close``."""
        await self._redis.close()

    def claim(self, key: str, then: Found) -> None:
        """See ``Relay.claim``."""
        self._redis.command("SET", self._key(key), self.node_id, "NX", "GET", "EX", KEPT, then=_found(then))

    def take(self, key: str) -> None:
        """See ``Relay.take``."""
        self._redis.command("SET", self._key(key), self.node_id, "EX", KEPT, then=_ignore)

    def owner(self, key: str, then: Found) -> None:
        """See ``Relay.owner``."""
        self._redis.command("GET", self._key(key), then=_found(then))

    def keep(self, keys: list[str]) -> None:
        """See ``Relay.keep``."""
        for key in keys:
            self._redis.command("EXPIRE", self._key(key), KEPT, then=_ignore)

    def release(self, key: str) -> None:
        """See ``Relay.release``."""
        self._redis.command("DEL", self._key(key), then=_ignore)

    def send(self, node_id: str, payload: bytes, then: Callable[[bool], None] | None = None) -> None:
        """See ``Relay.send``."""

        def sent(answer: Any) -> None:
            if then is not None:
                then(type(answer) is int and answer > 0)

        self._redis.command(self._way.publish_command, self._prefix + _TOPIC + node_id.encode(), payload, then=sent)

    # -- the connection's side --

    def connected(self, run_id: str) -> None:
        """Get messages from now on."""
        self._way.subscribe(self._prefix + self._own)
        self._way.is_ready(self._prefix)

    def lost(self) -> None:
        """Tell who gets them."""
        if self._listener is not None:
            self._listener.cut_off()

    def message(self, topic: bytes, payload: bytes) -> None:
        """Hand a message on."""
        if topic == self._own and self._listener is not None:
            self._listener.message(payload)

    def _key(self, key: str) -> bytes:
        return self._prefix + b"s:" + key.encode("utf-8", "surrogatepass")


def _found(then: Found) -> Callable[[Any], None]:
    def found(answer: Any) -> None:
        if isinstance(answer, ReplyError):
            then(refusal("Redis", answer))
        elif isinstance(answer, bytes):
            then(answer.decode("ascii", "replace"))
        else:
            then(answer if isinstance(answer, Unavailable) else None)

    return found


def _ignore(answer: Any) -> None:
    pass
