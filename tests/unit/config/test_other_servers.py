"""Settings of soketi, Sockudo, and of programs beside us: taken over, named in a warning, or refused with a remedy."""

# ruff: noqa: E501 - the tables read best with one row a line

from pathlib import Path
from typing import Any

import pytest

from sockudo_py.config import Config, load, read_app
from sockudo_py.config.printing.describe import secrets_of
from sockudo_py.errors import ConfigError
from tests.unit.config.conftest import Load, Problems, app, with_apps, with_endpoint

SOKETI_APP = {"SOKETI_DEFAULT_APP_ID": "a1", "SOKETI_DEFAULT_APP_KEY": "k1", "SOKETI_DEFAULT_APP_SECRET": "s1"}
SOCKUDO_APP = {name.replace("SOKETI", "SOCKUDO"): value for name, value in SOKETI_APP.items()}
QUIET = {"host": "127.0.0.1", **with_apps(app())}  # a document without a warning


def value_at(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


# -- the default app --


@pytest.mark.parametrize("env", [SOKETI_APP, SOCKUDO_APP])
def test_the_app_of_variables_takes_the_demos_place_on_all_addresses(env: dict[str, str]) -> None:
    config = load(None, env)
    (found,) = config.app_manager.array.apps
    assert (found.id, found.key, found.secret.get_secret_value()) == ("a1", "k1", "s1")
    assert (config.host, config.mode, config.origin, config.warnings) == ("0.0.0.0", "production", "environment", ())


def test_every_setting_of_soketis_default_app_is_taken_over() -> None:
    webhooks = (
        '[{"url": "https://e.com", "event_types": ["client_event"], "filter": {"channel_name_starts_with": "a"}}]'
    )
    env = {
        **SOKETI_APP,
        "SOKETI_DEFAULT_APP_MAX_CONNS": "7",
        "SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES": "true",
        "SOKETI_DEFAULT_APP_ENABLED": "false",
        "SOKETI_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC": "8",
        "SOKETI_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SEC": "-1",
        "SOKETI_DEFAULT_APP_MAX_READ_REQ_PER_SEC": "9",
        "SOKETI_DEFAULT_APP_USER_AUTHENTICATION": "0",
        "SOKETI_DEFAULT_APP_WEBHOOKS": webhooks,
    }
    config = load(None, env)
    (found,) = config.app_manager.array.apps
    assert (found.max_connections, found.enable_client_messages, found.enabled) == (7, True, False)
    assert (found.max_backend_events_per_second, found.max_client_events_per_second) == (8, None)
    assert (found.max_read_requests_per_second, found.enable_user_authentication) == (9, False)
    (endpoint,) = found.webhooks
    assert (endpoint.url, endpoint.filter.channel_prefix) == ("https://e.com", "a")
    (warning,) = config.warnings
    assert warning.startswith("environment variable SOKETI_DEFAULT_APP_ENABLED: is false, and no other app is enabled")


def test_webhooks_of_a_variable_that_are_no_json_are_a_mistake() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {**SOKETI_APP, "SOKETI_DEFAULT_APP_WEBHOOKS": "[{"})
    assert caught.value.problems == [
        "environment variable SOKETI_DEFAULT_APP_WEBHOOKS: is not valid JSON; write it as in a file: [{...}]"
    ]


@pytest.mark.parametrize("name", ["SOCKUDO_ENABLE_CLIENT_MESSAGES", "SOCKUDO_DEFAULT_APP_ENABLE_CLIENT_MESSAGES"])
def test_the_older_and_the_newer_name_both_work(name: str) -> None:
    config = load(None, {**SOCKUDO_APP, name: "true"})
    assert config.app_manager.array.apps[0].enable_client_messages
    assert config.warnings == ()


def test_of_two_names_with_two_values_the_newer_counts_and_the_other_is_named() -> None:
    env = {"SOCKUDO_ENABLE_CLIENT_MESSAGES": "true", "SOCKUDO_DEFAULT_APP_ENABLE_CLIENT_MESSAGES": "false"}
    config = load(None, {**SOCKUDO_APP, **env})
    assert not config.app_manager.array.apps[0].enable_client_messages
    assert config.warnings == (
        "environment variable SOCKUDO_ENABLE_CLIENT_MESSAGES: has no effect beside "
        "SOCKUDO_DEFAULT_APP_ENABLE_CLIENT_MESSAGES",
    )


def test_settings_of_a_default_app_that_is_not_there_are_named(read: Load) -> None:
    assert read(QUIET, {"SOKETI_DEFAULT_APP_MAX_CONNS": "5"}).warnings == (
        "environment variable SOKETI_DEFAULT_APP_MAX_CONNS: has no effect without an app of variables: set "
        "SOKETI_DEFAULT_APP_ID, SOKETI_DEFAULT_APP_KEY, SOKETI_DEFAULT_APP_SECRET",
    )


def test_half_an_app_names_what_is_missing_in_its_own_spelling() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"SOKETI_DEFAULT_APP_KEY": "k"})
    assert caught.value.problems == [
        "environment variable SOKETI_DEFAULT_APP_ID: is not set; an app needs id, key and secret",
        "environment variable SOKETI_DEFAULT_APP_SECRET: is not set; an app needs id, key and secret",
    ]


@pytest.mark.parametrize(
    "env",
    [
        {"SOCKUDO_SKIP_INLINE_APPS": "true"},
        {"APP_MANAGER_REGISTER_INLINE_APPS": "false"},
        {"SOCKUDO_DEFAULT_APP_ENABLED": "false"},
        {"SOKETI_DEFAULT_APP_ENABLED": "0"},
    ],
)
def test_apps_of_the_file_that_variables_leave_out_are_not_there(read: Load, env: dict[str, str]) -> None:
    config = read(QUIET, env)
    assert config.app_manager.array.apps == ()
    (name,) = env
    assert f"environment variable {name}: leaves out the apps of the file (1)" in config.warnings
    assert load(None, env).app_manager.array.apps == ()  # the demo's neither


# -- names --


@pytest.mark.parametrize(
    ("env", "key", "value"),
    [
        ({"SOKETI_SHUTDOWN_GRACE_PERIOD": "3000"}, "shutdown_grace_period", 3),
        ({"SOKETI_SHUTDOWN_GRACE_PERIOD": "3000", "SHUTDOWN_GRACE_PERIOD": "4"}, "shutdown_grace_period", 4),
        ({"SOKETI_USER_AUTHENTICATION_TIMEOUT": "1500"}, "user_authentication_timeout", 1.5),
        ({"SOKETI_CHANNEL_LIMITS_MAX_NAME_LENGTH": "99"}, "channel_limits.max_name_length", 99),
        ({"SOKETI_CHANNEL_CACHE_TTL": "60"}, "channel_limits.cache_ttl", 60),
        ({"SOKETI_EVENT_MAX_SIZE_IN_KB": "100"}, "event_limits.max_payload_in_kb", 100),
        ({"SOKETI_PRESENCE_MAX_MEMBERS": "5"}, "presence.max_members_per_channel", 5),
        ({"SOKETI_QUEUE_SQS_POLLING_WAIT_TIME_MS": "5000"}, "queue.sqs.wait_time_seconds", 5),
        ({"SOKETI_QUEUE_REDIS_CONCURRENCY": "3"}, "queue.redis.concurrency", 3),
        ({"SOKETI_WEBHOOKS_BATCHING": "false"}, "webhooks.batching.enabled", False),
        ({"SOKETI_METRICS_SERVER_PORT": "9000"}, "metrics.port", 9000),
        ({"WEBSOCKET_MAX_BYTES": "65536"}, "websocket.max_bytes", 65536),
        ({"PORT": " 7 "}, "port", 7),
    ],
)
def test_a_variable_of_another_server_sets_our_key(read: Load, env: dict[str, str], key: str, value: Any) -> None:
    assert value_at(read(QUIET, env), key) == value


def test_variables_without_effect_are_named_in_one_warning(read: Load) -> None:
    config = read(QUIET, {"SOKETI_DB_POOLING_MAX": "9", "HISTORY_ENABLED": "true", "PUSH_FCM_ENABLED": "1", "X": "y"})
    assert config.warnings == (
        "environment: these variables of soketi or Sockudo have no effect here: "
        "HISTORY_ENABLED, PUSH_FCM_ENABLED, SOKETI_DB_POOLING_MAX",
    )


def test_unknown_variables_with_a_prefix_of_ours_are_named(read: Load) -> None:
    config = read(QUIET, {"SOKETI_DEFAULT_APP_SECERT": "x", "SOCKUDO_FROBNICATE": "y", "SOCKUDO_BLANK": ""})
    assert config.warnings == (
        "environment: these variables are unknown and have no effect: SOCKUDO_FROBNICATE, "
        "SOKETI_DEFAULT_APP_SECERT (did you mean SOKETI_DEFAULT_APP_SECRET?)",
    )


def test_variables_that_the_file_fetches_are_not_named(read: Load) -> None:
    document = {"host": "127.0.0.1", **with_apps({"id": "1", "key": "${SOCKUDO_MY_KEY}", "secret_env": "SOCKUDO_MINE"})}
    assert read(document, {"SOCKUDO_MY_KEY": "k", "SOCKUDO_MINE": "s"}).warnings == ()


def test_links_of_kubernetes_are_no_settings(read: Load) -> None:
    env = {
        "SOKETI_PORT": "tcp://10.0.0.1:6001",
        "SOKETI_PORT_6001_TCP": "tcp://10.0.0.1:6001",
        "SOKETI_PORT_6001_TCP_PROTO": "tcp",
        "SOKETI_SERVICE_HOST": "10.0.0.1",
        "SOKETI_SERVICE_PORT": "6001",
        "SOKETI_SERVICE_PORT_WS": "6001",
        "METRICS_PORT": "tcp://10.0.0.2:9601",
        "REDIS_PORT": "tcp://10.0.0.3:6379",
        "METRICS_SERVICE_HOST": "10.0.0.2",
    }
    config = read(QUIET, env)
    assert (config.port, config.metrics.port, config.database.redis.port) == (6001, 9601, 6379)
    (warning,) = config.warnings
    assert warning.startswith("environment: these variables are links to services")
    assert all(name in warning for name in ("SOKETI_PORT", "METRICS_PORT", "REDIS_PORT", "SOKETI_SERVICE_HOST"))


def test_a_link_gives_way_to_another_name_of_the_setting(read: Load) -> None:
    assert read(QUIET, {"PORT": "tcp://10.0.0.1:6001", "SOKETI_PORT": "7001"}).port == 7001


@pytest.mark.parametrize("value", ["null", "NULL", "(null)"])
def test_the_word_null_in_a_variable_counts_as_not_set_and_is_named(read: Load, value: str) -> None:
    config = read(QUIET, {"REDIS_PASSWORD": value})
    assert config.database.redis.password is None
    assert config.warnings == (
        "environment: the word null counts as not set: REDIS_PASSWORD; another program's may be meant",
    )


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"CACHE_DRIVER": "file"}, "environment variable CACHE_DRIVER: must be 'memory', 'redis' or 'none', not 'file'; if it is another program's, unset it for this server"),
        ({"QUEUE_DRIVER": "beanstalkd"}, "environment variable QUEUE_DRIVER: must be 'memory', 'sqlite', 'redis', 'sqs' or 'none', not 'beanstalkd'; if it is another program's, unset it for this server"),
        ({"SOKETI_CACHE_DRIVER": "file"}, "environment variable SOKETI_CACHE_DRIVER: must be 'memory', 'redis' or 'none', not 'file'"),
        ({"SOKETI_SSL_CA": "ca.pem"}, "environment variable SOKETI_SSL_CA: is not supported here; leave it out, and check client certificates in a proxy"),
        ({"SSL_REDIRECT_HTTP": "true"}, "environment variable SSL_REDIRECT_HTTP: is not supported here; write false, and redirect in a proxy, or, if it is another program's, unset it for this server"),
        ({"DATABASE_REDIS_MASTER_TLS_ENABLED": "true"}, "environment variable DATABASE_REDIS_MASTER_TLS_ENABLED: has no effect: there are no database.redis.sentinels; for TLS to one server use database.redis.url with rediss://, or, if it is another program's, unset it for this server"),
        ({"SSL_ENABLED": "1", "SSL_CERT_PATH": "c.pem"}, "environment variable SSL_ENABLED: TLS is asked for, and ssl.key_path is missing; name the PEM file, or, if it is another program's, unset it for this server"),
        ({"QUEUE_LEASE_DURATION_MS": "100"}, "environment variable QUEUE_LEASE_DURATION_MS: lease_renew_interval_ms is too long; make it half of lease_duration_ms or less, or, if it is another program's, unset it for this server"),
        ({"SOCKUDO_SERVER_ROLE": "api"}, "environment variable SOCKUDO_SERVER_ROLE: is not supported here; write default: every server is a whole one"),
    ],
)  # fmt: skip
def test_a_mistake_that_a_variable_caused_names_it(problems: Problems, env: dict[str, str], line: str) -> None:
    assert problems(QUIET, env) == [line]


@pytest.mark.parametrize("env", [{"SSL_REDIRECT_HTTP": "false"}, {"SOCKUDO_SERVER_ROLE": "default"}])
def test_a_variable_that_asks_for_nothing_is_no_mistake(read: Load, env: dict[str, str]) -> None:
    assert read(QUIET, env).warnings == ()


def test_the_demo_says_where_it_listens() -> None:
    assert "on 127.0.0.1; start" in load(None, {}).warnings[0]
    assert "on 0.0.0.0; start" in load(None, {"HOST": "0.0.0.0"}).warnings[0]


def test_a_mistake_in_a_reference_names_variable_and_key(problems: Problems) -> None:
    assert problems({"port": "${P}"}, {"P": "x"}) == [
        "environment variable P (config.json: port): must be a whole number, not 'x'"
    ]
    assert problems({"port": "${P:-x}"}) == ["config.json: port: must be a whole number, not 'x'"]


def test_a_setting_that_a_url_overrules_is_named(read: Load) -> None:
    config = read(QUIET, {"REDIS_URL": "redis://a", "REDIS_HOST": "b"})
    assert config.redis_url("queue") == "redis://a"
    assert "environment variable REDIS_HOST: has no effect beside REDIS_URL" in config.warnings


# -- TLS --

PAIR = {"SOKETI_SSL_CERT": "c.pem", "SOKETI_SSL_KEY": "k.pem"}


@pytest.mark.parametrize("ssl", [{}, {"enabled": False}])
def test_a_certificate_of_soketi_switches_tls_on(read: Load, ssl: dict[str, Any]) -> None:
    assert read({**QUIET, "ssl": ssl}, PAIR).ssl.enabled


def test_a_certificate_switches_tls_on_where_nothing_is_said_of_it(read: Load) -> None:
    assert read({**QUIET, "ssl": {"cert_path": "c.pem", "key_path": "k.pem"}}).ssl.enabled


def test_sockudos_switch_beats_soketis_habit(read: Load) -> None:
    assert not read(QUIET, {**PAIR, "SSL_ENABLED": "false"}).ssl.enabled


def test_a_certificate_beside_tls_off_is_a_warning(read: Load) -> None:
    config = read({**QUIET, "ssl": {"enabled": False, "cert_path": "c.pem", "key_path": "k.pem"}})
    assert not config.ssl.enabled
    assert config.warnings == tuple(
        f"config.json: ssl.{key}: has no effect: the port speaks plain text; set ssl.enabled to true for TLS"
        for key in ("cert_path", "key_path")
    )


def test_half_a_pair_is_a_warning(read: Load) -> None:
    assert read(QUIET, {"SOKETI_SSL_CERT": "c.pem"}).warnings == (
        "environment variable SOKETI_SSL_CERT: has no effect: the port speaks plain text; "
        "TLS needs ssl.cert_path and ssl.key_path",
    )


# -- values --


@pytest.mark.parametrize(
    ("written", "level"),
    [("warn", "warning"), ("trace", "debug"), ("Debug", "debug"), ("WARNING", "warning"), ("critical", "error"), ("notice", "info")],
)  # fmt: skip
def test_levels_of_the_log_have_synonyms_in_any_case(read: Load, written: str, level: str) -> None:
    assert read(QUIET, {"LOG_LEVEL": written}).logging.level == level
    assert read({**QUIET, "logging": {"level": written}}).logging.level == level


@pytest.mark.parametrize("value", [4711, "4711"])
def test_ids_keys_and_secrets_of_digits_may_be_numbers(read: Load, value: Any) -> None:
    found = read(with_apps({"id": value, "key": value, "secret": value})).app_manager.array.apps[0]
    assert (found.id, found.key, found.secret.get_secret_value()) == ("4711", "4711", "4711")


def test_two_apps_with_one_id_are_found_whatever_its_type(problems: Problems) -> None:
    document = with_apps(app(id=1), {"id": "1", "key": "k2", "secret": "s"})
    assert problems(document) == [
        "config.json: app_manager.array.apps[1].id: is also the id of app_manager.array.apps[0]; each must have its own"
    ]


def test_drivers_of_other_servers_become_ours(read: Load) -> None:
    assert read({**QUIET, "rate_limiter": {"driver": "local"}}).rate_limiter.driver == "memory"
    config = read({**QUIET, "queue": {"driver": "redis-cluster"}})
    assert (config.queue.driver, config.queue.redis.cluster_mode) == ("redis", True)
    config = read(QUIET, {"SOKETI_QUEUE_DRIVER": "sync"})
    assert config.queue.driver == "memory"
    assert config.warnings == (
        "environment variable SOKETI_QUEUE_DRIVER: sync is taken as memory: a crash loses the webhooks that wait; "
        "sqlite keeps them",
    )


def test_no_queue_is_a_warning_where_there_are_endpoints(read: Load) -> None:
    config = read({**with_endpoint(), "host": "127.0.0.1", "queue": {"driver": "none"}})
    assert not config.sends_webhooks
    assert config.warnings == (
        "config.json: queue.driver: is none, so the webhook endpoints get nothing; set it to sqlite",
    )
    assert read({**QUIET, "queue": {"driver": "none"}}).warnings == ()


def test_names_in_sockudos_documentation_of_webhooks_are_ours(read: Load) -> None:
    webhooks = {"batching_enabled": True, "max_batch_size": 50, "flush_interval_ms": 500, "timeout_ms": 5000}
    found = read({**QUIET, "webhooks": webhooks}).webhooks
    assert (found.batching.enabled, found.batching.size, found.batching.duration) == (True, 50, 500)
    assert found.request_timeout_ms == 5000


def test_several_namespaces_may_be_given(read: Load) -> None:
    found = read(with_endpoint(filter={"channel_namespaces": ["chat", "orders"]})).app_manager.array.apps[0].webhooks[0]
    assert found.filter.channel_namespaces == ("chat", "orders")


@pytest.mark.parametrize("mode", ["prodction", "Producton", "developmnt"])
def test_a_mode_that_is_almost_one_is_a_mistake(problems: Problems, mode: str) -> None:
    (line,) = problems({**QUIET, "mode": mode})
    assert " is no mode of this server; did you mean " in line


@pytest.mark.parametrize(
    ("mode", "known"), [("prod", "production"), ("Production", "production"), ("staging", "staging")]
)
def test_other_modes_are_taken(read: Load, mode: str, known: str) -> None:
    assert read({**QUIET, "mode": mode}).mode == known


# -- places --


def test_the_metrics_listen_where_the_server_does_unless_told_otherwise(read: Load) -> None:
    assert read({"host": "10.0.0.1"}).metrics_host == "10.0.0.1"
    assert read({"host": "10.0.0.1", "metrics": {"host": "127.0.0.1"}}).metrics_host == "127.0.0.1"
    assert load(None, {"HOST": "0.0.0.0"}).metrics_host == "0.0.0.0"


@pytest.mark.parametrize(
    "document",
    [
        {"port": 9601},
        {"port": "7", "metrics": {"port": 7}},
        {"port": 7, "host": "::", "metrics": {"port": 7, "host": "127.0.0.1"}},
    ],
)
def test_one_port_for_two_servers_is_a_mistake(problems: Problems, document: dict[str, Any]) -> None:
    free = 9602 if document["port"] == 9601 else 9601
    assert problems(document) == [
        f"config.json: metrics.port: is also the port of the server; choose another, such as {free}"
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"port": 0, "metrics": {"port": 0}},
        {"port": 7, "metrics": {"port": 7, "enabled": False}},
        {"port": 7, "host": "127.0.0.1", "metrics": {"port": 7, "host": "127.0.0.2"}},
    ],
)
def test_two_ports_that_do_not_meet_are_fine(read: Load, document: dict[str, Any]) -> None:
    read(document)


# -- files --


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"appManager.array.apps": []}, 'appManager.array.apps: is not a known key; write it nested: {"app_manager": {"array": {"apps": ...}}}'),
        ({"appManager": {}}, "appManager: is not a known key; did you mean app_manager?"),
        ({"eventLimits.maxPayloadInKb": 1}, 'eventLimits.maxPayloadInKb: is not a known key; write it nested: {"event_limits": {"max_payload_in_kb": ...}}'),
        ({"metrics": {"prefix": "x"}}, "metrics.prefix: is not a known key; did you mean metrics.prometheus.prefix?"),
        ({"webhooks": [{"url": "https://e.com"}]}, "webhooks: must be an object with settings of delivery, not a list; the endpoints of an app belong into app_manager.array.apps[].webhooks"),
    ],
)  # fmt: skip
def test_a_key_in_another_servers_form_gets_the_right_hint(
    problems: Problems, document: dict[str, Any], line: str
) -> None:
    assert problems(document) == [f"config.json: {line}"]


def test_the_file_of_one_app_is_told_from_a_configuration(problems: Problems) -> None:
    assert problems(app()) == [
        "config.json: looks like the file of one app; put the app into app_manager.array.apps, "
        "or name the folder of such files in app_manager.file.path"
    ]
    assert problems([app()]) == ['config.json: is a list of apps; write {"app_manager": {"array": {"apps": [...]}}}']


def test_a_configuration_is_told_from_the_file_of_one_app() -> None:
    with pytest.raises(ConfigError) as caught:
        read_app(b'{"app_manager": {}}', "apps/a.json", {})
    assert caught.value.problems == [
        "apps/a.json: looks like a whole configuration; give it to --config, and put only files of one app here"
    ]


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("c.toml", "port = 6001\n", "it looks like TOML, and this server reads JSON: python3 -c "),
        ("c.json", "# x\n[app_manager]\n", "it looks like TOML"),
        ("c.yaml", "port: 6001\n", "it looks like YAML, and this server reads JSON: yq -o=json "),
        ("c.yml", "---\na: 1", "it looks like YAML"),
        (".env", "# mine\nPORT=6001\n", "it looks like variables: set -a; . "),
        ("c.json", "export SOCKUDO_DEFAULT_APP_ID=a\n", "it looks like variables"),
    ],
)
def test_a_file_in_another_format_says_how_to_make_json_of_it(tmp_path: Path, name: str, text: str, hint: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match="is not valid JSON") as caught:
        load(tmp_path / name, {})
    assert hint in caught.value.problems[0]


# -- URLs with passwords --


@pytest.mark.parametrize(
    "url",
    ["redis://:p@ss/w#rd@host", "redis://:p/ss@host", "redis://:p#ss@host", "redis://u:p?ss@host", "redis://u:12/3@host", "redis://host/db", "redis://u:12?3@h", "redis://u:12#@h"],
)  # fmt: skip
def test_a_redis_url_whose_password_is_not_encoded_is_refused(problems: Problems, url: str) -> None:
    (line,) = problems({"database": {"redis": {"url": url}}})
    assert "write special characters of the password as %40 for @" in line
    assert "ss" not in line.replace("password", "").replace("rediss", "")


@pytest.mark.parametrize("url", ["redis://:p%40ss%2Fw%23rd@host", "redis://u:p@h:1/2", "rediss://h", "unix:///run/redis.sock", "redis://h/", "redis://:p@ss@h"])  # fmt: skip
def test_other_redis_urls_are_taken(read: Load, url: str) -> None:
    assert read({"database": {"redis": {"url": url}}}).redis_url("queue") == url


def test_an_egress_proxy_is_read_alike(problems: Problems) -> None:
    (line,) = problems({"webhooks": {"security": {"egress_proxy": "http://u:p/w@proxy:3128"}}})
    assert "write special characters of the password as" in line


def test_variables_that_the_apps_of_a_folder_fetch_are_not_named(read: Load, tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/a.json").write_text('{"id": "1", "key": "${SOCKUDO_A:-k}", "secret_env": "SOCKUDO_B"}')
    document = {"host": "127.0.0.1", "app_manager": {"driver": "file", "file": {"path": "apps"}}}
    assert read(document, {"SOCKUDO_A": "k", "SOCKUDO_B": "s"}).warnings == ()


def test_quotes_that_docker_passes_on_are_no_part_of_a_value(read: Load) -> None:
    config = read(QUIET, {"PORT": '"7001"', "LOG_LEVEL": "'warn'", "SOKETI_DB_REDIS_PASSWORD": '"p"'})
    assert (config.port, config.logging.level, config.redis_url("queue")) == (
        7001,
        "warning",
        "redis://:p@127.0.0.1:6379/0",
    )
    assert config.warnings == ()


def test_quotes_around_a_secret_are_told(read: Load) -> None:
    config = read(QUIET, {"REDIS_PASSWORD": '"p"'})
    assert config.database.redis.password is not None
    assert config.database.redis.password.get_secret_value() == '"p"'
    assert config.warnings == ("environment variable REDIS_PASSWORD: is in quotes, which are taken as a part of it",)


def test_an_app_that_wants_tls_where_there_is_none_is_a_warning(read: Load) -> None:
    document = with_apps(app(require_tls=True))
    (warning,) = read({"host": "127.0.0.1", **document}).warnings
    assert "so nobody can connect" in warning
    assert read({"host": "127.0.0.1", "trusted_proxies": ["10.0.0.1"], **document}).warnings == ()


def test_an_app_of_a_table_of_soketi_is_read_alike(read: Load) -> None:
    row = {
        "AppId": 1,
        "AppKey": "k",
        "AppSecret": "s",
        "MaxConnections": "200",
        "EnableClientMessages": True,
        "Webhooks": [],
    }
    found = read(with_apps(row)).app_manager.array.apps[0]
    assert (found.id, found.key, found.max_connections, found.enable_client_messages) == ("1", "k", 200, True)
    short = app(
        max_client_events_per_sec=-1,
        max_backend_events_per_sec="7",
        max_read_req_per_sec=8,
        hasClientEventWebhooks=True,
    )
    found = read(with_apps(short)).app_manager.array.apps[0]
    assert (found.max_client_events_per_second, found.max_backend_events_per_second) == (None, 7)
    assert found.max_read_requests_per_second == 8


@pytest.mark.parametrize(("asynchronous", "kind"), [(True, "Event"), (False, "RequestResponse")])
def test_a_lambda_of_soketi_is_invoked_alike(read: Load, asynchronous: bool, kind: str) -> None:
    function = {"async": asynchronous, "region": "eu-west-1", "client_options": {}}
    endpoint = {"lambda_function": "f", "lambda": function, "event_types": ["client_event"]}
    (found,) = read(with_apps(app(webhooks=[endpoint]))).app_manager.array.apps[0].webhooks
    assert found.function is not None
    assert (found.function.function_name, found.function.invocation_type) == ("f", kind)


@pytest.mark.parametrize("key", ["port", "debug", "max_connections"])
def test_an_empty_number_or_flag_is_not_given(read: Load, key: str) -> None:
    assert value_at(read({**QUIET, key: "${X:-}"}), key) == value_at(Config(), key)


def test_a_reference_to_a_link_or_to_null_is_one_to_a_variable_that_is_not_set(read: Load, problems: Problems) -> None:
    document = {**QUIET, "port": "${MY_PORT:-7001}", "database": {"redis": {"password": "${MINE:-}"}}}
    config = read(document, {"MY_PORT": "tcp://10.0.0.1:6001", "MINE": "null"})
    assert (config.port, config.database.redis.password) == (7001, None)
    links, nothing = config.warnings
    assert "links to services" in links
    assert "MY_PORT" in links
    assert "the word null counts as not set: MINE" in nothing
    (line,) = problems({**QUIET, "port": "${MY_PORT}"}, {"MY_PORT": "tcp://10.0.0.1:6001"})
    assert line.startswith("config.json: port: the environment variable MY_PORT is a link to a service")


@pytest.mark.parametrize("host", ["tls://h.example", "redis://h.example:6379", "h.example/0", "u:p@h.example"])
def test_a_redis_host_that_is_a_url_is_refused(problems: Problems, host: str) -> None:
    (line,) = problems(QUIET, {"REDIS_HOST": host})
    assert line.startswith("environment variable REDIS_HOST: must be a host name or an address; give a URL as ")


@pytest.mark.parametrize("host", ["h.example", "10.0.0.1", "::1", "redis_1"])
def test_other_redis_hosts_are_taken(read: Load, host: str) -> None:
    assert read(QUIET, {"REDIS_HOST": host}).database.redis.host == host


def test_the_demo_of_a_file_is_left_out_where_variables_make_an_app(read: Load) -> None:
    demo = {"id": "app-id", "key": "app-key", "secret": "app-secret"}
    config = read(with_apps(demo, app()), SOCKUDO_APP)
    assert [found.id for found in config.app_manager.array.apps] == ["1", "a1"]
    assert config.warnings == (
        "environment variable SOCKUDO_DEFAULT_APP_ID: leaves out app-id of the file: "
        "the app of variables is there, and their secret is published",
    )
    assert [found.id for found in read(with_apps(demo)).app_manager.array.apps] == ["app-id"]


@pytest.mark.parametrize("driver", ["surrealdb", "scylladb"])
def test_apps_in_another_database_are_refused_with_where_they_go(driver: str, problems: Problems) -> None:
    (line,) = problems({"app_manager": {"driver": driver}})
    assert "must be 'memory', 'array', 'file', 'postgres', 'mysql' or 'dynamodb'" in line
    assert "app_manager.file.path" in line


@pytest.mark.parametrize(
    ("word", "driver"),
    [("pgsql", "postgres"), ("PostgreSQL", "postgres"), ("mariadb", "mysql"), ("DynamoDB", "dynamodb")],
)
def test_databases_may_be_named_as_elsewhere(word: str, driver: str, read: Load) -> None:
    config = read({"app_manager": {"driver": word}})
    assert config.app_manager.driver == driver
    assert config.app_manager.in_database
    assert config.warnings == ()  # that there is no app in the file is as it should be


def test_variables_that_name_a_database_make_no_demo() -> None:
    config = load(None, {"APP_MANAGER_DRIVER": "pgsql", "DATABASE_POSTGRES_PASSWORD": "word-of-postgres"})
    assert config.host == "0.0.0.0"
    assert config.app_manager.array.apps == ()
    assert config.database.postgres.password is not None
    assert "word-of-postgres" in set(secrets_of(config))


def test_apps_of_the_file_have_no_effect_beside_a_database(read: Load) -> None:
    (warning,) = read({**with_apps(app()), "app_manager": {"driver": "mysql", "array": {"apps": [app()]}}}).warnings
    assert warning.endswith("has no effect with the driver mysql; insert them into the table")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("postgres.host", "postgres://user:word@host/db"),
        ("mysql.host", "user:word@host"),
        ("postgres.table_name", 'apps"; DROP TABLE apps; --'),
        ("mysql.table_name", "a.b.c"),
        ("dynamodb.table_name", "a table"),
    ],
)
def test_names_that_can_do_harm_are_refused_and_not_shown(key: str, value: str, problems: Problems) -> None:
    section, name = key.split(".")
    (line,) = problems({"database": {section: {name: value}}})
    assert f"database.{key}" in line
    assert "word" not in line.replace("password", "")
