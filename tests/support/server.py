"""Start the real server as a process, wait until it answers, and stop it the way an operator does."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.ports import free_ports

Config = dict[str, Any]

KEY = "278d425bdf160c739803"  # the pair that the published signature vectors use
SECRET = "7ad3773142a6692b25b8"
START_DEADLINE = 60.0
STOP_DEADLINE = 60.0
START_ATTEMPTS = 3  # a free port may be taken by somebody else before the server binds it


@dataclass(frozen=True, slots=True)
class TestApp:
    """What a client and a backend know of an app."""

    __test__ = False

    id: str = "3"
    key: str = KEY
    secret: str = SECRET


def app_config(app: TestApp, **settings: Any) -> Config:
    """Return the entry of ``app_manager.array.apps`` for ``app``."""
    return {"id": app.id, "key": app.key, "secret": app.secret, "enabled": True, **settings}


def server_config(*apps: Config, **settings: Any) -> Config:
    """Return a whole configuration: one node, everything in memory, nothing on disk.

    ``settings`` replace whole top-level keys. The ports are put in by ``running``.
    """
    return {
        "host": "127.0.0.1",
        "app_manager": {"driver": "memory", "array": {"apps": list(apps)}},
        "adapter": {"driver": "local"},
        "cache": {"driver": "memory"},
        "queue": {"driver": "memory", "reliability": {"shutdown_timeout_ms": 500}},
        "webhooks": {"batching": {"enabled": False}, "vacate_delay_ms": 0},
        "shutdown_grace_period": 5,
        **settings,
    }


_running: list["Server"] = []


def running_now() -> list["Server"]:
    """Return the servers that this process has started and not yet stopped."""
    return list(_running)


class ServerDied(AssertionError):
    """The server went away or never came up; the message holds its log."""


@dataclass(slots=True)
class Server:
    """A running server process."""

    port: int
    metrics_port: int
    process: subprocess.Popen[bytes]
    log_path: Path
    config: Config
    path_prefix: str = ""
    host: str = "127.0.0.1"
    expected_exit: int = 0
    told: bool = False  # it has got its SIGTERM; a second one would mean "leave without finishing"

    def ws_url(self, path: str, *, secure: bool = False) -> str:
        """Return the WebSocket URL of ``path``, which begins with a slash."""
        return f"{'wss' if secure else 'ws'}://{self.host}:{self.port}{path}"

    def log(self) -> str:
        """Return what the server wrote so far."""
        return self.log_path.read_text(errors="replace")

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM); does not wait."""
        self.told = True
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        self.expected_exit = -signal.SIGKILL
        self.process.kill()
        self.process.wait(STOP_DEADLINE)

    def wait(self) -> int:
        """Wait until it is gone and return its exit code."""
        try:
            return self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise ServerDied(
                f"the server did not stop within {STOP_DEADLINE:.0f} s of SIGTERM:\n{self.log()}"
            ) from None

    def stop(self) -> None:
        """Stop it with SIGTERM and insist on exit code 0."""
        if self.process.poll() is None and not self.told:
            self.terminate()
        code = self.wait()
        if code != self.expected_exit:
            raise ServerDied(f"exit code {code} instead of {self.expected_exit}:\n{self.log()}")

    def get(self, path: str, port: int | None = None) -> tuple[int, bytes]:
        """Return status and body of an unsigned GET."""
        connection = http.client.HTTPConnection(self.host, port or self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _is_up(server: Server, secure: bool) -> bool:
    if secure:  # the certificate is the test's own affair: a listening socket is enough
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((server.host, server.port)) == 0
    try:
        return server.get(f"{server.path_prefix}/up")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _spawn(
    config: Config, folder: Path, env: Mapping[str, str], ports: Sequence[int], files: int | None = None
) -> Server:
    port, metrics_port = ports
    full = {**config, "port": port, "metrics": {"host": "127.0.0.1", "port": metrics_port}}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    path.write_text(json.dumps(full, indent=1))
    log_path = folder / "server.log"
    limited = [] if files is None else ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*limited, sys.executable, "-m", "sockudo_py", "start", "--config", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
        )
    return Server(port, metrics_port, process, log_path, full, config.get("path_prefix", ""))


def start(
    config: Config,
    folder: Path,
    env: Mapping[str, str] | None = None,
    ports: Sequence[int] | None = None,
    files: int | None = None,
) -> Server:
    """Start a server on free ports and return it once GET /up says 200.

    ``ports`` (its own and the one of its metrics) are for a server that comes back where it was, ``files`` is how many
    it may open (``ulimit -n``).
    Raises ServerDied with its log when it ends before that, or is not up within START_DEADLINE.
    """
    for attempt in range(START_ATTEMPTS):
        server = _spawn(config, folder / f"start-{attempt}", env or {}, ports or free_ports(2), files)
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            if server.process.poll() is not None:
                break
            if _is_up(server, secure="tls" in config or "ssl" in config):
                return server
            time.sleep(0.02)  # polls a condition, with a deadline
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
            raise ServerDied(f"not up after {START_DEADLINE:.0f} s:\n{server.log()}")
        if "in use" not in server.log().lower():
            break
    raise ServerDied(f"the server ended with {server.process.returncode} while starting:\n{server.log()}")


@contextmanager
def running(
    config: Config,
    folder: Path,
    env: Mapping[str, str] | None = None,
    ports: Sequence[int] | None = None,
    files: int | None = None,
) -> Iterator[Server]:
    """Run a server for the block (see ``start``); afterwards stop it and insist on exit code 0."""
    server = start(config, folder, env, ports, files)
    _running.append(server)
    try:
        yield server
        server.stop()
    finally:
        _running.remove(server)
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
