"""What all workloads share: a row of the table, the server's CPU clock, processes pinned to their cores.

Ratios travel between machines, absolute figures don't: compare a row only with rows of the same run.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
CPUCLOCK_SCHED = 2  # the kernel's code for "nanoseconds on a CPU" in the clock id of a process


LOST = "LOST OR LATE"  # in the note of a row whose server did not do all that it had to


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table. ``cpu_us`` is CPU microseconds of the server per unit of work; latencies are in ms."""

    workload: str
    subject: str
    units: int
    seconds: float
    cpu_us: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    rss_kb: float | None = None
    load_share: float | None = None  # CPU share of the load generator: near 1 means that it was the bottleneck
    note: str = ""
    spread: float | None = None  # (most - least) / median of cpu_us over the repetitions

    @property
    def rate(self) -> float:
        """Units per second."""
        return self.units / self.seconds


@dataclass(frozen=True, slots=True)
class Step:
    """Growth from ``before`` to ``after`` items: CPU microseconds and resident bytes per item of that step."""

    before: int
    after: int
    cpu_us: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Growth:
    """What was grown, and in which steps. ``per_member``: a step's cost is meant to grow with who is there already."""

    title: str
    steps: list[Step]
    per_member: bool = False


def merged(results: list[Result]) -> Result:
    """Return one row for the repetitions of a row: the one with the median CPU cost, and how far they lay apart."""
    ordered = sorted(results, key=lambda result: result.cpu_us)
    middle = ordered[len(ordered) // 2]
    if len(ordered) == 1:
        return middle
    return replace(
        middle,
        spread=(ordered[-1].cpu_us - ordered[0].cpu_us) / max(middle.cpu_us, 1e-9),
        p50_ms=_median([result.p50_ms for result in results]),
        p99_ms=_median([result.p99_ms for result in results]),
        rss_kb=_median([result.rss_kb for result in results]),
    )


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Subject:
    """A running server under test. ``keeps_alive``: its HTTP API answers more than one request per connection."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], port: int, keeps_alive: bool = True, scrape_port: int = 0
    ) -> None:
        self.name = name
        self.port = port
        self.keeps_alive = keeps_alive
        self.scrape_port = scrape_port
        self.pid = process.pid
        self._process = psutil.Process(process.pid)
        self._clock = (~process.pid << 3) | CPUCLOCK_SCHED

    def cpu(self) -> float:
        """Return the CPU seconds of all threads so far, kernel time included, precise to well under a microsecond."""
        return time.clock_gettime(self._clock)

    def settle(self) -> None:
        """Wait until the server uses less than 5 % of a core, so that no work of its start is measured; at most 15 s."""
        for _ in range(50):
            before = self.cpu()
            time.sleep(0.3)
            if self.cpu() - before < 0.05 * 0.3:
                return
        raise RuntimeError(f"{self.name} is still busy with itself 15 s after it was up")

    def rss(self) -> int:
        """Return the resident bytes of the server."""
        return int(self._process.memory_info().rss)


class Meter:
    """Measures server CPU, own CPU and time within a ``with``."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def __enter__(self) -> "Meter":
        self._cpu, self._own, self._time = self._subject.cpu(), time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._time
        self.cpu_seconds = self._subject.cpu() - self._cpu
        self.load_share = (time.process_time() - self._own) / self.seconds

    def per_unit(self, units: int) -> float:
        """Return CPU microseconds of the server per unit."""
        return self.cpu_seconds / units * 1e6

    def row(
        self,
        workload: str,
        units: int,
        latencies: Sequence[float] = (),
        note: str = "",
        rss_kb: float | None = None,
    ) -> Result:
        """Return the row of what was measured; latencies are in ms."""
        return Result(
            workload,
            self._subject.name,
            units,
            self.seconds,
            self.per_unit(units),
            quantile(latencies, 0.5) if latencies else None,
            quantile(latencies, 0.99) if latencies else None,
            rss_kb,
            self.load_share,
            note,
        )


@contextlib.contextmanager
def pinned(
    command: list[str], output: Any, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on the server's core, this process on the other one; end it at the end."""
    os.sched_setaffinity(0, {LOAD_CORE})
    process = subprocess.Popen(
        command,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if env is None else {**os.environ, **env},
        cwd=cwd,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),  # noqa: PLW1509 - no threads here
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait for a GET of ``url`` to succeed; raise with the server's log when it dies or takes more than 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.005)
    raise RuntimeError(f"the server did not come up:\n{log.read_text(errors='replace')[-4000:]}")
