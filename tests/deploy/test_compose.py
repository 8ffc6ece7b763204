"""compose.yaml and the Procfile: their commands, run with their environment and a real Redis."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from sockudo_py.config import load
from tests.deploy.dockerfile import stages
from tests.deploy.image import ROOT
from tests.deploy.started import path_with_server, started, works
from tests.support.redis_server import RedisServer
from tests.support.redis_server import private_redis as private_redis
from tests.support.server import TestApp as App

COMPOSE = ROOT / "deploy" / "compose.yaml"
APP = App(id="1", key="app-key", secret="a-secret-of-nobody-else")


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"][name]
    return found


def inside(command: str) -> str:
    """Return a command of the container with paths of the repository, as the Dockerfile copies it."""
    copied = next(one.words for one in stages(ROOT / "Dockerfile")[-1].all("COPY") if one.words[0] == "config")
    return command.replace(copied[-1], str(ROOT / copied[0]))


def test_the_compose_file_is_valid() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(check, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout


async def test_compose_s_server_works_with_its_redis(private_redis: RedisServer, tmp_path: Path) -> None:
    env = {**service("sockudo")["environment"], "SOCKUDO_APP_SECRET": APP.secret}
    assert env["REDIS_URL"] == "redis://redis:6379/0"
    command = ["sockudo-py", *(inside(word) for word in service("sockudo")["command"])]
    env |= {**path_with_server(tmp_path), "REDIS_URL": private_redis.url}
    with started(command, tmp_path, env, cwd=tmp_path) as server:
        await works(server, APP)
        assert "queue redis" in server.log()


def test_compose_wants_a_secret_and_grants_time_and_files(tmp_path: Path) -> None:
    sockudo = service("sockudo")
    assert sockudo["environment"]["SOCKUDO_APP_SECRET"].startswith("${SOCKUDO_APP_SECRET:?")
    env = {**sockudo["environment"], "SOCKUDO_APP_SECRET": APP.secret}
    config = load(Path(inside(sockudo["command"][-1])), env)
    takes = config.drain_delay + config.shutdown_grace_period + 1 + config.queue.reliability.shutdown_timeout_ms / 1000
    assert int(sockudo["stop_grace_period"].removesuffix("s")) > takes + 1
    assert sockudo["ports"] == [f"{config.port}:{config.port}"]  # and not the metrics
    assert (COMPOSE.parent / sockudo["build"]).resolve() == ROOT


def test_compose_s_redis_keeps_what_waits() -> None:
    words = service("redis")["command"]
    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert service("redis")["volumes"] == ["redis:/data"]


async def test_the_procfile_s_command_works_on_the_port_that_it_is_given(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    kind, _, command = (ROOT / "deploy" / "Procfile").read_text().strip().partition(": ")
    assert kind == "web"
    env = {
        **path_with_server(tmp_path),
        "REDIS_URL": private_redis.url,
        "SOCKUDO_APP_ID": APP.id,
        "SOCKUDO_APP_KEY": APP.key,
        "SOCKUDO_APP_SECRET": APP.secret,
    }
    with started(["sh", "-c", f"exec {shlex.join(shlex.split(command))}"], tmp_path, env, cwd=ROOT) as server:
        await works(server, APP)
