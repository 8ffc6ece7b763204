import json
from pathlib import Path

import pytest

from sockudo_py.config import load
from sockudo_py.errors import ConfigError
from sockudo_py.metrics import Metrics
from sockudo_py.queues.sqlite.queue import SqliteQueue
from sockudo_py.wiring.checks import unusable
from sockudo_py.wiring.drivers.missing import refuse_unbuilt
from sockudo_py.wiring.drivers.queues import make_endpoint_store, make_queue, spool_path, sqlite_file


@pytest.mark.parametrize(("sync", "level"), [(False, 1), (True, 2)])
async def test_the_sqlite_queue_waits_for_the_disk_where_it_is_told_to(tmp_path: Path, sync: bool, level: int) -> None:
    path = tmp_path / "config.json"
    queue_file = str(tmp_path / "queue.sqlite3")
    path.write_text(json.dumps({"queue": {"driver": "sqlite", "sqlite": {"path": queue_file, "sync": sync}}}))
    queue = make_queue(load(path, {}), Metrics())
    assert isinstance(queue, SqliteQueue)
    await queue.open()
    assert await queue._file.run(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (level,)
    await queue.close()


@pytest.mark.parametrize(
    ("queue", "path"),
    [
        ({"driver": "sqlite", "sqlite": {"path": "/var/lib/q.db"}}, Path("/var/lib/q.db.spool")),
        ({}, Path("data/queue.sqlite3.spool")),
        ({"driver": "redis"}, None),
        ({"driver": "memory"}, None),
    ],
)
def test_events_are_kept_beside_the_file_of_the_queue_where_there_is_one(
    tmp_path: Path, queue: dict[str, object], path: Path | None
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"queue": queue}))
    assert spool_path(load(config, {})) == path


@pytest.mark.parametrize(
    ("queue", "store"),
    [
        ({"driver": "memory"}, "MemoryEndpoints"),
        ({"driver": "none"}, "MemoryEndpoints"),
        ({"driver": "sqlite"}, "SqliteEndpoints"),
        ({"driver": "redis"}, "RedisEndpoints"),
        ({"driver": "sqs"}, "SqliteEndpoints"),
        ({"driver": "sqs", "sqs": {"store": "redis"}}, "RedisEndpoints"),
    ],
)
async def test_endpoints_of_the_api_are_kept_with_the_queue(
    tmp_path: Path, queue: dict[str, object], store: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"queue": {"sqlite": {"path": str(tmp_path / "q")}, **queue}}))
    config = load(path, {})
    made = make_endpoint_store(config, Metrics(), sqlite_file(config))
    assert type(made).__name__ == store
    await made.close()


def test_a_key_file_that_can_not_be_made_is_found_before_the_start(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    (tmp_path / "file").touch()
    settings = {"webhooks": {"admin": {"key_file": str(tmp_path / "file" / "key")}}, "queue": {"driver": "memory"}}
    path.write_text(json.dumps(settings))
    [problem] = unusable(load(path, {}))
    assert "webhooks.admin.key_file" in problem


def test_a_path_that_is_named_counts_with_every_driver(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"queue": {"driver": "redis"}, "webhooks": {"spool": {"path": "kept"}}}))
    assert spool_path(load(config, {})) == Path("kept")


@pytest.mark.parametrize(
    ("driver", "package", "extra"),
    [("postgres", "asyncpg", "postgres"), ("mysql", "asyncmy", "mysql"), ("dynamodb", "boto3", "aws")],
)
def test_a_client_of_a_database_that_is_not_installed_stops_the_start_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, package: str, extra: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"app_manager": {"driver": driver}}))
    config = load(path, {})
    refuse_unbuilt(config)
    monkeypatch.setattr(
        "sockudo_py.wiring.drivers.missing.find_spec", lambda name: None if name == package else object()
    )
    with pytest.raises(ConfigError) as caught:
        refuse_unbuilt(config)
    (line,) = caught.value.problems
    assert f"app_manager.driver: {driver}: {package} is not installed; install it: " in line
    assert f"-m pip install 'sockudo-py[{extra}]'" in line
