"""Sentinels and a master that are reached with TLS only, as Debian's redis-server speaks it."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from sockudo_py.adapters.base import Joined
from sockudo_py.config import Config
from sockudo_py.errors import Unavailable
from sockudo_py.queues.base import Append
from sockudo_py.queues.redis.queue import RedisQueue
from sockudo_py.wiring.drivers.redis_address import address_of_driver
from tests.cluster.test_other_servers import redis_7
from tests.conformance.adapters.over_redis import OverRedis
from tests.support.ports import free_port

pytestmark = pytest.mark.slow
PASSWORD = "only-for-this-test"


class Site:
    """Programs, and the files of a certificate for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.binary, self.environment = redis_7()
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        self.ca, self.cert, self.key = (str(folder / name) for name in ("ca.pem", "cert.pem", "key.pem"))
        authority.cert_pem.write_to_path(self.ca)
        certificate.private_key_pem.write_to_path(self.key)
        certificate.cert_chain_pems[0].write_to_path(self.cert)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *words: str) -> int:
        """Start a server that speaks TLS only; return its port."""
        port = free_port()
        folder = self.folder / name
        folder.mkdir()
        tls: tuple[str, ...] = (
            "--port",
            "0",
            "--tls-port",
            str(port),
            "--tls-cert-file",
            self.cert,
            "--tls-key-file",
            self.key,
        )
        tls += ("--tls-ca-cert-file", self.ca, "--tls-auth-clients", "no", "--tls-replication", "yes")
        command = [str(self.binary), *words, *tls, "--dir", str(folder), "--bind", "127.0.0.1"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.processes.append(subprocess.Popen(command, env=dict(self.environment), **quiet))
        return port


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    try:
        yield made
    finally:
        for process in made.processes:
            process.kill()
            process.wait()


async def test_sentinels_and_master_with_tls(site: Site) -> None:
    master = site.start("master", "--requirepass", PASSWORD, "--save", "")
    file = site.folder / "sentinel.conf"
    file.write_text(
        f"sentinel monitor main 127.0.0.1 {master} 1\nsentinel auth-pass main {PASSWORD}\nrequirepass {PASSWORD}\n"
    )
    sentinel = site.start("sentinel", str(file), "--sentinel")
    tls = {"enabled": True, "ca_path": site.ca}
    redis = {
        "sentinels": [f"127.0.0.1:{sentinel}"],
        "name": "main",
        "password": PASSWORD,
        "sentinel_password": PASSWORD,
        "sentinel_tls": tls,
        "master_tls": tls,
    }
    await works(redis)
    strange = {**redis, "sentinel_tls": {"enabled": True}}  # the system does not know the CA
    assert "no sentinel says where the master is" in await refused(strange)
    assert "no connection" in await refused({**redis, "master_tls": {"enabled": True}})
    await works({**redis, "master_tls": {"enabled": True, "accept_invalid_certs": True}})


async def works(redis: dict[str, Any]) -> None:
    """Join a channel, and queue an event, when the servers are there."""
    config = Config.model_validate({"database": {"redis": redis}})
    adapter = OverRedis(address_of_driver(config, "adapter"), 0.0, 1, response_timeout=5.0)
    queue = RedisQueue(address_of_driver(config, "queue"))
    end = time.monotonic() + 60
    while True:
        try:
            async with adapter.running() as (one,):
                assert isinstance(await one.join("c"), Joined)
                await queue.open()
                await queue.append([Append("e1", "wh_a", "1", b"{}", 1)])
                return
        except Unavailable:
            if time.monotonic() > end:
                raise
            adapter = OverRedis(address_of_driver(config, "adapter"), 0.0, 1, response_timeout=5.0)
            await asyncio.sleep(0.2)
        finally:
            await queue.close()


async def refused(redis: dict[str, Any]) -> str:
    config = Config.model_validate({"database": {"redis": redis}})
    with pytest.raises(Unavailable) as caught:
        async with OverRedis(address_of_driver(config, "adapter"), 0.0, 1, response_timeout=2.0).running():
            pass
    assert PASSWORD not in repr(caught.value)
    return str(caught.value)
