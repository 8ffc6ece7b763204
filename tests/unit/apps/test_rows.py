"""A row of a table becomes an app as it is written in a file."""

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest

from sockudo_py.apps import rows
from sockudo_py.apps.definition import row_reader
from sockudo_py.apps.rows import RowError
from sockudo_py.config import app_lists, app_names, load
from sockudo_py.errors import ConfigError

IDENTITY = {"id": "1", "key": "k", "secret": "secret-of-1"}


def document(row: dict[str, Any]) -> dict[str, Any]:
    return rows.document(row, app_names(), app_lists())


def test_columns_that_are_no_setting_and_those_without_a_value_are_left_out() -> None:
    row = {**IDENTITY, "created_at": datetime.datetime.now(datetime.UTC), "max_connections": None, "colour": "red"}
    assert document(row) == IDENTITY


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (7, 7),
        (Decimal("7"), 7),
        (Decimal("1.5"), 1.5),
        (Decimal("NaN"), "nan"),
        (b"text", "text"),
        (b"\x01", True),
        (b"\x00", False),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_values_of_databases_become_those_of_json(value: object, plain: object) -> None:
    found = document({"max_connections": value})["max_connections"]
    assert str(found) == str(plain)
    assert type(found) in (type(plain), float)


@pytest.mark.parametrize("webhooks", ['[{"url": "https://a"}]', [{"url": "https://a"}], b'[{"url": "https://a"}]'])
def test_lists_come_as_json_or_as_lists(webhooks: object) -> None:
    assert document({"webhooks": webhooks}) == {"webhooks": [{"url": "https://a"}]}


def test_every_list_of_an_app_may_come_as_json_in_any_spelling() -> None:
    assert app_lists() >= {"webhooks", "Webhooks", "allowed_origins", "AllowedOrigins", "keys", "event_types"}
    assert document(dict.fromkeys(app_lists(), "[1]")) == {name: [1] for name in app_lists()}


@pytest.mark.parametrize("nothing", [None, "", "  ", "null"])
def test_a_list_without_a_value_is_not_given(nothing: object) -> None:
    assert document({**IDENTITY, "webhooks": nothing, "settings": nothing, "policy": nothing}) == IDENTITY


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"webhooks": "[{"}, "webhooks: is not valid JSON"),
        ({"webhooks": "[" * 100_000}, "webhooks: is not valid JSON"),
        ({"webhooks": '{"url": "https://a"}'}, "webhooks: must be a list, as JSON"),
        ({"settings": "[]"}, "settings: must be an object, as JSON"),
        ({"policy": "7"}, "policy: must be an object, as JSON"),
        ({"settings": {"secret": "word-of-it"}}, "settings.secret: does not belong there; it is a column"),
        ({"settings": {"policy": {}}}, "settings.policy: does not belong there; it is a column"),
        ({"settings": {"max_connections": 1}, "max_connections": 2}, "settings.max_connections: is also a column"),
    ],
)
def test_mistakes_name_the_column_and_no_value(row: dict[str, Any], message: str) -> None:
    with pytest.raises(RowError) as caught:
        document(row)
    assert str(caught.value).startswith(message)
    assert "word-of-it" not in str(caught.value)


def test_a_policy_alone_counts_and_what_it_does_not_know_is_left_out() -> None:
    policy = {
        "limits": {"max_connections": 5, "of_later": 1, "decay_seconds": None},
        "features": {"enable_client_messages": True},
        "channels": {"allowed_origins": ["https://a"]},
        "webhooks": [],
        "id": "another",
        "of_later": {},
    }
    row = {**IDENTITY, "enabled": False, "max_connections": 1, "max_batch": 1, "policy": policy}
    assert document(row) == {
        **IDENTITY,
        "enabled": False,
        "max_connections": 5,
        "enable_client_messages": True,
        "allowed_origins": ["https://a"],
        "webhooks": [],
    }


def test_an_empty_policy_is_none() -> None:
    assert document({**IDENTITY, "max_connections": 3, "policy": {}})["max_connections"] == 3


def test_no_mistake_of_a_row_shows_its_secrets() -> None:
    read = row_reader(load(None, {}))
    hidden = {"profile": "standard", "secret": "whsec_word-of-the-endpoint", "also_sign": ["nobody"]}
    row = {
        **IDENTITY,
        "key": "k ey",
        "max_connections": "many",
        "webhooks": [{"url": "https://u:word-in-url@a", "event_types": "x", "headers": {"a": 1}, **hidden}],
    }
    with pytest.raises(ConfigError) as caught:
        read(row, "table t: row 1")
    said = "\n".join(caught.value.problems)
    assert len(caught.value.problems) > 3
    assert all(line.startswith("table t: row 1: ") for line in caught.value.problems)
    assert not any(word in said for word in ("secret-of-1", "word-of-the-endpoint", "word-in-url"))
