"""A Redis Sentinel (the same binary as redis-server): it has a replica take over when the master dies."""

import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.support.ports import free_port
from tests.support.redis_server import require_redis_binary

NAME = "queue"
_SETTINGS = """\
port {port}
bind 127.0.0.1
dir {folder}
logfile {folder}/sentinel.log
sentinel monitor {name} 127.0.0.1 {master} 1
sentinel down-after-milliseconds {name} 3000
sentinel failover-timeout {name} 60000
"""


class Sentinel:
    """A running Sentinel that watches the master at a port of this machine. Use it in ``with``."""

    def __init__(self, folder: Path, master: int) -> None:
        self._folder = folder
        self._master = master
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Sentinel":
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "sentinel.conf"
        path.write_text(_SETTINGS.format(port=self._port, folder=self._folder, name=NAME, master=self._master))
        words = [require_redis_binary(), str(path), "--sentinel"]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self._knows_a_replica():
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

    def master(self) -> int:
        """Return the port of whom it takes for the master."""
        with self._client() as client:
            _, port = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(port)

    def _client(self) -> "Redis":
        return Redis(port=self._port, socket_timeout=30, retry=Retry(NoBackoff(), 0), protocol=2)

    def _knows_a_replica(self) -> bool:
        try:
            with self._client() as client:
                return len(client.execute_command("SENTINEL", "REPLICAS", NAME)) == 1
        except RedisError:
            return False
