"""compose-cluster.yaml: its nodes and its balancer, run with their commands, their environment and a real Redis."""

import asyncio
import http.client
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sockudo_py.config import load
from tests.deploy.dockerfile import stages
from tests.deploy.image import ROOT
from tests.deploy.started import is_up, path_with_server, started
from tests.support.api import Api
from tests.support.client import Client, connected, eventually
from tests.support.debian import packages
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis
from tests.support.server import START_DEADLINE, Server
from tests.support.server import TestApp as App

COMPOSE = ROOT / "deploy" / "compose-cluster.yaml"
APP = App(id="1", key="app-key", secret="a-secret-of-nobody-else")
NODES = ("sockudo-1", "sockudo-2", "sockudo-3")


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def environment(node: str) -> dict[str, str]:
    """Return what the file sets for a node. In a test the balancer is on this machine."""
    env = {**services()[node]["environment"], "SOCKUDO_APP_SECRET": APP.secret}
    assert env["REDIS_URL"] == "redis://redis:6379/0"
    return env | {"TRUSTED_PROXIES": f"{env['TRUSTED_PROXIES']},127.0.0.0/8", "DRAIN_DELAY": "0.5"}


def command(node: str) -> list[str]:
    """Return the command of a node with paths of the repository, as the Dockerfile copies it."""
    copied = next(one.words for one in stages(ROOT / "Dockerfile")[-1].all("COPY") if one.words[0] == "config")
    return ["sockudo-py", *(word.replace(copied[-1], str(ROOT / copied[0])) for word in services()[node]["command"])]


def test_the_file_is_valid() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(check, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout


def test_nodes_differ_by_their_names_alone_and_get_the_time_that_they_need() -> None:
    nodes = {name: dict(services()[name]) for name in NODES}
    assert [node.pop("hostname") for node in nodes.values()] == list(NODES)
    assert nodes["sockudo-1"] == nodes["sockudo-2"] == nodes["sockudo-3"]
    node = nodes["sockudo-1"]
    assert "ports" not in node  # only the balancer is for others
    assert node["environment"]["SOCKUDO_APP_SECRET"].startswith("${SOCKUDO_APP_SECRET:?")
    config = load(Path(command("sockudo-1")[-1]), {**node["environment"], "SOCKUDO_APP_SECRET": APP.secret})
    takes = config.drain_delay + config.shutdown_grace_period + 1 + config.queue.reliability.shutdown_timeout_ms / 1000
    assert int(node["stop_grace_period"].removesuffix("s")) > takes + 1
    assert (config.adapter.driver, config.cache.driver, config.queue.driver) == ("redis", "redis", "redis")


def test_redis_keeps_what_waits_and_the_balancer_has_its_file() -> None:
    words = services()["redis"]["command"]
    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    balancer = services()["balancer"]
    assert balancer["ports"] == ["6001:6001"]
    source, place, _ = balancer["volumes"][0].split(":")
    assert (COMPOSE.parent / source).is_file()
    assert place in (COMPOSE.parent / source).read_text()  # it says where it goes


@contextmanager
def balanced(servers: list[Server], folder: Path) -> Iterator[Server]:
    """Run the balancer in front of nodes; yield it as a server."""
    text = (ROOT / "deploy" / "cluster" / "haproxy.cfg").read_text()
    port = free_port()
    changes = {f" {name}:6001": f" 127.0.0.1:{server.port}" for name, server in zip(NODES, servers, strict=True)}
    for old, new in {**changes, "bind :6001": f"bind 127.0.0.1:{port}", "inter 2s": "inter 200ms"}.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "haproxy.cfg"
    path.write_text(text.replace("maxconn 60000", "maxconn 200"))
    found = packages("haproxy")
    log = folder / "haproxy.log"
    with log.open("wb") as output:
        words = [str(found.file("usr/sbin/haproxy")), "-db", "-f", str(path)]
        process = subprocess.Popen(words, env=found.env, stdout=output, stderr=output)
    balancer = Server(port, 0, process, log, {})
    try:
        deadline = time.monotonic() + START_DEADLINE
        while not is_up(balancer):
            assert process.poll() is None, balancer.log()
            assert time.monotonic() < deadline, balancer.log()
            time.sleep(0.05)  # polls a condition, with a deadline
        yield balancer
    finally:
        process.kill()
        process.wait()


class Site:
    """Three nodes and their balancer."""

    def __init__(self, nodes: list[Server], balancer: Server) -> None:
        self.nodes = nodes
        self.balancer = balancer


@pytest.fixture
async def site(private_redis: RedisServer, tmp_path: Path) -> AsyncIterator[Site]:
    with ExitStack() as stack:
        nodes = []
        for name in NODES:
            folder = tmp_path / name
            folder.mkdir()
            env = environment(name) | path_with_server(folder) | {"REDIS_URL": private_redis.url}
            nodes.append(stack.enter_context(started(command(name), folder, env, cwd=folder)))
        yield Site(nodes, stack.enter_context(balanced(nodes, tmp_path)))


async def test_clients_are_spread_over_nodes_that_are_one_server_and_find_another_one(site: Site) -> None:
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for _ in range(6):
            clients.append(await stack.enter_async_context(connected(site.balancer, APP)))
            await clients[-1].subscribe("news")
        metrics = [node.get("/metrics", node.metrics_port)[1].decode() for node in site.nodes]
        assert ['sockudo_connected{app_id="1"} 2.0' in text for text in metrics] == [True] * 3
        with Api(site.balancer, APP) as api:
            api.publish("news", "headline")
            assert api.subscription_count("news") == 6
        for client in clients:
            await client.expect("headline", "news")
        site.nodes[0].terminate()
        told = await asyncio.gather(*(closed_with_4200(client) for client in clients))
        assert sum(told) == 2
        assert await asyncio.to_thread(site.nodes[0].wait) == 0
        await eventually(lambda: is_up(site.balancer), "the others are up")
        for _ in range(6):
            await stack.enter_async_context(connected(site.balancer, APP))
    assert site.balancer.get("/usage")[0] == 404
    assert site.balancer.get("/metrics")[0] == 404


async def closed_with_4200(client: Client) -> bool:
    """Return whether the client is sent elsewhere; others are quiet for as long as a node takes to say so."""
    try:
        await client.expect("pusher:error", deadline=5)
    except AssertionError:
        return False
    assert (await client.closed()).code == 4200
    return True


async def test_sessions_of_http_transports_are_found_again(site: Site) -> None:
    ping = json.dumps([json.dumps({"event": "pusher:ping", "data": {}})])
    for number in range(9):
        path = f"/pusher/app/{APP.key}/{number}/session-{number}"
        opened = await asyncio.to_thread(post, site.balancer, f"{path}/xhr?protocol=7")
        assert opened.startswith("o\n")
        await asyncio.to_thread(post, site.balancer, f"{path}/xhr_send", ping)


def post(server: Server, path: str, body: str = "") -> str:
    """Return the body of a response; fails unless the request was accepted."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        assert response.status in (200, 204), response.read()
        return response.read().decode()
    finally:
        connection.close()
