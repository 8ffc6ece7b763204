"""The servers under test, each as a context manager that gives a running ``Subject`` on the server's core.

sockudo_py runs with its default features: metrics served, limits on, a webhook endpoint for occupied and vacated
channels. soketi and Sockudo run with their own defaults plus metrics and the same limit on client events; no webhooks
are configured there, which favours them.
"""

import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from benchmarks import soketi as soketi_package
from benchmarks.harness import Subject, free_port, pinned, wait_until_up

APP_ID, APP_KEY, APP_SECRET = "1", "bench-key", "bench-secret"
CLIENT_EVENTS_PER_SECOND = 1_000_000  # out of reach, but counted: a limit that is on costs all of them something
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Webhooks:
    """An endpoint for occupied and vacated channels, over a queue in memory or in the Redis at a port of 127.0.0.1.

    ``batched``: what comes within 50 ms goes in one request; else each event has a request of its own.
    """

    url: str
    batched: bool
    redis_port: int | None = None

    @property
    def endpoint(self) -> dict[str, object]:
        """The endpoint as the app of every server takes it."""
        return {"url": self.url, "event_types": ["channel_occupied", "channel_vacated"]}

    @property
    def batching(self) -> dict[str, object]:
        """The setting of the same name of every server."""
        return {"enabled": self.batched, "duration": 50}


@dataclass(frozen=True, slots=True)
class Options:
    """What a workload needs beyond the defaults. ``app`` and ``server`` are for sockudo_py only."""

    presence_members: int = 100
    webhooks: Webhooks | None = None
    port: int = 0  # 0: a free one
    redis_port: int = 0  # of the Redis over which it is one of several nodes; 0: it is alone
    settled: bool = True  # wait until the server has nothing left to do from its start
    app: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Starter:
    """A server that can be had: calling it gives the server running, and done with what it does after it is up."""

    name: str
    start: Callable[[Options], contextlib.AbstractContextManager[Subject]]

    @contextlib.contextmanager
    def __call__(self, options: Options = Options()) -> Iterator[Subject]:
        with self.start(options) as subject:
            if options.settled:
                subject.settle()
            yield subject


def own(root: Path = ROOT, python: str = sys.executable) -> Starter:
    """Return sockudo_py: the code of the work tree ``root``, run by the interpreter ``python``."""
    return Starter("sockudo_py", partial(sockudo_py, root=root, python=python))


@contextlib.contextmanager
def sockudo_py(options: Options = Options(), root: Path = ROOT, python: str = sys.executable) -> Iterator[Subject]:
    """Run the server of the work tree ``root`` with an interpreter that has its dependencies."""
    port, metrics_port = options.port or free_port(), free_port()
    # Nobody listens there; no channel passes the filter, so that routing and filtering are paid for but no delivery is.
    idle = {
        "url": f"http://127.0.0.1:{free_port()}/",
        "event_types": ["channel_occupied", "channel_vacated"],
        "filter": {"channel_prefix": "no-such-channel-"},
    }
    app = {
        "id": APP_ID,
        "key": APP_KEY,
        "secret": APP_SECRET,
        "enable_client_messages": True,
        "max_client_events_per_second": CLIENT_EVENTS_PER_SECOND,
        "webhooks": [idle],
        **options.app,
    }
    if options.webhooks is not None:
        app["webhooks"] = [options.webhooks.endpoint]
    config = {
        "host": "127.0.0.1",
        "port": port,
        "metrics": {"enabled": True, "host": "127.0.0.1", "port": metrics_port},
        "app_manager": {"driver": "memory", "array": {"apps": [app]}},
        "queue": {"driver": "memory"},
        "presence": {"max_members_per_channel": options.presence_members},
        "shutdown_grace_period": 1,
        **options.server,
    }
    if options.webhooks is not None:
        config["webhooks"] = {"batching": options.webhooks.batching, "vacate_delay_ms": 0}
        if options.webhooks.redis_port is not None:
            config["queue"] = {"driver": "redis", "redis": {"url_override": _redis_url(options.webhooks.redis_port)}}
    if options.redis_port:
        config["adapter"] = {"driver": "redis"}
        config["database"] = {"redis": {"url": _redis_url(options.redis_port)}}
    with tempfile.TemporaryDirectory() as folder:
        path, log_path = Path(folder) / "config.json", Path(folder) / "log"
        path.write_bytes(orjson.dumps(config))
        command = [python, "-m", "sockudo_py", "start", "--config", str(path)]
        # Installing compiles the modules; here the first start does, also where the shell says that none may.
        environment = {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": ""}
        with log_path.open("wb") as log, pinned(command, log, environment, root) as process:
            wait_until_up(process, f"http://127.0.0.1:{port}/up", log_path)
            yield Subject("sockudo_py", process, port, scrape_port=metrics_port)


def _redis_url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


def keeps_alive(port: int) -> bool:
    """Return whether the HTTP API there keeps a connection after an answer (which may be a refusal)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", f"/apps/{APP_ID}/channels")
    with connection.getresponse() as response:
        kept = not response.will_close
    connection.close()
    return kept


@contextlib.contextmanager
def soketi(options: Options = Options()) -> Iterator[Subject]:
    """Run soketi. ``soketi_package.prepare`` must have said that it can."""
    port, metrics_port = options.port or free_port(), free_port()
    app = {
        "id": APP_ID,
        "key": APP_KEY,
        "secret": APP_SECRET,
        "enableClientMessages": True,
        "maxClientEventsPerSecond": CLIENT_EVENTS_PER_SECOND,
        "webhooks": [] if options.webhooks is None else [options.webhooks.endpoint],
    }
    config: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "appManager.array.apps": [app],
        "metrics.enabled": True,
        "metrics.port": metrics_port,
        "presence.maxMembersPerChannel": options.presence_members,
        "shutdownGracePeriod": 0,
    }
    if options.webhooks is not None:
        config["webhooks.batching"] = options.webhooks.batching
        if options.webhooks.redis_port is not None:
            config |= {"queue.driver": "redis", "database.redis.host": "127.0.0.1"}
            config["database.redis.port"] = options.webhooks.redis_port
    with tempfile.TemporaryDirectory() as folder:
        path, log_path = Path(folder) / "config.json", Path(folder) / "log"
        path.write_bytes(orjson.dumps(config))
        with log_path.open("wb") as log, pinned(soketi_package.command(path), log) as process:
            wait_until_up(process, f"http://127.0.0.1:{port}/", log_path)
            soketi_package.insist_on_native(process.pid)
            yield Subject("soketi", process, port, keeps_alive(port))


@contextlib.contextmanager
def sockudo(options: Options = Options()) -> Iterator[Subject]:
    """Run the Sockudo binary that the environment variable ``SOCKUDO`` names."""
    port, metrics_port = options.port or free_port(), free_port()
    app = {
        "id": APP_ID,
        "key": APP_KEY,
        "secret": APP_SECRET,
        "max_connections": 100_000,
        "enable_client_messages": True,
        "max_client_events_per_second": CLIENT_EVENTS_PER_SECOND,
        "enabled": True,
    }
    if options.webhooks is not None:
        app["webhooks"] = [options.webhooks.endpoint]
    config: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "app_manager": {"driver": "memory", "array": {"apps": [app]}},
        "presence": {"max_members_per_channel": options.presence_members},
        "metrics": {"enabled": True, "driver": "prometheus", "host": "127.0.0.1", "port": metrics_port},
        "rate_limiter": {"enabled": False},  # a hundred requests a minute by default; off by default in the others
        "shutdown_grace_period": 1,
    }
    if options.webhooks is not None:
        config["webhooks"] = {"batching": options.webhooks.batching}
        if options.webhooks.redis_port is not None:
            config["queue"] = {"driver": "redis"}
            config["database"] = {"redis": {"host": "127.0.0.1", "port": options.webhooks.redis_port}}
    if options.redis_port:  # as its own benchmark of nodes over Redis has it
        place = {"url": _redis_url(options.redis_port)}
        config["adapter"] = {
            "driver": "redis",
            "fallback_to_local": False,
            "redis": {"redis_pub_options": place, "redis_sub_options": place},
            "cluster_health": {"enabled": False},
        }
        config["idempotency"] = {"enabled": False}
    with tempfile.TemporaryDirectory() as folder:
        path, log_path = Path(folder) / "config.json", Path(folder) / "log"
        path.write_bytes(orjson.dumps(config))
        command = [os.environ["SOCKUDO"], "--config", str(path)]
        with log_path.open("wb") as log, pinned(command, log) as process:
            wait_until_up(process, f"http://127.0.0.1:{port}/up/{APP_ID}", log_path)
            yield Subject("Sockudo", process, port, keeps_alive(port))


@contextlib.contextmanager
def floor(frame_bytes: int) -> Iterator[Subject | None]:
    """Run the ``send()`` floor, or yield None (and say so) where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("  SKIPPED: no C compiler, the send() floor is not measured", file=sys.stderr)
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


def peers() -> list[Starter]:
    """Return the other servers that can be had here; say loudly which can't."""
    found: list[Starter] = []
    problem = soketi_package.prepare()
    if problem is None:
        found.append(Starter("soketi", soketi))
    else:
        print(f"  SKIPPED: soketi, {problem}", file=sys.stderr)
    if os.environ.get("SOCKUDO"):
        found.append(Starter("Sockudo", sockudo))
    else:
        print("  SKIPPED: Sockudo, the environment variable SOCKUDO names no binary", file=sys.stderr)
    return found
