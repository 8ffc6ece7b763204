"""One RESP3 connection that carries calls and subscriptions, and handles what arrives in the order in which it arrives.

An answer and a message behind it often come in one read. So answers go to plain callbacks, at once: a coroutine that
awaited one would resume after the message.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import hiredis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.address import Host, RedisAddress, address_of, shown
from sockudo_py.links.redis.link import meaning_of
from sockudo_py.links.redis.masters import AtHost, Range, SlotMap, finder_of, pool_of
from sockudo_py.links.redis.wire import Word, opened, taken_over

ReplyError = hiredis.ReplyError
Answer = Callable[[Any], None]  # takes the answer; an error is a hiredis.ReplyError

UNSENT_AT_MOST: Final = 32 * 1024 * 1024  # bytes that Redis has not taken yet: publishes are lost beyond
_SECOND_LOOK: Final = (
    0.05  # seconds: when this process stood still itself, the answer is in the socket and not read yet
)
_NOT_ALL: Final = object()  # of an answer has come


class Listener(Protocol):
    """Who uses a stream."""

    def message(self, topic: bytes, payload: bytes) -> None:
        """Take a message of a topic that is subscribed."""

    def lost(self, reason: str) -> None:
        """The connection is gone, with every answer that was awaited on it."""


class RedisStream(asyncio.Protocol):
    """Calls in flight and subscriptions on one connection. Make it with ``connect``.

    What is asked in one turn of the loop is written together. When nothing at all is read for ``timeout`` seconds while
    an answer is awaited, the connection counts as lost.
    """

    def __init__(self, connection: AbstractConnection, timeout: float, listener: Listener, sharded: bool) -> None:
        self._connection = connection  # its stream would close the transport when it is collected
        self._timeout = timeout
        self._listener = listener
        shard = b"S" if sharded else b""
        self._subscribe, self._unsubscribe = shard + b"SUBSCRIBE", shard + b"UNSUBSCRIBE"
        self._publish = shard + b"PUBLISH"
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_NOT_ALL)
        self._awaited: deque[Answer | bytes] = deque()  # bytes: the topic of a subscription that a push confirms
        self._out: list[bytes] = []
        self._read_at = 0.0
        self._suspect = False
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False
        self._transport = taken_over(connection, self)
        if self._transport.is_closing():
            raise RedisConnectionError("the connection was closed at once")

    @classmethod
    async def connect(
        cls, connection: AbstractConnection, timeout: float, listener: Listener, *, sharded: bool = False
    ) -> "RedisStream":
        """Connect, log in, and take the connection over from redis-py. ``sharded``: use the cluster's commands."""
        await opened(connection)
        return cls(connection, timeout, listener, sharded)

    def ask(self, *words: Word, then: Answer) -> None:
        """Send a command; ``then`` gets the answer, and nothing when the connection is lost before."""
        self._send(hiredis.pack_command(words), then)  # type: ignore[arg-type]  # says: of one word

    def subscribe(self, topic: bytes) -> None:
        """Get the messages of a topic. One command each: it is confirmed by one push, or refused by one answer."""
        self._send(hiredis.pack_command((self._subscribe, topic)), topic)  # type: ignore[arg-type]

    def unsubscribe(self, topic: bytes) -> None:
        """Get the messages of a topic no longer."""
        self._send(hiredis.pack_command((self._unsubscribe, topic)), topic)  # type: ignore[arg-type]

    def publish(self, topic: bytes, payload: bytes) -> bool:
        """Publish; return False when it is lost, because Redis takes nothing at present."""
        if self.closed or self._transport.get_write_buffer_size() > UNSENT_AT_MOST:
            return False
        command = b"*3\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
            len(self._publish),
            self._publish,
            len(topic),
            topic,
            len(payload),
            payload,
        )
        self._send(command, self._published)
        return True

    def close(self) -> None:
        """Close the connection; the listener hears nothing more."""
        self._end(None)

    def fail(self, reason: str) -> None:
        """Give the connection up as if it had been lost."""
        self._end(reason)

    def _send(self, command: bytes, then: Answer | bytes) -> None:
        if self.closed:
            return
        if not self._awaited:
            self._read_at = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._timeout, self._look)
        self._awaited.append(then)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.closed:
            self._transport.write(b"".join(out))

    # -- asyncio.Protocol --

    def data_received(self, data: bytes) -> None:
        """Hand on answers and messages."""
        self._read_at, self._suspect = self._loop.time(), False
        reader = self._reader
        reader.feed(data)
        try:
            while not self.closed and (read := reader.gets()) is not _NOT_ALL:
                if isinstance(read, hiredis.PushNotification):
                    self._pushed(read)
                    continue
                then = self._awaited.popleft()
                if not isinstance(then, bytes):
                    then(read)
                elif isinstance(read, hiredis.ReplyError):
                    self._end(f"a subscription was refused: {str(read)[:200]}")
                else:
                    self._end("an answer came where a subscription was to be confirmed")
        except (hiredis.ProtocolError, IndexError):
            self._end("it sent what is no answer")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener."""
        self._end("the connection was closed" if exc is None else str(exc) or type(exc).__name__)

    def _published(self, answer: Any) -> None:
        if isinstance(answer, ReplyError) and str(answer).startswith(("MOVED", "CLUSTERDOWN", "MASTERDOWN")):
            self._end(f"a message was refused: {str(answer)[:200]}")

    def _pushed(self, push: list[Any]) -> None:
        kind = push[0]
        if kind in (b"message", b"smessage"):
            self._listener.message(push[1], push[2])
        elif kind in (b"subscribe", b"ssubscribe", b"unsubscribe", b"sunsubscribe"):
            if not self._awaited or self._awaited[0] != push[1]:
                self._end("the topics have moved to another server")
                return
            self._awaited.popleft()

    def _look(self) -> None:
        """Give up when nothing has come for too long, and nothing after one more look."""
        self._timer = None
        if not self._awaited or self.closed:
            return
        wait = self._read_at + self._timeout - self._loop.time()
        if wait > 0:
            self._timer = self._loop.call_later(wait, self._look)
        elif self._suspect:
            self._end(f"no answer within {self._timeout:g} s")
        else:
            self._suspect = True
            self._timer = self._loop.call_later(_SECOND_LOOK, self._look)

    def _end(self, reason: str | None) -> None:
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._out and reason is None:
            self._flush_last()
        else:
            self._transport.abort()
        self._connection._reader = self._connection._writer = None  # redis-py need not close what is closed
        self._awaited.clear()
        if reason is not None:
            self._listener.lost(reason)

    def _flush_last(self) -> None:
        self._transport.write(b"".join(self._out))
        self._transport.close()


def dialer_of_masters(
    address: RedisAddress, timeout: float, *, owner: str, keys: str
) -> Callable[[Host, Listener], Awaitable[RedisStream]]:
    """Return what makes a stream to a master of a cluster, as ``dialer`` does."""

    async def dial(host: Host, listener: Listener) -> RedisStream:
        pool = pool_of(address, timeout, protocol=3, finder=AtHost(host))
        return await _dial(pool, timeout, listener, f"the {owner}'s Redis at {shown((host,))}", owner, keys, True)

    return dial


def slots_of(
    address: RedisAddress, timeout: float, *, owner: str, keys: str
) -> Callable[[], Awaitable[tuple[Range, ...]]]:
    """Return what says which master has which slots of a cluster; it raises ``Unavailable`` as ``dialer`` does."""
    known = SlotMap(address, timeout)

    async def ask() -> tuple[Range, ...]:
        try:
            return await known.ranges()
        except (RedisError, OSError) as error:
            raise _unavailable(error, f"the {owner}'s Redis at {address.where}", owner, keys) from error

    return ask


def dialer(
    address: str | RedisAddress, timeout: float, *, owner: str, keys: str
) -> Callable[[Listener], Awaitable[RedisStream]]:
    """Return what makes a stream to Redis; it raises ``Unavailable``, with a message that holds no secret.

    ``address``: of one server, or of a master that sentinels know. ``owner`` and ``keys`` are for messages: who uses
    it, and the configuration keys that say where Redis is.
    """
    address = address_of(address)
    pool = pool_of(address, timeout, protocol=3, finder=finder_of(address, timeout, ""))

    async def dial(listener: Listener) -> RedisStream:
        return await _dial(pool, timeout, listener, f"the {owner}'s Redis at {address.where}", owner, keys, False)

    return dial


async def _dial(
    pool: BlockingConnectionPool, timeout: float, listener: Listener, name: str, owner: str, keys: str, sharded: bool
) -> RedisStream:
    try:
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
        return await RedisStream.connect(connection, timeout, listener, sharded=sharded)
    except (RedisError, OSError) as error:
        raise _unavailable(error, name, owner, keys) from error


def _unavailable(error: Exception, name: str, owner: str, keys: str) -> Unavailable:
    return Unavailable(f"{name}: {meaning_of(error, owner, keys)[1]}")
