import json
from pathlib import Path

import pytest

from sockudo_py.config import load
from sockudo_py.metrics import Metrics
from sockudo_py.queues.sqlite import SqliteQueue
from sockudo_py.wiring.drivers import make_queue


@pytest.mark.parametrize(("sync", "level"), [(False, 1), (True, 2)])
async def test_the_sqlite_queue_waits_for_the_disk_where_it_is_told_to(tmp_path: Path, sync: bool, level: int) -> None:
    path = tmp_path / "config.json"
    queue_file = str(tmp_path / "queue.sqlite3")
    path.write_text(json.dumps({"queue": {"driver": "sqlite", "sqlite": {"path": queue_file, "sync": sync}}}))
    queue = make_queue(load(path, {}), Metrics())
    assert isinstance(queue, SqliteQueue)
    await queue.open()
    assert await queue._store.run(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (level,)
    await queue.close()
