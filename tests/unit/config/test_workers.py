"""``workers``: what it may be, and what it needs."""

import json
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.config import Config, load
from sockudo_py.errors import ConfigError

SHARED = {"adapter": {"driver": "redis"}, "queue": {"driver": "redis"}}
APPS = {"array": {"apps": [{"id": "1", "key": "k", "secret": "a-secret"}]}}


def read(folder: Path, env: dict[str, str] | None = None, **settings: Any) -> Config:
    path = folder / "config.json"
    path.write_text(json.dumps({"app_manager": APPS, **settings}))
    return load(path, env or {})


def problems(folder: Path, env: dict[str, str] | None = None, **settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(folder, env, **settings)
    return [line.removeprefix(f"{folder / 'config.json'}: ") for line in caught.value.problems]


@pytest.mark.parametrize(("given", "workers"), [(2, 2), ("4", 4), ("auto", "auto"), (" Auto ", "auto"), (256, 256)])
def test_a_number_or_auto(tmp_path: Path, given: int | str, workers: int | str) -> None:
    config = read(tmp_path, workers=given, **SHARED)
    assert config.workers == workers
    assert config.supervised


@pytest.mark.parametrize("given", [1, "1"])
def test_one_needs_nothing_and_no_supervisor(tmp_path: Path, given: int | str) -> None:
    assert not read(tmp_path, workers=given).supervised


@pytest.mark.parametrize("given", [0, -1, 257, 1.5, True, "two", []])
def test_anything_else_is_one_mistake(tmp_path: Path, given: Any) -> None:
    (line,) = problems(tmp_path, workers=given, **SHARED)
    assert line.startswith('workers: must be a number from 1 to 256, or "auto"')


def test_both_keys_are_named_in_one_line_with_what_starts_a_redis(tmp_path: Path) -> None:
    assert problems(tmp_path, workers=2) == [
        "workers: is 2, and several processes are one server only with adapter.driver redis (it is local) and "
        "queue.driver redis or sqs (it is sqlite); set adapter.driver and queue.driver to redis, which "
        "`redis-server --appendonly yes --maxmemory-policy noeviction` starts, or workers to 1"
    ]


@pytest.mark.parametrize(
    ("settings", "named", "not_named"),
    [
        ({"adapter": {"driver": "redis"}}, "queue.driver redis or sqs (it is sqlite)", "adapter.driver"),
        ({"adapter": {"driver": "redis"}, "queue": {"driver": "memory"}}, "(it is memory)", "adapter.driver"),
        ({"queue": {"driver": "sqs"}}, "adapter.driver redis (it is local)", "queue.driver"),
        (
            {"adapter": {"driver": "redis"}, "queue": {"driver": "sqs"}},
            "with queue.sqs.store redis (it is sqlite); set queue.sqs.store to redis",
            "queue.driver",
        ),
    ],
)
def test_only_what_is_missing_is_named(tmp_path: Path, settings: dict[str, Any], named: str, not_named: str) -> None:
    (line,) = problems(tmp_path, workers="auto", **settings)
    assert named in line
    assert not_named not in line


def test_sqs_with_a_store_in_redis_is_shared(tmp_path: Path) -> None:
    queue = {"driver": "sqs", "sqs": {"store": "redis"}}
    assert read(tmp_path, workers=2, adapter={"driver": "redis"}, queue=queue).workers == 2


def test_without_webhooks_no_queue_is_shared(tmp_path: Path) -> None:
    assert read(tmp_path, workers=2, adapter={"driver": "redis"}, queue={"driver": "none"}).workers == 2


def test_the_variable_is_named_when_it_says_so(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, {"WORKERS": "auto"})
    assert line.startswith("environment variable WORKERS: is auto, and several processes")
