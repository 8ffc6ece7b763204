import math
from typing import Any

import pytest

from sockudo_py.apps.definition import (
    app_reader,
    backoff,
    define_app,
    define_apps,
    define_endpoint,
    derived_id,
    longest_wait,
)
from sockudo_py.config import AppConfig, Config, read_endpoint
from sockudo_py.endpoints import PRESETS, Batching, ChannelFilter, Endpoint, LambdaTarget, RateLimit, Secret
from sockudo_py.errors import ConfigError
from sockudo_py.protocol.app import App, AppKey


def app_of(config: dict[str, Any] | None = None, **settings: Any) -> App:
    app = AppConfig.model_validate({"id": "1", "key": "k", "secret": "s", **settings})
    return define_app(app, Config.model_validate(config or {})).app


def endpoint_of(config: dict[str, Any] | None = None, **settings: Any) -> Endpoint:
    """Define an endpoint under the section ``webhooks`` given as ``config``."""
    endpoint = read_endpoint({"url": "https://e.com/h", **settings})
    defaults = Config.model_validate({"webhooks": config or {}}).webhooks
    return define_endpoint(endpoint, app_of(), defaults, uid="wh_1")


def test_the_longest_wait_is_that_of_a_preset_or_of_a_configured_endpoint() -> None:
    def longest(**config: Any) -> float:
        return longest_wait(Config.model_validate(config))

    hook = {"url": "https://e.com/h", "retry": {"schedule_ms": [172_800_000]}}
    app = {"id": "1", "key": "k", "secret": "s", "webhooks": [hook]}
    assert longest() == 86_400
    assert longest(webhooks={"retry": {"jitter": 0.5}}) == 129_600
    assert longest(webhooks={"retry": {"retry_after_max_ms": 90_000_000}}) == 90_000
    assert longest(app_manager={"array": {"apps": [app]}}) == 172_800


def test_an_app_has_the_defaults_of_the_contract() -> None:
    defined, contract = app_of(), App("1", (AppKey("k", b"s"),))
    assert {name: getattr(defined, name) for name in App.__slots__} == {
        name: getattr(contract, name) for name in App.__slots__
    }


def test_the_servers_limits_are_merged_in() -> None:
    config = {
        "channel_limits": {"max_name_length": 1, "cache_ttl": 2},
        "event_limits": {
            "max_channels_at_once": 3,
            "max_name_length": 4,
            "max_payload_in_kb": 0.5,
            "max_batch_size": 6,
        },
        "presence": {"max_members_per_channel": 7, "max_member_size_in_kb": 2, "max_user_id_length": 9},
    }
    app = app_of(config)
    assert (app.max_channel_name_length, app.cache_ttl) == (1, 2)
    assert (app.max_channels_per_event, app.max_event_name_length) == (3, 4)
    assert (app.max_event_bytes, app.max_batch_size) == (512, 6)
    assert (app.max_presence_members, app.max_user_info_bytes, app.max_user_id_length) == (7, 2048, 9)


def test_the_apps_own_limits_win() -> None:
    app = app_of({"event_limits": {"max_payload_in_kb": 1}}, max_event_payload_in_kb=100, max_event_batch_size=50)
    assert (app.max_event_bytes, app.max_batch_size) == (102400, 50)


def test_several_pairs_are_valid_and_the_first_is_the_apps_own() -> None:
    app = app_of(keys=[{"key": "k2", "secret": "s2"}, {"key": "k3", "secret": "s3"}])
    assert app.keys == (AppKey("k", b"s"), AppKey("k2", b"s2"), AppKey("k3", b"s3"))


def test_connections_need_not_authorise_unless_the_app_says_so() -> None:
    config = {"user_authentication_timeout": 12}
    assert app_of(config).authorization_timeout is None
    assert app_of(config, enable_authorized_connections=True).authorization_timeout == 12


def test_an_endpoint_has_the_defaults_of_the_contract() -> None:
    contract = Endpoint(uid="wh_1", id=derived_id("wh_1"), app_id="1", app_keys=(), url="https://e.com/h")
    defined = endpoint_of()
    names = [name for name in Endpoint.__slots__ if name != "app_keys"]
    assert {name: getattr(defined, name) for name in names} == {name: getattr(contract, name) for name in names}


def test_an_endpoint_keeps_all_it_was_given() -> None:
    endpoint = endpoint_of(
        url=None,
        **{"lambda": {"function_name": "f", "region": "eu-west-1", "qualifier": "PROD"}},
        id=7,
        name="n",
        event_types=["a", "b"],
        filter={"channel_type": "presence", "channel_prefix": "p"},
        headers={"X-A": "1"},
        profile="irisx",
        also_sign=["standard"],
        secret="whsec",
        request_timeout_ms=1500,
        connect_timeout_ms=500,
        rate_limit={"per_second": 1},
        max_in_flight=2,
        ordering="channel",
        batching={"enabled": False, "duration": 10, "size": 3},
        payload="pusher",
        json_style="python",
        enabled=False,
    )
    assert endpoint.function == LambdaTarget("f", "eu-west-1", qualifier="PROD")
    assert (endpoint.id, endpoint.name, endpoint.event_types) == (7, "n", frozenset({"a", "b"}))
    assert endpoint.filter == ChannelFilter(channel_type="presence", channel_prefix="p")
    assert endpoint.headers == (("X-A", "1"),)
    assert (endpoint.profile, endpoint.also_sign, endpoint.secrets) == ("irisx", ("standard",), (Secret("whsec"),))
    assert (endpoint.request_timeout, endpoint.connect_timeout) == (1.5, 0.5)
    assert endpoint.rate_limit == RateLimit(per_second=1)
    assert (endpoint.max_in_flight, endpoint.ordering) == (2, "channel")
    assert endpoint.batching == Batching(enabled=False, duration=0.01, size=3)
    assert (endpoint.payload, endpoint.json_style, endpoint.enabled) == ("pusher", "python", False)


@pytest.mark.parametrize(
    ("server", "endpoint", "schedule"),
    [
        ({}, {}, (1, 2, 4, 8, 16)),
        ({}, {"retry": {"preset": "irisx"}}, (1, 2, 4, 8, 16)),
        ({}, {"retry": {"preset": "pulse"}}, (5, 30, 120, 600, 3600)),
        ({}, {"profile": "pulse"}, (5, 30, 120, 600, 3600)),
        ({}, {"profile": "pulse", "retry": {"preset": "realcast"}}, (1, 5, 25)),
        ({"retry": {"preset": "realcast"}}, {}, (1, 5, 25)),
        ({"retry": {"preset": "realcast"}}, {"profile": "sockudo"}, (1, 5, 25)),
        ({"retry": {"preset": "realcast"}}, {"retry": {"preset": "sockudo"}}, (1, 2, 4, 8, 16)),
        ({"retry": {"max_retries": 2}}, {}, (1, 2)),
        ({"retry": {"max_attempts": 2}}, {}, (1,)),
        ({"retry": {"max_retries": 8}}, {}, (1, 2, 4, 8, 16, 32, 60, 60)),
        ({"retry": {"max_retries": 2}}, {"profile": "pulse"}, (5, 30, 120, 600, 3600)),
        ({}, {"profile": "pulse", "retry": {"max_retries": 6}}, (5, 30, 120, 600, 3600, 3600)),
        ({}, {"retry": {"max_retries": 0}}, ()),
        ({}, {"retry": {"initial_backoff_ms": 500}}, (0.5, 1, 2, 4, 8)),
        ({}, {"retry": {"multiplier": 3, "max_backoff_ms": 5000}}, (1, 3, 5, 5, 5)),
        ({}, {"retry": {"schedule_ms": [100, 200]}}, (0.1, 0.2)),
        ({"retry": {"schedule_ms": [100]}}, {"retry": {"max_retries": 1}}, (1,)),
        ({"retry": {"schedule_ms": [100]}}, {"retry": {"jitter": 0.5}}, (0.1,)),
        ({"retry": {"enabled": False}}, {}, ()),
        ({"retry": {"enabled": False}}, {"retry": {"enabled": True}}, (1, 2, 4, 8, 16)),
    ],
)
def test_waits_come_from_what_is_named_nearest(
    server: dict[str, Any], endpoint: dict[str, Any], schedule: tuple[float, ...]
) -> None:
    assert endpoint_of(server, **endpoint).retry.schedule == schedule


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_is_taken_over_whole(name: str) -> None:
    endpoint = endpoint_of(retry={"preset": name})
    preset = next(preset for known, preset in PRESETS.items() if known == name)
    assert endpoint.retry == preset.policy()
    assert endpoint.request_timeout == preset.request_timeout


@pytest.mark.parametrize(
    ("server", "endpoint", "timeout"),
    [
        ({}, {}, 10),
        ({"request_timeout_ms": 4000}, {}, 4),
        ({"request_timeout_ms": 4000}, {"profile": "pulse"}, 30),
        ({"request_timeout_ms": 4000}, {"profile": "pulse", "request_timeout_ms": 1000}, 1),
        ({"retry": {"preset": "pulse"}}, {}, 30),
    ],
)
def test_the_timeout_comes_from_what_is_named_nearest(
    server: dict[str, Any], endpoint: dict[str, Any], timeout: float
) -> None:
    assert endpoint_of(server, **endpoint).request_timeout == timeout


def test_zero_takes_the_age_limit_of_a_preset_away() -> None:
    assert endpoint_of(retry={"preset": "pusher"}).retry.max_age == 300
    assert endpoint_of(retry={"preset": "pusher", "max_age_ms": 0}).retry.max_age is None


def test_a_profile_brings_its_rate_limit_unless_the_endpoint_has_one() -> None:
    assert endpoint_of(profile="irisx").rate_limit == RateLimit(per_minute=60, per_hour=1000)
    assert endpoint_of(profile="irisx", rate_limit={"per_minute": 5}).rate_limit == RateLimit(per_minute=5)


def test_the_servers_profile_is_for_endpoints_without_one() -> None:
    server = {"signature": {"profile": "sockudo", "json_style": "python"}, "payload": "pusher"}
    endpoint = endpoint_of(server)
    assert (endpoint.profile, endpoint.json_style, endpoint.payload) == ("sockudo", "python", "pusher")
    assert endpoint_of(server, profile="pulse").profile == "pulse"


def test_https_is_required_by_some_profiles_and_by_the_server() -> None:
    assert not endpoint_of().require_https
    assert endpoint_of(profile="pulse").require_https
    assert endpoint_of({"security": {"require_https": True}}).require_https


def test_a_previous_secret_holds_until_its_time_or_until_it_is_removed() -> None:
    rotated: dict[str, Any] = {"secret": "new", "previous_secret": "old"}
    assert endpoint_of(**rotated).secrets == (Secret("new"), Secret("old", math.inf))
    until = endpoint_of(**rotated, previous_secret_expires_at="2026-12-31T12:00:00+01:00")
    assert until.secrets == (Secret("new"), Secret("old", 1798714800.0))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"previous_secret": "old"}, "no secret"),
        ({"secret": "new", "previous_secret_expires_at": "2026-12-31T12:00:00Z"}, "no previous_secret"),
        ({"secret": "new", "previous_secret": "old", "previous_secret_expires_at": "2026-12-31 12:00"}, "its zone"),
        ({"secret": "new", "previous_secret": "old", "previous_secret_expires_at": "tomorrow"}, "its zone"),
    ],
)
def test_half_a_rotation_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        endpoint_of(**settings)


def test_gone_disables_where_the_preset_or_the_operator_says_so() -> None:
    assert not endpoint_of().disable_on_410
    assert endpoint_of(profile="standard").disable_on_410
    assert endpoint_of(retry={"preset": "standard"}).disable_on_410
    assert endpoint_of({"auto_disable": {"on_410": True}}).disable_on_410


def config_with(*endpoints: dict[str, Any]) -> Config:
    app = {"id": "1", "key": "k", "secret": "s", "webhooks": list(endpoints)}
    return Config.model_validate({"app_manager": {"array": {"apps": [app]}}})


def uids(config: Config) -> list[str]:
    return [endpoint.uid for definition in define_apps(config) for endpoint in definition.endpoints]


def test_a_derived_uid_is_the_same_after_a_restart_and_each_endpoints_own() -> None:
    same = {"url": "https://e.com"}
    first, second = uids(config_with(same, same))
    assert [first, second] == uids(config_with(same, same))
    assert first != second
    assert first.startswith("wh_")
    assert uids(config_with({"url": "https://f.com"})) != [first]


def test_a_configured_uid_is_kept() -> None:
    assert uids(config_with({"url": "https://e.com", "uid": "wh_mine"})) == ["wh_mine"]


def test_a_derived_id_is_a_positive_number_of_31_bits() -> None:
    assert all(1_000_000_000 <= derived_id(f"wh_{n}") < 2**31 for n in range(1000))


def test_what_a_check_finds_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        define_apps(config_with({"url": "https://e.com"}), lambda endpoint: [f"{endpoint.url}: no"])
    assert caught.value.problems == ["defaults: https://e.com: no"]


def test_an_app_reader_makes_an_app_of_a_file_and_passes_warnings_on() -> None:
    warnings: list[str] = []
    read = app_reader(Config(), {"S": "secret"}, on_warning=warnings.append)
    definition = read(b'{"id": "a", "key": "k", "secret": "${S}", "history": {}}', "a.json")
    assert definition.app.secret_of("k") == b"secret"
    assert warnings == ["a.json: these keys of Sockudo have no effect here: history"]


def test_an_app_reader_refuses_what_the_check_finds() -> None:
    read = app_reader(Config(), {}, lambda _: ["bad"])
    with pytest.raises(ConfigError, match=r"a\.json: bad"):
        read(b'{"id": "a", "key": "k", "secret": "s", "webhooks": [{"url": "https://e.com"}]}', "a.json")


def test_no_secret_shows_in_a_definition() -> None:
    (definition,) = define_apps(
        config_with({"url": "https://e.com", "secret": "tops3cret", "headers": {"A": "tops3cret"}})
    )
    assert "tops3cret" not in repr(definition)
    assert "b's'" not in repr(definition)


def test_backoff_stops_growing_at_the_longest_wait() -> None:
    assert backoff(4, initial=1, multiplier=10, longest=50) == (1, 10, 50, 50)
