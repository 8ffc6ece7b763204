"""A Redis Sentinel (the same binary as redis-server): it has a replica take over when the master dies."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from sockudo_py.links.redis.address import RedisAddress, Sentinels
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, require_redis_binary

NAME = "queue"
_SETTINGS = """\
port {port}
bind 127.0.0.1
dir {folder}
logfile {folder}/sentinel.log
sentinel monitor {name} 127.0.0.1 {master} 1
sentinel down-after-milliseconds {name} {down_after}
sentinel failover-timeout {name} 60000
"""


class Sentinel:
    """A running Sentinel that watches the master at a port of this machine. Use it in ``with``.

    Args:
        folder: For its files.
        master: The port of the master.
        down_after: Milliseconds of silence of the master that mean death.
        password: Of the master, and of the Sentinel itself.
        replicas: How many the master has.
    """

    def __init__(
        self, folder: Path, master: int, *, down_after: int = 3000, password: str = "", replicas: int = 1
    ) -> None:
        self._folder = folder
        self._master = master
        self._down_after = down_after
        self._password = password
        self._replicas = replicas
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Sentinel":
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "sentinel.conf"
        text = _SETTINGS.format(
            port=self._port, folder=self._folder, name=NAME, master=self._master, down_after=self._down_after
        )
        if self._password:
            text += f"sentinel auth-pass {NAME} {self._password}\nrequirepass {self._password}\n"
        path.write_text(text)
        words = [require_redis_binary(), str(path), "--sentinel"]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self._knows_the_replicas():
            if time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"the Sentinel did not start:\n{self.log()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """Return what it wrote."""
        path = self._folder / "sentinel.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    @property
    def host(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self._port

    def fail_over(self) -> None:
        """Let a replica take over although the master is alive."""
        wait_until(self._accepts_a_failover, "the Sentinel to find a replica that will do")

    def _accepts_a_failover(self) -> bool:
        try:
            with self._client() as client:
                client.execute_command("SENTINEL", "FAILOVER", NAME)
        except ResponseError:
            return False
        return True

    def master(self) -> int:
        """Return the port of whom it takes for the master."""
        with self._client() as client:
            _, port = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(port)

    def settled_on(self, port: int) -> bool:
        """Return whether it takes a server for the master, and no failover is under way."""
        with self._client() as client:
            state = client.execute_command("SENTINEL", "MASTER", NAME)
        fields = dict(zip(state[::2], state[1::2], strict=True)) if isinstance(state, list) else state
        return int(fields[b"port"]) == port and fields[b"flags"] == b"master"

    def _client(self) -> "Redis":
        return Redis(
            port=self._port, password=self._password or None, socket_timeout=30, retry=Retry(NoBackoff(), 0), protocol=2
        )

    def _knows_the_replicas(self) -> bool:
        try:
            with self._client() as client:
                return len(client.execute_command("SENTINEL", "REPLICAS", NAME)) == self._replicas
        except RedisError:
            return False


class Watched:
    """A master, its replica, and a Sentinel that watches both. Make it with ``watched``."""

    def __init__(self, servers: list[RedisServer], sentinel: Sentinel, password: str) -> None:
        self.servers = servers
        self.sentinel = sentinel
        self._password = password

    @property
    def address(self) -> RedisAddress:
        """Where clients find the master."""
        return address_by(self.sentinel, self._password)

    @property
    def settings(self) -> dict[str, object]:
        """The section ``database.redis`` of the configuration."""
        host, port = self.sentinel.host
        secrets = {"password": self._password, "sentinel_password": self._password} if self._password else {}
        return {"sentinels": [{"host": host, "port": port}], "name": NAME, **secrets}

    @property
    def master(self) -> RedisServer:
        """Whom the Sentinel takes for the master."""
        port = self.sentinel.master()
        return next(server for server in self.servers if server.port == port)

    @property
    def replica(self) -> RedisServer:
        """The other one."""
        port = self.sentinel.master()
        return next(server for server in self.servers if server.port != port)

    def kill_master(self) -> RedisServer:
        """End the master like a crash, and return it when the replica has taken over."""
        dead, heir = self.master, self.replica
        dead.kill()
        wait_until(lambda: self.sentinel.settled_on(heir.port) and leads(heir), "the replica to take over")
        return dead


def address_by(sentinel: Sentinel, password: str = "") -> RedisAddress:
    """Return where the master of a Sentinel is found; ``password``: of both."""
    login = f":{password}@" if password else ""
    return RedisAddress(f"redis://{login}unused/0", Sentinels((sentinel.host,), NAME, None, password or None))


@pytest.fixture(scope="session")
def redis_sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A master, a replica and a Sentinel that the tests of this worker process share. Nothing fails over."""
    with watched(tmp_path_factory.mktemp("sentinel"), down_after=120_000) as servers:
        yield servers


@contextmanager
def watched(folder: Path, *, down_after: int = 1500, password: str = "", aof: bool = True) -> Iterator[Watched]:
    """Run a master, a replica that has caught up, and a Sentinel that notices a dead master after ``down_after`` ms."""
    options: tuple[str, ...] = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
    if password:
        options += ("--masterauth", password)
    servers = [RedisServer(folder / name, aof=aof, options=options, password=password) for name in ("one", "two")]
    try:
        master, replica = (server.start() for server in servers)
        replica.cli("replicaof", "127.0.0.1", master.port)
        wait_until(lambda: follows(replica), "the replica to follow")
        with Sentinel(folder / "sentinel", master.port, down_after=down_after, password=password) as sentinel:
            yield Watched(servers, sentinel, password)
    finally:
        for server in servers:
            server.kill()


def leads(server: RedisServer) -> bool:
    """Return whether a server is a master."""
    return _role(server)[0] == b"master"


def follows(server: RedisServer) -> bool:
    """Return whether a server is a replica that has caught up with its master."""
    role = _role(server)
    return role[0] == b"slave" and role[3] == b"connected"


def _role(server: RedisServer) -> list[object]:
    try:
        answer = server.cli("ROLE")
    except RedisError:  # a Sentinel that changes the role of a server ends its connections
        return [None]
    assert isinstance(answer, list)
    return answer


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for something that servers do by themselves."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)
