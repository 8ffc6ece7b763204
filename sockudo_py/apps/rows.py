"""Makes of a row, in any of the layouts that are read, an app as it is written in a file. Pure.

The layouts: ours, Sockudo's (a column for each setting; or `policy`, which then counts alone), and soketi's. Columns
that are no setting of an app are ignored.
"""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

IDENTITY = ("id", "key", "secret", "enabled")
SECTIONS = ("limits", "features", "channels")  # of a policy
OBJECTS = frozenset(("policy", "settings", *SECTIONS))
LISTS = frozenset(
    (
        "webhooks",
        "Webhooks",
        "event_types",
        "eventTypes",
        "EventTypes",
        "allowed_origins",
        "allowedOrigins",
        "AllowedOrigins",
        "keys",
        "Keys",
    )
)


class RowError(ValueError):
    """A row can't be read: ``column: what is wrong and what to do``. It holds no value."""


def document(row: Mapping[str, object], names: frozenset[str], lists: frozenset[str]) -> dict[str, Any]:
    """Return the app of a row as a JSON object.

    Args:
        row: Values by column.
        names: What a setting of an app may be called; other columns are ignored.
        lists: Those of them that hold a list, which may come as JSON.

    Raises:
        RowError: A column is not what it must be.
    """
    values = {name: _value(name, value, lists) for name, value in row.items() if name in names or name in OBJECTS}
    given = {name: value for name, value in values.items() if value is not None}
    settings = given.pop("settings", {})
    policy = given.pop("policy", {})
    if policy:  # Sockudo keeps copies of some of it in columns, and reads them only where there is no policy
        given = {name: value for name, value in given.items() if name in IDENTITY}
        given |= _known(policy, names)
    for name, value in settings.items():
        if name in OBJECTS or name in IDENTITY:
            raise RowError(f"settings.{name}: does not belong there; it is a column")
        if given.get(name, value) != value:
            raise RowError(f"settings.{name}: is also a column; keep one of them")
        given[name] = value
    return given


def _known(policy: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Return a policy without what is no setting of an app: it stands for columns, and those are ignored too."""
    found: dict[str, Any] = {}
    for name, value in policy.items():
        if name in SECTIONS and isinstance(value, dict):
            found |= {inner: content for inner, content in value.items() if inner in names and content is not None}
        elif name in names and name not in IDENTITY and value is not None:
            found[name] = value
    return found


def _value(name: str, value: object, lists: frozenset[str]) -> Any:
    plain = _plain(value)
    if name not in OBJECTS and name not in lists:
        return plain
    if isinstance(plain, str):
        plain = _parsed(name, plain)
    if plain is None or isinstance(plain, dict if name in OBJECTS else list):
        return plain
    raise RowError(f"{name}: must be {'an object' if name in OBJECTS else 'a list'}, as JSON")


def _parsed(name: str, text: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RowError(f"{name}: is not valid JSON") from None


def _plain(value: object) -> Any:
    """Return a value of a database as one of JSON."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
        case bytes() | bytearray() | memoryview():
            raw = bytes(value)
            if raw in (b"\x00", b"\x01"):  # MySQL's BIT(1)
                return raw == b"\x01"
            return raw.decode("utf-8", errors="replace")
        case UUID() | datetime() | date():
            return str(value)
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
    return str(value)
