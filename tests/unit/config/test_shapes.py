"""The forms a configuration may have: the documented one, Sockudo's own files, soketi's names, and no file at all."""

from pathlib import Path
from typing import Any

import pytest

from sockudo_py.config import AppConfig, Config, load, read_app, read_endpoint
from sockudo_py.config.printing.describe import redacted
from sockudo_py.config.tables.unused import HARMLESS_WHEN_BLANK, INSTEAD, NOT_YET, UNUSED
from sockudo_py.errors import ConfigError
from tests.unit.config.conftest import Load, Problems, app, with_apps, with_endpoint

DOCUMENTED = """
{
  "webhooks": {"batching": {"enabled": true, "duration": 50}},
  "app_manager": {"driver": "memory", "array": {"apps": [{
    "id": "my-app", "key": "my-key", "secret": "my-secret",
    "webhooks": [
      {"url": "https://yourapi.com/sockudo/webhooks", "event_types": ["channel_occupied", "channel_vacated"]},
      {"lambda": {"function_name": "sockudoPresenceHandler", "region": "us-east-1"},
       "event_types": ["member_added", "member_removed"], "filter": {"channel_prefix": "presence-"}}
    ]}]}},
  "queue": {"driver": "redis", "redis": {"concurrency": 5, "prefix": "sockudo_queue:"}}
}
"""

# The shape of the file that Sockudo ships: the nested form of an app, drivers and features that are not here.
SOCKUDO: dict[str, Any] = {
    "debug": False,
    "host": "0.0.0.0",
    "port": 6001,
    "mode": "development",
    "path_prefix": "/",
    "shutdown_grace_period": 2,
    "adapter": {
        "driver": "local",
        "enable_socket_counting": True,
        "nats": {"servers": ["nats://127.0.0.1:4222"], "token": None},
        "kafka": {"brokers": ["127.0.0.1:9092"]},
        "redis": {"redis_pub_options": {"url": "redis://a"}, "redis_sub_options": {"url": "redis://a"}},
        "cluster_health": {"enabled": True, "heartbeat_interval_ms": 10000, "node_timeout_ms": 30000},
    },
    "database": {"mysql": {"password": "x"}, "redis": {"sentinels": [], "master_tls": {"enabled": False}}},
    "app_manager": {
        "driver": "memory",
        "array": {
            "apps": [
                {
                    "id": "app-id",
                    "key": "app-key",
                    "secret": "app-secret",
                    "enabled": True,
                    "policy": {
                        "limits": {"max_connections": 100000, "max_client_events_per_second": "1000"},
                        "features": {"enable_client_messages": True, "enable_user_authentication": True},
                        "channels": {
                            "allowed_origins": ["*"],
                            "channel_namespaces": [{"name": "chat"}],
                            "channel_delta_compression": {"a:*": {"enabled": True}},
                        },
                        "webhooks": [{"url": "https://example.com", "event_types": ["client_event"]}],
                        "idempotency": {"enabled": True},
                    },
                }
            ]
        },
        "cache": {"enabled": False, "ttl": 300},
    },
    "cache": {"driver": "memory", "memory": {"ttl": 300, "cleanup_interval": 60, "max_capacity": 10000}},
    "queue": {"driver": "memory"},
    "rate_limiter": {"enabled": False, "api_rate_limit": {"max_requests": 100, "identifier": "api"}},
    "channel_limits": {"max_name_length": 200, "cache_ttl": 3600},
    "webhooks": {"retry": {"enabled": True, "max_attempts": 4, "max_elapsed_time_ms": 300000}},
    "delta_compression": {"enabled": True},
    "cleanup": {"worker_threads": "auto"},
    "websocket": {"max_messages": 1000, "max_bytes": 4194304, "compression": "disabled"},
}


def only_app(document: dict[str, Any], read: Load) -> AppConfig:
    (found,) = read(document).app_manager.array.apps
    return found


def test_the_documented_webhook_configuration_loads_as_it_is(read: Load) -> None:
    config = read(DOCUMENTED)
    first, second = config.app_manager.array.apps[0].webhooks
    assert first.url == "https://yourapi.com/sockudo/webhooks"
    assert second.function is not None
    assert second.function.function_name == "sockudoPresenceHandler"
    assert second.filter.channel_prefix == "presence-"
    assert (config.queue.driver, config.queue.concurrency) == ("redis", 5)
    assert config.warnings == ()


def test_a_file_of_sockudo_loads_as_it_is(read: Load) -> None:
    config = read(SOCKUDO)
    found = config.app_manager.array.apps[0]
    assert (found.max_connections, found.max_client_events_per_second) == (100000, 1000)
    assert found.enable_client_messages
    assert found.webhooks[0].event_types == ("client_event",)
    assert config.channel_limits.cache_ttl == 3600
    assert config.websocket.max_bytes == 4194304
    assert config.webhooks.retry.max_age_ms == 300000
    assert config.redis_url("adapter") == "redis://a"


def test_keys_of_sockudo_without_effect_are_named_in_one_warning(read: Load) -> None:
    warning, *_ = read({**SOCKUDO, "host": "127.0.0.1"}).warnings
    start, _, names = warning.partition("these keys of Sockudo have no effect here: ")
    assert start == "config.json: "
    assert {
        "adapter.nats",
        "adapter.kafka",
        "cleanup",
        "delta_compression",
        "app_manager.array.apps[0].policy.channels.channel_namespaces",
    } <= set(names.split(", "))


@pytest.mark.parametrize("key", INSTEAD)
def test_a_key_of_sockudo_without_effect_is_named_with_what_holds_instead(key: str, read: Load) -> None:
    _, _, inner = key.partition("app_manager.array.apps[].")
    document = with_apps(app(**{inner: {"enabled": False}} if inner else {}), host="127.0.0.1")
    for part in () if inner else [key.split(".")]:
        document |= nested(part, {"enabled": False})
    place = key.replace("[]", "[0]")
    assert read(document).warnings == (f"config.json: no effect here: {place}; {INSTEAD[key]}",)


def nested(parts: list[str], value: Any) -> dict[str, Any]:
    return {parts[0]: nested(parts[1:], value) if parts[1:] else value}


def test_keys_whose_feature_is_not_here_yet_are_named_with_what_to_expect(read: Load) -> None:
    warnings = [line for line in read({**SOCKUDO, "host": "127.0.0.1"}).warnings if "no effect yet" in line]
    key = "adapter.cluster_health.enabled"
    assert warnings == [f"config.json: no effect yet: {key}; {NOT_YET[key]}"]


@pytest.mark.parametrize("key", NOT_YET)
def test_a_key_whose_feature_is_not_here_yet_warns_when_it_is_set_even_to_its_default(key: str, read: Load) -> None:
    document = value_at(redacted(Config()), key.split("."))
    (warning,) = read(document | {"host": "127.0.0.1", **with_apps(app())}).warnings
    assert warning.startswith(f"config.json: no effect yet: {key}")
    assert warning.endswith(NOT_YET[key])


def value_at(document: Any, parts: list[str]) -> dict[str, Any]:
    """Return a document of which nothing is kept but what lies at a place."""
    inner = document[parts[0]]
    return {parts[0]: value_at(inner, parts[1:]) if parts[1:] else inner}


def test_a_variable_that_has_no_effect_yet_is_named(read: Load) -> None:
    (warning,) = read({"host": "127.0.0.1", **with_apps(app())}, {"QUEUE_STALLED_BATCH_SIZE": "9"}).warnings
    instead = NOT_YET["queue.reliability.stalled_batch_size"]
    assert warning == f"config.json: no effect yet: environment variable QUEUE_STALLED_BATCH_SIZE; {instead}"


def test_a_variable_that_takes_back_what_has_no_effect_does_not_warn(read: Load) -> None:
    assert read({"host": "127.0.0.1", **with_apps(app())}, {"REDIS_URL": "redis://a"}).warnings == ()


def test_every_known_key_without_effect_is_accepted(read: Load) -> None:
    for pattern in (*UNUSED, *HARMLESS_WHEN_BLANK):
        if not pattern.startswith("app_manager.array"):
            document: Any = None
            for part in reversed(pattern.split(".")):
                document = {part: document}
            read(document)


def test_the_flat_form_of_an_app_is_the_same_as_the_nested_one(read: Load) -> None:
    flat = app(max_connections=5, enable_client_messages=True, allowed_origins=["a.com"])
    nested = app(
        policy={
            "limits": {"max_connections": 5},
            "features": {"enable_client_messages": True},
            "channels": {"allowed_origins": ["a.com"]},
        }
    )
    assert only_app(with_apps(flat), read) == only_app(with_apps(nested), read)


def test_limits_may_stand_in_an_object_of_their_own(read: Load) -> None:
    assert only_app(with_apps(app(limits={"max_connections": 7})), read).max_connections == 7


def test_soketi_spellings_are_understood(read: Load) -> None:
    found = only_app(
        with_apps(
            app(
                maxConnections=-1,
                enableClientMessages=True,
                maxClientEventsPerSecond=7,
                webhooks=[
                    {
                        "lambda_function": "f",
                        "lambda": {"region": "eu-west-1"},
                        "event_types": ["client_event"],
                        "filter": {"channel_name_starts_with": "a", "channel_name_ends_with": "z"},
                    }
                ],
            )
        ),
        read,
    )
    assert (found.max_connections, found.enable_client_messages, found.max_client_events_per_second) == (None, True, 7)
    (endpoint,) = found.webhooks
    assert endpoint.function is not None
    assert (endpoint.function.function_name, endpoint.function.region) == ("f", "eu-west-1")
    assert (endpoint.filter.channel_prefix, endpoint.filter.channel_suffix) == ("a", "z")


def test_events_is_another_name_for_event_types(read: Load) -> None:
    document = with_apps(app(webhooks=[{"url": "https://e.com", "events": ["project.created"]}]))
    assert only_app(document, read).webhooks[0].event_types == ("project.created",)


def test_both_names_with_different_values_are_a_mistake(problems: Problems) -> None:
    assert problems(with_endpoint(events=["client_event"])) == [
        "config.json: app_manager.array.apps[0].webhooks[0].events: is also given as "
        "app_manager.array.apps[0].webhooks[0].event_types; keep one of them"
    ]


@pytest.mark.parametrize("value", [0, -1, None, "0"])
def test_zero_minus_one_and_null_mean_no_limit(read: Load, value: Any) -> None:
    assert only_app(with_apps(app(max_connections=value)), read).max_connections is None


def test_a_path_prefix_has_no_slash_at_its_end(read: Load) -> None:
    assert read({"path_prefix": "/realtime/"}).url_prefix == "/realtime"
    assert read({}).url_prefix == ""


def test_a_network_is_brought_into_its_plain_form(read: Load) -> None:
    config = read({"trusted_proxies": ["10.1.2.3/8", "::1", "127.0.0.1"]})
    assert config.trusted_proxies == ("10.0.0.0/8", "::1/128", "127.0.0.1/32")


def test_a_redis_url_is_made_of_its_parts(read: Load) -> None:
    redis = {"host": "h", "port": 1, "db": 2, "username": "u", "password": "p@:/"}
    assert read({"database": {"redis": redis}}).redis_url("queue") == "redis://u:p%40%3A%2F@h:1/2"
    assert read({"database": {"redis": {"host": "::1"}}}).redis_url("queue") == "redis://[::1]:6379/0"


def test_a_driver_may_have_a_redis_of_its_own(read: Load) -> None:
    config = read({"database": {"redis": {"url": "redis://a"}}, "cache": {"redis": {"url_override": "rediss://b"}}})
    assert config.redis_url("cache") == "rediss://b"
    assert config.redis_url("queue") == "redis://a"


def test_a_queue_in_a_redis_cluster_gets_a_hash_tag(read: Load) -> None:
    assert read({"queue": {"redis": {"cluster_mode": True}}}).queue.redis.key_prefix == "{sockudo_queue}:"
    assert read({}).queue.redis.key_prefix == "sockudo_queue:"


def test_without_a_file_there_is_a_demo_app_on_this_machine_only() -> None:
    config = load(None, {})
    (found,) = config.app_manager.array.apps
    assert (found.id, found.key, found.secret.get_secret_value()) == ("app-id", "app-key", "app-secret")
    assert found.enable_client_messages
    assert (config.host, config.port, config.metrics_host) == ("127.0.0.1", 6001, "127.0.0.1")
    assert (config.adapter.driver, config.cache.driver, config.queue.driver) == ("local", "memory", "sqlite")
    assert config.source is None
    assert "demo app" in config.warnings[0]


def test_the_demo_secret_in_production_is_a_warning(read: Load) -> None:
    document = with_apps(app(secret="app-secret"))
    assert read({**document, "mode": "production"}).warnings == (
        "config.json: app_manager.array.apps[0].secret: is a published demo secret, and mode is production; "
        "make one: openssl rand -hex 20",
    )
    assert read({**document, "mode": "development", "host": "127.0.0.1"}).warnings == ()


def test_a_server_without_apps_is_a_warning(read: Load) -> None:
    assert read({}).warnings == (
        "config.json: app_manager.array.apps: there is no app, so nobody can connect; add one",
    )


def test_an_endpoint_without_events_is_a_warning(read: Load) -> None:
    (warning,) = read(with_endpoint(event_types=[])).warnings
    assert "event_types: is empty, so nothing is sent" in warning


def test_an_event_that_looks_misspelt_is_a_warning(read: Load) -> None:
    (warning,) = read(with_endpoint(event_types=["chanel_occupied", "project.created"])).warnings
    assert warning.endswith("event_types[0]: is not an event of this server; only the API can trigger it; "
                            "did you mean channel_occupied?")  # fmt: skip


@pytest.mark.parametrize("name", ["member_ad", "channelOccupied", "presence.member-added", "client_events"])
def test_an_event_in_another_form_is_told_what_ours_is_called(read: Load, name: str) -> None:
    (warning,) = read(with_endpoint(event_types=[name])).warnings
    assert "did you mean " in warning


@pytest.mark.parametrize("name", ["project.created", "user.added", "message_sent", "*"])
def test_an_event_of_the_operators_own_is_no_warning(read: Load, name: str) -> None:
    assert read(with_endpoint(event_types=[name])).warnings == ()


def test_an_event_that_only_sockudo_has_is_a_warning(read: Load) -> None:
    (warning,) = read(with_endpoint(event_types=["message_version_created"])).warnings
    assert "is an event of Sockudo that this server does not have" in warning


def test_a_file_of_one_app_is_that_app() -> None:
    found, warnings = read_app(b'{"id": "a", "key": "k", "secret": "${S}", "history": {}}', "apps/a.json", {"S": "x"})
    assert (found.id, found.secret.get_secret_value()) == ("a", "x")
    assert warnings == ("apps/a.json: these keys of Sockudo have no effect here: history",)


def test_mistakes_in_a_file_of_one_app_are_named_from_its_top() -> None:
    content = b'{"id": "a", "key": "k", "policy": {"limits": {"max_connections": "x"}}, "webhooks": [{"url": "x"}]}'
    with pytest.raises(ConfigError) as caught:
        read_app(content, "apps/a.json", {})
    assert caught.value.problems == [
        "apps/a.json: secret: is missing; add it",
        "apps/a.json: policy.limits.max_connections: must be a whole number, not 'x'",
        "apps/a.json: webhooks[0].url: must be an http:// or https:// URL with a host",
    ]


def test_an_endpoint_from_the_api_is_read_alike() -> None:
    endpoint = read_endpoint({"url": "https://e.com", "events": ["a.b"], "description": "d"})
    assert (endpoint.url, endpoint.event_types, endpoint.description) == ("https://e.com", ("a.b",), "d")


def test_an_endpoint_from_the_api_can_not_read_the_environment() -> None:
    assert read_endpoint({"url": "https://e.com/${HOME}", "name": "${HOME}"}).name == "${HOME}"
    with pytest.raises(ConfigError, match="secret_env: is not allowed here"):
        read_endpoint({"url": "https://e.com", "secret_env": "HOME"})


def test_mistakes_of_an_endpoint_from_the_api_are_named_from_its_top() -> None:
    with pytest.raises(ConfigError) as caught:
        read_endpoint({"url": "https://e.com", "evnts": []})
    assert caught.value.problems == ["webhook: evnts: is not a known key; did you mean events?"] or (
        caught.value.problems == ["webhook: evnts: is not a known key; did you mean event_types?"]
    )


def test_relative_paths_stay_as_written(read: Load) -> None:
    assert Path(read({"queue": {"sqlite": {"path": "x/q.db"}}}).queue.sqlite.path) == Path("x/q.db")


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_demo_secret_in_development_is_warned_of_where_others_can_reach_it(
    read: Load, host: str, warned: bool
) -> None:
    config = read({"mode": "development", "host": host, **with_apps(app(secret="app-secret"))})
    assert [f"the server listens on {host}" in warning for warning in config.warnings] == [True] * warned
