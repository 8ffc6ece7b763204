"""Connections to the master of the moment, which sentinels or the nodes of a cluster know.

Several of them are asked at once, and most of those that answer in time decide: one that is cut off from the others
knows a master that is none any more. Whoever is found must say of itself that it is a master.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sockudo_py.links.redis.address import Host, RedisAddress, Sentinels, shown
from sockudo_py.links.redis.wire import opened

_AT_ONCE: Final = 8  # servers that are asked together
_OTHERS: Final = 0.1  # seconds that the others have, once one has answered
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (AuthenticationError, "it refuses user or password"),
    (AuthorizationError, "it refuses user or password"),
    (NoPermissionError, "its ACL does not let this user ask for it"),
    (RedisTimeoutError, "no answer in time"),
    (RedisConnectionError, "no connection"),
    (OSError, "no connection"),
)

Answer = TypeVar("Answer")


class NoMaster(RedisConnectionError):
    """No Sentinel or node answers, or none knows a master. The text says which, and holds no secret."""


class Range(NamedTuple):
    """Slots of a cluster, the last one included, and the master that has them."""

    first: int
    last: int
    master: Host


class Finder(Protocol):
    """Finds a master. Raises ``NoMaster``."""

    async def get_master_address(self) -> Host:
        """Return where the master is."""


class BySentinels:
    """A ``Finder``. It is, with this method, what redis-py's connections ask at each connect."""

    is_master = True
    check_connection = False

    def __init__(self, sentinels: Sentinels, timeout: float) -> None:
        self._sentinels = sentinels
        self._options: dict[str, Any] = {
            **_options(timeout, 2),
            "username": sentinels.username,
            "password": sentinels.password,
        }
        if sentinels.tls is not None:
            self._options |= {"connection_class": SSLConnection, **sentinels.tls.options()}
            del self._options["ssl"]

    async def get_master_address(self) -> Host:
        """Ask the sentinels."""
        name = self._sentinels.name

        def read(found: Any, host: Host) -> Host | None:
            return None if found is None else (_text(found[0]), int(found[1]))

        words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
        answers, problems = await _ask(self._sentinels.hosts, self._options, words, read)
        known = [answer for answer in answers if answer is not None]
        if known:
            return Counter(known).most_common(1)[0][0]
        if answers:
            raise NoMaster(f"the sentinels {shown(self._sentinels.hosts)} know no master with the name {name}")
        raise NoMaster(f"no sentinel says where the master is ({_reasons(problems)})")


class SlotMap:
    """Which masters a cluster has, and which slots each of them has."""

    def __init__(self, address: RedisAddress, timeout: float) -> None:
        self._seeds = address.nodes
        self._learned: tuple[Host, ...] = ()
        self._options = {**_options(timeout, 2), **_url_options(address)}
        self._options.pop("db", None)

    async def ranges(self) -> tuple[Range, ...]:
        """Ask the nodes. Slots without an owner are missing. Raises ``NoMaster``."""

        problems: dict[Host, Exception] = {}
        hosts = list(dict.fromkeys((*self._learned, *self._seeds)))
        for start in range(0, len(hosts), _AT_ONCE):
            answers, failed = await _ask(hosts[start : start + _AT_ONCE], self._options, ("CLUSTER", "SLOTS"), _ranges)
            problems |= failed
            if any(answers):
                found = Counter(filter(None, answers)).most_common(1)[0][0]
                self._learned = tuple(dict.fromkeys(one.master for one in found))
                return found
        if not problems:
            raise NoMaster("the nodes of the cluster know no master that has slots")
        raise NoMaster(f"no node of the cluster says who has which slots ({_reasons(problems)})")


class BySlot:
    """A ``Finder`` of the master of one slot."""

    is_master = True
    check_connection = False

    def __init__(self, slots: SlotMap, slot: int) -> None:
        self._slots = slots
        self._slot = slot

    async def get_master_address(self) -> Host:
        """Ask the nodes of the cluster."""
        for first, last, master in await self._slots.ranges():
            if first <= self._slot <= last:
                return master
        raise NoMaster(f"no node of the cluster has the slot {self._slot}")


class AtHost:
    """A ``Finder`` that knows."""

    is_master = True
    check_connection = False

    def __init__(self, host: Host) -> None:
        self._host = host

    async def get_master_address(self) -> Host:
        """Return it."""
        return self._host


def slot_of(key: str | bytes) -> int:
    """Return the slot of a key in every cluster."""
    return key_slot(key.encode() if isinstance(key, str) else key)


def finder_of(address: RedisAddress, timeout: float, key: str) -> Finder | None:
    """Return who finds the master that has a key; None where the URL says it. ``timeout``: seconds for an answer."""
    if address.sentinels is not None:
        return BySentinels(address.sentinels, timeout)
    if address.nodes:
        return BySlot(SlotMap(address, timeout), slot_of(key))
    return None


def pool_of(
    address: RedisAddress, timeout: float, *, protocol: int, finder: Finder | None = None, most: int = 2
) -> BlockingConnectionPool:
    """Return a pool of connections to a master, none of them made yet.

    Args:
        address: Where it is.
        timeout: Seconds to wait for a connection, for an answer, and for a free connection.
        protocol: 2 or 3.
        finder: Finds the master at each connect, where the URL does not say it.
        most: How many connections there are at most.

    Raises ValueError for a URL that is none.
    """
    options = {"max_connections": most, "timeout": timeout, **_options(timeout, protocol), **_url_options(address)}
    if finder is None:
        options |= {key: value for key, value in parse_url(address.url).items() if key in ("host", "port")}
    else:
        secure = issubclass(options.get("connection_class", Connection), SSLConnection)
        options["connection_class"] = SentinelManagedSSLConnection if secure else SentinelManagedConnection
        options |= {"connection_pool": finder, "redis_connect_func": _is_master}
    return BlockingConnectionPool(**{**options, "protocol": protocol})


def _options(timeout: float, protocol: int) -> dict[str, Any]:
    # No hidden repeats: one lost reply made redis-py's own retry enqueue twice and lose a claimed job.
    retry = Retry(NoBackoff(), 0)
    return {"protocol": protocol, "retry": retry, "socket_timeout": timeout, "socket_connect_timeout": timeout}


def _url_options(address: RedisAddress) -> dict[str, Any]:
    """Return what a URL says besides host and port."""
    return {key: value for key, value in parse_url(address.url).items() if key not in ("host", "port")}


async def _is_master(connection: AbstractConnection) -> None:
    """Log in, and refuse a server that is no master (any more, or yet)."""
    await connection.on_connect()
    await connection.send_command("ROLE")
    try:
        role = await connection.read_response()
    except ResponseError:  # an ACL, or a service that does not tell
        return
    if role[0] != b"master":
        raise NoMaster("who is said to be the master is a replica: a failover is under way")


async def _ask(
    hosts: Iterable[Host], options: Mapping[str, Any], words: Sequence[str], read: Callable[[Any, Host], Answer]
) -> tuple[list[Answer], dict[Host, Exception]]:
    """Return what ``read`` makes of the answers of those servers that answer in time, and the errors of others."""

    async def ask(host: Host) -> Answer:
        pool = ConnectionPool(host=host[0], port=host[1], **options)
        connection: AbstractConnection = await opened(pool.make_connection())  # type: ignore[no-untyped-call]
        try:
            await connection.send_command(*words)
            return read(await connection.read_response(), host)
        finally:
            await connection.disconnect(nowait=True)  # which does not wait, so it can't be cancelled

    tasks = {asyncio.create_task(ask(host)): host for host in hosts}
    answers: list[Answer] = []
    problems: dict[Host, Exception] = {}
    waiting = set(tasks)
    end: float | None = None
    time = asyncio.get_running_loop().time
    try:
        while waiting:
            left = None if end is None else max(0.0, end - time())
            done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for task in done:
                try:
                    answers.append(task.result())
                except (RedisError, OSError) as error:
                    problems[tasks[task]] = error
            if answers and end is None:
                end = time() + _OTHERS
    finally:
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
    return answers, problems


def _ranges(said: Any, asked: Host) -> tuple[Range, ...]:
    """Return what ``CLUSTER SLOTS`` says. A node that does not know its own name is where it was asked."""
    found = []
    for first, last, master, *_ in said:
        name = asked[0] if not master[0] else _text(master[0])
        if name != "?":
            found.append(Range(int(first), int(last), (name, int(master[1]))))
    return tuple(sorted(found))


def _reasons(problems: Mapping[Host, Exception]) -> str:
    return "; ".join(f"{shown((host,))}: {_reason(error)}" for host, error in list(problems.items())[:3])


def _reason(error: Exception) -> str:
    meaning = next((text for kind, text in _REASONS if isinstance(error, kind)), None)
    return meaning or str(error)[:100]


def _text(data: bytes | str) -> str:
    return data.decode() if isinstance(data, bytes) else data
