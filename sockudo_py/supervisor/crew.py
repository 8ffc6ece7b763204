"""The workers of a server: started together, replaced when one ends, and one by one when that is asked for."""

import asyncio
import logging
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sockudo_py.errors import ConfigError, SockudoError
from sockudo_py.metrics import Metrics
from sockudo_py.supervisor.children import Children
from sockudo_py.supervisor.policy import Backoff, described, hint, successor
from sockudo_py.supervisor.sockets import SharedSockets
from sockudo_py.supervisor.sums import Family, Sums, families_of
from sockudo_py.supervisor.worker_process import WorkerProcess

log = logging.getLogger(__name__)

START_AT_MOST: Final = 120.0  # seconds until a worker must be ready
LOOK_EVERY: Final = 1.0  # seconds between two questions how a worker is
SILENT: Final = 5.0  # seconds without an answer after which a worker counts as ill
STUCK: Final = 60.0  # ... and after which it is killed
FIGURES_WITHIN: Final = 2.0  # seconds; who takes longer is shown with its last figures
PATIENCE: Final = 10.0  # seconds that a stop may take longer than its parts


@dataclass(eq=False)
class Seat:
    """The place of a worker and of its successors."""

    name: str
    worker: WorkerProcess | None = None
    backoff: Backoff = field(default_factory=Backoff)
    renewal: asyncio.TimerHandle | None = None  # the start of the next one
    renewing: asyncio.Task[None] | None = None
    said_silent: bool = False
    rolling: bool = False  # its worker is being replaced on demand


class Crew:
    """See above. ``start`` once, then ``stop`` once, also when ``start`` raised.

    Args:
        count: How many workers.
        sockets: What they listen on.
        metrics: Of the supervisor.
    """

    def __init__(self, count: int, sockets: SharedSockets, metrics: Metrics) -> None:
        self._sockets = sockets
        self._metrics = metrics
        self._children = Children()
        self._seats = [Seat(str(number)) for number in range(1, count + 1)]
        self._order: dict[str, Any] = {}
        self._sums = Sums()
        self._late_reloads: set[asyncio.Task[bool]] = set()
        self._leaving: set[WorkerProcess] = set()
        self._departed: list[str] = []  # nodes whose process has ended, which the cluster does not know yet
        self._asked_to_expire = float("-inf")
        self._runs = False  # from the end of the start to the beginning of the stop
        self._look: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._up = metrics.gauge("worker_up", "1 while a worker takes clients and answers its supervisor", ("worker",))
        self._ends = metrics.counter(
            "worker_ends_total", "Workers that ended without being told to, by exit code or signal", ("worker", "how")
        )
        self._replaced = metrics.counter("workers_replaced_total", "Workers that a restart has replaced")

    # -- start and stop --

    async def start(self, order: Mapping[str, Any]) -> list[str]:
        """Start all workers, and return the banner when all are ready.

        Raises ConfigError or SockudoError with what the first one says that can't start.

        Args:
            order: What each worker gets with ``start``, without its name and its sockets.
        """
        self._order = dict(order)
        self._children.start()
        workers = [await self._spawn(seat) for seat in self._seats]
        due: set[asyncio.Future[None]] = {worker.settled for worker in workers}
        deadline = self._loop.time() + START_AT_MOST
        while due:
            _, due = await asyncio.wait(
                due, timeout=max(0.0, deadline - self._loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
            for worker in workers:
                if worker.ended.done():
                    _raise(worker)
            if due and self._loop.time() >= deadline:
                raise SockudoError(f"not all workers were ready after {START_AT_MOST:g} s; their log lines say why")
        for seat, worker in zip(self._seats, workers, strict=True):
            self._take(seat, worker)
        self._runs = True
        self._heard()
        self._look = self._loop.create_task(self._look_after(), name="workers: look")
        return workers[0].banner

    async def stop(self, most: float) -> bool:
        """Let all workers drain and end; kill workers that have not ended after ``most`` seconds and a little more.

        Returns whether all have ended well.
        """
        ran, self._runs = self._runs, False
        if self._look is not None:
            self._look.cancel()
        for seat in self._seats:
            if seat.renewal is not None:
                seat.renewal.cancel()
            if seat.renewing is not None:
                seat.renewing.cancel()
        workers = self._all()
        for worker in workers:
            worker.stop()
        await self._end_of(workers, most + PATIENCE)
        ill = [
            worker for worker in workers if ran and worker.banner and worker.code
        ]  # a worker that was starting is not meant
        for worker in ill:
            log.error("worker %s (process %d) %s", worker.name, worker.pid, described(worker.code or 0))
        return not ill

    def kill(self) -> None:
        """End all workers at once."""
        self._children.kill_all()

    def _all(self) -> list[WorkerProcess]:
        seated = (seat.worker for seat in self._seats)
        return [*(worker for worker in seated if worker is not None), *self._leaving]

    async def _end_of(self, workers: list[WorkerProcess], most: float) -> None:
        if not workers:
            return
        _, late = await asyncio.wait({worker.ended for worker in workers}, timeout=most)
        if not late:
            return
        for worker in workers:
            if not worker.ended.done():
                log.error("worker %s (process %d) has not ended after %gs: it is killed", worker.name, worker.pid, most)
                worker.signal(signal.SIGKILL)
        await asyncio.wait(late)

    async def _spawn(self, seat: Seat, listeners: list[socket.socket] | None = None) -> WorkerProcess:
        """Start a process for a seat; ``listeners`` are those of the one that it replaces. Raises SockudoError."""
        try:
            mine = await self._sockets.listeners() if listeners is None else [each.dup() for each in listeners]
        except OSError as problem:
            raise SockudoError(f"worker {seat.name} can't listen on the port: {problem.strerror}") from problem
        worker = WorkerProcess(seat.name, mine, self._order["content"], self._heard)
        numbers, shared = self._sockets.shared()
        try:
            await worker.start(self._children, self._order | numbers, shared)
        except OSError as problem:
            _close(worker)
            raise SockudoError(f"worker {seat.name} can't be started: {problem.strerror or problem}") from problem
        self._leaving.add(worker)  # until it has its seat
        worker.ended.add_done_callback(lambda _: self._gone(seat, worker))
        return worker

    def _take(self, seat: Seat, worker: WorkerProcess) -> None:
        """Give a worker that is ready its seat."""
        if worker.ended.done():  # in this moment
            return
        self._leaving.discard(worker)
        seat.worker = worker
        seat.said_silent = False
        self._up.set(seat.name, value=1)
        log.info("worker %s is process %d", worker.name, worker.pid)
        if worker.content != self._order["content"]:  # there was a reload while it started
            task = self._loop.create_task(worker.reload(self._order["content"]))
            self._late_reloads.add(task)
            task.add_done_callback(self._late_reloads.discard)
        self._heard()

    # -- ends --

    def _gone(self, seat: Seat, worker: WorkerProcess) -> None:
        """Close the sockets of a worker that has ended, so that they get no clients; start another one if need be."""
        _close(worker)
        self._leaving.discard(worker)
        self._sums.ended(worker.figures)
        self._departed += worker.nodes  # those of a worker that has said goodbye are no longer known
        if seat.worker is worker:
            seat.worker = None
            self._up.set(seat.name, value=0)
        if not self._runs:
            return
        if not worker.leaves and seat.renewing is None and not seat.rolling:
            self._replace(seat, worker)
        self._heard()

    def _replace(self, seat: Seat, worker: WorkerProcess) -> None:
        code = worker.code or 0
        pause = seat.backoff.ended(worker.lived)
        self._ends.add(seat.name, f"signal {-code}" if code < 0 else f"code {code}")
        for problem in worker.failure.problems if worker.failure is not None else ():
            log.error("worker %s can't start: %s", seat.name, problem)
        times = f", {seat.backoff.failures} times in a row" if seat.backoff.loops else ""
        log.error(
            "worker %s (process %d) %s after %.1f s%s%s; %s",
            seat.name,
            worker.pid,
            described(code),
            worker.lived,
            times,
            hint(code),
            successor(pause),
        )
        self._renew_in(seat, pause)

    def _renew_in(self, seat: Seat, pause: float) -> None:
        seat.renewal = self._loop.call_later(pause, self._begin_renewal, seat)

    def _begin_renewal(self, seat: Seat) -> None:
        seat.renewal = None
        seat.renewing = self._loop.create_task(self._renew(seat), name=f"worker {seat.name}: start")

    async def _renew(self, seat: Seat) -> None:
        worker = None
        try:
            worker = await self._spawn(seat)
            if await self._is_ready(worker):
                self._take(seat, worker)
        except SockudoError as problem:
            log.error("%s", problem)
        finally:
            seat.renewing = None
        if seat.worker is None and self._runs:
            if worker is not None:
                self._replace(seat, worker)
            else:
                self._renew_in(seat, seat.backoff.ended(0.0))

    async def _is_ready(self, worker: WorkerProcess) -> bool:
        """Wait until a worker is ready; kill it when that takes too long."""
        _, late = await asyncio.wait({worker.settled}, timeout=START_AT_MOST)
        if late:
            log.error("worker %s was not ready after %g s: it is killed", worker.name, START_AT_MOST)
            worker.signal(signal.SIGKILL)
            await asyncio.wait({worker.ended})
        return not worker.ended.done()

    # -- what operators ask for --

    async def reload(self, content: str) -> bool:
        """Have every worker take up a configuration that can be taken up; return whether all did."""
        self._order["content"] = content
        done = await asyncio.gather(*(worker.reload(content) for worker in self._ready()))
        return all(done)

    async def restart(self, content: str, most: float) -> bool:
        """Replace the workers one by one, each when its successor is ready; return whether all were replaced.

        A successor that can't start ends it: the workers that are there stay.

        Args:
            content: The configuration of the successors.
            most: Seconds that a worker takes at most to stop.
        """
        before, self._order["content"] = self._order["content"], content
        for count, seat in enumerate(self._seats):
            if seat.worker is None:  # another one is started anyhow, with this configuration
                continue
            seat.rolling = True
            try:
                done = await self._succeed(seat, seat.worker, most)
            finally:
                seat.rolling = False
            if not done:
                if count == 0:
                    self._order["content"] = before
                return False
        return True

    async def _succeed(self, seat: Seat, old: WorkerProcess, most: float) -> bool:
        """Replace a worker when its successor is ready; return whether that was so."""
        new = await self._spawn(seat, old.listeners)
        if await self._is_ready(new):
            if not old.ended.done():
                self._leaving.add(old)
            self._take(seat, new)
            old.retire()
            self._replaced.add()
            await self._end_of([old], most + PATIENCE)
            return True
        for problem in new.failure.problems if new.failure is not None else ():
            log.error("worker %s can't be replaced: %s", seat.name, problem)
        if new.failure is None:
            log.error("worker %s can't be replaced: its successor %s", seat.name, described(new.code or 0))
        if old.ended.done():  # meanwhile
            self._replace(seat, old)
        return False

    # -- looking after them --

    def _ready(self) -> list[WorkerProcess]:
        return [seat.worker for seat in self._seats if seat.worker is not None]

    async def _look_after(self) -> None:
        while True:
            try:
                for seat in self._seats:
                    if seat.worker is not None:
                        seat.worker.ask_state()
                        self._watch(seat, seat.worker)
                self._heard()
            except Exception:  # top of the task: go on looking
                log.exception("looking after the workers: unexpected error")
            await asyncio.sleep(LOOK_EVERY)

    def _watch(self, seat: Seat, worker: WorkerProcess) -> None:
        silent = worker.silent()
        is_silent = silent >= SILENT
        if is_silent != seat.said_silent:
            seat.said_silent = is_silent
            self._up.set(seat.name, value=int(not is_silent))
            if is_silent:
                text = "worker %s (process %d) has not answered for %.0f s; it is killed after %.0f s of silence"
                log.warning(text, worker.name, worker.pid, silent, STUCK)
            else:
                log.info("worker %s (process %d) answers again", worker.name, worker.pid)
        if silent >= STUCK:
            log.error("worker %s (process %d) has not answered for %.0f s: killed", worker.name, worker.pid, silent)
            worker.signal(signal.SIGKILL)

    def _heard(self) -> None:
        """Something has changed: let each worker know how the others are, and take dead nodes out of the cluster."""
        ready = self._ready()
        ill = [worker for worker in ready if worker.ill or worker.silent() >= SILENT]
        missing = len(ready) < len(self._seats)
        for worker in ready:
            worker.tell_ill(missing or any(other is not worker for other in ill))
        if self._departed and self._runs and self._loop.time() - self._asked_to_expire >= LOOK_EVERY / 2:
            able = next((worker for worker in ready if worker not in ill), None)
            if able is not None:
                self._asked_to_expire = self._loop.time()
                able.expire(self._departed, self._expired)

    def _expired(self, nodes: list[str]) -> None:
        self._departed = [node for node in self._departed if node not in nodes]

    # -- figures --

    async def figures(self) -> list[Family]:
        """Return the figures of all workers together, each with its last ones where it does not answer in time."""
        leaving = [worker for worker in self._leaving if worker.ready]
        seated = self._ready()
        workers = [*leaving, *seated]  # in this order: of two of one name the one with the seat counts
        answered = await asyncio.gather(*(worker.ask_figures(FIGURES_WITHIN) for worker in workers))
        for worker, in_time in zip(seated, answered[len(leaving) :], strict=True):
            if not worker.ended.done():
                self._up.set(worker.name, value=int(in_time and worker.silent() < SILENT))
        there = [(worker.name, worker.figures) for worker in workers if not worker.ended.done()]
        return self._sums.of(there, families_of(self._metrics))

    def pids(self) -> dict[str, int]:
        """Return the process of each worker that is there."""
        return {worker.name: worker.pid for worker in self._ready()}


def _raise(worker: WorkerProcess) -> None:
    """Raise why a worker could not start."""
    failure = worker.failure
    if failure is None:
        raise SockudoError(f"worker {worker.name} {described(worker.code or 0)} before it was ready")
    if failure.unusable:
        raise ConfigError(list(failure.problems))
    raise SockudoError("\n".join(failure.problems))


def _close(worker: WorkerProcess) -> None:
    for each in worker.listeners:
        each.close()
