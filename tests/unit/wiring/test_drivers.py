import json
from pathlib import Path

import pytest

from sockudo_py.config import load
from sockudo_py.metrics import Metrics
from sockudo_py.queues.sqlite.queue import SqliteQueue
from sockudo_py.wiring.drivers import make_queue, spool_path


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


def test_a_path_that_is_named_counts_with_every_driver(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"queue": {"driver": "redis"}, "webhooks": {"spool": {"path": "kept"}}}))
    assert spool_path(load(config, {})) == Path("kept")
