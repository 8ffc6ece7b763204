"""A server with several workers for tests: ``sockudo-py start`` over a real Redis."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.support.client import eventually
from tests.support.redis_server import RedisServer
from tests.support.server import Config, Server, TestApp, app_config, running, server_config

APP = TestApp()
WORKERS = 2
READY = "clients ws://"
HEALTH = {"node_timeout_ms": 60_000, "heartbeat_interval_ms": 1000}  # what happens sooner was not the lease's end


def crew_config(redis: RedisServer, **settings: Any) -> Config:
    """Return a configuration with workers. ``settings`` replace whole top-level keys."""
    return server_config(
        app_config(APP, enable_client_messages=True),
        **{
            "workers": WORKERS,
            "adapter": {
                "driver": "redis",
                "cluster_health": HEALTH,
            },
            "cache": {"driver": "redis"},
            "queue": {"driver": "redis"},
            "database": {"redis": {"url": redis.url}},
            "shutdown_grace_period": 0.5,
            **settings,
        },
    )


class Crew:
    """A running server with workers."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def workers(self) -> dict[str, psutil.Process]:
        """Return the processes of the workers by name."""
        found: dict[str, psutil.Process] = {}
        for process in psutil.Process(self.server.process.pid).children():
            words = process.cmdline()
            if "worker" in words:
                found[words[words.index("worker") + 1]] = process
        return found

    async def says(self, text: str, times: int = 1) -> None:
        """Wait for a text in the log."""
        await eventually(lambda: self.server.log().count(text) >= times, f"{text}, {times} times, in the log")

    def figures(self) -> dict[str, float]:
        """Return the metrics by name and labels."""
        status, body = self.server.get("/metrics", self.server.metrics_port)
        assert status == 200
        rows = (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def of(self, name: str, **labels: str) -> list[float]:
        """Return the values of a metric whose labels have these values."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        pattern = re.compile(rf"{re.escape(name)}(?:{{(.*)}})?")
        found = []
        for key, value in self.figures().items():
            match = pattern.fullmatch(key)
            if match and wanted <= set((match[1] or "").split(",")):
                found.append(value)
        return found


@contextmanager
def crew(redis: RedisServer, folder: Path, **settings: Any) -> Iterator[Crew]:
    """Run a server with workers for the block, and insist that none of its processes is left."""
    with running(crew_config(redis, **settings), folder) as server:
        site = Crew(server)
        yield site
        left = list(site.workers().values()) if server.process.poll() is None else []
        server.stop()
        assert [process for process in left if process.is_running()] == []


def pid_exists(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
