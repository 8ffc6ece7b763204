"""Environment variables: references inside the file, and overrides of it."""

from typing import Any

import pytest

from sockudo_py.config import Config, load
from sockudo_py.config.problems import key_names, section_at
from sockudo_py.config.tables.environment import DEFAULT_APP, OVERRIDES
from sockudo_py.config.tables.unused import HARMLESS_WHEN_BLANK
from tests.unit.config.conftest import Load, Problems, app, with_apps


@pytest.mark.parametrize(
    ("text", "env", "result"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("a-${A}-${B}", {"A": "1", "B": "2"}, "a-1-2"),
        ("${A:-none}", {}, "none"),
        ("${A:-none}", {"A": ""}, "none"),
        ("${A:-none}", {"A": "x"}, "x"),
        ("${A:-a b:c}", {}, "a b:c"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("$A", {"A": "x"}, "$A"),
        ("${A}", {"A": "${B}", "B": "x"}, "${B}"),
    ],
)
def test_a_reference_is_replaced(read: Load, text: str, env: dict[str, str], result: str) -> None:
    assert read({"mode": text}, env).mode == result


def test_a_reference_alone_may_be_a_number_or_a_flag(read: Load) -> None:
    config = read({"port": "${P}", "debug": "${D}", "pong_timeout": "${T:-2.5}"}, {"P": "7001", "D": "true"})
    assert (config.port, config.debug, config.pong_timeout) == (7001, True, 2.5)


def test_a_secret_of_digits_stays_text(read: Load) -> None:
    config = read(with_apps(app(secret="${S}")), {"S": "0123"})
    assert config.app_manager.array.apps[0].secret.get_secret_value() == "0123"


@pytest.mark.parametrize("env", [{}, {"A": ""}])
def test_a_variable_that_is_not_set_is_a_mistake(problems: Problems, env: dict[str, str]) -> None:
    assert problems({"port": "${A}"}, env) == [
        "config.json: port: the environment variable A is not set; "
        "set it (in a container: docker run -e A=...), or write ${A:-default}"
    ]


@pytest.mark.parametrize("text", ["${A", "${}", "${1A}", "${A-b}"])
def test_a_broken_reference_is_a_mistake(problems: Problems, text: str) -> None:
    assert problems({"mode": text}, {"A": "x"}) == [
        "config.json: mode: has a ${ that is no reference; write ${NAME}, or $${ for a literal ${"
    ]


def test_secret_env_names_the_variable_with_the_secret(read: Load) -> None:
    document = with_apps({"id": "1", "key": "k", "secret_env": "S"})
    assert read(document, {"S": "x"}).app_manager.array.apps[0].secret.get_secret_value() == "x"


def test_secret_env_without_its_variable_is_a_mistake(problems: Problems) -> None:
    assert problems(with_apps({"id": "1", "key": "k", "secret_env": "S"})) == [
        "config.json: app_manager.array.apps[0].secret_env: the environment variable S is not set; set it"
    ]


def test_secret_env_beside_secret_is_a_mistake(problems: Problems) -> None:
    assert problems(with_apps(app(secret_env="S")), {"S": "x"}) == [
        "config.json: app_manager.array.apps[0].secret_env: is given besides secret; keep one of them"
    ]


def value_at(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("row", OVERRIDES, ids=lambda row: row.names[0])
def test_every_override_sets_keys_that_exist(row: Any) -> None:
    for key in (*row.keys, *row.drops):
        if any(f"{key}.".startswith(f"{harmless}.") for harmless in HARMLESS_WHEN_BLANK):
            continue  # a key of Sockudo
        *parents, last = key.split(".")
        section = section_at(Config, tuple(parents))
        assert section is not None, key
        assert last in key_names(section), key


def test_no_variable_stands_in_two_rows() -> None:
    names = [name for row in (*OVERRIDES, *DEFAULT_APP) for name in row.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("env", "key", "value"),
    [
        ({"HOST": "::"}, "host", "::"),
        ({"PORT": "7"}, "port", 7),
        ({"SOKETI_PORT": "8"}, "port", 8),
        ({"PORT": "7", "SOKETI_PORT": "8"}, "port", 7),
        ({"PORT": "", "SOKETI_PORT": "8"}, "port", 8),
        ({"DEBUG": "*"}, "debug", False),
        ({"DEBUG": "1"}, "debug", True),
        ({"DEBUG_MODE": "true"}, "debug", True),
        ({"CORS_ORIGINS": "https://a.com, https://b.com"}, "cors.origin", ("https://a.com", "https://b.com")),
        ({"WEBHOOK_RATE_LIMIT": "100"}, "webhooks.delivery.global_rate", 100),
        ({"WEBHOOK_WORKER_CONCURRENCY": "10"}, "queue.concurrency", 10),
        ({"QUEUE_DRIVER": "redis"}, "queue.driver", "redis"),
        ({"SSL_CERT_PATH": "c.pem"}, "ssl.cert_path", "c.pem"),
        ({"METRICS_PORT": "1"}, "metrics.port", 1),
        ({"LOG_OUTPUT_FORMAT": "json"}, "logging.format", "json"),
    ],
)
def test_a_variable_overrides_the_file(read: Load, env: dict[str, str], key: str, value: Any) -> None:
    document = {"host": "h", "port": 2, "debug": False, "queue": {"driver": "memory"}}
    assert value_at(read(document, env), key) == value


def test_redis_url_is_for_every_user_at_once(read: Load) -> None:
    document = {
        "database": {"redis": {"host": "old"}},
        "cache": {"redis": {"url_override": "redis://cache"}},
        "queue": {"redis": {"url_override": "redis://queue"}},
    }
    config = read(document, {"REDIS_URL": "redis://new/3"})
    assert {config.redis_url(user) for user in ("adapter", "cache", "queue", "rate_limiter")} == {"redis://new/3"}


def test_redis_host_replaces_a_url_in_the_file(read: Load) -> None:
    env = {"REDIS_HOST": "h", "REDIS_PORT": "1", "REDIS_PASSWORD": "p"}
    assert read({"database": {"redis": {"url": "redis://old"}}}, env).redis_url("queue") == "redis://:p@h:1/0"


def test_an_empty_redis_password_is_none(read: Load) -> None:
    env = {"REDIS_HOST": "localhost", "REDIS_PORT": "6379", "REDIS_PASSWORD": ""}
    assert read({}, env).redis_url("queue") == "redis://localhost:6379/0"


DEFAULT = {"SOCKUDO_DEFAULT_APP_ID": "e", "SOCKUDO_DEFAULT_APP_KEY": "ek", "SOCKUDO_DEFAULT_APP_SECRET": "es"}


def test_an_app_of_variables_replaces_the_demo() -> None:
    config = load(None, {**DEFAULT, "SOCKUDO_DEFAULT_APP_ENABLE_CLIENT_MESSAGES": "true", "HOST": "0.0.0.0"})
    (found,) = config.app_manager.array.apps
    assert (found.id, found.key, found.enable_client_messages, config.host) == ("e", "ek", True, "0.0.0.0")
    assert config.warnings == ()


def test_an_app_of_variables_joins_those_of_the_file(read: Load) -> None:
    config = read(with_apps(app()), {**DEFAULT, "SOCKUDO_DEFAULT_APP_ALLOWED_ORIGINS": "a.com,b.com"})
    assert [(one.id, one.allowed_origins) for one in config.app_manager.array.apps] == [
        ("1", ("*",)),
        ("e", ("a.com", "b.com")),
    ]


def test_an_app_of_variables_changes_the_one_with_its_id(read: Load) -> None:
    config = read(with_apps(app(id="e", max_connections=5)), DEFAULT)
    (found,) = config.app_manager.array.apps
    assert (found.key, found.max_connections) == ("ek", 5)


def test_an_app_of_variables_must_be_whole(problems: Problems) -> None:
    assert problems({}, {"SOCKUDO_DEFAULT_APP_KEY": "k"}) == [
        "environment variable SOCKUDO_DEFAULT_APP_ID: is not set; an app needs id, key and secret",
        "environment variable SOCKUDO_DEFAULT_APP_SECRET: is not set; an app needs id, key and secret",
    ]


def test_a_mistake_in_a_variable_names_the_variable(problems: Problems) -> None:
    env = {**DEFAULT, "SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS": "many", "PORT": "x", "CACHE_DRIVER": "nats"}
    assert problems({}, env) == [
        "environment variable PORT: must be a whole number, not 'x'; "
        "if it is another program's, unset it for this server",
        "environment variable SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS: must be a whole number, not 'many'",
        "environment variable CACHE_DRIVER: must be 'memory', 'redis' or 'none', not 'nats'; "
        "if it is another program's, unset it for this server",
    ]


def test_the_previous_secret_of_an_endpoint_can_come_from_a_variable_too(read: Load) -> None:
    endpoint = {"url": "https://e.com", "profile": "irisx", "secret_env": "NEW", "previous_secret_env": "OLD"}
    config = read(with_apps(app(webhooks=[endpoint])), {"NEW": "n3w", "OLD": "o1d"})
    (defined,) = config.app_manager.array.apps[0].webhooks
    assert defined.secret is not None
    assert defined.previous_secret is not None
    assert (defined.secret.get_secret_value(), defined.previous_secret.get_secret_value()) == ("n3w", "o1d")


@pytest.mark.parametrize("text", ["a:1, b", '[{"host": "a", "port": 1}, {"host": "b"}]'])
def test_sentinels_and_nodes_are_a_list_or_json(read: Load, text: str) -> None:
    env = {"SOKETI_DB_REDIS_SENTINELS": text, "REDIS_CLUSTER_NODES": text, "SOKETI_DB_REDIS_INSTANCE_NAME": "main"}
    redis = read({"database": {"redis": {"url": "redis://old"}}}, env).database.redis
    assert [(one.host, one.port) for one in redis.sentinels] == [("a", 1), ("b", 26379)]
    assert [(one.host, one.port) for one in redis.cluster.nodes] == [("a", 1), ("b", 6379)]
    assert (redis.name, redis.url) == ("main", None)


def test_redis_url_replaces_sentinels(read: Load) -> None:
    file = {"database": {"redis": {"sentinels": ["a"]}}}
    assert read(file, {"REDIS_URL": "redis://b"}).database.redis.sentinels == ()
