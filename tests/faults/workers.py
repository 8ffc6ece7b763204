"""Starts worker processes (``tests.faults.process``), tells them what to do, kills them, and knows what they said."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from tests.faults.harness import until
from tests.faults.process import Options, encode

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class WorkerProcess:
    """A running worker. ``taken``: numbers of the events that its queue has promised to keep."""

    process: Process
    log: Path
    taken: list[int] = field(default_factory=list)
    attempts: list[tuple[str, int, str]] = field(default_factory=list)
    told: list[dict[str, int]] = field(default_factory=list)
    ready: bool = False
    _reader: asyncio.Task[None] | None = None

    def send(self, first: int, count: int = 1) -> None:
        """Have it raise events."""
        self._command(send=[first, count])

    async def tell(self) -> dict[str, int]:
        """Return what waits in its memory, what it has in flight, and how many results came too late."""
        known = len(self.told)
        self._command(tell=True)
        await until(lambda: len(self.told) > known, "an answer of the worker")
        return self.told[-1]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: SIGKILL, SIGSTOP, SIGCONT, SIGTERM."""
        self.process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL it, and read what it still said."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.ended()

    async def ended(self, timeout: float = 60.0) -> int:
        """Wait for its end and return the exit code."""
        code = await asyncio.wait_for(self.process.wait(), timeout)
        if self._reader is not None:
            await self._reader
        return code

    def _command(self, **fields: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(orjson.dumps(fields) + b"\n")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            if not line.endswith(b"\n"):
                return  # killed in the middle of a line: it promised nothing by it
            said = orjson.loads(line)
            self.ready = self.ready or "ready" in said
            self.taken += said.get("taken", ())
            if "attempt" in said:
                self.attempts.append(tuple(said["attempt"]))
            if "told" in said:
                self.told.append(said["told"])


async def start_worker(options: Options, log: Path) -> WorkerProcess:
    """Start a worker; returns when it is at work."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.process",
            encode(options),
            stdin=PIPE,
            stdout=PIPE,
            stderr=file,
            cwd=ROOT,
            limit=1 << 24,
        )
    worker = WorkerProcess(process, log)
    worker._reader = asyncio.create_task(worker._read())

    def known() -> bool:
        assert process.returncode is None or worker.ready, f"the worker ended:\n{log.read_text()[-3000:]}"
        return worker.ready

    await until(known, "the worker to start", 60)
    return worker


class Workers:
    """Starts workers with the same options, and leaves none behind."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.options = options
        self._log = folder / "workers.log"
        self.all: list[WorkerProcess] = []

    async def start(self, **changes: Any) -> WorkerProcess:
        """Start one more; ``changes`` of its options."""
        worker = await start_worker(replace(self.options, **changes), self._log)
        self.all.append(worker)
        return worker

    @property
    def taken(self) -> set[int]:
        """What the queue has promised to any of them."""
        return {number for worker in self.all for number in worker.taken}

    def logged(self) -> str:
        """Return what all of them wrote to standard error."""
        return self._log.read_text(errors="replace")


@asynccontextmanager
async def workers(options: Options, folder: Path) -> AsyncIterator[Workers]:
    """Hand out worker processes for a block, and kill those that are left."""
    crew = Workers(options, folder)
    try:
        yield crew
    finally:
        for worker in crew.all:
            if worker.process.returncode is None:
                worker.process.send_signal(signal.SIGCONT)
            await worker.kill()
            if worker.process.stdin is not None:
                worker.process.stdin.close()
