"""The connection of the adapter to one Redis: it is made again when it is lost, and runs the adapter's scripts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from sockudo_py.adapters.redis.figures import Figures
from sockudo_py.adapters.redis.servers import policy_problem, problem_of, read_info
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.links.redis import Script
from sockudo_py.links.redis_stream import Answer, RedisStream, ReplyError
from sockudo_py.links.redis_wire import Word

_log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.02  # seconds between two attempts to connect ...
_LONGEST_PAUSE: Final = 0.5
_WARN_EVERY: Final = 30.0  # seconds


class Scripts(dict[str, Script]):
    """The adapter's scripts by their short names."""

    def __init__(self, *names: str) -> None:
        super().__init__((name, Script(f"adapter_{name}")) for name in names)


class User(Protocol):
    """Who uses a link."""

    def connected(self, run_id: str) -> None:
        """The connection is there. ``run_id`` is another one after Redis was restarted or replaced."""

    def lost(self) -> None:
        """The connection is gone, and what was asked on it is not answered."""

    def message(self, topic: bytes, payload: bytes) -> None:
        """Take what was published on a topic."""


class Link:
    """See above.

    Args:
        connect: Makes a connection, or raises ``Unavailable``.
        prefix: Of all keys and topics, hash tag included.
        timeout: Seconds that Redis has to answer.
    """

    def __init__(
        self, connect: Callable[["Link"], Awaitable[RedisStream]], prefix: str, timeout: float, figures: Figures
    ) -> None:
        self.timeout = timeout
        self.publish_command = "PUBLISH"
        self._connect = connect
        self._prefix = prefix.encode()
        self._figures = figures
        self._loop = asyncio.get_running_loop()
        self._stream: RedisStream | None = None
        self._user: User | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._pause = _FIRST_PAUSE
        self._lost_at: float | None = None
        self._warned_at = float("-inf")
        self._queries: set[asyncio.Future[Any]] = set()
        self._ready = asyncio.Event()
        self._closed = False
        self._refused = ""  # why the server can't be used
        self._last_reason = ""

    def start(self, user: User) -> None:
        """Name who uses the link."""
        self._user = user

    async def open(self) -> None:
        """Connect for the first time, check the server, and wait until the user is ready.

        Raises ``Unavailable``, or ``SockudoError`` for a server that can't be used.
        """
        await self._try()
        try:
            async with asyncio.timeout(self.timeout * 2):
                await self._ready.wait()
        except TimeoutError:
            self._closed = True
            raise Unavailable(f"the adapter's Redis does not answer; {self._last_reason}") from None
        if self._refused:
            self._closed = True
            raise SockudoError(f"the adapter's Redis: {self._refused}")
        policy = await self.policy()
        problem = None if policy is None else policy_problem(policy)
        if problem is not None:
            raise SockudoError(f"the adapter's Redis: {problem}")

    async def policy(self) -> str | None:
        """Return the server's ``maxmemory-policy``, None where it does not tell (managed services, ACLs)."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._queries.add(answer)
        self._send("CONFIG", "GET", "maxmemory-policy", then=lambda found: _settle(answer, found))
        try:
            found = await answer
        except Unavailable:
            return None
        finally:
            self._queries.discard(answer)
        value = found.get(b"maxmemory-policy") if isinstance(found, dict) else None
        return None if value is None else bytes(value).decode()

    async def close(self) -> None:
        """Close the connection."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.wait({self._reconnecting})
        if self._stream is not None:
            self._stream.close()
        self._end_queries()

    # -- what the user asks for --

    def script(self, script: Script, words: Sequence[Word], then: Answer) -> None:
        """Run a script; ``then`` gets its answer. An error ends the connection: what it left is compared anew."""

        def answered(answer: Any) -> None:
            if isinstance(answer, ReplyError):
                if str(answer).startswith("NOSCRIPT"):
                    self._send("EVAL", script.text, 1, self._prefix, *words, then=again)
                else:
                    self.fail(f"a script was refused: {str(answer)[:200]}")
            else:
                then(answer)

        def again(answer: Any) -> None:
            if isinstance(answer, ReplyError):
                self.fail(f"a script was refused: {str(answer)[:200]}")
            else:
                then(answer)

        self._send("EVALSHA", script.digest, 1, self._prefix, *words, then=answered)

    def ask(self, words: Sequence[Word], then: Answer) -> None:
        """Run a command whose second word is a key without the prefix."""

        def answered(answer: Any) -> None:
            if isinstance(answer, ReplyError):
                self.fail(f"{words[0]!s} was refused: {str(answer)[:200]}")
            else:
                then(answer)

        self._send(words[0], self._key(words[1]), *words[2:], then=answered)

    async def query(self, words: Sequence[Word]) -> Any:
        """Return the answer to a command whose second word is a key without the prefix. Raises ``Unavailable``."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._queries.add(answer)
        self._send(words[0], self._key(words[1]), *words[2:], then=lambda found: _settle(answer, found))
        try:
            return await answer
        finally:
            self._queries.discard(answer)

    def subscribe(self, topic: bytes) -> None:
        """Get the messages of a topic."""
        if self._stream is not None:
            self._stream.subscribe(self._prefix + topic)

    def unsubscribe(self, topic: bytes) -> None:
        """Get the messages of a topic no longer."""
        if self._stream is not None:
            self._stream.unsubscribe(self._prefix + topic)

    def publish(self, topic: bytes, payload: bytes) -> bool:
        """Publish; return False when that is lost."""
        return self._stream is not None and self._stream.publish(self._prefix + topic, payload)

    def fail(self, reason: str) -> None:
        """Give the connection up, and begin anew."""
        if self._stream is not None:
            self._stream.fail(reason)

    def is_ready(self) -> None:
        """The user has registered: all is well again."""
        self._pause = _FIRST_PAUSE
        self._ready.set()
        if self._lost_at is not None:
            away = self._loop.time() - self._lost_at
            self._figures.gap_seconds += away
            self._lost_at = None
            _log.info("the cluster's Redis is back after %.1f s", away)

    # -- what the stream says --

    def message(self, topic: bytes, payload: bytes) -> None:
        """Take a message."""
        if self._user is not None:
            self._user.message(topic[len(self._prefix) :], payload)

    def lost(self, reason: str) -> None:
        """The connection is gone: try to have another one."""
        self._stream = None
        self._last_reason = reason
        self._ready.clear()
        now = self._loop.time()
        if self._lost_at is None:
            self._lost_at = now
        if now - self._warned_at >= _WARN_EVERY:
            self._warned_at = now
            _log.warning("the connection to the cluster's Redis is lost: %s; trying again", reason)
        self._end_queries()
        if self._user is not None:
            self._user.lost()
        if not self._closed and self._reconnecting is None:
            self._reconnecting = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        try:
            while self._stream is None:
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
                try:
                    await self._try()
                except Unavailable as error:
                    if self._loop.time() - self._warned_at >= _WARN_EVERY:
                        self._warned_at = self._loop.time()
                        _log.warning("the cluster is away: %s", error)
        finally:
            self._reconnecting = None
            if self._stream is None and not self._closed:
                raise RuntimeError("the adapter's Redis is tried no more")

    async def _try(self) -> None:
        stream = await self._connect(self)
        if stream.closed:
            raise Unavailable("the adapter's Redis closed the connection at once")
        self._stream = stream
        self._send("INFO", "default", then=self._greeted)

    def _greeted(self, answer: Any) -> None:
        if isinstance(answer, ReplyError):
            self.fail(f"INFO was refused: {str(answer)[:200]}")
            return
        info = read_info(answer)
        problem = problem_of(info)
        if problem is not None:
            self._refused = problem
            self.fail(problem)
            self._ready.set()  # for whoever opens the link: it is not going to get better
        elif self._user is not None:
            self._user.connected(info.get("run_id", ""))

    def _send(self, *words: Word, then: Answer) -> None:
        if self._stream is not None:
            self._stream.ask(*words, then=then)

    def _key(self, name: Word) -> bytes:
        return self._prefix + (name if isinstance(name, bytes) else str(name).encode("utf-8", "surrogatepass"))

    def _end_queries(self) -> None:
        for query in self._queries:
            if not query.done():
                query.set_exception(Unavailable("the adapter's Redis is away"))


def _settle(answer: "asyncio.Future[Any]", found: Any) -> None:
    if answer.done():
        return
    if isinstance(found, ReplyError):
        answer.set_exception(Unavailable(f"the adapter's Redis answered with an error: {str(found)[:200]}"))
    else:
        answer.set_result(found)
