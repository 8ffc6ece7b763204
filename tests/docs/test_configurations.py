"""Configurations that documents show are valid as they stand there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.apps.definition import define_apps
from sockudo_py.config import Config, load
from sockudo_py.config.sections.app import AppConfig
from sockudo_py.webhooks.endpoints.validation import endpoint_problems
from tests.docs.made import PART, ROOT
from tests.docs.pages import blocks, documents

# Texts in JSON that are no configuration: bodies and messages.
BODIES = {"http-api.md", "laravel.md"}
APP = {"id": "1", "key": "an-app-key", "secret": "a-secret-of-this-app"}


def found() -> Iterator[Any]:
    for path in (*documents(), ROOT / "README.md"):
        text = PART.sub("", path.read_text())
        if path.name not in BODIES:
            for index, code in enumerate(blocks(text, "json")):
                yield pytest.param(code, id=f"{path.stem}-{index}")


def whole(given: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration that a text is a part of: an endpoint, an app, or all of it."""
    if "event_types" in given:
        given = {"webhooks": [given]}
    if isinstance(given.get("webhooks"), list) or (set(given) <= set(AppConfig.model_fields) and "key" in given):
        given = {"app_manager": {"array": {"apps": [APP | given]}}}
    assert set(given) <= set(Config.model_fields), "neither an endpoint nor an app nor a configuration"
    return {"app_manager": {"array": {"apps": [APP]}}} | given


@pytest.mark.parametrize("code", list(found()))
def test_a_configuration_in_a_document_is_valid(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(whole(json.loads(code))))
    used = re.findall(r"\$\{(\w+)\}", code)
    config = load(file, dict.fromkeys(used, "a-secret-of-this-app"))
    define_apps(config, endpoint_problems)
    assert not config.warnings
