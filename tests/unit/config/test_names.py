"""Every environment variable of soketi and Sockudo is taken over, named in a warning, or refused by its name."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.config import load
from sockudo_py.config.reading.override import KNOWN
from sockudo_py.config.tables.foreign import INSTEAD, WITHOUT_EFFECT
from sockudo_py.errors import ConfigError
from tests.unit.config.conftest import Load, app, with_apps

HERE = Path(__file__).parent
QUIET = {"host": "127.0.0.1", **with_apps(app())}
APP = {"SOCKUDO_DEFAULT_APP_ID": "a", "SOCKUDO_DEFAULT_APP_KEY": "k", "SOCKUDO_DEFAULT_APP_SECRET": "s"}
# In every container, or read by the AWS library: a warning about them would say nothing.
COMMON = {"HOSTNAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
# What our keys want of a value that is neither a number nor a flag.
SPECIAL = {
    "ACTIVITY_TIMEOUT": "60",
    "ADAPTER_DRIVER": "local",
    "APP_MANAGER_DRIVER": "memory",
    "CACHE_DRIVER": "none",
    "CORS_ORIGINS": "https://a.example",
    "ENVIRONMENT": "staging",
    "LOG_LEVEL": "warn",
    "LOG_OUTPUT_FORMAT": "json",
    "METRICS_DRIVER": "prometheus",
    "METRICS_PORT": "9000",
    "METRICS_SERVER_PORT": "9000",
    "METRICS_PROMETHEUS_PREFIX": "x_",
    "PATH_PREFIX": "/x",
    "PORT": "7001",
    "QUEUE_DRIVER": "memory",
    "QUEUE_LEASE_DURATION_MS": "60000",
    "QUEUE_LEASE_RENEW_INTERVAL_MS": "2000",
    "QUEUE_SQS_POLLING_WAIT_TIME_MS": "2000",
    "RATE_LIMITER_DRIVER": "memory",
    "REDIS_URL": "redis://h",
    "WEBSOCKET_COMPRESSION": "window4kb",
    "UNIX_SOCKET_PERMISSION_MODE": "666",
    "DEFAULT_APP_WEBHOOKS": '[{"url": "https://e.com", "event_types": ["client_event"]}]',
    "DEFAULT_APP_ALLOWED_ORIGINS": "https://a.example",
}


def names(server: str) -> Iterator[tuple[str, str]]:
    """Yield the names of a server's variables, and where its source has them."""
    for line in (HERE / f"names_of_{server}.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, source = line.partition(" ")
            yield name, source


ALL = [name for server in ("soketi", "sockudo") for name, _ in names(server)]


def value_for(name: str) -> str:
    return SPECIAL.get(name) or SPECIAL.get(re.sub("^(SOKETI|SOCKUDO)_", "", name)) or "1"


def test_every_name_has_its_source() -> None:
    for server in ("soketi", "sockudo"):
        for name, source in names(server):
            assert re.fullmatch(r"[\w./-]+:\d+|[\w./-]+@d7717d3: .+", source), name
    assert len(ALL) == len(set(ALL)) > 600


def outcome(read: Load, env: dict[str, str]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return the configuration, its warnings, and what is wrong with it."""
    try:
        config = read(QUIET, env)
    except ConfigError as error:
        return {}, [], error.problems
    return config.model_dump(), list(config.warnings), []


@pytest.mark.parametrize("name", sorted(set(ALL) - COMMON))
def test_a_variable_is_taken_over_or_named(read: Load, name: str) -> None:
    assert name in KNOWN
    quiet, _, _ = outcome(read, APP)
    effects = []
    for value in (value_for(name), "false"):
        config, warnings, problems = outcome(read, {**APP, name: value})
        assert all(f"environment variable {name}: " in problem for problem in problems)
        naming = [warning for warning in warnings if name in warning]
        if name in WITHOUT_EFFECT:
            assert (problems, config, len(naming)) == ([], quiet, 1)
        effects.append(bool(problems or naming or config != quiet))
    assert any(effects), "it has no effect in silence"


@pytest.mark.parametrize("name", sorted(set(ALL) - COMMON - WITHOUT_EFFECT))
def test_a_mistake_in_a_variable_names_it_and_hides_its_value(read: Load, name: str) -> None:
    _, _, problems = outcome(read, {**APP, name: "c4n4ry:\x7f/"})
    assert all(f"environment variable {name}" in problem for problem in problems)
    assert "c4n4ry" not in "".join(problems)


@pytest.mark.parametrize("name", sorted(name for name in set(ALL) if name.endswith("PORT")))
def test_a_link_in_place_of_a_port_never_stops_the_start(read: Load, name: str) -> None:
    config = read(QUIET, {name: "tcp://10.0.0.1:6001"})
    assert config.port == 6001
    assert any(name in warning for warning in config.warnings)


@pytest.mark.parametrize("name", sorted(set(ALL)))
def test_an_empty_variable_counts_as_not_set(read: Load, name: str) -> None:
    assert outcome(read, {name: ""}) == outcome(read, {})


def test_all_of_them_at_once_make_one_warning_of_those_without_effect(read: Load) -> None:
    env = {name: "1" for name in ALL if name in WITHOUT_EFFECT and name not in INSTEAD}
    (warning,) = read(QUIET, env).warnings
    assert all(re.search(rf"\b{name}\b", warning) for name in env)


def test_every_name_without_effect_is_one_of_theirs() -> None:
    assert set(ALL) >= WITHOUT_EFFECT


def test_names_of_other_programs_are_left_alone() -> None:
    env = {
        "PATH": "/bin",
        "DEBUG": "app:*",
        "KUBERNETES_PORT": "tcp://10.0.0.1:443",
        "HOME": "/root",
        "APP_ENV": "local",
    }
    assert load(None, {**APP, **env}).warnings == ()
