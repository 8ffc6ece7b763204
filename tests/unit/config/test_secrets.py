"""No message about a configuration, and nothing that is printed of one, shows a value."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockudo_py.config import Config, load
from sockudo_py.config.advice import advice
from sockudo_py.config.load import _build
from sockudo_py.config.printing.describe import redacted, secrets_of
from sockudo_py.config.printing.reference import example
from sockudo_py.config.problems import Origins
from sockudo_py.config.reading.override import KNOWN, Environment
from sockudo_py.errors import ConfigError
from tests.unit.config.conftest import Load, app, with_apps

CANARY = "tops3cret-canary"
EXAMPLE: dict[str, Any] = json.loads(example())


def places(value: Any, loc: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield loc
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*loc, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*loc, index))


def replaced(loc: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(EXAMPLE)
    target: Any = document
    for part in loc[:-1]:
        target = target[part]
    target[loc[-1]] = value
    return document


def told(document: dict[str, Any], env: dict[str, str] | None = None) -> str:
    origins = Origins("config.json")
    try:
        config, _ = _build(document, env or {}, origins, environment=Environment(env or {}))
    except ConfigError as error:
        return str(error)
    return "\n".join(advice(config, origins))


@pytest.mark.parametrize(
    "wrong", [CANARY, [CANARY], {"x": CANARY}, f"http://{CANARY}", f"redis://u:{CANARY}@:0", f"({CANARY}"]
)
def test_no_message_shows_a_value_wherever_it_stands(wrong: Any) -> None:
    for loc in places(EXAMPLE):
        if loc:
            assert CANARY not in told(replaced(loc, copy.deepcopy(wrong))), loc


def test_no_message_shows_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KNOWN:
        assert CANARY not in told({}, {name: CANARY}), name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(CANARY) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([loc for loc in places(EXAMPLE) if loc]), JSON)
def test_whatever_stands_anywhere_is_accepted_or_told_without_showing_it(
    loc: tuple[str | int, ...], value: Any
) -> None:
    assert CANARY not in told(replaced(loc, value))


def test_a_configuration_in_a_log_shows_no_secret(read: Load) -> None:
    config = read(
        with_apps(
            app(
                secret=CANARY,
                keys=[{"key": "k2", "secret": CANARY}],
                webhooks=[
                    {"url": "https://example.com/h", "event_types": ["*"], "secret": CANARY, "headers": {"X-A": CANARY}}
                ],
            ),
            database={"redis": {"url": f"redis://u:{CANARY}@h/0", "password": CANARY}},
        )
    )
    assert CANARY not in repr(config)
    assert CANARY not in str(config)
    assert CANARY not in json.dumps(redacted(config))


def test_a_printed_url_keeps_its_host_and_only_where_it_is_no_secret_its_path(read: Load) -> None:
    config = read(
        with_apps(
            app(webhooks=[{"url": f"https://{CANARY}@example.com:8443/{CANARY}?token={CANARY}", "event_types": ["*"]}]),
            database={"redis": {"url": f"redis://u:{CANARY}@h/0"}},
        )
    )
    shown = redacted(config)
    assert shown["app_manager"]["array"]["apps"][0]["webhooks"][0]["url"] == "https://example.com:8443/..."
    assert shown["database"]["redis"]["url"] == "redis://***@h/0"
    assert CANARY not in json.dumps(shown)


def test_the_log_is_told_every_secret(read: Load) -> None:
    config = read(
        with_apps(
            app(
                secret="secret-1",
                webhooks=[{"url": "https://e.com", "event_types": ["*"], "headers": {"A": "secret-2"}}],
            ),
            database={"redis": {"url": "redis://u:secret%2D3@h/0"}},
            ssl={"passphrase": "secret-4"},
        )
    )
    assert {"secret-1", "secret-2", "secret%2D3", "secret-3", "secret-4"} <= set(secrets_of(config))


def test_the_demo_has_no_secret_but_the_published_one() -> None:
    assert list(secrets_of(load(None, {}))) == ["app-secret"]
    assert list(secrets_of(Config())) == []


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"port": "6001x"}, "not '6001x'"),
        ({"port": "sixthousand"}, "not 'sixthousand'"),
        ({"port": CANARY}, "must be a whole number"),
        ({"port": "p@ss-w0rd"}, "must be a whole number"),
        ({"ping_interval": "45 seconds"}, "not '45 seconds'"),
        ({"database": {"redis": {"host": "u:pw@h"}}}, "must be a host name or an address;"),
        ({"database": {"redis": {"password": ["pw"]}}}, "must be text;"),
        ({"database": {"redis": {"port": "6379a"}}}, "not '6379a'"),
        (with_apps(app(webhooks=[{"url": "x://t0ken", "event_types": ["*"]}])), "URL with a host"),
        (with_apps(app(webhooks=[{"url": "t0ken", "event_types": ["*"]}])), "URL with a host"),
        (with_apps(app(webhooks=[{"url": "http://h", "headers": {"X": ["t0ken"]}}])), "must be text;"),
        (with_apps(app(secret=["pw"])), "must be text;"),
    ],
)
def test_a_message_shows_the_value_that_is_wrong_unless_it_may_be_a_secret(
    document: dict[str, Any], shown: str
) -> None:
    line = told(document)
    assert shown in line
    for secret in (CANARY, "p@ss", "pw", "t0ken", "a list"):
        assert secret not in line
