"""A real Redis Cluster for tests: masters on ports of this machine, each with a replica where a test wants one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from sockudo_py.links.redis.address import RedisAddress
from sockudo_py.links.redis.masters import slot_of
from tests.support.ports import free_port
from tests.support.redis_sentinel import wait_until
from tests.support.redis_server import RedisServer

# Whether suites that run over one Redis run over a cluster and behind a Sentinel too: `make cluster` says so.
EVERYWHERE = bool(os.environ.get("REDIS_EVERYWHERE"))
SLOTS = 16384
NODE_TIMEOUT_MS = 1500


class RedisClusterServers:
    """The servers. Make them with ``cluster``."""

    def __init__(self, folder: Path, masters: int, replicas: int, password: str, aof: bool) -> None:
        self._password = password
        self.servers: list[RedisServer] = []
        self._masters = masters
        self._buses = [free_port() for _ in range(masters * (1 + replicas))]
        for number, bus in enumerate(self._buses):
            options: tuple[str, ...] = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS))
            options += ("--cluster-port", str(bus), "--repl-diskless-sync-delay", "0")
            options += ("--cluster-replica-validity-factor", "0", "--cluster-require-full-coverage", "no")
            if password:
                options += ("--masterauth", password)
            self.servers.append(RedisServer(folder / f"node-{number}", aof=aof, options=options, password=password))

    @property
    def address(self) -> RedisAddress:
        """Where clients find the cluster."""
        login = f":{self._password}@" if self._password else ""
        hosts = tuple(("127.0.0.1", server.port) for server in self.servers[:2])
        return RedisAddress(f"redis://{login}127.0.0.1:{hosts[0][1]}/0", nodes=hosts)

    @property
    def settings(self) -> dict[str, object]:
        """The section ``database.redis`` of the configuration."""
        nodes = [f"{host}:{port}" for host, port in self.address.nodes]
        return {"cluster": {"nodes": nodes}, **({"password": self._password} if self._password else {})}

    def start(self) -> None:
        """Start them and let them form a cluster."""
        for server in self.servers:
            server.start()
        masters, replicas = self.servers[: self._masters], self.servers[self._masters :]
        share = -(-SLOTS // len(masters))
        for number, server in enumerate(masters):
            server.cli("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            server.cli("CLUSTER", "ADDSLOTSRANGE", number * share, min(SLOTS, (number + 1) * share) - 1)
        for server, bus in list(zip(self.servers, self._buses, strict=True))[1:]:
            self.servers[0].cli("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        wait_until(lambda: all(self._knows(server, len(self.servers)) for server in self.servers), "the nodes to meet")
        for number, server in enumerate(replicas):
            server.cli("CLUSTER", "REPLICATE", self.ident(masters[number % len(masters)]))
        wait_until(lambda: all(self._fine(server) for server in self.servers), "the cluster to be fine")
        wait_until(lambda: all(self._synced(server) for server in replicas), "the replicas to follow")

    def stop(self) -> None:
        """End them."""
        for server in self.servers:
            server.kill()

    def owner(self, key: str) -> RedisServer:
        """Return the master that has a key, by what those say that are alive."""
        slot = slot_of(key)
        for server in self.servers:
            with suppress(RedisError, OSError):
                for first, last, master, *_ in self._slots(server):
                    if first <= slot <= last:
                        return next(one for one in self.servers if one.port == master[1])
        raise AssertionError(f"nobody has the slot of {key}")

    def replica_of(self, master: RedisServer) -> RedisServer:
        """Return the replica of a master."""
        found = self.servers.index(master)
        return self.servers[(found + self._masters) % len(self.servers)]

    def ident(self, server: RedisServer) -> str:
        """Return the id of a node."""
        answer = server.cli("CLUSTER", "MYID")
        assert isinstance(answer, bytes)
        return answer.decode()

    def move_slot(self, key: str, target: RedisServer, *, halfway: bool = False) -> None:
        """Let another master have the slot of a key, with all that is in it. ``halfway``: begin, and leave it so."""
        slot, source = slot_of(key), self.owner(key)
        target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", self.ident(source))
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", self.ident(target))
        if halfway:
            return
        auth = ("AUTH", self._password) if self._password else ()
        while True:
            keys = source.cli("CLUSTER", "GETKEYSINSLOT", slot, 100)
            assert isinstance(keys, list)
            if not keys:
                break
            source.cli("MIGRATE", "127.0.0.1", target.port, "", 0, 10_000, *auth, "KEYS", *keys)
        for server in (target, source):
            server.cli("CLUSTER", "SETSLOT", slot, "NODE", self.ident(target))

    def _slots(self, server: RedisServer) -> list[Any]:
        answer = server.cli("CLUSTER", "SLOTS")
        assert isinstance(answer, list)
        return answer

    def _info(self, server: RedisServer) -> dict[str, str]:
        answer = server.cli("CLUSTER", "INFO")
        assert isinstance(answer, bytes)
        return dict(line.split(":", 1) for line in answer.decode().split("\r\n") if ":" in line)

    def _knows(self, server: RedisServer, number: int) -> bool:
        return int(self._info(server)["cluster_known_nodes"]) == number

    def _fine(self, server: RedisServer) -> bool:
        return self._info(server)["cluster_state"] == "ok"

    def _synced(self, server: RedisServer) -> bool:
        role = server.cli("ROLE")
        return isinstance(role, list) and role[0] == b"slave" and role[3] == b"connected"


@contextmanager
def cluster(
    folder: Path, *, masters: int = 3, replicas: int = 0, password: str = "", aof: bool = False
) -> Iterator[RedisClusterServers]:
    """Run a cluster."""
    servers = RedisClusterServers(folder, masters, replicas, password, aof)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterServers]:
    """Three masters that the tests of this worker process share. Never stop, flush or configure them."""
    with cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers
