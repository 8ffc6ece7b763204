"""Runs the command of a deployment file as its platform would."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.api import Api
from tests.support.client import connected
from tests.support.ports import free_ports
from tests.support.server import START_DEADLINE, Server, TestApp


@contextmanager
def started(
    command: Sequence[str],
    folder: Path,
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
) -> Iterator[Server]:
    """Run a command that starts the server, on free ports, and insist on exit code 0 after SIGTERM."""
    port, metrics_port = free_ports(2)
    ports = {"PORT": str(port), "METRICS_PORT": str(metrics_port), "METRICS_HOST": "127.0.0.1"}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env={**ports, **env},
        )
    server = Server(port, metrics_port, process, log, {})
    try:
        deadline = time.monotonic() + START_DEADLINE
        while not is_up(server):
            assert process.poll() is None, server.log()
            assert time.monotonic() < deadline, server.log()
            time.sleep(0.05)  # polls a condition, with a deadline
        yield server
        server.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def is_up(server: Server) -> bool:
    """Return whether the server takes clients."""
    try:
        return server.get("/up")[0] == 200
    except OSError:
        return False


async def works(server: Server, app: TestApp) -> None:
    """Let a client connect, subscribe, and get what a backend publishes."""
    async with connected(server, app) as client:
        await client.subscribe("news")
        with Api(server, app) as api:
            api.publish("news", "headline")
        await client.expect("headline", "news")


def path_with_server(folder: Path) -> dict[str, str]:
    """Return an environment in which ``sockudo-py`` is the server of this repository."""
    tool = folder / "bin" / "sockudo-py"
    tool.parent.mkdir(parents=True)
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m sockudo_py "$@"\n')
    tool.chmod(0o755)
    root = Path(__file__).parents[2]
    return {"PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(root)}
