"""What a configuration says that is not the default, and where each value comes from."""

from collections.abc import Iterator, Mapping
from typing import Any

from sockudo_py.config.model import Config
from sockudo_py.config.printing.describe import redacted


def differences(config: Config) -> list[dict[str, Any]]:
    """Return what is not the default: ``key``, ``value``, ``default``, ``source`` of each. Secrets are ``***``."""
    usual = redacted(Config())
    return [
        {
            "key": key,
            "value": value,
            "default": default,
            "source": next(iter(config.variables(key)), None) or config.origin,
        }
        for key, value, default in _differing(redacted(config), usual, "")
    ]


def _differing(now: Mapping[str, Any], usual: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for name, value in now.items():
        key, default = f"{prefix}{name}", usual.get(name)
        if isinstance(value, dict) and isinstance(default, dict):
            yield from _differing(value, default, f"{key}.")
        elif value != default:
            yield key, value, default
