"""Streams to the masters of a Redis Cluster, one to each, that are made again whenever they are lost.

A user has its keys and topics in one slot, and goes over the stream to the master that has it. No redirection is
followed: a user who gets one gives its connection up, and asks the nodes of the cluster who has its slot now.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.address import Host, shown
from sockudo_py.links.redis.commands import Commands, answer_to, away, refusal
from sockudo_py.links.redis.masters import Range, slot_of
from sockudo_py.links.redis.opening import Opening
from sockudo_py.links.redis.shared import FIRST_PAUSE, HELD, LONGEST_PAUSE, MOVED, WARN_EVERY, User, fields
from sockudo_py.links.redis.stream import Answer, Listener, RedisStream, ReplyError
from sockudo_py.links.redis.wire import Word

_log = logging.getLogger(__name__)

_APART: Final = 30.0  # seconds without trouble after which a user shares a connection again, at its next loss


class LastingCluster:
    """See above.

    Args:
        slots: Says who has which slots, or raises ``Unavailable``.
        connect: Makes a stream to a master with the cluster's commands for topics, or raises ``Unavailable``.
        timeout: Seconds that a server has to answer.
        problem_of: Says of the fields of ``INFO`` why a server can't be used; None when it can.
        name: What it is to people who read the log: ``the adapter's Redis``.
    """

    def __init__(
        self,
        slots: Callable[[], Awaitable[tuple[Range, ...]]],
        connect: Callable[[Host, Listener], Awaitable[RedisStream]],
        timeout: float,
        problem_of: Callable[[Mapping[str, str]], str | None],
        name: str,
    ) -> None:
        self.timeout = timeout
        self.name = name
        self._slots = slots
        self._connect = connect
        self._problem_of = problem_of
        self._loop = asyncio.get_running_loop()
        self._ranges: tuple[Range, ...] = ()
        self._stale = True  # the ranges may be
        self._ways: dict[bytes, ClusterWay] = {}
        self._by_slot: dict[int, ClusterWay] = {}
        self._masters: dict[tuple[Host, ClusterWay | None], _Master] = {}
        self._tending: asyncio.Task[None] | None = None
        self._opening = Opening(name)
        self._last_reason = "it was not tried"
        self._warned_at = float("-inf")
        self._lost_at: float | None = None
        self._pause = 0.0
        self._complete_at = float("-inf")

    def way(self, prefix: bytes) -> "ClusterWay":
        """Return the way to the server that has the keys with a prefix, which has a hash tag."""
        found = self._ways.get(prefix)
        if found is None:
            found = self._ways[prefix] = ClusterWay(self, prefix)
            self._by_slot[found.slot] = found
        return found

    async def open(self) -> None:
        """Connect for the first time, check the servers, and wait until all users are ready.

        Each call needs one of ``close``; only the first connects. Raises ``Unavailable``, or ``SockudoError`` for a
        server that can't be used.
        """
        await self._opening.open(self._begin, self.timeout * 3, lambda: f"can't be used: {self._last_reason}")

    async def _begin(self) -> None:
        self._tend()

    async def close(self) -> None:
        """Close the connections, when nobody else holds them open."""
        if not self._opening.leave():
            return
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait({self._tending})
        masters, self._masters = self._masters, {}
        for master in masters.values():
            master.stream.close()
            master.commands.end(self.name)

    @property
    def ready(self) -> bool:
        """Whether some master is connected."""
        return bool(self._masters)

    def refused(self, problem: str) -> None:
        """A user can't use what it found there: ``open`` raises that."""
        self._opening.refuse(self._opening.problem or problem)

    def command(self, *words: Word, then: Answer) -> None:
        """Send a command; ``then`` gets the answer, or ``Unavailable``, exactly once."""
        key = words[3] if words[0] in ("EVAL", "EVALSHA") else words[1]
        slot = slot_of(key if isinstance(key, bytes) else str(key).encode("utf-8", "surrogatepass"))
        way = self._by_slot.get(slot)
        master = way.master if way is not None else self._owner(slot)
        if master is None:
            then(away(self.name))
            self._tend()
        else:
            master.command(words, partial(self._answered, then))

    async def query_each(self, *words: Word) -> list[Any]:
        """Return the answers of all servers to a command. Raises ``Unavailable``."""
        return [await self.query_on(master, words) for master in list(self._masters.values())]

    async def query_on(self, master: "_Master | None", words: tuple[Word, ...]) -> Any:
        """Return the answer of a master to a command. Raises ``Unavailable``."""
        if master is None:
            raise away(self.name)
        found = await answer_to(partial(master.command, words))
        if isinstance(found, ReplyError):
            self._answered(_nobody, found)
            raise refusal(self.name, found)
        return found

    def _answered(self, then: Answer, answer: Any) -> None:
        if isinstance(answer, ReplyError) and str(answer).startswith(MOVED):
            self._stale = True
            self._tend()
        then(answer)

    def _owner(self, slot: int) -> "_Master | None":
        host = self._host(slot)
        return None if host is None else self._masters.get((host, None))

    def _host(self, slot: int) -> Host | None:
        return next((host for first, last, host in self._ranges if first <= slot <= last), None)

    # -- what masters and ways say --

    def message(self, topic: bytes, payload: bytes) -> None:
        """Take a message."""
        end = topic.find(b"}:") + 2
        way = self._ways.get(topic[:end])
        if way is not None and way.user is not None:
            way.user.message(topic[end:], payload)

    def lost(self, master: "_Master", reason: str) -> None:
        """The connection to a master is gone: its users look for the owners of their slots."""
        self._masters.pop(master.key, None)
        self._last_reason = f"{shown((master.host,))}: {reason}"
        self._stale = True
        self._lost_at = self._lost_at or self._loop.time()
        self._warn("the connection to a master of %s, %s, is lost: %s", self.name, shown((master.host,)), reason)
        master.commands.end(self.name)
        for way in list(self._ways.values()):
            if way.master is master:
                way.lost(self._loop.time())
        self._tend()

    def is_ready(self) -> None:
        """A way can be used."""
        if all(way.ready for way in self._ways.values()) and self._complete():
            self._opening.settle()
            if self._lost_at is not None:
                _log.info("all of %s is back after %.1f s", self.name, self._loop.time() - self._lost_at)
                self._lost_at = None

    # -- connecting --

    def _tend(self) -> None:
        if self._opening.opened and not self._opening.closed and self._tending is None:
            self._tending = asyncio.create_task(self._tend_on())

    def _complete(self) -> bool:
        """Return whether every master, and every user, has its connection."""
        if self._stale or any(way.master is None for way in self._ways.values()):
            return False
        return all((one.master, None) in self._masters for one in self._ranges)

    async def _tend_on(self) -> None:
        if self._loop.time() - self._complete_at >= HELD:  # else a connection may be lost at once again
            self._pause = 0.0
        try:
            while not self._complete():
                await asyncio.sleep(self._pause)
                self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
                try:
                    self._stale = False
                    self._ranges = await self._slots()
                except Unavailable as error:
                    self._stale = True
                    self._trouble(error)
                    continue
                await self._connect_all()
            self._complete_at = self._loop.time()
        finally:
            self._tending = None
        self.is_ready()

    async def _connect_all(self) -> None:
        """Connect to the masters that have no connection, and give each user without one to the owner of its slot."""
        self._let_go()
        wanted: dict[tuple[Host, ClusterWay | None], list[ClusterWay]] = {
            (one.master, None): [] for one in self._ranges if (one.master, None) not in self._masters
        }
        for way in self._ways.values():
            host = self._host(way.slot)
            if way.master is None and host is not None:
                wanted.setdefault((host, way if way.alone else None), []).append(way)
            elif way.master is None:
                self._trouble(Unavailable(f"no master has the slot {way.slot}"))
        await asyncio.gather(*(self._give(key, ways) for key, ways in wanted.items()))

    def _let_go(self) -> None:
        """Give up the connections to those that have no slots any more, or not those of their users."""
        hosts = {one.master for one in self._ranges}
        for master in list(self._masters.values()):
            users = [way for way in self._ways.values() if way.master is master]
            if any(self._host(way.slot) not in (None, master.host) for way in users):
                master.stream.fail("another master has its slots now")
            elif not users and master.host not in hosts:
                self._masters.pop(master.key)
                master.stream.close()
                master.commands.end(self.name)

    async def _give(self, key: "tuple[Host, ClusterWay | None]", ways: "list[ClusterWay]") -> None:
        master = self._masters.get(key)
        if master is None:
            try:
                master = await self._dial(key)
            except Unavailable as error:
                self._trouble(error)
                return
            if master is None:
                return
        for way in ways:
            if master.stream.closed:
                return
            way.found(master)

    async def _dial(self, key: "tuple[Host, ClusterWay | None]") -> "_Master | None":
        """Return a master whose connection can be used; None when it can't be."""
        listener = _Heard(self)
        stream = await self._connect(key[0], listener)
        master = _Master(key, stream)
        answer: asyncio.Future[Any] = self._loop.create_future()
        listener.ended = lambda reason: None if answer.done() else answer.set_exception(Unavailable(reason))
        if stream.closed:
            raise Unavailable(f"{self.name} closed the connection at once")
        stream.ask("INFO", "default", then=lambda found: None if answer.done() else answer.set_result(found))
        try:
            found = await answer
        except asyncio.CancelledError:
            stream.close()
            raise
        if isinstance(found, ReplyError):
            stream.close()
            raise Unavailable(f"INFO was refused: {str(found)[:200]}")
        info = fields(found)
        problem = self._problem_of(info)
        if problem is not None:
            stream.close()
            self.refused(f"{shown((key[0],))}: {problem}")
            return None
        master.run_id = info.get("run_id", "")
        listener.ended = partial(self.lost, master)
        if stream.closed:
            raise Unavailable(f"{self.name} closed the connection")
        self._masters[key] = master
        return master

    def _trouble(self, error: Unavailable) -> None:
        self._last_reason = str(error)
        self._warn("%s is away in part: %s", self.name, error)

    def _warn(self, text: str, *words: object) -> None:
        now = self._loop.time()
        if now - self._warned_at >= WARN_EVERY and not self._opening.closed:
            self._warned_at = now
            _log.warning(text, *words)


@dataclass(slots=True, eq=False)
class _Master:
    """A connection to a master; for one way alone where the key says so."""

    key: "tuple[Host, ClusterWay | None]"
    stream: RedisStream
    run_id: str = ""
    commands: Commands = field(default_factory=Commands)

    @property
    def host(self) -> Host:
        return self.key[0]

    def command(self, words: tuple[Word, ...], then: Answer) -> None:
        """Send a command; ``then`` gets the answer, or ``Unavailable``, exactly once."""
        self.stream.ask(*words, then=self.commands.add(then))


class _Heard:
    """Who listens to a stream."""

    def __init__(self, cluster: LastingCluster) -> None:
        self._cluster = cluster
        self.ended: Callable[[str], None] = _nobody

    def message(self, topic: bytes, payload: bytes) -> None:
        self._cluster.message(topic, payload)

    def lost(self, reason: str) -> None:
        self.ended(reason)


class ClusterWay:
    """A ``Way``: over the connection to the master that has the slot of a prefix.

    A user who drops the connection takes it from all who share it. So that it can't do so repeatedly, while its
    slot is being moved, it gets one for itself.
    """

    publish_command = "SPUBLISH"

    def __init__(self, cluster: LastingCluster, prefix: bytes) -> None:
        self.timeout = cluster.timeout
        self.slot = slot_of(prefix)
        self.user: User | None = None
        self.master: _Master | None = None
        self.ready = False
        self.alone = False
        self._ready_at = float("inf")
        self._cluster = cluster

    def add(self, prefix: bytes, user: User) -> None:
        """Name the user."""
        self.user = user

    def send(self, *words: Word, then: Answer) -> None:
        """Send a command; ``then`` gets the answer, and nothing when the connection is lost before."""
        if self.master is not None:
            self.master.stream.ask(*words, then=then)

    async def query(self, *words: Word) -> Any:
        """Return the answer to a command. Raises ``Unavailable``."""
        return await self._cluster.query_on(self.master, words)

    def subscribe(self, topic: bytes) -> None:
        """Get the messages of a topic."""
        if self.master is not None:
            self.master.stream.subscribe(topic)

    def unsubscribe(self, topic: bytes) -> None:
        """Get the messages of a topic no longer."""
        if self.master is not None:
            self.master.stream.unsubscribe(topic)

    def publish(self, topic: bytes, payload: bytes) -> bool:
        """Publish; return False when that is lost."""
        return self.master is not None and self.master.stream.publish(topic, payload)

    def fail(self, reason: str) -> None:
        """Drop the connection and reconnect."""
        if self.master is not None:
            self.master.stream.fail(reason)
            self.alone = True

    def refused(self, problem: str) -> None:
        """The user can't use what it found there: ``open`` of the connections raises that."""
        self._cluster.refused(problem)

    def is_ready(self, prefix: bytes) -> None:
        """The user can be used again."""
        self.ready = True
        self._ready_at = asyncio.get_running_loop().time()
        self._cluster.is_ready()

    # -- called by the cluster --

    def found(self, master: _Master) -> None:
        """The connection is there."""
        self.master = master
        if self.user is None:
            self.ready = True
        else:
            self.user.connected(master.run_id)

    def lost(self, now: float) -> None:
        """The connection is gone."""
        self.master = None
        if self.ready and now - self._ready_at > _APART:
            self.alone = False
        self.ready = False
        if self.user is not None:
            self.user.lost()


def _nobody(what: object) -> None:
    pass
