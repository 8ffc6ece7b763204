"""A configuration without its secrets, and the list of its secrets."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from sockudo_py.config.sections.types import HIDDEN_PATH

HIDDEN = "***"


def redacted(section: BaseModel) -> dict[str, Any]:
    """Return a section as a JSON object in its written form. Secrets are ``***``, in URLs too."""
    shown: dict[str, Any] = {}
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if HIDDEN_PATH in info.metadata and value is not None:
            shown[info.alias or name] = origin_of(value)
            continue
        # null reads as "not given": no limit, where there is one by default, is written as 0.
        limitless = value is None and info.default is not None
        shown[info.alias or name] = 0 if limitless else _shown(value)
    return shown


def origin_of(url: str) -> str:
    """Return a URL without its path, which is the secret of many receivers, and without user and query."""
    found = re.match(r"(?P<scheme>[a-zA-Z]+://)(?:[^/?#]*@)?(?P<host>[^/?#]*)(?P<rest>.*)", url, re.DOTALL)
    if found is None:
        return HIDDEN
    rest = found["rest"] if found["rest"] in ("", "/") else "/..."
    return f"{found['scheme']}{found['host']}{rest}"


def secrets_of(section: BaseModel) -> Iterator[str]:
    """Yield every secret in a section, so that the log can leave it out. Of a URL: its password."""
    for name in type(section).model_fields:
        yield from _secrets(getattr(section, name))


def redact_url(url: str) -> str:
    """Return a URL without user, password and query."""
    bare = re.sub(r"(?<=://)[^/?#]*@", HIDDEN + "@", url)
    return re.sub(r"\?.*", "?" + HIDDEN, bare, flags=re.DOTALL)


def _shown(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return redacted(value)
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return redact_url(text) if "://" in text else HIDDEN
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, str) and "://" in value:
        return redact_url(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from secrets_of(value)
    elif isinstance(value, SecretStr):
        text = value.get_secret_value()
        yield text
        if "://" in text and (password := _password(text)):
            yield password
            yield unquote(password)
    elif isinstance(value, tuple):
        for item in value:
            yield from _secrets(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _secrets(item)


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None
