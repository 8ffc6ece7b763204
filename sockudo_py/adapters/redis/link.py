"""What a partition asks of Redis: its scripts, its keys and its topics, all with its prefix."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sockudo_py.links.redis.link import Script
from sockudo_py.links.redis.shared import User, Way
from sockudo_py.links.redis.stream import Answer, ReplyError
from sockudo_py.links.redis.wire import Word

_log = logging.getLogger(__name__)


class Scripts(dict[str, Script]):
    """The adapter's scripts by their short names."""

    def __init__(self, *names: str) -> None:
        super().__init__((name, Script(f"adapter_{name}")) for name in names)


class Link:
    """See above.

    Args:
        redis: The way to the server that has the keys.
        prefix: Of all keys and topics, hash tag included.
    """

    def __init__(self, redis: Way, prefix: str) -> None:
        self.timeout = redis.timeout
        self.publish_command = redis.publish_command
        self._redis = redis
        self._prefix = prefix.encode()

    def start(self, user: User) -> None:
        """Name who uses the link."""
        self._redis.add(self._prefix, user)

    def script(self, script: Script, words: Sequence[Word], then: Answer) -> None:
        """Run a script; ``then`` gets its answer. After an error the node reconnects and compares its state."""

        def answered(answer: Any) -> None:
            if isinstance(answer, ReplyError) and str(answer).startswith("NOSCRIPT"):
                self._redis.send("EVAL", script.text, 1, self._prefix, *words, then=self._checked(script.name, then))
            else:
                self._checked(script.name, then)(answer)

        self._redis.send("EVALSHA", script.digest, 1, self._prefix, *words, then=answered)

    def ask(self, words: Sequence[Word], then: Answer) -> None:
        """Run a command whose second word is a key without the prefix."""
        self._redis.send(words[0], self._key(words[1]), *words[2:], then=self._checked(str(words[0]), then))

    async def query(self, words: Sequence[Word]) -> Any:
        """Return the answer to a command whose second word is a key without the prefix. Raises ``Unavailable``."""
        return await self._redis.query(words[0], self._key(words[1]), *words[2:])

    async def time_ms(self) -> int:
        """Return the server's clock, in Unix milliseconds. Raises ``Unavailable``."""
        seconds, micros = await self._redis.query("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def subscribe(self, topic: bytes) -> None:
        """Get the messages of a topic."""
        self._redis.subscribe(self._prefix + topic)

    def unsubscribe(self, topic: bytes) -> None:
        """Get the messages of a topic no longer."""
        self._redis.unsubscribe(self._prefix + topic)

    def publish(self, topic: bytes, payload: bytes) -> bool:
        """Publish; return False when that is lost."""
        return self._redis.publish(self._prefix + topic, payload)

    def fail(self, reason: str) -> None:
        """Drop the connection and reconnect."""
        self._redis.fail(reason)

    def is_ready(self) -> None:
        """The partition has registered."""
        self._redis.is_ready(self._prefix)

    def refused(self, problem: str) -> None:
        """The partition can't use what it found there."""
        self._redis.refused(problem)

    def _key(self, name: Word) -> bytes:
        return self._prefix + (name if isinstance(name, bytes) else str(name).encode("utf-8", "surrogatepass"))

    def _checked(self, what: str, then: Answer) -> Callable[[Any], None]:
        return partial(self._check, what, then)

    def _check(self, what: str, then: Answer, answer: Any) -> None:
        if isinstance(answer, ReplyError):
            self.fail(f"{what} was refused: {str(answer)[:200]}")
            return
        try:
            then(answer)
        except ValueError as error:  # somebody else writes to these keys
            _log.debug("an answer of Redis can't be read", exc_info=True)
            self.fail(f"the answer to {what} holds what no node writes: {str(error)[:200]}")
