"""The way to Redis: few connections, no hidden repeats, scripts by their digest, every error as ``Unavailable``.

Scripts go over one connection of our own (``wire.py``), everything else over redis-py's.
"""

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.address import RedisAddress, address_of
from sockudo_py.links.redis.masters import NoMaster, finder_of, pool_of
from sockudo_py.links.redis.wire import RedisWire, Word
from sockudo_py.metrics import Series

_LUA = Path(__file__).parents[2] / "lua"
_INCLUDE = re.compile(r"^-- include (\w+)\.lua\n", re.MULTILINE)
_WAIT_MS = 100  # for replicas, when asked to wait for them
# error class -> kind for metrics, what it means; the first that fits
_MEANINGS: tuple[tuple[type[Exception], str, str], ...] = (
    (AuthenticationError, "auth", "it refuses user or password; check {keys}"),
    (AuthorizationError, "auth", "it refuses user or password; check {keys}"),
    (NoPermissionError, "auth", "its ACL does not let this user run what the {owner} needs"),
    (OutOfMemoryError, "oom", "it is out of memory (maxmemory) and refuses writes"),
    (ReadOnlyError, "readonly", "it is a read-only replica"),
    (MasterDownError, "readonly", "it is a replica whose master is gone"),
    (MovedError, "moved", "another server of the cluster has the keys now"),
    (AskError, "moved", "the cluster is moving the keys to another server"),
    (TryAgainError, "moved", "the cluster is moving the keys to another server"),
    (ClusterDownError, "moved", "the cluster has no master for the keys at present"),
    (RedisTimeoutError, "timeout", "it did not answer in time"),
    (RedisConnectionError, "connection", "no connection; check that it runs, and {keys}"),
    (OSError, "connection", "no connection; check that it runs, and {keys}"),
    (RedisError, "response", "it answered with an error"),
)


class Script:
    """A Lua script of ``sockudo_py/lua`` by its name, such as ``queue_append``.

    A line ``-- include NAME.lua`` is replaced by the text of that file.
    """

    __slots__ = ("digest", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = _with_includes((_LUA / f"{name}.lua").read_text())
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def _with_includes(text: str) -> str:
    return _INCLUDE.sub(lambda line: _with_includes((_LUA / f"{line.group(1)}.lua").read_text()), text)


def meaning_of(error: Exception, owner: str, keys: str) -> tuple[str, str]:
    """Return the kind of an error, for metrics, and what it means to users of the link."""
    if isinstance(error, NoMaster):
        return "connection", f"{error}; check {keys}"
    kind, meaning = next((kind, text) for cls, kind, text in _MEANINGS if isinstance(error, cls))
    detail = f": {str(error)[:200]}" if kind == "response" else ""
    return kind, meaning.format(keys=keys, owner=owner) + detail


class RedisLink:
    """Calls Redis. Every method raises ``Unavailable``, with a message that holds no secret, for every failure.

    Args:
        address: Where Redis is, or its URL.
        owner: Who uses the link, one or two words for messages: ``queue``.
        keys: The owner's configuration keys that say where Redis is, for messages.
        prefix: In a cluster: of all keys that are used, with a hash tag, so that they lie on one server.
        max_connections: How many connections are open at most.
        response_timeout: Seconds to wait for an answer, for a connection, and for a free connection.
        errors: Counts failed calls by kind (its only label): auth, oom, readonly, timeout, connection, response.
    """

    def __init__(
        self,
        address: str | RedisAddress,
        *,
        owner: str,
        keys: str,
        prefix: str = "",
        max_connections: int,
        response_timeout: float,
        errors: Series,
    ) -> None:
        self._owner = owner
        self._keys = keys
        address = address_of(address)
        self.where = address.where
        self._errors = errors
        self._timeout = response_timeout
        self._wire: RedisWire | None = None
        self._dial: asyncio.Task[RedisWire] | None = None
        most = max(1, max_connections - 1)
        finder = finder_of(address, response_timeout, prefix)
        self._pool = pool_of(address, response_timeout, protocol=2, finder=finder, most=most)
        self._client = Redis(connection_pool=self._pool)

    async def close(self) -> None:
        """Close all connections."""
        if self._dial is not None:
            self._dial.cancel()
            await asyncio.wait({self._dial})
        if self._wire is not None:
            self._wire.close()
        await self._client.aclose()
        await self._pool.aclose()

    async def info(self) -> Mapping[str, Any]:
        """Return what ``INFO server`` says."""
        answer: Mapping[str, Any] = await self._asked(self._client.info("server"))
        return answer

    async def config(self, name: str) -> str | None:
        """Return a configuration value, None where the server does not tell (managed services, ACLs)."""
        try:
            answer = await self._client.config_get(name)
        except NoPermissionError:
            return None
        except (RedisError, OSError) as error:
            if "unknown command" in str(error).lower():
                return None
            raise await self._unavailable(error) from error
        value = answer.get(name)
        return value if isinstance(value, str) else None

    async def call(self, script: Script, key: str, args: Sequence[Word]) -> Any:
        """Run a script and return its answer. ``key``: KEYS[1]."""
        try:
            wire = self._wire
            if wire is None or wire.lost:
                wire = await self._connected()
            try:
                return await wire.ask(("EVALSHA", script.digest, 1, key, *args))
            except NoScriptError:
                return await wire.ask(("EVAL", script.text, 1, key, *args))
        except (RedisError, OSError) as error:
            raise await self._unavailable(error) from error

    async def _connected(self) -> RedisWire:
        """Return a new wire: the same one for all who ask meanwhile."""
        if self._dial is None:
            connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            self._dial = asyncio.create_task(RedisWire.connect(connection, self._timeout))
            self._dial.add_done_callback(self._dialled)
        return await asyncio.shield(self._dial)

    def _dialled(self, dial: asyncio.Task[RedisWire]) -> None:
        self._dial = None
        if not dial.cancelled() and dial.exception() is None:
            self._wire = dial.result()

    async def call_replicated(self, replicas: int, script: Script, key: str, args: Sequence[Word]) -> Any:
        """Run a script, and wait until that many replicas have its writes."""
        pipe = self._client.pipeline(transaction=False)
        pipe.eval(script.text, 1, key, *args)
        pipe.execute_command("WAIT", replicas, _WAIT_MS)
        answer, reached = await self._asked(pipe.execute())
        if reached < replicas:
            have = f"only {reached} of {replicas} replicas (wait_replicas) have it"
            raise Unavailable(f"the {self._owner}'s Redis at {self.where}: {have}")
        return answer

    async def command(self, *words: Word) -> Any:
        """Run one plain command."""
        return await self._asked(self._client.execute_command(*words))  # type: ignore[no-untyped-call]

    async def _asked(self, call: Any) -> Any:
        """Return the answer of a call. A cancellation meanwhile is never lost.

        redis-py closes the connection of a cancelled call, and raises what goes wrong at that (a server that hangs: its
        time limit) in place of the cancellation; and its ``asyncio.wait_for`` (Python 3.11) forgets one that comes just
        as a command has been written. The task would go on for ever, and so the shutdown.
        """
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        error: Exception | None = None
        answer: Any = None
        try:
            answer = await call
        except (RedisError, OSError) as problem:
            error = problem
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from error
        if error is not None:
            raise await self._unavailable(error) from error
        return answer

    async def _unavailable(self, error: Exception) -> Unavailable:
        kind, meaning = meaning_of(error, self._owner, self._keys)
        self._errors.add(kind)
        if kind in ("readonly", "moved"):  # a failover: look for the new master
            await self._pool.disconnect(inuse_connections=False)
            if self._wire is not None:
                self._wire.close()
        return Unavailable(f"the {self._owner}'s Redis at {self.where}: {meaning}")
