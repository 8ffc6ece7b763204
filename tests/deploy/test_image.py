"""The image, built and run by ``tests.deploy.image``: whatever it is started with, its user can work."""

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.deploy.image import ROOT, Built, build, ignored, require_namespaces
from tests.deploy.started import started, works
from tests.support.server import Server, TestApp

USER = 10001
APP = TestApp(id="1", key="app-key", secret="a-secret-of-nobody-else")
DEMO = TestApp(id="app-id", key="app-key", secret="app-secret")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Built:
    require_namespaces()
    return build(tmp_path_factory.mktemp("image"))


@contextmanager
def container(
    image: Built,
    folder: Path,
    arguments: list[str] | None = None,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[Server]:
    """Run the image as ``docker run`` does, with its ports on this machine."""
    words = [*image.stage.last("ENTRYPOINT").words, *(arguments or image.stage.last("CMD").words)]
    with started(image.command(words, **options), folder, {**image.env, **(env or {})}) as server:
        yield server


def health(image: Built, server: Server, **options: Any) -> int:
    """Return the exit code of the image's health check. The server is process 1 in a container, and another here."""
    words = [str(server.process.pid) if word == "1" else word for word in image.stage.health_command]
    env = {"PORT": str(server.port), "SOCKUDO_APP_SECRET": APP.secret}
    return image.run(words, env=env, **options).returncode


def mounted(folder: Path, config: dict[str, Any], mode: int = 0o644) -> dict[Path, str]:
    path = folder / "mounted.json"
    path.write_text(json.dumps(config))
    path.chmod(mode)
    return {path: "/etc/sockudo/mounted.json"}


ONE_APP = {"app_manager": {"array": {"apps": [{"id": APP.id, "key": APP.key, "secret": APP.secret}]}}}


@pytest.mark.slow
async def test_it_runs_as_its_user_with_a_secret_and_nothing_else(image: Built, tmp_path: Path) -> None:
    with container(image, tmp_path, env={"SOCKUDO_APP_SECRET": APP.secret}) as server:
        await works(server, APP)
        assert psutil.Process(server.process.pid).uids().effective == USER
        assert (image.root / "var/lib/sockudo/queue.sqlite3").stat().st_uid == USER
        assert health(image, server) == 0
    assert health(image, server) == 1


@pytest.mark.slow
def test_without_a_secret_it_says_what_to_add_to_docker_run(image: Built) -> None:
    ended = image.run([*image.stage.last("ENTRYPOINT").words, *image.stage.last("CMD").words])
    assert ended.returncode == 2
    assert "SOCKUDO_APP_SECRET is not set" in ended.stderr
    assert "docker run -e SOCKUDO_APP_SECRET=" in ended.stderr


@pytest.mark.slow
async def test_it_runs_the_demo(image: Built, tmp_path: Path) -> None:
    with container(image, tmp_path, ["start"], env={"HOST": "0.0.0.0"}) as server:
        await works(server, DEMO)
        assert "demo" in server.log()
        assert health(image, server) == 0


@pytest.mark.slow
@pytest.mark.parametrize("queue", [{}, {"queue": {"driver": "sqlite", "sqlite": {"path": "mine/queue.sqlite3"}}}])
async def test_it_runs_with_any_mounted_file(image: Built, tmp_path: Path, queue: dict[str, Any]) -> None:
    mounts = mounted(tmp_path, {"path_prefix": "/realtime", **ONE_APP, **queue})
    with container(
        image, tmp_path, ["start", "--config", "/etc/sockudo/mounted.json"], user="10001:0", mounts=mounts
    ) as server:
        server.path_prefix = "/realtime"
        await works(server, APP)
        assert "queue sqlite" in server.log()
        assert health(image, server, user="10001:0", mounts=mounts) == 0
    kept = "mine/queue.sqlite3" if queue else "data/queue.sqlite3"
    assert (image.root / "var/lib/sockudo" / kept).exists()


@pytest.mark.slow
async def test_any_user_of_group_0_can_run_it(image: Built, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o770)
    os.chown(volume, 0, 0)
    mounts = {volume: "/var/lib/sockudo"}
    with container(
        image, tmp_path, env={"SOCKUDO_APP_SECRET": APP.secret}, user="1000770000:0", mounts=mounts
    ) as server:
        await works(server, APP)
    assert (volume / "queue.sqlite3").stat().st_uid == 1000770000


@pytest.mark.slow
def test_a_mounted_file_that_its_user_may_not_read_is_named(image: Built, tmp_path: Path) -> None:
    mounts = mounted(tmp_path, ONE_APP, mode=0o600)
    ended = image.run(["sockudo-py", "start", "--config", "/etc/sockudo/mounted.json"], user="10001:0", mounts=mounts)
    assert ended.returncode == 2, ended
    assert "/etc/sockudo/mounted.json" in ended.stderr
    assert "ermission denied" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_its_user_can_write_nowhere_but_in_the_volume(image: Built) -> None:
    writable = image.run(["sh", "-c", "find /opt /etc /var /srv -writable ! -type l 2>/dev/null"])
    outside = [path for path in writable.stdout.split() if not path.startswith("/var/lib/sockudo")]
    assert "/var/lib/sockudo" in writable.stdout.split()
    assert outside == []


@pytest.mark.slow
def test_it_has_every_dependency_and_every_extra(image: Built) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project.get("optional-dependencies", {}).values())]
    names = [re.split(r"[\[<>=!~; ]", one)[0] for one in wanted if not one.startswith("sockudo-py")]
    check = "import importlib.metadata as m, sys; [m.version(name) for name in sys.argv[1:]]"
    found = image.run(["/opt/sockudo/bin/python", "-c", check, *names])
    assert names
    assert found.returncode == 0, found.stderr
    assert image.run(["/opt/sockudo/bin/python", "-m", "pip", "check"]).returncode == 0


@pytest.mark.parametrize(
    "path",
    [".git/config", ".env", "data/queue.sqlite3", "tests/conftest.py", ".venv/bin/python", "config/q.sqlite3-wal"],
)
def test_what_is_not_for_the_image_stays_out_of_the_build(path: str) -> None:
    assert ignored(path)


@pytest.mark.parametrize("path", ["pyproject.toml", "sockudo_py/__main__.py", "config/apps/shop.json", "README.md"])
def test_what_the_image_is_made_of_gets_into_the_build(path: str) -> None:
    assert not ignored(path)


def test_the_base_image_has_a_python_that_the_server_runs_on() -> None:
    base = re.search(r"^ARG BASE=python:(\d+)\.(\d+)\.\d+-slim-", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base, "the base image names no full version"
    assert (int(base[1]), int(base[2])) >= (3, 11)
    assert sys.version_info >= (3, 11)
