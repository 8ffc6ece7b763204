"""One connection to Redis for all calls of a process: each is written at once, answers come in the order of the calls.

redis-py takes several times as long for a call: a connection of its own from the pool, streams, time limits, metrics.
It still makes the connection, because it knows URLs, TLS, users and databases.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

Word = str | bytes | int

_SECOND_LOOK = 0.05  # seconds: when this process stood still itself, the answer is in the socket and not read yet
_NOT_ALL = object()  # of an answer has come
_ERRORS: dict[str, type[Exception]] = {
    "ASK": AskError,
    "CLUSTERDOWN": ClusterDownError,
    "LOADING": BusyLoadingError,
    "MASTERDOWN": MasterDownError,
    "MOVED": MovedError,
    "NOAUTH": AuthenticationError,
    "NOPERM": NoPermissionError,
    "NOSCRIPT": NoScriptError,
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "TRYAGAIN": TryAgainError,
}


class _Asked(NamedTuple):
    answer: asyncio.Future[Any]
    at: float  # the loop's clock


async def opened(connection: AbstractConnection) -> AbstractConnection:
    """Connect, and log in. What is cancelled half-way, or fails, is closed."""
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:
        await connection.disconnect(nowait=True)  # which does not wait, so it can't be cancelled
        raise
    return connection


def taken_over(connection: AbstractConnection, protocol: asyncio.Protocol) -> asyncio.WriteTransport:
    """Let ``protocol`` have an opened connection in place of redis-py; return the transport, which may be closing.

    Raises redis-py's ConnectionError when it is closed already.
    """
    writer = connection._writer
    if writer is None:
        raise RedisConnectionError("the connection was closed at once")
    writer.transport.set_protocol(protocol)
    return writer.transport


class RedisWire(asyncio.Protocol):
    """Calls in flight on one connection. ``ask`` raises redis-py's exceptions, or OSError.

    Make it with ``connect``. When the connection breaks, or an answer takes longer than ``timeout`` seconds, all calls
    in flight fail, and the wire is ``lost``: make another one. A call that is cancelled costs the others nothing.
    """

    def __init__(self, connection: AbstractConnection, timeout: float) -> None:
        self.lost = False
        self._connection = connection  # its stream would close the transport when it is collected
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=_error, notEnoughData=_NOT_ALL)
        self._asked: deque[_Asked] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._transport = taken_over(connection, self)
        if self._transport.is_closing():
            self.connection_lost(None)

    @classmethod
    async def connect(cls, connection: AbstractConnection, timeout: float) -> "RedisWire":
        """Connect, log in, and take the connection over from redis-py."""
        await opened(connection)
        return cls(connection, timeout)

    async def ask(self, words: Sequence[Word]) -> Any:
        """Return the answer to a command."""
        if self.lost:
            raise RedisConnectionError("the connection is closed")
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._asked.append(_Asked(answer, self._loop.time()))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._look, None)
        self._transport.write(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]  # says: of one word
        return await answer

    def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._end(RedisConnectionError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        """Hand answers to their callers."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _NOT_ALL:
                future = self._asked.popleft().answer
                if future.done():  # its caller was cancelled
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except (hiredis.ProtocolError, IndexError):
            self._end(RedisConnectionError("it sent what is no answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        """All calls in flight fail."""
        self._end(exc or RedisConnectionError("the connection was closed by the server"))

    def _look(self, suspect: _Asked | None) -> None:
        """Give up when the oldest call has had no answer for too long, and none after one more look."""
        self._timer = None
        if not self._asked:
            return
        oldest = self._asked[0]
        if oldest is suspect:
            self._end(RedisTimeoutError("no answer in time"))
            return
        wait = oldest.at + self._timeout - self._loop.time()
        if wait > 0:
            self._timer = self._loop.call_later(wait, self._look, None)
        else:
            self._timer = self._loop.call_later(_SECOND_LOOK, self._look, oldest)

    def _end(self, error: Exception) -> None:
        if self.lost:
            return
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        self._connection._reader = self._connection._writer = None  # redis-py need not close what is closed
        for future, _ in self._asked:
            if not future.done():
                future.set_exception(type(error)(*error.args))
        self._asked.clear()


def _error(text: str) -> Exception:
    """Return the exception of an answer that is an error."""
    word, _, rest = text.partition(" ")
    return _ERRORS[word](rest) if word in _ERRORS else ResponseError(text)
