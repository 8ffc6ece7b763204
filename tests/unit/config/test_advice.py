"""What was given and counts for nothing because of another key is a warning that names both."""

from typing import Any

import pytest

from sockudo_py.config.tables.foreign import INSTEAD
from tests.unit.config.conftest import Load, app, with_apps


@pytest.fixture(name="told")
def _told(read: Load) -> Any:
    def told(settings: dict[str, Any] | None = None, env: dict[str, str] | None = None, **of_app: Any) -> list[str]:
        return list(read(with_apps(app(**of_app), host="127.0.0.1", **(settings or {})), env).warnings)

    return told


def test_a_longer_ping_interval_than_activity_timeout_is_told(told: Any) -> None:
    (line,) = told({"ping_interval": 60, "activity_timeout": 30})
    assert line == (
        "config.json: ping_interval: has no effect: activity_timeout is shorter (30), and the shorter one counts; "
        "set it to less, or raise activity_timeout"
    )
    assert told({"ping_interval": 30, "activity_timeout": 30}) == []


def test_a_shorter_activity_timeout_alone_is_what_was_meant(told: Any) -> None:
    assert told({"activity_timeout": 30}) == []


def test_a_warning_about_ping_interval_names_its_variable(told: Any) -> None:
    (line,) = told({}, {"PING_INTERVAL": "300"})
    assert line.startswith("environment variable PING_INTERVAL: has no effect: activity_timeout is shorter (120)")


@pytest.mark.parametrize("driver", ["memory", "sqs", "none"])
def test_a_grace_after_crashes_is_told_where_no_queue_keeps_who_was_there(driver: str, told: Any) -> None:
    (line,) = told({"queue": {"driver": driver}, "webhooks": {"reconnect_grace_ms": 20000}})
    assert line.startswith(f"config.json: webhooks.reconnect_grace_ms: has no effect with the queue driver {driver}")
    assert line.endswith("; use sqlite or redis")


@pytest.mark.parametrize("driver", ["sqlite", "redis"])
def test_a_grace_after_crashes_is_told_where_the_delay_is_longer(driver: str, told: Any) -> None:
    queue = {"queue": {"driver": driver}}
    (line,) = told({**queue, "webhooks": {"reconnect_grace_ms": 10, "vacate_delay_ms": 20}})
    assert "has no effect: vacate_delay_ms is longer (20)" in line
    assert told({**queue, "webhooks": {"reconnect_grace_ms": 20, "vacate_delay_ms": 10}}) == []


def test_a_server_id_is_told_where_no_redis_is_shared(told: Any) -> None:
    (line,) = told({"queue": {"driver": "sqlite"}, "server_id": "a"})
    assert line.startswith("config.json: server_id: has no effect with the queue driver sqlite")
    assert told({"queue": {"driver": "redis"}, "server_id": "a"}) == []


@pytest.mark.parametrize(
    ("counts_not", "any_number"),
    [("subscribe_burst", "max_subscribes_per_second"), ("max_subscribes_per_second", "subscribe_burst")],
)
def test_a_pace_of_subscribing_is_told_where_the_other_key_allows_any(
    counts_not: str, any_number: str, told: Any
) -> None:
    (line,) = told(**{counts_not: 5, any_number: 0})
    assert line == (
        f"config.json: app_manager.array.apps[0].{counts_not}: has no effect: {any_number} allows any number; "
        f"give {any_number} a number as well"
    )
    assert told(**{any_number: 0}) == []


@pytest.mark.parametrize("name", INSTEAD)
def test_a_variable_without_effect_is_told_with_what_holds_instead(name: str, told: Any) -> None:
    assert told({}, {name: "1"}) == [f"environment: no effect here: {name}; {INSTEAD[name]}"]


def test_server_id_and_spool_path_have_variables(read: Load) -> None:
    env = {"SOCKUDO_SERVER_ID": "a", "WEBHOOK_SPOOL_PATH": "x/spool", "QUEUE_DRIVER": "redis"}
    config = read(with_apps(app()), env)
    assert (config.server_id, config.webhooks.spool.path) == ("a", "x/spool")
