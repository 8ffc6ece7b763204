"""Every key: null is not given, numbers and flags may be text, words may have any case, neighbours are unknown."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from sockudo_py.config import Config
from sockudo_py.config.load import _build
from sockudo_py.config.problems import Origins, choices, item_type, walk
from sockudo_py.config.reading.normalise import MOVES
from sockudo_py.config.reading.override import Environment
from sockudo_py.errors import ConfigError

APP = {"id": "1", "key": "k", "secret": "s"}
ENDPOINT = {"url": "https://e.com/", "event_types": ["*"], "secret": "s", "signature_header": "X-S"}
AUTH: dict[str, dict[str, Any]] = {
    "basic": {"username": "u", "password": "p"},
    "bearer": {"token": "t"},
    "oauth2": {
        **{"token_url": "https://e.com/", "client_id": "c", "client_secret": "s"},
        **{"scope": None, "audience": None, "client_auth": None},
    },
}
# Without these the type of an ``auth`` is nothing.
NEEDED = {"username", "password", "token", "token_url", "client_id", "client_secret"}
# What an entry of each list of objects needs besides the key that is looked at.
ENTRIES: dict[str, dict[str, Any]] = {
    "app_manager.array.apps[]": APP,
    "app_manager.array.apps[].keys[]": {"key": "k2", "secret": "s2"},
    "app_manager.array.apps[].webhooks[]": ENDPOINT,
    "webhooks.admin.api_keys[]": {"sha256": "0" * 64},
    "webhooks.operators[]": ENDPOINT,
    "app_manager.array.apps[].event_types[]": {"name": "a.b"},
}
# Values to try for keys that have no default to begin with.
CANDIDATES: tuple[Any, ...] = (
    7,
    "x",
    True,
    ["x"],
    [7],
    ["10.0.0.0/8"],
    "https://e.com/x",
    ["https://e.com"],
    "redis://h",
    "http://p:1",
    "wh_x",
    "0" * 64,
    "us-east-1",
    "2030-01-01T00:00:00Z",
    {"X-A": "b"},
)


def keys() -> Iterator[tuple[str, FieldInfo]]:
    """Yield the place of every key that holds no section."""
    for place, section in walk(Config):
        for name, info in section.model_fields.items():
            if item_type(info.annotation) is None:
                yield f"{place}.{info.alias or name}".lstrip("."), info


KEYS = dict(keys())


def document(place: str, **key: Any) -> dict[str, Any]:
    """Return a document with a ``value`` at a place, under another ``name`` perhaps; without them, all but the key."""
    *parents, last = place.split(".")
    top: dict[str, Any] = {}
    here, path = top, ""
    for part in parents:
        path = f"{path}.{part}".lstrip(".")
        name = part.removesuffix("[]")
        inner = dict(ENTRIES.get(path, {}))
        here[name] = [inner] if part.endswith("[]") else inner
        if name in ("lambda", "feed"):
            here.pop("url")
        here = inner
    if ".lambda." in place and last != "function_name":
        here["function_name"] = "f"
    if ".auth." in place:
        kinds = [kind for kind, names in AUTH.items() if last in names] or ["basic"]
        here |= {"type": kinds[0], **AUTH[kinds[0]]}
    if last == "client_key_path":
        here["client_cert_path"] = "c.pem"
    if last == "previous_secret_expires_at":
        here["previous_secret"] = "p"
    if place == "workers":  # several of them need drivers that processes share
        top |= {"adapter": {"driver": "redis"}, "queue": {"driver": "redis"}}
    here.pop(last, None)
    if "value" in key:
        here[key.get("name", last)] = key["value"]
    return top


def outcome(raw: dict[str, Any]) -> tuple[Any, list[str]]:
    try:
        config, _ = _build(raw, {}, Origins("config.json"), environment=Environment({}))
    except ConfigError as error:
        return None, error.problems
    return config.model_dump(), []


def sample(place: str) -> Any:
    """Return a value that the key may have: the default, or the first candidate that it takes."""
    info = KEYS[place]
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    if words := choices(info.annotation):
        default = [words[0]] if "tuple" in str(info.annotation) else words[0]
    if default not in (None, "", (), {}):
        return list(default) if isinstance(default, tuple) else default
    for value in CANDIDATES:
        if not outcome(document(place, value=value))[1]:
            return value
    raise AssertionError(f"no candidate for {place}")


@pytest.mark.parametrize("place", KEYS)
def test_every_key_can_be_given(place: str) -> None:
    assert outcome(document(place, value=sample(place)))[1] == []


@pytest.mark.parametrize("place", [place for place in KEYS if place.rpartition(".auth.")[2] not in NEEDED])
def test_null_is_not_given(place: str) -> None:
    given, without = outcome(document(place, value=None)), outcome(document(place))
    assert given == without
    if KEYS[place].is_required():
        assert [line for line in given[1] if line.endswith(": is missing; add it")]
    elif place.rpartition(".")[2] != "url":  # one of url, lambda and feed has to be there
        assert given[1] == []


@pytest.mark.parametrize("place", [place for place, _ in walk(Config) if place and not place.endswith("]")])
def test_null_is_no_section(place: str) -> None:
    assert outcome(document(place, value=None))[1] == []


@pytest.mark.parametrize("place", [place for place, info in KEYS.items() if info.annotation is not Any])
def test_a_number_or_a_flag_may_be_text(place: str) -> None:
    value = sample(place)
    if isinstance(value, bool):
        for text in (str(value), str(value).upper(), "yes" if value else "no", "on" if value else "off"):
            assert outcome(document(place, value=text)) == outcome(document(place, value=value)), text
    elif isinstance(value, int | float):
        assert outcome(document(place, value=str(value))) == outcome(document(place, value=value))
        if "str" not in str(KEYS[place].annotation).lower():  # an id, a key or a secret is taken as it is
            assert outcome(document(place, value=f" {value} ")) == outcome(document(place, value=value))


@pytest.mark.parametrize("place", [place for place, info in KEYS.items() if choices(info.annotation)])
def test_a_word_may_have_any_case(place: str) -> None:
    many = "tuple" in str(KEYS[place].annotation)
    for word in choices(KEYS[place].annotation):
        first = outcome(document(place, value=[word] if many else word))
        for other in (word.upper(), word.title(), f" {word} ", word.replace("-", "_")):
            assert outcome(document(place, value=[other] if many else other)) == first, other


@pytest.mark.parametrize("place", KEYS)
def test_a_neighbour_is_unknown_and_its_name_is_told(place: str) -> None:
    section, _, last = place.rpartition(".")
    for name in (f"{last}_", f"{last}x", last.upper(), last.title()):
        if f"{section}.{name}" in dict(MOVES):
            continue  # another server's spelling
        _, problems = outcome(document(place, value=sample(place), name=name))
        (line,) = [line for line in problems if "is not a known key" in line]
        assert f"{name}: is not a known key; " in line
        assert f"did you mean {last}?" in line


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KEYS)), st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just([]))
def test_whatever_a_key_holds_is_taken_or_told_with_its_place(place: str, value: Any) -> None:
    _, problems = outcome(document(place, value=value))
    section = place.rpartition(".")[0].replace("[]", "[0]")
    assert all(f"config.json: {section}" in line or "is missing" in line or "port" in line for line in problems)
