"""One worker as its supervisor sees it."""

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sockudo_py.supervisor import WORKER_COMMAND
from sockudo_py.supervisor.children import Children
from sockudo_py.supervisor.sums import Families, read
from sockudo_py.supervisor.wire import Said, Wire

_RELOAD_WITHIN: Final = 60.0  # seconds
_LAST_WORDS: Final = 1.0  # seconds at most from the end of a process until all that it has said is read


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a worker could not start. ``unusable``: the configuration is wrong."""

    problems: tuple[str, ...]
    unusable: bool


class WorkerProcess:
    """A worker from its start to its end.

    Args:
        name: Of the worker; its successors have the same one.
        listeners: Its sockets of the port. They stay the caller's.
        content: The configuration that it starts with.
        heard: Called after each message of the process.
    """

    def __init__(self, name: str, listeners: Sequence[socket.socket], content: str, heard: Callable[[], None]) -> None:
        self.name = name
        self.content = content
        self.listeners = list(listeners)
        self.pid = 0
        self.banner: list[str] = []
        self.failure: Failure | None = None
        self.ready = False
        self.leaves = False  # it was told to
        self.code: int | None = None  # its exit code
        self.figures: Families = {}  # as it gave them last
        self.nodes: list[str] = []  # the names that it has in the cluster
        self.ill: list[str] = []
        self.told_ill = False  # whether it was last told that other workers are ill
        loop = asyncio.get_running_loop()
        self.settled: asyncio.Future[None] = loop.create_future()  # it is ready, or it has ended
        self.ended: asyncio.Future[None] = loop.create_future()
        self.started = self.heard_at = loop.time()
        self.asked_at: float | None = None  # since when an answer about its state is due
        self._clock = loop.time
        self._heard = heard
        self._children: Children | None = None
        self._figures_due: asyncio.Future[None] | None = None
        self._reloaded: asyncio.Future[Any] | None = None
        self._expired: Callable[[list[str]], None] | None = None
        self._wire = Wire(self._hear, self._hung_up)
        self._hears = True

    @property
    def lived(self) -> float:
        """Seconds since its start."""
        return self._clock() - self.started

    async def start(self, children: Children, order: Mapping[str, Any], shared: Sequence[socket.socket]) -> None:
        """Start the process. Raises OSError.

        Args:
            children: Starts it.
            order: What it is to do; the numbers of its own sockets are added.
            shared: More sockets that it inherits.
        """
        mine, its = socket.socketpair()
        with its:
            passed = [each.fileno() for each in (its, *self.listeners, *shared)]
            try:
                self.pid = children.spawn([WORKER_COMMAND, self.name, str(its.fileno())], passed, self._has_ended)
            except OSError:
                mine.close()
                raise
        self._children = children
        mine.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self._wire, sock=mine)
        listeners = [each.fileno() for each in self.listeners]
        self._wire.say("start", worker=self.name, listeners=listeners, **order)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self._children is not None:
            self._children.signal(self.pid, number)

    def stop(self) -> None:
        """Have it drain and end, as a server that stops."""
        self.leaves = True
        self.signal(signal.SIGTERM)

    def retire(self) -> None:
        """Have it drain and end, as a worker whose successor is there."""
        self.leaves = True
        self._wire.say("retire")

    def ask_state(self) -> None:
        """Ask how it is, unless it owes an answer."""
        if self.asked_at is None:
            self.asked_at = self._clock()
            self._wire.say("ask", what="state")

    def silent(self) -> float:
        """Return for how many seconds it has owed an answer."""
        return 0.0 if self.asked_at is None else self._clock() - self.asked_at

    def tell_ill(self, ill: bool) -> None:
        """Tell the worker whether other workers are ill."""
        if ill != self.told_ill:
            self.told_ill = ill
            self._wire.say("others", ill=ill)

    async def ask_figures(self, timeout: float) -> bool:
        """Ask for its figures and wait for them; return False when they did not come in time."""
        due = self._figures_due
        if due is None:
            due = self._figures_due = asyncio.get_running_loop().create_future()
            self._wire.say("ask", what="metrics")
        await asyncio.wait({due, self.ended}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return due.done()

    async def reload(self, content: str) -> bool:
        """Have it take up a configuration; return whether it did."""
        self._reloaded = asyncio.get_running_loop().create_future()
        self._wire.say("reload", content=content)
        due = {self._reloaded, self.ended}
        await asyncio.wait(due, timeout=_RELOAD_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        return self._reloaded.done() and self._reloaded.result()

    def expire(self, nodes: Sequence[str], expired: Callable[[list[str]], None]) -> None:
        """Have it count nodes as dead; ``expired`` gets those for which that is done."""
        self._expired = expired
        self._wire.say("expire", names=list(nodes))

    def _hear(self, said: Said) -> None:
        self.heard_at = self._clock()
        match said["say"]:
            case "ready":
                self.banner = said["lines"]
                self._state(said)
                self.ready = True
                self._settle()
            case "failed":
                self.failure = Failure(tuple(said["problems"]), said["unusable"])
            case "state":
                self.asked_at = None
                self._state(said)
            case "metrics":
                self.figures = read(said["families"])
                due, self._figures_due = self._figures_due, None
                if due is not None:
                    due.set_result(None)
            case "reloaded":
                if self._reloaded is not None and not self._reloaded.done():
                    self._reloaded.set_result(said["done"])
            case "expired":
                if self._expired is not None:
                    self._expired(said["names"])
        self._heard()

    def _state(self, said: Said) -> None:
        self.nodes, self.ill = said.get("names", []), said.get("ill", [])

    def _has_ended(self, code: int) -> None:
        self.code = code
        if self._hears:  # its last messages are still unread
            asyncio.get_running_loop().call_later(_LAST_WORDS, self._end)
        else:
            self._end()

    def _hung_up(self) -> None:
        self._hears = False
        if self.code is not None:
            self._end()

    def _end(self) -> None:
        self.ready = False
        self._wire.close()
        if not self.ended.done():
            self.ended.set_result(None)
        self._settle()

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)
