"""A stream to Redis that reconnects by itself, and that several users share.

A user with a prefix learns of the connection and gets the messages of topics with its prefix. Others only ask.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.commands import Commands, answer_to, away, refusal
from sockudo_py.links.redis.opening import Opening
from sockudo_py.links.redis.shared import FIRST_PAUSE, HELD, LONGEST_PAUSE, WARN_EVERY, User, fields
from sockudo_py.links.redis.stream import Answer, Listener, RedisStream, ReplyError
from sockudo_py.links.redis.wire import Word

_log = logging.getLogger(__name__)


class LastingRedis:
    """See above.

    Args:
        connect: Makes a stream, or raises ``Unavailable``.
        timeout: Seconds that Redis has to answer.
        problem_of: Says of the fields of ``INFO`` why the server can't be used; None when it can.
        name: What it is to people who read the log: ``the cluster's Redis``.
    """

    publish_command = "PUBLISH"

    def __init__(
        self,
        connect: Callable[[Listener], Awaitable[RedisStream]],
        timeout: float,
        problem_of: Callable[[Mapping[str, str]], str | None],
        name: str,
    ) -> None:
        self.timeout = timeout
        self.name = name
        self._connect = connect
        self._problem_of = problem_of
        self._loop = asyncio.get_running_loop()
        self._stream: RedisStream | None = None
        self._users: dict[bytes, User] = {}
        self._unready: set[bytes] = set()
        self._commands = Commands()
        self._reconnecting: asyncio.Task[None] | None = None
        self._pause = FIRST_PAUSE
        self._ready_at: float | None = None
        self._lost_at: float | None = None
        self._warned_at = float("-inf")
        self._ready = False
        self._opening = Opening(name)
        self._last_reason = ""

    def add(self, prefix: bytes, user: User) -> None:
        """Name a user. A prefix ends with the end of its hash tag and a colon, ``}:``."""
        self._users[prefix] = user

    async def open(self) -> None:
        """Connect for the first time, check the server, and wait until all users are ready.

        Each call needs one of ``close``; only the first connects. Raises ``Unavailable``, or ``SockudoError`` for a
        server that can't be used.
        """
        await self._opening.open(self._try, self.timeout * 2, lambda: f"does not answer; {self._last_reason}")

    async def close(self) -> None:
        """Close the connection, when nobody else holds it open."""
        if not self._opening.leave():
            return
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.wait({self._reconnecting})
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._commands.end(self.name)

    @property
    def ready(self) -> bool:
        """Whether it can be used now."""
        return self._ready and self._stream is not None

    def send(self, *words: Word, then: Answer) -> None:
        """Send a command; ``then`` gets the answer, and nothing when the connection is lost before."""
        if self._stream is not None:
            self._stream.ask(*words, then=then)

    def command(self, *words: Word, then: Answer) -> None:
        """Send a command; ``then`` gets the answer, or ``Unavailable``, exactly once."""
        if not self.ready:
            then(away(self.name))
            return
        self.send(*words, then=self._commands.add(then))

    async def query(self, *words: Word) -> Any:
        """Return the answer to a command. Raises ``Unavailable``."""
        found = await answer_to(lambda then: self.command(*words, then=then))
        if isinstance(found, ReplyError):
            raise refusal(self.name, found)
        return found

    async def query_each(self, *words: Word) -> list[Any]:
        """Return the answer to a command in a list, as ``LastingCluster`` does. Raises ``Unavailable``."""
        return [await self.query(*words)]

    def way(self, prefix: bytes) -> "LastingRedis":
        """Return itself: one server has all keys."""
        return self

    def subscribe(self, topic: bytes) -> None:
        """Get the messages of a topic."""
        if self._stream is not None:
            self._stream.subscribe(topic)

    def unsubscribe(self, topic: bytes) -> None:
        """Get the messages of a topic no longer."""
        if self._stream is not None:
            self._stream.unsubscribe(topic)

    def publish(self, topic: bytes, payload: bytes) -> bool:
        """Publish; return False when that is lost."""
        return self._stream is not None and self._stream.publish(topic, payload)

    def fail(self, reason: str) -> None:
        """Drop the connection and reconnect."""
        if self._stream is not None:
            self._stream.fail(reason)

    def is_ready(self, prefix: bytes) -> None:
        """A user can be used again."""
        self._unready.discard(prefix)
        if not self._unready:
            self._now_ready()

    def refused(self, problem: str) -> None:
        """The server can't be used, now or later: ``open`` raises that."""
        self._opening.refuse(problem)

    # -- what the stream says --

    def message(self, topic: bytes, payload: bytes) -> None:
        """Take a message."""
        end = topic.find(b"}:") + 2
        user = self._users.get(topic[:end])
        if user is not None:
            user.message(topic[end:], payload)

    def lost(self, reason: str) -> None:
        """The connection is gone: try to have another one."""
        self._stream = None
        self._last_reason = reason
        self._ready = False
        now = self._loop.time()
        if self._ready_at is not None and now - self._ready_at >= HELD:  # else it may be lost at once again
            self._pause = FIRST_PAUSE
        self._ready_at = None
        if self._lost_at is None:
            self._lost_at = now
        self._warn("the connection to %s is lost: %s; trying again", reason)
        self._commands.end(self.name)
        for user in self._users.values():
            user.lost()
        if not self._opening.closed and self._reconnecting is None:
            self._reconnecting = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        try:
            while self._stream is None:
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)
                try:
                    await self._try()
                except Unavailable as error:
                    self._warn("%s is away: %s", error)
        finally:
            self._reconnecting = None

    def _warn(self, text: str, reason: object) -> None:
        now = self._loop.time()
        if now - self._warned_at >= WARN_EVERY and not self._opening.closed:
            self._warned_at = now
            _log.warning(text, self.name, reason)

    async def _try(self) -> None:
        stream = await self._connect(self)
        if stream.closed:
            raise Unavailable(f"{self.name} closed the connection at once")
        self._stream = stream
        self.send("INFO", "default", then=self._greeted)

    def _greeted(self, answer: Any) -> None:
        if isinstance(answer, ReplyError):
            self.fail(f"INFO was refused: {str(answer)[:200]}")
            return
        info = fields(answer)
        problem = self._problem_of(info)
        if problem is not None:
            self.refused(problem)
            self.fail(problem)
            return
        self._opening.problem = ""
        self._unready = set(self._users)
        for user in self._users.values():
            user.connected(info.get("run_id", ""))
        if not self._users:
            self._now_ready()

    def _now_ready(self) -> None:
        self._ready = True
        self._ready_at = self._loop.time()
        self._opening.settle()
        if self._lost_at is not None:
            away = self._loop.time() - self._lost_at
            self._lost_at = None
            _log.info("%s is back after %.1f s", self.name, away)
