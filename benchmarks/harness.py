"""What all workloads share: a server process on one core, this load generator on another, the server's CPU cost.

Ratios travel between machines, absolute figures don't: compare a row only with rows of the same run.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

APP_ID, APP_KEY, APP_SECRET = "1", "bench-key", "bench-secret"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


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


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def quantile(values: list[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Subject:
    """A running server under test."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int) -> None:
        self.name = name
        self.port = port
        self._process = psutil.Process(process.pid)

    def cpu(self) -> float:
        """Return the CPU seconds that the server has used so far, kernel time included."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        """Return the resident bytes of the server."""
        return int(self._process.memory_info().rss)


class Meter:
    """Measures server CPU, own CPU and time between ``start`` and ``stop``."""

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


def app_config(**options: Any) -> dict[str, Any]:
    """Return the benchmark's app with default features on and client events allowed without a rate limit."""
    return {
        "id": APP_ID,
        "key": APP_KEY,
        "secret": APP_SECRET,
        "enable_client_messages": True,
        "max_client_events_per_second": 1_000_000,
        **options,
    }


@contextlib.contextmanager
def sockudo(app: dict[str, Any] | None = None, **server: Any) -> Iterator[Subject]:
    """Run this repository's server, pinned to one core, with metrics, limits and an occupied/vacated webhook on."""
    port, metrics_port = free_port(), free_port()
    # Nobody listens there; the endpoint is disabled, so that routing and filtering are paid for but no delivery is.
    idle = {
        "url": f"http://127.0.0.1:{free_port()}/",
        "event_types": ["channel_occupied", "channel_vacated"],
        "enabled": False,
    }
    config = {
        "host": "127.0.0.1",
        "port": port,
        "metrics": {"enabled": True, "host": "127.0.0.1", "port": metrics_port},
        "app_manager": {"driver": "memory", "array": {"apps": [app or app_config(webhooks=[idle])]}},
        "queue": {"driver": "memory"},
        "shutdown_grace_period": 1,
        **server,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_bytes(orjson.dumps(config))
        command = [sys.executable, "-m", "sockudo_py", "start", "--config", str(path)]
        with (Path(folder) / "log").open("wb") as log, pinned(command, log) as process:
            wait_until_up(process, port, Path(folder) / "log")
            yield Subject("sockudo_py", process, port)


@contextlib.contextmanager
def floor(frame_bytes: int) -> Iterator[Subject | None]:
    """Run the ``send()`` floor, or yield None (and say so) where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("  no C compiler: the send() floor is not measured", file=sys.stderr)
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "floor"
        subprocess.run([compiler, "-O2", "-o", str(program), str(Path(__file__).with_name("floor.c"))], check=True)
        port = free_port()
        with pinned([str(program), str(port), str(frame_bytes)], subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield Subject("send() floor", process, port)


@contextlib.contextmanager
def pinned(command: list[str], output: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on the server's core, this process on the other one; end it at the end."""
    os.sched_setaffinity(0, {LOAD_CORE})
    process = subprocess.Popen(
        command,
        stdout=output,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),  # noqa: PLW1509 - no threads here
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def wait_until_up(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait for ``GET /up``; raise with the server's log when it dies or takes more than 15 s."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/up", timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the server did not come up:\n{log.read_text()}")
