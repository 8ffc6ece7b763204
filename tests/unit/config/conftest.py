import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.config import Config, load
from sockudo_py.errors import ConfigError

Load = Callable[..., Config]
Problems = Callable[..., list[str]]


@pytest.fixture(name="read")
def _read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a document as ``config.json`` of the current folder."""
    monkeypatch.chdir(tmp_path)

    def read(document: Any, env: Mapping[str, str] | None = None) -> Config:
        text = document if isinstance(document, str) else json.dumps(document)
        Path("config.json").write_text(text)
        return load(Path("config.json"), env or {})

    return read


@pytest.fixture
def problems(read: Load) -> Problems:
    """Load a document that can't be used and return the lines about it."""

    def problems(document: Any, env: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(document, env)
        return caught.value.problems

    return problems


def app(**settings: Any) -> dict[str, Any]:
    return {"id": "1", "key": "key-1", "secret": "secret-one", **settings}


def with_apps(*apps: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"app_manager": {"array": {"apps": list(apps)}}, **settings}


def with_endpoint(**settings: Any) -> dict[str, Any]:
    endpoint = {"url": "https://example.com/hook", "event_types": ["channel_occupied"], **settings}
    return with_apps(app(webhooks=[endpoint]))
