"""The servers that the databases of the suite run on: one each for a worker process, a database or table for a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.apps.drivers import (
    InConfig,
    InDynamoDb,
    InFiles,
    InMariaDb,
    InPostgres,
    Store,
    Watched,
    configure,
)
from tests.support.aws import aws as aws
from tests.support.aws import aws_server as aws_server
from tests.support.mariadb_server import mariadb_server as mariadb_server
from tests.support.mariadb_server import private_mariadb as private_mariadb
from tests.support.postgres_server import postgres_server as postgres_server
from tests.support.postgres_server import private_postgres as private_postgres


@pytest.fixture
def store(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """The store of the driver that the test is run with."""
    match driver:
        case "config":
            return InConfig()
        case "file":
            return InFiles(tmp_path)
        case "postgres":
            return InPostgres(request.getfixturevalue("postgres_server"))
        case "mysql":
            return InMariaDb(request.getfixturevalue("mariadb_server"))
    return InDynamoDb(request.getfixturevalue("aws"))


Watch = Callable[..., Any]


@pytest.fixture
async def watch(tmp_path: Path) -> Any:
    """Start an app manager over a store; it is stopped after the test."""
    started: list[Watched] = []

    async def watch(store: Store, **more: Any) -> Watched:
        watched = Watched(configure(tmp_path, store.settings(), **more))
        started.append(watched)
        return await watched.start()

    yield watch
    for watched in started:
        await watched.apps.stop()
