"""The generated files are fresh, and the files we ship load."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sockudo_py.config import Config, load
from sockudo_py.config.printing.reference import example
from sockudo_py.config.problems import item_type, key_names
from sockudo_py.config.tables.unused import NOT_YET

ROOT = Path(__file__).parents[3]
SECRETS = {
    "SOCKUDO_APP_SECRET": "a-secret-of-the-test",
    "CHAT_APP_SECRET": "a-secret-of-the-test",
    "ORDERS_APP_SECRET": "a-secret-of-the-test",
    "ORDERS_WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
}


def test_the_example_is_fresh() -> None:
    assert (ROOT / "config.example.json").read_text() == example(), "make it again: sockudo-py print-config --defaults"


def test_the_example_loads_with_a_warning_about_nothing_but_its_secret() -> None:
    config = load(ROOT / "config.example.json", {})
    assert ["published demo secret" in warning for warning in config.warnings] == [True]
    assert load(ROOT / "config.example.json", SECRETS).warnings == ()


def missing_keys(section: type[BaseModel], document: Any, place: str = "") -> list[str]:
    missing = []
    for (name, info), key in zip(section.model_fields.items(), key_names(section), strict=True):
        if key not in document:
            missing.append(f"{place}{key}")
            continue
        inner, value = item_type(info.annotation), document[key]
        if inner and isinstance(value, list):
            missing += [gap for item in value for gap in missing_keys(inner, item, f"{place}{key}[].")]
        elif inner and isinstance(value, dict):
            missing += missing_keys(inner, value, f"{place}{key}.")
        assert name
    return missing


def test_the_example_has_every_key_that_has_an_effect() -> None:
    document = json.loads((ROOT / "config.example.json").read_text())
    assert sorted(missing_keys(Config, document)) == sorted(NOT_YET)


def test_the_example_states_the_defaults() -> None:
    config = load(ROOT / "config.example.json", {})
    assert config.model_dump(exclude={"app_manager"}) == Config().model_dump(exclude={"app_manager"})


def test_every_key_is_described() -> None:
    from sockudo_py.config.problems import walk

    for place, section in walk(Config):
        for name, info in section.model_fields.items():
            assert info.description, f"{place}.{name}"


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.json")), ids=lambda path: path.name)
def test_a_profile_loads(path: Path) -> None:
    assert load(path, SECRETS).warnings == ()


@pytest.mark.parametrize("name", ["redis.json", "sqs-lambda.json"])
def test_a_profile_for_production_insists_on_a_secret(name: str) -> None:
    from sockudo_py.errors import ConfigError

    with pytest.raises(ConfigError, match="SOCKUDO_APP_SECRET is not set"):
        load(ROOT / "config" / name, {})
